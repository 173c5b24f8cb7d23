"""The copy of one range: from a snapshot of its own, and caught up before it counts as there.

One transaction at the destination holds the rows, the changes that came meanwhile, and the note that the range is
there. Killed at any moment, it is there as a whole or not at all.

A table that is copied within minutes gets its key once all of its ranges have landed, which is faster than keeping
an index up to date; its ranges catch up then. Killed before, it is copied again as a whole.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rehost.stacks.data.postgres.applier import Applier, changed, put
from rehost.stacks.data.postgres.backlog import Backlog
from rehost.stacks.data.postgres.batch import Batch
from rehost.stacks.data.postgres.catalog import Table, one
from rehost.stacks.data.postgres.hashing import checksum
from rehost.stacks.data.postgres.ledger import Ledger
from rehost.stacks.data.postgres.lsn import Snapshot, parse_lsn
from rehost.stacks.data.postgres.session import Connection, Server, driver
from rehost.stacks.data.postgres.units import OPENING, READY, WAITING, Unit
from rehost.stacks.data.report import Report
from rehost.stacks.errors import ProviderError, Reason

_PIECE = 256 * 1024
_FEW = 2000
"""So many changes of a range are applied while the others wait."""


@dataclass
class Limit:
    """At most `rate` bytes a second through all threads; none if 0."""

    rate: int = 0
    _free_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, size: int, stop: Callable[[float], Any]) -> None:
        """Wait until so many bytes may pass."""
        if not self.rate:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - 0.1) + size / self.rate
            wait = self._free_at - now
        if wait > 0:
            stop(wait)


class Links(threading.local):
    """Each thread's own pair of connections."""

    def __init__(self, source: Server, destination: Server) -> None:
        self._servers = (source, destination)
        self._pair: tuple[Connection, Connection] | None = None

    def get(self) -> tuple[Connection, Connection]:
        """The pair, outside a transaction."""
        if self._pair is None:
            source, destination = self._servers
            self._pair = (source.connect(), destination.connect(replica=True))
        return self._pair

    def drop(self) -> None:
        """Close them: after an error, or at the end."""
        if self._pair is not None:
            for link in self._pair:
                link.close()
            self._pair = None


