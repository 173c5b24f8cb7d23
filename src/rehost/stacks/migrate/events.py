"""What a migration tells while it runs, beside the events of the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from rehost.stacks.engine.events import Event


@dataclass(frozen=True, slots=True)
class PhaseBegan(Event):
    """A phase starts; `again` says that an earlier run of this move had finished it: it is checked."""

    kind: ClassVar[str] = "phase_began"
    phase: str
    number: int
    of: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class PhaseEnded(Event):
    """A phase is over: `done`, or what the run ended with."""

    kind: ClassVar[str] = "phase_ended"
    phase: str
    outcome: str
    seconds: float
    said: str = ""


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """How far the content of a bucket or database is, in a phase. Rates are bytes a second; `eta_s` is None while
    unknown; `lag` bytes of a source's log are not applied yet, after `changes` that are."""

    kind: ClassVar[str] = "progress"
    phase: str
    where: str
    objects: int
    of_objects: int
    bytes: int
    of_bytes: int
    rate: float
    eta_s: float | None
    lag: int = 0
    changes: int = 0


@dataclass(frozen=True, slots=True)
class Found(Event):
    """Something that keeps a move from being proven, or was lost on the way."""

    kind: ClassVar[str] = "found"
    what: str
    """`difference`, `foreign`, `failure`, `lost`"""
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Migrated(Event):
    """The summary, always the last event: the whole record, as in `migration.json`."""

    kind: ClassVar[str] = "migrated"
    record: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The record itself, beside the event's name and time."""
        return {"event": self.kind, "at": self.at, **self.record}
