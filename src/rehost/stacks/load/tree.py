"""Plain data that knows its places: what every kind of file is read into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rehost.stacks.diagnostics import PathKey, Span


@dataclass(frozen=True, slots=True)
class Placed:
    """A value, the place where it stands and the place of its key, if it has one.

    `value` is a mapping of text to Placed, a list of Placed, or a scalar. `tag` is `reset` or `override`, the
    instructions to a merge.
    """

    value: Any
    span: Span
    key: Span | None = None
    tag: str = ""

    def child(self, step: str | int) -> Placed | None:
        """What stands under a key or an index."""
        found: Placed | None = None
        if isinstance(self.value, dict) and isinstance(step, str):
            found = self.value.get(step)
        elif isinstance(self.value, list) and isinstance(step, int) and 0 <= step < len(self.value):
            found = self.value[step]
        return found

    def place(self, path: PathKey, *, key: bool = False) -> Span:
        """The place of a value, or of the nearest thing around it.

        That of a scalar is its own; that of a mapping, a list or an empty value is its key's, as is any when `key`
        is asked for.
        """
        here = self
        for step in path:
            below = here.child(step)
            if below is None:
                return here.place(())
            here = below
        if here.key is not None and (key or here.value is None or isinstance(here.value, dict | list)):
            return here.key
        return here.span

    def plain(self) -> Any:
        """The data without places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value
