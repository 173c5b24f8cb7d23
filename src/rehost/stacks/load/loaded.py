"""What loading answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rehost.stacks.diagnostics import Diagnostic, PathKey, Severity, Span
from rehost.stacks.load.tree import Placed
from rehost.stacks.model import Stack


@dataclass
class Loaded:
    """What was found in the files: the stack, None if it can't be built, and all that is wrong with them."""

    file: str = ""
    stack: Stack | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)
    tree: Placed | None = None
    """Everything that was read, merged, with its places."""
    partial: Stack | None = None
    """The stack without what is wrong in form, so that the rest of it can be looked at."""
    left_out: frozenset[PathKey] = frozenset()
    """What `partial` lacks, by its address in the files."""
    kept: Mapping[PathKey, tuple[int, ...]] = field(default_factory=dict)
    """For lists that `partial` has fewer items of: the indices of those that it has."""
    sources: dict[str, str] = field(default_factory=dict)
    """The text of each file, by the name that its spans carry."""

    def span(self, path: PathKey, *, key: bool = False) -> Span:
        """The place of a value (or its key), or of the nearest thing around it."""
        if self.tree is None:
            return Span(self.file, 1, 1)
        return self.tree.place(path, key=key)

    def declared(self, family: str) -> list[str]:
        """The names of a family's components, those included that are not valid."""
        below = self.tree.child(family) if self.tree else None
        return list(below.value) if below is not None and isinstance(below.value, dict) else []

    def address(self, path: PathKey) -> PathKey:
        """The address in the files of what is at a path of `partial`."""
        made: PathKey = ()
        for step in path:
            indices = self.kept.get(made)
            made = (*made, indices[step] if indices is not None and isinstance(step, int) else step)
        return made

    @property
    def failed(self) -> bool:
        """Whether there are errors."""
        return any(found.severity is Severity.ERROR for found in self.diagnostics)
