"""Replication slots: what they hold back at a server, which are ours, who is in the way of a new one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from rehost.stacks.data.postgres.catalog import one
from rehost.stacks.data.postgres.session import Connection, Server, driver, literal, quoted
from rehost.stacks.errors import Interrupted, Refused, RehostError

PREFIX = "rehost_"
_POLL_S = 0.5


@dataclass(frozen=True)
class Slot:
    """`held` is the bytes of the log that it keeps from being removed."""

    name: str
    database: str
    active: bool
    held: int
    ours: bool
    lost: bool

    def as_dict(self) -> dict[str, object]:
        """For machines."""
        return dict(vars(self))


def slots_of(link: Connection) -> list[Slot]:
    """All slots of the server, those of others too."""
    rows = link.execute(
        "SELECT slot_name, coalesce(database, ''), active,"
        " coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::int8, coalesce(wal_status ="
        " 'lost', false)"
        " FROM pg_replication_slots ORDER BY 1"
    )
    return [Slot(row[0], row[1], row[2], row[3], row[0].startswith(PREFIX), row[4]) for row in rows]


def slot_of(link: Connection, name: str) -> Slot | None:
    """One of them."""
    return next((slot for slot in slots_of(link) if slot.name == name), None)


def drop_slot(link: Connection, name: str) -> bool:
    """Drop a slot, ending whoever uses it; answers whether it was there."""
    pid = None
    for _ in range(100):
        row = link.execute("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (name,)).fetchone()
        if row is None:
            return False
        pid = row[0]
        if pid is None:
            link.execute("SELECT pg_drop_replication_slot(%s)", (name,))
            return True
        link.execute("SELECT pg_terminate_backend(%s)", (pid,))
        threading.Event().wait(0.1)
    raise RehostError(f"the slot {name} is in use and does not become free", fix=f"end the process {pid} there")


def blockers(link: Connection, besides: int) -> list[str]:
    """Transactions that have written and are open: a new slot waits for them."""
    rows = link.execute(
        "SELECT pid, coalesce(usename, '?'), coalesce(application_name, ''), coalesce(state, '?'),"
        " extract(epoch FROM now() - coalesce(xact_start, now()))::int8 FROM pg_stat_activity"
        " WHERE backend_xid IS NOT NULL AND pid <> ALL(%s) ORDER BY xact_start",
        ([besides, link.info.backend_pid],),
    ).fetchall()  # fmt: skip
    told = [f"pid {row[0]} ({row[1]}{' ' + row[2] if row[2] else ''}, {row[3]}, since {row[4]} s)" for row in rows]
    rows = link.execute(
        "SELECT gid, owner, extract(epoch FROM now() - prepared)::int8 FROM pg_prepared_xacts"
    ).fetchall()
    return told + [f"prepared transaction {row[0]!r} of {row[1]} (since {row[2]} s)" for row in rows]


def publish(link: Connection, name: str, tables: list[str]) -> None:
    """A publication of exactly these tables, quoted names. Naming them one by one needs no superuser."""
    if one(link, "SELECT count(*) FROM pg_publication WHERE pubname = %s", name):
        link.execute(
            f"ALTER PUBLICATION {quoted(name)} SET TABLE {', '.join(f'ONLY {table}' for table in tables)}"
        )
    else:
        told = f" FOR TABLE {', '.join(f'ONLY {table}' for table in tables)}" if tables else ""
        link.execute(f"CREATE PUBLICATION {quoted(name)}{told}")


def make_slot(
    server: Server, name: str, patience_s: float, tell: Callable[[str], None], stop: threading.Event
) -> str:
    """Make a slot; answers its position. Whoever holds it up is told by `tell`. Raises Refused after
    `patience_s` seconds, with their pids."""
    link, watch = server.connect(), server.connect()
    answer: list[str | BaseException] = []

    def make() -> None:
        try:
            query = f"SELECT lsn::text FROM pg_create_logical_replication_slot({literal(name)}, 'pgoutput')"
            answer.append(str(one(link, query)))
        except BaseException as error:  # noqa: BLE001 - raised below
            answer.append(error)

    thread = threading.Thread(target=make, daemon=True)
    try:
        thread.start()
        told: list[str] = []
        waited = 0.0
        while thread.is_alive():
            thread.join(_POLL_S)
            waited += _POLL_S
            if not thread.is_alive():
                break
            with server.speaking("look for open transactions"):
                found = blockers(watch, link.info.backend_pid)
            if found and [one.split(",")[0] for one in found] != told:
                told = [one.split(",")[0] for one in found]
                tell(f"the slot waits for open transactions: {'; '.join(found)}")
            if stop.is_set() or waited >= patience_s:
                link.cancel()
                thread.join()
                if answer and isinstance(answer[0], str):
                    drop_slot(watch, name)
                if stop.is_set():
                    raise Interrupted("stopped by the operator", fix="run the same command again to go on")
                raise Refused(
                    f"the slot can't be made at the source: {'; '.join(found) or 'it waits'}",
                    why="a slot begins where no transaction is open that has written",
                    fix="end them (SELECT pg_terminate_backend(PID)), or run again when they are over",
                )
        if isinstance(answer[0], BaseException):
            if isinstance(answer[0], Exception):
                raise server.problem(answer[0], "make a slot") from answer[0]
            raise answer[0]
        return answer[0]
    finally:
        link.close()
        watch.close()


@dataclass
class Guard:
    """Watches what a slot holds back. Past `budget` bytes, or with less than `floor` bytes free on the source's
    disk (`free` answers them, None where nobody knows), the slot is dropped before it fills the disk."""

    server: Server
    slot: str
    budget: int
    floor: int = 0
    free: Callable[[Connection], int | None] = lambda _: None
    every_s: float = 2.0
    held: int = 0
    problem: RehostError | None = None

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what became of the slot."""
        if self.problem is not None:
            raise self.problem

    def _run(self) -> None:
        link: Connection | None = None
        while not self._stop.is_set() and self.problem is None:
            try:
                link = link or self.server.connect()
                with self.server.speaking("look at the slot"):
                    self.look(link)
            except RehostError:
                # The stream notices for itself that the server is away.
                link = None
            self._stop.wait(self.every_s)
        if link is not None:
            link.close()

    def look(self, link: Connection) -> None:
        """Once: drop the slot if it holds too much."""
        slot = slot_of(link, self.slot)
        self.held = slot.held if slot else 0
        free = self.free(link)
        over = (
            f"it holds {self.held} bytes of the log, of {self.budget} allowed" if self.held > self.budget else ""
        )
        if free is not None and free < self.floor:
            over = f"{free} bytes are free on the source's disk, {self.floor} have to be"
        if slot is None or slot.lost or over:
            # First the reason: who used the slot is told it, rather than that the connection ended.
            self.problem = lost_slot(self.slot, over or "the server has given it up")
            drop_slot(link, self.slot)


def lost_slot(name: str, why: str) -> RehostError:
    """The error of a move whose slot is gone."""
    return Refused(
        f"the slot {name} was dropped at the source", why=why,
        fix="run the same command again, with more --wal-budget or less --parallel: a new slot is made,"
            " every range"
        " is compared, and those that differ are copied anew",
    )  # fmt: skip


def free_of(disk: int | None) -> Callable[[Connection], int | None]:
    """What is free on a disk of so many bytes: no server says it, but it knows what databases and log take."""

    def free(link: Connection) -> int | None:
        if disk is None:
            return None
        used = int(one(link, "SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database"))
        try:
            used += int(one(link, "SELECT coalesce(sum(size), 0) FROM pg_ls_waldir()"))
        except driver().errors.InsufficientPrivilege:
            used += sum(slot.held for slot in slots_of(link))
        return disk - used

    return free
