"""How a target realises a component: the words of the portability diff."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Fit(IntEnum):
    """How a target realises something, the worst last."""

    NATIVE = 0
    """The target has just that."""
    SUBSTITUTED = 1
    """Something else does its work there."""
    OPERATOR = 2
    """It works after a step that only a person can take."""
    LOST = 3
    """It can't be had there."""

    @property
    def label(self) -> str:
        """The word shown to people and in JSON."""
        return {Fit.OPERATOR: "needs an operator"}.get(self, self.name.lower())


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one component at one target. `step` is what a person has to do, empty for nothing."""

    component: str
    fit: Fit
    reason: str
    step: str = ""
