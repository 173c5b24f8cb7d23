"""What an operation tells while it runs. The command line renders these; nothing here prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events; `at` is seconds since 1970."""

    kind: ClassVar[str] = "event"
    at: float

    def as_dict(self) -> dict[str, Any]:
        """The event as one JSON line."""
        return {"event": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Began(Event):
    """An operation starts."""

    kind: ClassVar[str] = "began"
    operation: str
    stack: str
    target: str
    steps: int


@dataclass(frozen=True, slots=True)
class Note(Event):
    """Something worth knowing: a lock taken over, an interrupted run picked up."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True, slots=True)
class StepBegan(Event):
    """A call to the provider is about to be made; its intent is journaled."""

    kind: ClassVar[str] = "step_began"
    action: str
    urn: str
    address: str


@dataclass(frozen=True, slots=True)
class StepRetries(Event):
    """A call failed in a way that passes; it is repeated after `seconds`."""

    kind: ClassVar[str] = "step_retries"
    action: str
    urn: str
    address: str
    reason: str
    seconds: float
    attempt: int


@dataclass(frozen=True, slots=True)
class StepDone(Event):
    """A step is finished and journaled."""

    kind: ClassVar[str] = "step_done"
    action: str
    urn: str
    address: str
    id: str
    seconds: float
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class StepFailed(Event):
    """A step failed for good in this run. `waiting` is set where a person has to act."""

    kind: ClassVar[str] = "step_failed"
    action: str
    urn: str
    address: str
    summary: str
    why: str
    fix: str
    waiting: bool


@dataclass(frozen=True, slots=True)
class StepSkipped(Event):
    """A step was not tried, because another that it needs failed or the run was stopped."""

    kind: ClassVar[str] = "step_skipped"
    action: str
    urn: str
    address: str
    because: str


@dataclass(frozen=True, slots=True)
class Checked(Event):
    """A check of the stack was made."""

    kind: ClassVar[str] = "checked"
    check: str
    where: str
    ok: bool
    said: str


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """The summary, always the last event."""

    kind: ClassVar[str] = "ended"
    operation: str
    outcome: str
    """`done`, `failed`, `interrupted`, `waiting`, `unproven`"""
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    skipped: int = 0
    details: dict[str, Any] = field(default_factory=dict)


Emit = Callable[[Event], None]
