"""What is copied in one piece: a table, or a range of a large one by the first column of its key."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from rehost.stacks.data.postgres.backlog import Backlog
from rehost.stacks.data.postgres.catalog import WHOLE, Column, Table
from rehost.stacks.data.postgres.lsn import Snapshot
from rehost.stacks.data.postgres.session import Connection, literal, quoted

UNIT_BYTES = 64 * 1024 * 1024
"""A larger table is cut into ranges of about this size, where its key allows it."""
_MOST = 512
_SAMPLE = 4000
Bound = int | str | None

WAITING, OPENING, READY = "waiting", "opening", "ready"


@dataclass(eq=False)
class Unit:
    """A range `low <= key < high` of a table; None is open. What follows is its state in this process."""

    table: Table
    low: Bound = None
    high: Bound = None
    state: str = WAITING
    compare: bool = False
    """The destination may hold it already: compare first."""
    snapshot: Snapshot | None = None
    at: int = 0
    """The source's log position just after the snapshot."""
    upto: int = 0
    """Changes up to this position are in it."""
    backlog: Backlog = field(default_factory=Backlog)
    taken: list[Backlog] = field(default_factory=list)
    """What was taken out of the backlog, until it is committed at the destination."""
    landed: bool = False
    """Its rows are committed, and wait for the table's key before they catch up."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def column(self) -> Column:
        """The column that it is cut by."""
        return next(column for column in self.table.columns if column.name == self.table.key[0])

    @property
    def name(self) -> str:
        """`public.t` or `public.t [1, 5000)`."""
        if self.low is None and self.high is None:
            return self.table.label
        return f"{self.table.label} [{_told(self.low)}, {_told(self.high)})"

    @property
    def where(self) -> str:
        """The range as an SQL condition."""
        return between(self.table, self.low, self.high)

    def holds(self, value: str | None) -> bool:
        """Whether a row with this value in the column, as PostgreSQL writes it, belongs to the range."""
        if self.low is None and self.high is None:
            return True
        if value is None:
            return False
        got = parsed(self.column, value)
        return (self.low is None or got >= self.low) and (self.high is None or got < self.high)


def parsed(column: Column, value: str) -> Any:
    """A value that sorts as the server sorts it."""
    return int(value) if column.base in WHOLE else value


def between(table: Table, low: Bound, high: Bound) -> str:
    """`low <= key < high` as an SQL condition."""
    if low is None and high is None:
        return "true"
    column = quoted(table.key[0])
    parts = [f"{column} >= {_sql(low)}"] if low is not None else []
    parts += [f"{column} < {_sql(high)}"] if high is not None else []
    return " AND ".join(parts)


def splittable(table: Table) -> str:
    """The type of the key's first column, where ranges of it can be told apart in any client; otherwise empty."""
    if not table.key:
        return ""
    base = table.type_of[table.key[0]]
    name = next(column.base for column in table.columns if column.name == table.key[0])
    return name if base and name in (*WHOLE, "uuid") else ""


def cut(link: Connection, table: Table, size: int = UNIT_BYTES) -> list[Unit]:
    """The units of a table, from samples of its key, so that they hold about the same."""
    parts = min(_MOST, -(-table.bytes // size))
    if parts < 2 or not splittable(table):
        return [Unit(table)]
    column = quoted(table.key[0])
    share = min(100.0, 100.0 * _SAMPLE / max(1, table.rows or table.bytes // 100))
    share = max(share, min(100.0, parts * 100.0 / max(1, table.bytes // 8192)))
    sampled = [row[0] for row in link.execute(
        f"SELECT {column} FROM ONLY {table.sql} TABLESAMPLE SYSTEM ({share:.6f}) REPEATABLE (1) ORDER BY 1"
    )]  # fmt: skip
    bounds: list[Bound] = []
    for number in range(1, parts):
        if sampled:
            value = sampled[len(sampled) * number // parts]
            bound: Bound = str(value) if isinstance(value, uuid.UUID) else int(value)
            if bound not in bounds:
                bounds.append(bound)
    edges: list[Bound] = [None, *bounds, None]
    return [Unit(table, low, high) for low, high in pairwise(edges)]


def find(units: Sequence[Unit], value: str | None) -> Unit:
    """The unit of one table that a key's first value belongs to. The units cover everything, in order."""
    if len(units) == 1:
        return units[0]
    got = parsed(units[0].column, value or "0")
    low, high = 0, len(units) - 1
    while low < high:
        middle = (low + high) // 2
        edge = units[middle].high
        if edge is not None and got >= edge:
            low = middle + 1
        else:
            high = middle
    return units[low]


def _told(bound: Bound) -> str:
    return "…" if bound is None else str(bound)


def _sql(bound: Bound) -> str:
    return str(bound) if isinstance(bound, int) else literal(str(bound))
