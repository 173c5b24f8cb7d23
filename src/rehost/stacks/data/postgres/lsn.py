"""Positions in one server's log, and what a snapshot of it saw."""

from __future__ import annotations

from dataclasses import dataclass

_EPOCH = 1 << 32


def parse_lsn(text: str) -> int:
    """`16/B374D848` as a number."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def lsn_text(number: int) -> str:
    """The number as PostgreSQL writes it."""
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `pg_current_snapshot()` says: transactions from `xmax` on, and those in `running`, are not seen."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """From `xmin:xmax:xip,xip`."""
        low, high, running = text.split(":")
        return cls(int(low), int(high), frozenset(int(one) for one in running.split(",") if one))

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.running)))}"

    def sees(self, xid: int) -> bool:
        """Whether a committed transaction is part of it. `xid` has 32 bits, as the log has it."""
        if not self.xmax:
            return False
        full = self.xmax - (self.xmax % _EPOCH) + xid
        if full - self.xmax > _EPOCH // 2:
            full -= _EPOCH
        elif self.xmax - full > _EPOCH // 2:
            full += _EPOCH
        return full < self.xmax and (full < self.xmin or full not in self.running)


NOTHING_SEEN = Snapshot(0, 0, frozenset())
"""For what has to be applied from a slot's beginning: `sees` nothing."""
