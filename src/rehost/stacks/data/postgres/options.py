"""How a database is moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rehost.stacks.data.postgres.session import Connection
from rehost.stacks.data.postgres.units import UNIT_BYTES

WAL_BUDGET = 16 * 1024**3
LATE_KEYS = (4 * 1024**2, 4 * 1024**3)
"""Tables of so many bytes get their keys when they are copied: a smaller one is not worth it, a larger one would
be too much to copy again after a kill."""

LEAVE = ("unlogged", "large-objects", "triggers")


@dataclass(frozen=True)
class Allowed:
    """What a move may do beyond the usual. `foreign`: write over a destination that holds tables already.
    `identity`: set REPLICA IDENTITY FULL at the source for tables without a key. `leave`: kinds of content (LEAVE)
    that may stay behind."""

    foreign: bool = False
    identity: bool = False
    leave: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Options:
    """`bandwidth` in bytes a second (0: no limit), `slot_patience_s` how long a slot is waited for, `wal_budget`
    and `disk_floor` bytes; `free` answers the bytes that are free on the source's disk."""

    parallel: int = 4
    bandwidth: int = 0
    wal_budget: int = WAL_BUDGET
    disk_floor: int = 0
    free: Callable[[Connection], int | None] = lambda _: None
    slot_patience_s: float = 600.0
    unit_bytes: int = UNIT_BYTES
    late_keys: tuple[int, int] = LATE_KEYS
    allowed: Allowed = field(default_factory=Allowed)
