"""Compares both sides at one commit boundary, without stopping anybody.

A snapshot of the source is exported, the destination is brought to exactly what it saw, and a snapshot of the
destination is exported there. Both are then read at leisure, range by range, while changes go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType

from rehost.stacks.data.postgres.applier import Applier, Barrier
from rehost.stacks.data.postgres.catalog import Table, one
from rehost.stacks.data.postgres.hashing import Difference, Sum, buckets, by_keys, checksum, rows_of
from rehost.stacks.data.postgres.lsn import Snapshot, parse_lsn
from rehost.stacks.data.postgres.session import Connection, Server, literal
from rehost.stacks.data.postgres.units import Unit, splittable
from rehost.stacks.data.report import Report
from rehost.stacks.data.work import Crew

_TRIES = 50
_NAMED_BUCKETS = 16
_CHUNK = 5000


class Held:
    """A read-only transaction that keeps its snapshot for others: `id` is its name, `snapshot` what it sees."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.link = server.connect()
        self.take()

    def take(self) -> None:
        """A new snapshot."""
        with self._server.speaking("take a snapshot"):
            self.link.execute("ROLLBACK")
            self.link.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self.id = str(one(self.link, "SELECT pg_export_snapshot()"))
            self.snapshot = Snapshot.parse(one(self.link, "SELECT pg_current_snapshot()::text"))
            self.lsn = parse_lsn(one(self.link, "SELECT pg_current_wal_insert_lsn()::text"))

    def __enter__(self) -> Held:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.link.close()

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """Another connection that sees the same."""
        link = self._server.connect()
        try:
            with self._server.speaking("compare"):
                link.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                link.execute(f"SET TRANSACTION SNAPSHOT {literal(self.id)}")
                yield link
        finally:
            link.close()


@contextmanager
def same_moment(
    source: Server, destination: Server, applier: Applier | None, at: Callable[[], None]
) -> Iterator[tuple[Held, Held]]:
    """Snapshots of both sides at one commit boundary of the source; `at` is called there, while nothing is
    applied.
    Without an applier, of now: they agree if nobody writes."""
    with ExitStack() as stack:
        here = stack.enter_context(Held(source))
        there: list[Held] = []
        if applier is None:
            there.append(stack.enter_context(Held(destination)))
            at()

        def reached() -> None:
            there.append(stack.enter_context(Held(destination)))
            at()

        for _ in range(_TRIES):
            if there or applier is None:
                break
            barrier = Barrier(here.snapshot, here.lsn, reached)
            applier.bring_to(barrier)
            if not there:
                here.take()
        yield here, there[0]


@dataclass
class Comparison:
    """What was compared, and what differs. `sums` has the checksums of each range, as source and destination."""

    differences: list[Difference] = field(default_factory=list)
    spoiled: list[Unit] = field(default_factory=list)
    sums: dict[str, tuple[Sum, Sum]] = field(default_factory=dict)
    rows: int = 0


def compare(
    here: Held, there: Held, units: Sequence[Unit], parallel: int, report: Report, check: Callable[[], None]
) -> Comparison:
    """Both sides of every range. Raises RehostError."""
    found = Comparison()
    halves: dict[str, dict[str, Sum]] = {}

    def half(unit: Unit, side: str, held: Held) -> None:
        check()
        with held.reader() as link:
            got = checksum(link, unit.table, unit.where)
        both = halves.setdefault(unit.name, {})
        both[side] = got
        if len(both) == 2:
            with unit.lock:
                if unit.name in found.sums:
                    return
                found.sums[unit.name] = (both["source"], both["destination"])
            report.count(read_back=1)
            if both["source"] != both["destination"]:
                found.spoiled.append(unit)

    with Crew(max(2, parallel)) as crew:
        for unit in sorted(units, key=lambda unit: -unit.table.bytes):
            crew.submit(lambda unit=unit: half(unit, "source", here))  # type: ignore[misc]
            crew.submit(lambda unit=unit: half(unit, "destination", there))  # type: ignore[misc]
        crew.drain()
    found.rows = sum(sums[0][0] for sums in found.sums.values())
    for unit in found.spoiled:
        with here.reader() as a, there.reader() as b:
            found.differences.append(narrowed(a, b, unit, *found.sums[unit.name]))
    return found


def narrowed(a: Connection, b: Connection, unit: Unit, source: Sum, destination: Sum) -> Difference:
    """Which rows of a range differ: by parts of it that depend on the keys, then by key."""
    table = unit.table
    mine, theirs = buckets(a, table, unit.where), buckets(b, table, unit.where)
    parts = sorted(part for part in mine.keys() | theirs.keys() if mine.get(part) != theirs.get(part))[
        :_NAMED_BUCKETS
    ]
    left, right = (rows_of(link, table, unit.where, parts) for link in (a, b))
    keys = sorted({row[0] for row in left.keys() | right.keys() if left.get(row) != right.get(row)})
    told = [", ".join("NULL" if part is None else part for part in json.loads(key)) for key in keys]
    place = unit.name.removeprefix(table.label).strip()
    if splittable(table) and told:
        first = [json.loads(key)[0] for key in keys]
        ends = sorted(first, key=lambda value: (int(value), value) if value.lstrip("-").isdigit() else (0, value))
        place = f"[{ends[0]}, {ends[-1]}]"
    return Difference(table.label, place, source, destination, tuple(told if table.key else ()))


def compare_keys(
    here: Held, there: Held, tables: dict[str, Table], touched: dict[str, list[tuple[str, ...]]]
) -> Comparison:
    """Both sides of the rows with these keys, and of whole tables where there is none."""
    found = Comparison()
    with here.reader() as a, there.reader() as b:
        for label, keys in sorted(touched.items()):
            table = tables.get(label)
            if table is None:
                continue
            if () in keys or not table.key:
                _note(found, a, b, Unit(table), checksum(a, table, "true"), checksum(b, table, "true"))
                continue
            for start in range(0, len(keys), _CHUNK):
                some = keys[start : start + _CHUNK]
                mine, theirs = by_keys(a, table, some), by_keys(b, table, some)
                found.rows += mine[0]
                if mine != theirs:
                    different = tuple(
                        ", ".join(key) for key in some if by_keys(a, table, [key]) != by_keys(b, table, [key])
                    )
                    found.differences.append(Difference(label, "", mine, theirs, different))
    return found


def _note(found: Comparison, a: Connection, b: Connection, unit: Unit, mine: Sum, theirs: Sum) -> None:
    found.rows += mine[0]
    if mine != theirs:
        found.differences.append(narrowed(a, b, unit, mine, theirs))
