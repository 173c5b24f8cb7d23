"""What a lift has so far: components as a stack file writes them, and which item stands for which resource."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehost.stacks.graph import Value
from rehost.stacks.lift.items import Item, Items
from rehost.stacks.model import Target

_LONGEST = 24
"""Of a name that is made from another one: room for a number behind it, and for the stack's name before it."""


@dataclass(frozen=True, slots=True)
class Left:
    """A resource that no component stands for, or a part of one, and why."""

    key: str
    type: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know about a component (`servers`, `app`): a comment in the stack file."""

    path: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class LiftJob:
    """What is lifted, and for which stack and target. `secrets` are values of the stack's own secrets by name,
    where they are known; `about` is what a survey has to say beside the resources."""

    items: Items
    stack: str
    target: Target
    deployment: str | None = None
    secrets: Mapping[str, Value] = field(default_factory=dict)
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass
class Draft:
    """Families of components by name, choices that were made for them with the reason, and claims: by type and
    logical name, the key of the item that is this resource."""

    families: dict[str, dict[str, Any]] = field(default_factory=dict)
    network: dict[str, Any] | None = None
    facts: dict[str, tuple[Any, str]] = field(default_factory=dict)
    claims: dict[tuple[str, str], str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    """Keys of items that follow from others, or come with the account: nothing is lost with them."""
    ignored: set[tuple[str, str]] = field(default_factory=set)
    """Inputs, by key of the item and name, whose live value follows from others."""
    left: list[Left] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def family(self, name: str) -> dict[str, Any]:
        """The components of a family, to add to."""
        return self.families.setdefault(name, {})

    def claim(self, type_: str, name: str, item: Item | None) -> None:
        """Say which item the resource of this type and name is; the first one stays."""
        if item is not None and item.key not in self.claims.values():
            self.claims.setdefault((type_, name), item.key)

    def claimed(self, item: Item) -> str | None:
        """The logical name that an item has."""
        return next((name for (_, name), key in self.claims.items() if key == item.key), None)

    def fact(self, key: str, value: Any, why: str) -> None:
        """Pin a choice."""
        self.facts[key] = (value, why)

    def leave(self, item: Item, reason: str) -> None:
        """Say why an item, or a part of it, is not lifted."""
        self.left.append(Left(item.key, item.type, item.name or item.id or item.key, reason))
        self.known.add(item.key)

    def note(self, *path: str, text: str) -> None:
        """A comment on a component."""
        note = Note(path, text)
        if note not in self.notes:
            self.notes.append(note)

    def name(self, family: str, wanted: str, *, exact: bool = False) -> str:
        """A name that no component of the family has yet: as wanted where it fits, otherwise made from it."""
        if exact and wanted and wanted not in self.family(family):
            return wanted
        plain = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")
        plain = plain if plain[:1].isalpha() else f"{family[0]}-{plain}".strip("-")
        plain = plain[:_LONGEST].rstrip("-")
        taken, number = self.family(family), 2
        made = plain
        while made in taken:
            made, number = f"{plain}-{number}", number + 1
        return made

    def secret(self, wanted: str) -> str:
        """A secret of this name that is read from the environment, as a text that refers to it."""
        name = re.sub(r"[^a-z0-9_]+", "-", wanted.lower()).strip("-_")
        variable = re.sub(r"[^A-Z0-9]+", "_", name.upper())
        self.family("secrets").setdefault(name, {"from_env": variable})
        return f"${{secrets.{name}}}"


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A component without what is not said."""
    return {key: value for key, value in values.items() if value not in (None, [], {}, ())}
