"""Resources and the values that tie them together.

A resource is written with a Pulumi type token and Pulumi property names. Its inputs are JSON values in which
`Ref` stands for another resource's output, `Secret` wraps what nobody may read, and `UNKNOWN` is a value that
only a provider can tell later.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rehost.stacks.errors import RehostError

Value = Any
"""None, bool, int, float, str, list, dict, Ref, Secret, Join, Json, Number or UNKNOWN, nested at will."""


class Unknown:
    """A value that is known only after something else was made. There is one instance, `UNKNOWN`."""

    _instance: Unknown | None = None

    def __new__(cls) -> Unknown:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __copy__(self) -> Unknown:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Unknown:
        return self

    def __reduce__(self) -> tuple[type[Unknown], tuple[()]]:
        return (Unknown, ())


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, slots=True)
class Ref:
    """Another resource's `id` or output, by property path: `id`, `publicIp`, `publicNets[0].ip`."""

    urn: str
    path: str = "id"


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is stored encrypted and never shown."""

    value: Value

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class Join:
    """Text put together from parts, each a string or a value that becomes one."""

    parts: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Json:
    """A value that the provider wants as JSON text (policies)."""

    value: Value


@dataclass(frozen=True, slots=True)
class Number:
    """An id, which is text everywhere else, where the official type is a whole number. What is no number stays
    as it is."""

    value: Value


@dataclass(frozen=True, slots=True)
class Resource:
    """One native thing at a provider.

    `component` is the address of what it was lowered from (`servers.app-1`), `after` names resources that must
    exist first although no input refers to them.
    """

    urn: str
    type: str
    name: str
    inputs: Mapping[str, Value]
    component: str = ""
    after: tuple[str, ...] = ()

    def dependencies(self) -> frozenset[str]:
        """URNs of all that must exist first."""
        return frozenset(ref.urn for ref in references(dict(self.inputs))) | frozenset(self.after)


def make_urn(target: str, stack: str, type_: str, name: str) -> str:
    """The flat URN of a resource; it never changes while stack, target and logical name stay."""
    return f"urn:pulumi:{target}::{stack}::{type_}::{name}"


def urn_type(urn: str) -> str:
    """The type token in a URN."""
    return urn.split("::", 3)[2]


def urn_name(urn: str) -> str:
    """The logical name in a URN."""
    return urn.split("::", 3)[3]


class GraphError(RehostError):
    """The resources do not form a graph: a URN twice, a reference to nothing, or a cycle."""

    exit_code = 3


@dataclass(frozen=True)
class Graph:
    """Resources by URN. Raises GraphError for a URN that occurs twice, a dangling reference or a cycle."""

    resources: Mapping[str, Resource]
    edges: Mapping[str, frozenset[str]] = field(repr=False)

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Graph:
        by_urn: dict[str, Resource] = {}
        for resource in resources:
            if resource.urn in by_urn:
                raise GraphError(f"two resources have the URN {resource.urn}")
            by_urn[resource.urn] = resource
        edges = {urn: resource.dependencies() for urn, resource in by_urn.items()}
        for urn, needed in edges.items():
            for other in needed:
                if other not in by_urn:
                    raise GraphError(f"{urn} refers to {other}, which is not part of the graph")
        graph = cls(by_urn, edges)
        order(by_urn, edges)
        return graph


def order(nodes: Iterable[str], edges: Mapping[str, Iterable[str]]) -> list[str]:
    """Nodes with those they depend on before them, otherwise in name order. Raises GraphError on a cycle."""
    pending = {node: set(edges.get(node, ())) for node in nodes}
    dependents: dict[str, list[str]] = {}
    for node, needed in pending.items():
        for other in needed:
            dependents.setdefault(other, []).append(node)
    ready = [node for node, needed in pending.items() if not needed]
    heapq.heapify(ready)
    result: list[str] = []
    while ready:
        node = heapq.heappop(ready)
        result.append(node)
        for dependent in dependents.get(node, ()):
            pending[dependent].discard(node)
            if not pending[dependent]:
                heapq.heappush(ready, dependent)
    if len(result) != len(pending):
        left = sorted(node for node, needed in pending.items() if needed)
        raise GraphError(f"a cycle runs through {', '.join(left[:6])}")
    return result


def references(value: Value) -> Iterator[Ref]:
    """All references in a value."""
    match value:
        case Ref():
            yield value
        case Secret(inner) | Json(inner) | Number(inner):
            yield from references(inner)
        case Join(parts):
            for part in parts:
                yield from references(part)
        case dict():
            for item in value.values():
                yield from references(item)
        case list() | tuple():
            for item in value:
                yield from references(item)


def is_unknown(value: Value) -> bool:
    """Whether any part of a value is unknown."""
    match value:
        case Unknown():
            return True
        case Secret(inner) | Json(inner) | Number(inner):
            return is_unknown(inner)
        case Join(parts):
            return any(is_unknown(part) for part in parts)
        case dict():
            return any(is_unknown(item) for item in value.values())
        case list() | tuple():
            return any(is_unknown(item) for item in value)
    return False


def is_secret(value: Value) -> bool:
    """Whether any part of a value is secret."""
    match value:
        case Secret():
            return True
        case Json(inner) | Number(inner):
            return is_secret(inner)
        case Join(parts):
            return any(is_secret(part) for part in parts)
        case dict():
            return any(is_secret(item) for item in value.values())
        case list() | tuple():
            return any(is_secret(item) for item in value)
    return False


def resolve(value: Value, lookup: Callable[[Ref], Value]) -> Value:
    """The value with every reference replaced by what `lookup` answers (UNKNOWN where it can't yet).

    Text with an unknown part is unknown; text or JSON with a secret part is secret.
    """
    match value:
        case Ref():
            return lookup(value)
        case Secret(inner):
            known = resolve(inner, lookup)
            return UNKNOWN if known is UNKNOWN else known if isinstance(known, Secret) else Secret(known)
        case Join(parts):
            texts = [resolve(part, lookup) for part in parts]
            if any(is_unknown(text) for text in texts):
                return UNKNOWN
            joined = "".join(_text(reveal(text)) for text in texts)
            return Secret(joined) if any(is_secret(text) for text in texts) else joined
        case Json(inner):
            known = resolve(inner, lookup)
            if is_unknown(known):
                return UNKNOWN
            text = json.dumps(reveal(known), sort_keys=True, separators=(",", ":"))
            return Secret(text) if is_secret(known) else text
        case Number(inner):
            known = resolve(inner, lookup)
            whole = isinstance(known, str) and known.isascii() and known.isdigit()
            return int(known) if whole else known
        case dict():
            return {key: resolve(item, lookup) for key, item in value.items()}
        case list() | tuple():
            return [resolve(item, lookup) for item in value]
    return value


def reveal(value: Value) -> Value:
    """The value with secrets unwrapped: only for the provider's call itself."""
    match value:
        case Secret(inner):
            return reveal(inner)
        case dict():
            return {key: reveal(item) for key, item in value.items()}
        case list() | tuple():
            return [reveal(item) for item in value]
    return value


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def at_path(value: Value, path: str) -> Value:
    """What stands at a property path (`publicNets[0].ip`); None where nothing does, UNKNOWN below an unknown."""
    secret = False
    for match in _STEP.finditer(path):
        if isinstance(value, Secret):
            secret, value = True, value.value
        if value is UNKNOWN:
            return UNKNOWN
        if match[2] is not None:
            index = int(match[2])
            value = value[index] if isinstance(value, Sequence) and index < len(value) else None
        else:
            value = value.get(match[1]) if isinstance(value, Mapping) else None
    return Secret(value) if secret and not isinstance(value, Secret) else value
