"""What `rehost adopt` answers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from rehost.cli.render.tables import markdown_table
from rehost.stacks.lower import FOUND

if TYPE_CHECKING:
    from rehost.stacks.lift import Item, Lifted

HEADS = ("component", "kind", "id")


def rows(result: Lifted, items: Sequence[Item], title: Mapping[str, str]) -> list[list[str]]:
    """Each resource that a component stands for."""
    ids = {item.key: item.id for item in items}
    found = [(result.graph.resources[urn].component, title[key], ids[key]) for urn, key in result.claims.items()]
    return [list(row) for row in sorted(found)]


def document(
    result: Lifted, items: Sequence[Item], title: Mapping[str, str], file: str, taken: int
) -> dict[str, Any]:
    """The answer as one document."""
    return {
        "format_version": 1,
        "file": file,
        "resources": [dict(zip(HEADS, row, strict=True)) for row in rows(result, items, title)],
        "notes": [{"component": ".".join(note.path), "text": note.text} for note in result.notes],
        "not_lifted": [
            {"kind": title.get(left.key, left.type), "name": left.name, "reason": left.reason}
            for left in result.left
        ],
        "kept": sorted(key.removeprefix(FOUND) for key in result.facts if key.startswith(FOUND)),
        "imported": taken,
    }


def markdown(result: Lifted, items: Sequence[Item], title: Mapping[str, str]) -> str:
    """The answer as Markdown."""
    text = markdown_table(HEADS, rows(result, items, title)) + "\n"
    if result.left:
        told = [[title.get(left.key, left.type), left.name, left.reason] for left in result.left]
        text += "\nNot part of the stack:\n\n" + markdown_table(("kind", "name", "reason"), told) + "\n"
    return text


class AdoptView:
    """The answer for people."""

    def __init__(
        self, result: Lifted, items: Sequence[Item], title: Mapping[str, str], file: str, taken: int, target: str
    ) -> None:
        self._result, self._items, self._title = result, items, title
        self._file, self._taken, self._target = file, taken, target

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        result = self._result
        components: dict[str, int] = {}
        for component, _, _ in rows(result, self._items, self._title):
            components[component] = components.get(component, 0) + 1
        for component, count in components.items():
            yield Text(f"  {component}: {count} resource{'s' if count > 1 else ''}")
        for note in result.notes:
            yield Text(f"  note on {'.'.join(note.path)}: {note.text}", style="yellow")
        if result.left:
            yield Text(f"{len(result.left)} not part of the stack, and left as they are:", style="bold")
            for left in result.left:
                yield Text(f"  {self._title.get(left.key, left.type)} {left.name}: {left.reason}")
        kept = sum(key.startswith(FOUND) for key in result.facts)
        if kept:
            yield Text(f"{kept} resources keep names or properties that they were found with.")
        yield Text(f"{self._file} says what was found.")
        then = f"rehost plan -f {shlex.quote(self._file)} --on {self._target}"
        again = f"rehost adopt -f {shlex.quote(self._file)} --on {self._target} --import"
        if self._taken:
            yield Text(f"{self._taken} resources are in state under their ids. What rehost would change: `{then}`")
        else:
            yield Text(f"Nothing was taken into state: `{again}` does that.")
