"""Reads the source's changes in the order of their commits, and sends each where it belongs.

A range that is not there yet needs none of them: its snapshot comes later and has them. One that is being copied
keeps them for itself. One that is there gets what its snapshot did not see, in the transaction that also writes
down
how far we are.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rehost.stacks.data.postgres.batch import Batch, Key
from rehost.stacks.data.postgres.catalog import Table
from rehost.stacks.data.postgres.ledger import Ledger
from rehost.stacks.data.postgres.lsn import Snapshot
from rehost.stacks.data.postgres.session import Connection, Server, quoted
from rehost.stacks.data.postgres.slots import lost_slot
from rehost.stacks.data.postgres.stream import (
    Alive,
    Begin,
    Change,
    Commit,
    Message,
    Relation,
    Row,
    Stream,
    Truncate,
)
from rehost.stacks.data.postgres.units import OPENING, READY, WAITING, Unit, find
from rehost.stacks.errors import ProviderError, Refused, RehostError

BATCH = 5000
"""Changes in one flush, and about so many in one transaction."""
LINGER_S = 0.2
"""A transaction at the destination is open for about so long."""
_PASSED = 5000
"""So many transactions are remembered: commits become visible a moment after they are in the log."""
_RECONNECTS = 30
_NO_SLOT = ("42704", "55000")
"""SQLSTATEs of a slot that is not there, or whose log was removed."""


@dataclass
class Barrier:
    """A snapshot of the source that the destination is to be brought to exactly; `reached` is called there."""

    snapshot: Snapshot
    lsn: int
    reached: Callable[[], None]
    held: list[Message] = field(default_factory=list)
    stopped: bool = False
    clean: bool = True
    problem: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class _Known:
    """A table of the stream: its ranges, where its key is, and how its rows misfit the destination, if they do."""

    units: list[Unit]
    places: tuple[int, ...]
    misfit: str


class Applier:
    """One thread. `problem` is what ended it; whoever waits for it has to look (`check`)."""

    def __init__(
        self, source: Server, destination: Server, slot: str, publication: str, ledger: Ledger, units: list[Unit],
        first: Callable[[], None],
    ) -> None:  # fmt: skip
        self._source, self._destination = source, destination
        self._slot, self._publication, self._ledger = slot, publication, ledger
        self.first = first
        self.lock = threading.RLock()
        """Held while a transaction is being sent to its ranges: who has it sees none by half."""
        self.by_table: dict[str, list[Unit]] = {}
        for unit in units:
            self.by_table.setdefault(unit.table.label, []).append(unit)
        for some in self.by_table.values():
            some.sort(key=lambda unit: (unit.low is not None, unit.low))
        self.passed: deque[int] = deque(maxlen=_PASSED)
        self._relations: dict[int, _Known] = {}
        self._wanted: Barrier | None = None
        self._barrier: Barrier | None = None
        self._again: deque[Message] = deque()
        self.position = 0
        self.durable = 0
        self.changes = 0
        self.transactions = 0
        self.committed_at = 0.0
        self.last_commit = 0
        """The position of the last transaction that changed anything."""
        self.asked = False
        self.track = False
        """Whether changed keys are written down."""
        self.problem: BaseException | None = None
        self._xid = 0
        self._skip = False
        self._inside = False
        self._open_since = 0.0
        self._stop = threading.Event()
        self._hold = threading.Event()
        self._held = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is at hand."""
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what ended the thread, and before that what `first` knows of its reason."""
        self.first()
        if self.problem is not None:
            raise self.problem

    def pause(self) -> None:
        """Apply nothing, and hold no locks at the destination, until `resume`."""
        self._hold.set()
        while not self._held.wait(0.05):
            self.check()

    def resume(self) -> None:
        """Go on."""
        self._hold.clear()

    def bring_to(self, barrier: Barrier) -> None:
        """Wait until the destination is exactly at a snapshot. Raises RehostError; `barrier.clean` says whether it
        could be told."""
        self._wanted = barrier
        while not barrier.done.wait(0.05):
            self.check()
        if barrier.problem is not None:
            raise barrier.problem

    def wait_for(self, lsn: int, check: Callable[[], None]) -> None:
        """Wait until everything before `lsn` is durable at the destination."""
        while self.durable < lsn:
            self.check()
            check()
            self.asked = True
            time.sleep(0.01)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            before = self.durable
            try:
                self._follow()
            except ProviderError as error:
                if error.code in _NO_SLOT:
                    self.problem = lost_slot(self._slot, error.summary)
                    return
                failures = 0 if self.durable > before else failures + 1
                if not error.retryable or failures > _RECONNECTS:
                    self.problem = error
                    return
                with self.lock:
                    for units in self.by_table.values():
                        for unit in units:
                            # What it was sent comes again: harmless where rows are absolute.
                            if unit.state == OPENING and not unit.table.key:
                                unit.state = WAITING
                self._stop.wait(min(10.0, 0.2 * 2.0 ** min(failures, 6)))
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for it
                self.problem = error
                return

    def _follow(self) -> None:
        link = self._destination.connect(replica=True, autocommit=False)
        try:
            with self._destination.speaking("read how far it is"):
                self.position = self.durable = max(self.durable, self._ledger.applied(link))
                link.rollback()
            self._again.clear()
            self._give_up_barrier()
            stream = Stream(self._source, self._slot, self._publication, self.durable)
            try:
                batch = Batch(self._destination, link, self.fetch, self.touched)
                while not self._stop.is_set():
                    self._turn(stream, link, batch)
                self._commit(stream, link, batch)
                stream.report()
            finally:
                stream.close()
        finally:
            if self._inside:
                self._inside = False
                self.lock.release()
            link.close()

    def touched(self) -> str:
        """The move whose changed keys are written down; empty while none are."""
        return self._ledger.move if self.track else ""

    def _give_up_barrier(self) -> None:
        if self._barrier is not None:
            self._barrier.clean = False
            self._barrier.done.set()
            self._barrier = None

    def _turn(self, stream: Stream, link: Connection, batch: Batch) -> None:
        if self._hold.is_set() and not self._inside:
            self._commit(stream, link, batch)
            self._held.set()
            while self._hold.is_set() and not self._stop.wait(0.02):
                stream.keep()
            self._held.clear()
        if self._wanted is not None and not self._inside:
            self._barrier, self._wanted = self._wanted, None
            if not all(self._barrier.snapshot.sees(xid) for xid in self.passed):
                self._give_up_barrier()
        if self.asked or self._barrier is not None:
            self.asked = False
            stream.report(ask=True)
        waiting = 0.02 if batch.changes or self._barrier is not None else 0.1
        for message in self._messages(stream, waiting):
            self._handle(message, batch)
            if batch.size >= BATCH:
                batch.flush()
            if isinstance(message, Commit | Alive) and not self._inside:
                if batch.changes >= BATCH or (self._open_since and time.monotonic() - self._open_since > LINGER_S):
                    self._commit(stream, link, batch)
                self._at_barrier(message, stream, link, batch)
                if self._hold.is_set() or self._stop.is_set():
                    break
        if batch.changes and not self._inside:
            self._commit(stream, link, batch)
        elif not self._inside:
            self.durable = self.position
            stream.confirm(self.durable)

    def _messages(self, stream: Stream, waiting: float) -> Iterable[Message]:
        while self._again:
            yield self._again.popleft()
        for message in stream.read(waiting):
            yield message
            while self._again:
                yield self._again.popleft()

    def _commit(self, stream: Stream, link: Connection, batch: Batch) -> None:
        if batch.changes:
            batch.flush()
            with self._destination.speaking("apply changes"):
                self._ledger.apply(link, self.position)
                link.commit()
            batch.changes = 0
        self._open_since = 0.0
        self.durable = self.position
        stream.confirm(self.durable)

    def _handle(self, message: Message, batch: Batch) -> None:
        barrier = self._barrier
        match message:
            case Begin(xid, _) if barrier is not None and (barrier.stopped or not barrier.snapshot.sees(xid)):
                if barrier.stopped and barrier.snapshot.sees(xid):
                    barrier.clean = False
                barrier.stopped = True
                barrier.held.append(message)
            case Commit() | Change() | Relation() | Truncate() if barrier is not None and barrier.stopped:
                barrier.held.append(message)
            case Begin(xid, lsn):
                self.lock.acquire()
                self._inside, self._xid, self._skip = True, xid, lsn < self.durable
                self._lsn = lsn
            case Commit(end, at):
                self.passed.append(self._xid)
                self.position = max(self.position, end)
                self.last_commit, self.committed_at = end, at
                self.transactions += 1
                if not self._open_since and batch.changes:
                    self._open_since = time.monotonic()
                self._inside = False
                self.lock.release()
            case Relation():
                self._relations[message.oid] = self._known(message)
            case Change() if not self._skip:
                self._change(message, batch)
            case Truncate(oids) if not self._skip:
                for oid in oids:
                    for unit in self._relations[oid].units:
                        self._send(unit, batch, None, None, (), ())
            case Alive(end):
                if not self._inside and not (barrier is not None and barrier.stopped):
                    self.position = max(self.position, end)

    def _known(self, told: Relation) -> _Known:
        label = f"{told.schema}.{told.name}"
        units = self.by_table.get(label)
        if units is None:
            return _Known([], (), f"table {label} is not part of the move")
        names = tuple(column.name for column in units[0].table.columns)
        places = tuple(told.columns.index(name) for name in units[0].table.key if name in told.columns)
        if told.columns == names:
            return _Known(units, places, "")
        news = sorted(set(told.columns) ^ set(names)) or ["the order of its columns"]
        return _Known(units, places, f"table {label}: {', '.join(news)} changed at the source")

    def _change(self, told: Change, batch: Batch) -> None:
        known = self._relations[told.oid]
        self.changes += 1
        units, places = known.units, known.places
        old_key: Key = tuple(str(told.old[place]) for place in places) if told.old is not None else ()
        new_key: Key = tuple(str(told.new[place]) for place in places) if told.new is not None else ()
        if not units:
            raise changed(known.misfit)
        if len(units) == 1 or not places:
            self._send(units[0], batch, told.old, told.new, old_key, new_key, known.misfit)
            return
        old_unit = find(units, old_key[0]) if old_key else None
        new_unit = find(units, new_key[0]) if new_key else None
        if old_unit is new_unit or old_unit is None or new_unit is None:
            unit = new_unit or old_unit or units[0]
            self._send(unit, batch, told.old, told.new, old_key, new_key, known.misfit)
        else:
            self._send(new_unit, batch, None, told.new, (), new_key, known.misfit)
            self._send(old_unit, batch, told.old, None, old_key, (), known.misfit)

    def _send(
        self,
        unit: Unit,
        batch: Batch,
        old: Row | None,
        new: Row | None,
        old_key: Key,
        new_key: Key,
        misfit: str = "",
    ) -> None:
        if unit.state == OPENING:
            unit.backlog.add((self._xid, old, new, old_key, new_key, misfit))
        elif unit.state == READY and self._lsn >= unit.upto:
            assert unit.snapshot is not None
            if not unit.snapshot.sees(self._xid):
                if misfit:
                    raise changed(misfit)
                put(batch, unit, old, new, old_key, new_key)

    def _at_barrier(self, message: Message, stream: Stream, link: Connection, batch: Batch) -> None:
        barrier = self._barrier
        if barrier is None or not isinstance(message, Commit | Alive) or message.end < barrier.lsn:
            return
        if barrier.clean:
            self._commit(stream, link, batch)
            try:
                barrier.reached()
            except BaseException as error:  # noqa: BLE001 - raised by whoever set the barrier
                barrier.problem = error
        self._barrier = None
        self._again.extend(barrier.held)
        barrier.done.set()

    def fetch(self, table: Table, key: Key) -> Row | None:
        """A row as the source has it now."""
        where = " AND ".join(f"{quoted(name)} = %s::{table.type_of[name]}" for name in table.key)
        texts = ", ".join(f"{quoted(column.name)}::text" for column in table.columns)
        link = self._source.connect()
        try:
            with self._source.speaking("read a row"):
                row: Any = link.execute(f"SELECT {texts} FROM ONLY {table.sql} WHERE {where}", key).fetchone()
            return tuple(row) if row is not None else None
        finally:
            link.close()


def put(batch: Batch, unit: Unit, old: Row | None, new: Row | None, old_key: Key, new_key: Key) -> None:
    """Hand a change of a range over; one without rows empties it."""
    if old is None and new is None:
        batch.clear(unit.table, unit.where)
    else:
        batch.change(unit.table, old, new, old_key, new_key)


def changed(what: str) -> RehostError:
    """The error of a change that is written in a form which the destination's table has not."""
    return Refused(
        f"the schema changed during the move: {what}",
        why="changes of the schema are not in the log; nothing of that transaction was applied",
        fix="make the same change at the destination, then run the same command again: it goes on from there",
    )