class Copier:
    """Copies ranges for one mover. Threads share it."""

    def __init__(
        self, source: Server, destination: Server, applier: Applier, ledger: Ledger, report: Report, limit: Limit,
        check: Callable[[], None], wait: Callable[[float], Any], late: set[str], make_key: Callable[[Table], None],
    ) -> None:  # fmt: skip
        self._source, self._destination = source, destination
        self._applier, self._ledger, self._report, self._limit = applier, ledger, report, limit
        self._check, self._wait = check, wait
        self._late, self._make_key = late, make_key
        self._settled: set[str] = set()
        self._settling = threading.Lock()
        self.links = Links(source, destination)

    def __call__(self, unit: Unit) -> None:
        """Bring one range over. Raises RehostError; nothing of it is there then, or, where the table's key comes
        late, what has landed is gone on with."""
        here, there = self.links.get()
        try:
            with self._destination.speaking(f"copy {unit.name}"):
                if not unit.landed:
                    self._copy(unit, here, there)
                if unit.landed:
                    self._settle(unit, there)
        except BaseException:
            if not unit.landed:
                with self._applier.lock:
                    unit.state, unit.backlog = WAITING, Backlog()
                unit.taken.clear()
            self.links.drop()
            raise

    def _copy(self, unit: Unit, here: Connection, there: Connection) -> None:
        unit.snapshot, unit.at = self._opened(unit, here)
        there.execute("BEGIN")
        copied = True
        if unit.compare:
            with self._source.speaking("compare"):
                wanted = checksum(here, unit.table, unit.where)
            if checksum(there, unit.table, unit.where) == wanted:
                copied = False
                self._report.count(adopted=1)
            else:
                there.execute(f"DELETE FROM ONLY {unit.table.sql} WHERE {unit.where}")
        if copied:
            size = self._pump(unit, here, there)
            self._report.count(copied=1, copied_bytes=size)
        with self._source.speaking("end a snapshot"):
            here.execute("COMMIT")
        if unit.table.label in self._late:
            # Without its changes it is no state of the source: a run that finds it so has to copy it again.
            self._ledger.spoil(there, [unit])
            there.execute("COMMIT")
            unit.landed = True
        else:
            self._catch_up(unit, there)

    def _settle(self, unit: Unit, there: Connection) -> None:
        """Make the key of a table whose ranges have all landed, and let them catch up. Whoever lands last does
        it."""
        units = self._applier.by_table[unit.table.label]
        with self._settling:
            if unit.table.label in self._settled or not all(other.landed for other in units):
                return
            self._settled.add(unit.table.label)
        try:
            self._make_key(unit.table)
            for other in units:
                if other.state == OPENING:
                    there.execute("BEGIN")
                    self._catch_up(other, there)
        except BaseException:
            self._settled.discard(unit.table.label)
            raise

    def _opened(self, unit: Unit, here: Connection) -> tuple[Snapshot, int]:
        """A snapshot that has all that passed the range by. Changes are kept for it from now on."""
        with self._applier.lock:
            unit.backlog, unit.state = Backlog(), OPENING
            passed = list(self._applier.passed)
        while True:
            with self._source.speaking("take a snapshot"):
                here.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                snapshot = Snapshot.parse(one(here, "SELECT pg_current_snapshot()::text"))
                at = parse_lsn(one(here, "SELECT pg_current_wal_insert_lsn()::text"))
                if all(snapshot.sees(xid) for xid in passed):
                    return snapshot, at
                here.execute("ROLLBACK")
            self._check()
            self._wait(0.01)

    def _pump(self, unit: Unit, here: Connection, there: Connection) -> int:
        pq = driver().pq
        table = unit.table
        how = "binary" if table.binary else "text"
        # Only a query knows ranges; a whole table is read without one.
        rows = f"{table.sql} ({table.names})"
        if unit.where != "true":
            rows = f"(SELECT {table.names} FROM ONLY {table.sql} WHERE {unit.where})"
        if not table.columns:
            rows = f"(SELECT FROM ONLY {table.sql})"
        into = f"{table.sql} ({table.names})" if table.columns else table.sql
        a, b = here.pgconn, there.pgconn
        self._said(self._source, a.exec_(f"COPY {rows} TO STDOUT (FORMAT {how})".encode()), pq.ExecStatus.COPY_OUT)
        said = b.exec_(f"COPY {into} FROM STDIN (FORMAT {how})".encode())
        self._said(self._destination, said, pq.ExecStatus.COPY_IN)
        pieces: list[bytes] = []
        held = total = 0
        with self._source.speaking("read"):
            while True:
                size, data = _received(a, self._check)
                if size > 0:
                    pieces.append(bytes(data))
                    held += size
                if pieces and (held >= _PIECE or size <= 0):
                    with self._destination.speaking("write"):
                        b.put_copy_data(b"".join(pieces))
                        _flushed(b, self._check)
                    total += held
                    self._report.count(passed_bytes=held)
                    self._limit(held, self._wait)
                    pieces.clear()
                    held = 0
                    self._check()
                    self._applier.check()
                if size <= 0:
                    break
        while (result := _answered(a, self._check)) is not None:
            self._said(self._source, result, pq.ExecStatus.COMMAND_OK)
        b.put_copy_end()
        _flushed(b, self._check)
        while (result := _answered(b, self._check)) is not None:
            self._said(self._destination, result, pq.ExecStatus.COMMAND_OK)
        return total

    def _said(self, server: Server, result: Any, wanted: Any) -> None:
        if result.status != wanted:
            code = (result.error_field(driver().pq.DiagnosticField.SQLSTATE) or b"").decode()
            kind = driver().errors.lookup(code) if code else driver().OperationalError
            raise server.problem(kind(result.error_message.decode("utf-8", "replace")), "copy")

    def _catch_up(self, unit: Unit, there: Connection) -> None:
        """Apply what came meanwhile, and note that the range is there, in the transaction that is open."""
        applier = self._applier
        batch = Batch(self._destination, there, applier.fetch, applier.touched)
        for taken in unit.taken:
            self._apply(unit, taken, batch)
        while True:
            self._check()
            applier.check()
            with applier.lock:
                last = unit.backlog.count <= _FEW
                taken, unit.backlog = unit.backlog, Backlog()
                unit.taken.append(taken)
                if unit.state != OPENING:
                    raise ProviderError(
                        f"{unit.name}: the stream of changes was interrupted", reason=Reason.UNAVAILABLE
                    )
                if last:
                    self._apply(unit, taken, batch)
                    upto = applier.position
                    assert unit.snapshot is not None
                    self._ledger.ready(there, unit, unit.snapshot, unit.at, upto)
                    there.execute("COMMIT")
                    unit.upto, unit.state, unit.compare = upto, READY, False
                    unit.taken.clear()
                    return
            self._apply(unit, taken, batch)

    def _apply(self, unit: Unit, taken: Backlog, batch: Batch) -> None:
        assert unit.snapshot is not None
        for changes in taken.chunks():
            for xid, old, new, old_key, new_key, misfit in changes:
                if not unit.snapshot.sees(xid):
                    if misfit:
                        raise changed(misfit)
                    put(batch, unit, old, new, old_key, new_key)
            batch.flush()


# libpq's own waiting would keep the whole process waiting, the tunnels in it included.


def _received(link: Any, check: Callable[[], None]) -> tuple[int, memoryview]:
    """The next row of a COPY, or -1 at its end."""
    got: tuple[int, memoryview] = link.get_copy_data(1)
    while got[0] == 0:
        _ready(link, select.POLLIN, check)
        link.consume_input()
        got = link.get_copy_data(1)
    return got


def _flushed(link: Any, check: Callable[[], None]) -> None:
    """Send all that is buffered."""
    while link.flush():
        # Whoever does not read what the server says may keep it from reading.
        if _ready(link, select.POLLIN | select.POLLOUT, check) & select.POLLIN:
            link.consume_input()


def _answered(link: Any, check: Callable[[], None]) -> Any:
    """The next result, None after the last."""
    while link.is_busy():
        _ready(link, select.POLLIN, check)
        link.consume_input()
    return link.get_result()


def _ready(link: Any, events: int, check: Callable[[], None]) -> int:
    poll = select.poll()
    poll.register(link.socket, events)
    while not (found := poll.poll(1000)):
        check()
    return found[0][1]
