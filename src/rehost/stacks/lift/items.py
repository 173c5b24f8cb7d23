"""What is lifted: resources of a graph, which refer to each other, or live ones, which name each other's ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rehost.stacks.graph import Graph, Number, Ref, Value

_ALSO = ("arn", "name", "keyName", "bucket", "identifier", "replicationGroupId")
"""Outputs that others may name a resource by, beside its id."""


@dataclass(frozen=True)
class Item:
    """One native thing. `name` is its logical name where it is known (in a graph, or by our marks), otherwise what
    people called it; `marked` says which."""

    key: str
    type: str
    name: str
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    id: str = ""
    marked: bool = False


def graph_items(graph: Graph) -> list[Item]:
    """The resources of a graph, in its order. What they were lowered from is not looked at."""
    return [
        Item(urn, resource.type, resource.name, resource.inputs, {}, resource.after, marked=True)
        for urn, resource in graph.resources.items()
    ]


class Items:
    """Items by type, and by whatever others say of them."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.all = list(items)
        self._by_key = {item.key: item for item in self.all}
        self._by_id: dict[tuple[str, str], Item] = {}
        for item in self.all:
            told = (item.outputs.get(name) for name in _ALSO)
            for id_ in (item.id, *told):
                if isinstance(id_, str) and id_:
                    self._by_id.setdefault((item.type, id_), item)

    def of(self, *types: str) -> list[Item]:
        """All items of some types, in order."""
        return [item for item in self.all if item.type in types]

    def key(self, key: str) -> Item:
        """The item with a key."""
        return self._by_key[key]

    def get(self, value: Value, *types: str) -> Item | None:
        """The item that a value of an input stands for: a reference, or an id."""
        if isinstance(value, Number):
            value = value.value
        if isinstance(value, Ref):
            found = self._by_key.get(value.urn)
            return found if found is not None and (not types or found.type in types) else None
        if isinstance(value, str | int) and value:
            return next((self._by_id[t, str(value)] for t in types if (t, str(value)) in self._by_id), None)
        return None

    def each(self, values: Value, *types: str) -> list[Item]:
        """The items that a list of values stands for; others are left out."""
        found = (self.get(value, *types) for value in values or ())
        return [item for item in found if item is not None]
