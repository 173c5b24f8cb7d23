"""Where components are constructed, noted while a stack program runs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One construction: its place (line and column count from 1) and its arguments as given."""

    file: str
    line: int
    column: int
    arguments: Mapping[str, Any]
    made: Any = field(repr=False)
    """The component, held so that its id stays its own."""


class Draft:
    """Stands for a component whose arguments are not valid; answers for what was given.

    Whatever else is asked of it fails with `error`, which says what is not valid.
    """

    def __init__(self, kind: Any, call: Call, error: ValueError) -> None:
        self.kind = kind
        self.call = call
        self.error = error

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or (not hasattr(self.kind, name) and name not in self.kind.model_fields):
            raise AttributeError(f"{self.kind.__name__!r} has no attribute {name!r}")
        if name not in self.kind.model_fields:
            raise self.error
        if name in self.call.arguments:
            return self.call.arguments[name]
        return self.kind.model_fields[name].get_default(call_default_factory=True)


_CALLS: ContextVar[dict[int, Call] | None] = ContextVar("calls", default=None)


@contextlib.contextmanager
def recording() -> Iterator[Mapping[int, Call]]:
    """Notes constructions in this context; the answer holds them by the component's id."""
    calls: dict[int, Call] = {}
    token = _CALLS.set(calls)
    try:
        yield calls
    finally:
        _CALLS.reset(token)


def active() -> bool:
    """Whether constructions are being noted."""
    return _CALLS.get() is not None


def note(made: Any, arguments: Mapping[str, Any], depth: int) -> Call:
    """Note a construction by the frame `depth` calls up."""
    frame = sys._getframe(depth + 1)
    line, column = _position(frame)
    call = Call(frame.f_code.co_filename, line, column, dict(arguments), made)
    calls = _CALLS.get()
    if calls is not None and made is not None:
        calls[id(made)] = call
    return call


def _position(frame: FrameType) -> tuple[int, int]:
    """Line and column of the expression that a frame is at."""
    for number, (line, _, column, _) in enumerate(frame.f_code.co_positions()):
        if number == frame.f_lasti // 2:
            return line or frame.f_lineno, (column or 0) + 1
    return frame.f_lineno, 1
