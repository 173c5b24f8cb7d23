"""Paths to handlers. Werkzeug's own map compiles every rule for building URLs too, which takes longer than all
else that the stand-in does when it starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rehost.providers.sandbox.hcloud_api.errors import ApiError
from rehost.providers.sandbox.hcloud_api.resources import Handler, Route

_PLACE = re.compile(r"^<(?:(int):)?(\w+)>$")


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path as it is written in the API's reference, and what answers it."""

    name: str
    handler: Handler


@dataclass(slots=True)
class _Node:
    words: dict[str, _Node] = field(default_factory=dict)
    places: list[tuple[bool, str, _Node]] = field(default_factory=list)
    methods: dict[str, Operation] = field(default_factory=dict)

    def step(self, part: str) -> _Node:
        """The node below, made if it is not there. A part is a word or `<name>` or `<int:name>`."""
        match = _PLACE.match(part)
        if match is None:
            return self.words.setdefault(part, _Node())
        whole, name = match[1] is not None, match[2]
        for known, other, node in self.places:
            if (known, other) == (whole, name):
                return node
        self.places.append((whole, name, _Node()))
        return self.places[-1][2]

    def ends(self, parts: list[str], at: int, values: dict[str, Any]) -> Iterator[tuple[_Node, dict[str, Any]]]:
        """The nodes that a path may mean, words before places."""
        if at == len(parts):
            yield self, values
            return
        part = parts[at]
        if part in self.words:
            yield from self.words[part].ends(parts, at + 1, values)
        for whole, name, node in self.places:
            if not whole:
                yield from node.ends(parts, at + 1, {**values, name: part})
            elif part.isdecimal():
                yield from node.ends(parts, at + 1, {**values, name: int(part)})


class Router:
    """Finds what answers a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for method, path, handler in routes:
            node, shown = self._root, []
            for part in path.strip("/").split("/"):
                node = node.step(part)
                match = _PLACE.match(part)
                shown.append(f"{{{match[2]}}}" if match else part)
            node.methods[method] = Operation(f"{method} /{'/'.join(shown)}", handler)

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, Any]]:
        """The operation of a method and path, and the values in the path. Raises ApiError 404 and 405."""
        known = False
        for node, values in self._root.ends(path.strip("/").split("/"), 0, {}):
            if method in node.methods:
                return node.methods[method], values
            known = known or bool(node.methods)
        if known:
            raise ApiError(405, "method_not_allowed", "the method is not supported by this path")
        raise ApiError(404, "not_found", "the path does not exist")
