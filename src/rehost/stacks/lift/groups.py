"""Servers to groups of equal ones: the same for all providers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rehost.stacks.graph import Value
from rehost.stacks.lift.draft import Draft
from rehost.stacks.lift.items import Item

_NUMBERED = re.compile(r"(.+?)-?(\d{1,3})\Z")


@dataclass(frozen=True)
class Member:
    """A server as the stack will call it."""

    group: str
    name: str
    item: Item


def grouped(items: Iterable[Item], draft: Draft, alike: Callable[[Item], Value]) -> list[Member]:
    """Servers with their groups. Our own say it in their names; others are a group where they are numbered from
    one on and `alike` answers the same for all of them, and each a group of its own otherwise."""
    members: list[Member] = []
    others: dict[str, list[tuple[int, Item]]] = {}
    for item in items:
        if item.marked:
            members.append(Member(item.name.rpartition("-")[0], item.name, item))
            continue
        match = _NUMBERED.match(item.name)
        base, number = (match[1], int(match[2])) if match else (item.name, 0)
        others.setdefault(base, []).append((number, item))
    first = list(dict.fromkeys(member.group for member in members))
    members.sort(key=lambda member: (first.index(member.group), int(member.name.rpartition("-")[2])))
    for member in members:
        draft.family("servers").setdefault(member.group, {})
    for base, rows in others.items():
        rows.sort(key=lambda row: (row[0], row[1].id))
        numbered = [number for number, _ in rows] == list(range(1, len(rows) + 1))
        if len(rows) > 1 and numbered and all(alike(item) == alike(rows[0][1]) for _, item in rows):
            group = draft.name("servers", base)
            draft.family("servers")[group] = {}
            members += [Member(group, f"{group}-{number}", item) for number, item in rows]
            continue
        for _, item in rows:
            group = draft.name("servers", item.name or "server")
            draft.family("servers")[group] = {}
            members.append(Member(group, f"{group}-1", item))
    return members
