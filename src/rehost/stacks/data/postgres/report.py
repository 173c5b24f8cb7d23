"""What a move of a database did so far, counted while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rehost.stacks.data.report import Report


@dataclass
class DatabaseReport(Report):
    """`objects` are ranges, `bytes` what they take at the source. `lag` is in bytes of the source's log, `lag_s`
    the
    seconds since the commit that was applied last, 0 when all is applied. `held` is what the slot holds back."""

    phase: str = ""
    changes: int = 0
    transactions: int = 0
    lag: int = 0
    lag_s: float = 0.0
    held: int = 0
    rows: int = 0
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For machines: what has no meaning for a database is left out."""
        left_out = (
            "skipped",
            "skipped_bytes",
            "resumed_parts",
            "moved",
            "lost",
            "destination_objects",
            "destination_bytes",
        )
        return {name: value for name, value in super().as_dict().items() if name not in left_out}
