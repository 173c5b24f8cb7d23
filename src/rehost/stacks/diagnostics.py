"""What is said about bad input: where, what is wrong, why it matters, and how to put it right."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Errors stop; warnings and notes do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A place in a file; line and column count from 1, 0 where there is none."""

    file: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `code` is stable (`unknown-key`), `path` is the address in the stack (`servers.app.image`)."""

    code: str
    summary: str
    why: str = ""
    fix: str = ""
    path: tuple[str | int, ...] = ()
    span: Span = Span()
    severity: Severity = Severity.ERROR
