"""What Amazon's kinds share: clients, tags, reading in batches, waiting, and deleting what may be gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from rehost.providers.base import described
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live

BATCH = 200
"""Values in one EC2 filter (API reference: at most 200)."""

Item = Mapping[str, Any]
"""A resource as the API describes it."""


class Clients(Mapping[str, Any]):
    """The clients of one region, each made when it is first needed."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make
        self._made: dict[str, Any] = {}
        # A session must not make two clients at once.
        self._lock = threading.RLock()

    def __getitem__(self, service: str) -> Any:
        with self._lock:
            if service not in self._made:
                self._made[service] = self._make(service)
            return self._made[service]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._made))

    def __len__(self) -> int:
        return len(self._made)

    @cached_property
    def account(self) -> str:
        """The number of the account: part of the names of what the API does not name itself."""
        with guarded("get_caller_identity"):
            return str(self["sts"].get_caller_identity()["Account"])


def to_tags(tags: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Tags as the API takes them."""
    return [{"Key": key, "Value": str(value)} for key, value in sorted((tags or {}).items())]


def from_tags(tags: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """Tags as properties; Amazon's own are left out."""
    return {tag["Key"]: tag["Value"] for tag in tags or () if not tag["Key"].startswith("aws:")}


def mark(inputs: Mapping[str, Value]) -> str:
    """The rehost-id among the tags."""
    return str((inputs.get("tags") or {}).get("rehost-id", ""))


@contextmanager
def gone_is_fine() -> Iterator[None]:
    """Let a call pass whose resource is not there."""
    try:
        yield
    except ProviderError as error:
        if error.reason is not Reason.NOT_FOUND:
            raise


def everything(client: Any, operation: str, field: str, **arguments: Any) -> list[Item]:
    """All rows that a listing has, in pages or at once; none where what it lists the parts of is gone."""
    rows: list[Item] = []
    with gone_is_fine(), guarded(operation):
        if client.can_paginate(operation):
            pages = client.get_paginator(operation).paginate(**arguments)
        else:
            pages = [getattr(client, operation)(**arguments)]
        rows = [row for page in pages for row in page[field]]
    return rows


def chunks(values: Sequence[str], size: int) -> Iterator[list[str]]:
    """The values in pieces of at most so many."""
    for start in range(0, len(values), size):
        yield list(values[start : start + size])


def told(inputs: Mapping[str, Value], *numbers: str) -> dict[str, Value]:
    """Inputs without those numbers that are zero: what a resource does not have."""
    return {name: value for name, value in inputs.items() if name not in numbers or value}


def camel(name: str) -> str:
    """A property's name as Amazon's APIs write it: `httpTokens` is HttpTokens."""
    return name[0].upper() + name[1:]


def given(inputs: Mapping[str, Value], **names: str) -> dict[str, Any]:
    """Arguments of a call by the inputs that they come from, without those that are not there."""
    return {argument: inputs[name] for argument, name in names.items() if inputs.get(name) is not None}


class Served:
    """A kind, its rules, and the client of the service that it belongs to."""

    token: str
    service: str

    def __init__(self, clients: Clients, rules: KindRules) -> None:
        self.clients = clients
        self.rules = rules

    @property
    def client(self) -> Any:
        """The service's client."""
        return self.clients[self.service]


class AwsKind(Served):
    """The life of a kind whose service can describe many of its resources in one call.

    Subclasses name the service, say how resources are selected, what an item means as properties, and how it is
    made, changed and removed.
    """

    id_field: str
    name_input = ""
    """The input that is the natural key, where the type has one."""

    def arn(self, resource: str, *, account: str = "", service: str = "") -> str:
        """The name of a resource that the API does not name itself: `vpc/vpc-1`."""
        meta = self.client.meta
        owner = account or self.clients.account
        return f"arn:{meta.partition}:{service or self.service}:{meta.region_name}:{owner}:{resource}"

    def select(self, ids: Sequence[str]) -> list[Item]:
        """The items with these ids; what is gone is simply not among them."""
        raise AssertionError(f"{self.token} does not say how {ids} are read")

    def twins(self, inputs: Mapping[str, Value]) -> list[Item]:
        """The items that an earlier create with these inputs may have made: those of its name, in general."""
        return self.select([str(inputs[self.name_input])])

    def tags(self, item: Item) -> dict[str, str]:
        """The tags of an item."""
        return from_tags(item.get("Tags"))

    def id_of(self, item: Item) -> str:
        """The id of an item."""
        return str(item[self.id_field])

    def properties(self, item: Item) -> dict[str, Value]:
        """What the API's answer means as Pulumi properties."""
        raise AssertionError(f"{self.token} does not say what its items mean: {sorted(item)}")

    def live(self, asked: Mapping[str, Value], item: Item) -> Live:
        """An item as a resource."""
        outputs = self.properties(item)
        if self.rules.tags:
            outputs["tags"] = outputs["tagsAll"] = self.tags(item)
        kept = {key: asked[key] for key in self.rules.unread & asked.keys()}
        inputs = described(self.rules, asked, outputs)
        return Live(self.id_of(item), inputs if asked else self.imported(inputs), {**kept, **outputs})

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        """The inputs of an import, without what the provider chose or what follows from the others."""
        return inputs

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        """All in as few calls as the API allows."""
        found = {self.id_of(item): item for item in self.select(sorted({item.id for item in known}))}
        return [self.live(k.inputs, found[k.id]) if k.id in found else None for k in known]

    def one(self, id_: str) -> Item | None:
        """One item, for waiting."""
        items = self.select([id_])
        return items[0] if items else None

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        """What carries our mark."""
        return next(iter(self.marked(inputs)), None)

    def marked(self, inputs: Mapping[str, Value]) -> Iterator[Live]:
        """All that carries our mark."""
        for item in self.twins(inputs):
            if not self.rules.tags or self.tags(item).get("rehost-id", "") == mark(inputs):
                yield self.live(inputs, item)

    def settled(self, call: Call, id_: str, inputs: Mapping[str, Value]) -> Live:
        """The resource after a change, waited for while reads lag behind."""
        return self.live(inputs, self.until(call, id_, lambda item: True, "visible"))

    def until(self, call: Call, id_: str, ready: Callable[[Item], bool], word: str) -> Item:
        """Wait until an item is as it should be, and answer it."""
        seen: list[Item] = []

        def there() -> bool:
            item = self.one(id_)
            if item is not None and ready(item):
                seen.append(item)
            return bool(seen)

        call.poll(there, f"{id_} to be {word}")
        return seen[-1]

    def until_gone(self, call: Call, id_: str) -> None:
        """Wait until an item is not there any more."""
        call.poll(lambda: self.one(id_) is None, f"{id_} to be gone")

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Change in place: tags here, the rest in `change`."""
        with guarded("update"):
            self.change(call, known, inputs)
            if self.rules.tags:
                old, new = known.inputs.get("tags") or {}, inputs.get("tags") or {}
                changed = {key: value for key, value in new.items() if old.get(key) != value}
                if gone := sorted(set(old) - set(new)):
                    self.untag(known.id, gone)
                if changed:
                    self.tag(known.id, changed)
        return self.settled(call, known.id, inputs)

    def tag(self, id_: str, tags: Mapping[str, Any]) -> None:
        """Set tags."""
        raise AssertionError(f"{self.token} does not say how {id_} is tagged")

    def untag(self, id_: str, keys: list[str]) -> None:
        """Remove tags."""
        raise AssertionError(f"{self.token} does not say how {id_} loses tags")

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        """Kinds whose properties change in place do it here."""

    def differs(self, known: Known, inputs: Mapping[str, Value], *names: str) -> bool:
        """Whether one of these inputs is another than before."""
        defaults = self.rules.defaults
        return any(
            known.inputs.get(name, defaults.get(name)) != inputs.get(name, defaults.get(name)) for name in names
        )

    def delete(self, call: Call, known: Known) -> None:
        """Remove it; gone already is fine."""
        with gone_is_fine(), guarded("delete"):
            self.remove(call, known)

    def remove(self, call: Call, known: Known) -> None:
        """The call that deletes."""
        del call
        raise AssertionError(f"{self.token} does not say how {known.id} is deleted")


class Ec2Kind(AwsKind):
    """A kind that EC2 describes in pages, filtered by id or tag. Tags are given at creation: there is no moment
    without our mark."""

    service = "ec2"
    describe: str
    items: str
    id_filter: str
    resource_type: str
    paged = True
    tagged_by = ""
    """The field of the id that tags go by, where it is another one."""

    def alive(self, item: Item) -> bool:
        """Whether an item counts as existing."""
        del item
        return True

    def specification(self, inputs: Mapping[str, Value]) -> list[dict[str, Any]]:
        """The tags of a new resource."""
        return [{"ResourceType": self.resource_type, "Tags": to_tags(inputs.get("tags"))}]

    def query(self, name: str, values: Sequence[str]) -> list[Item]:
        """All items that pass a filter."""
        return [
            item
            for chunk in chunks(values, BATCH)
            for page in self.pages([{"Name": name, "Values": chunk}])
            for item in self.unpack(page)
            if self.alive(item)
        ]

    def pages(self, filters: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
        """The pages of the listing."""
        with guarded(self.describe):
            if not self.paged:
                return [getattr(self.client, self.describe)(Filters=filters)]
            return list(self.client.get_paginator(self.describe).paginate(Filters=filters))

    def unpack(self, page: Mapping[str, Any]) -> list[Item]:
        """The items of a page."""
        return list(page[self.items])

    def select(self, ids: Sequence[str]) -> list[Item]:
        return self.query(self.id_filter, ids)

    def twins(self, inputs: Mapping[str, Value]) -> list[Item]:
        return self.query("tag:rehost-id", [mark(inputs)])

    def tag(self, id_: str, tags: Mapping[str, Any]) -> None:
        self.client.create_tags(Resources=[self._tag_id(id_)], Tags=to_tags(tags))

    def untag(self, id_: str, keys: list[str]) -> None:
        self.client.delete_tags(Resources=[self._tag_id(id_)], Tags=[{"Key": key} for key in keys])

    def _tag_id(self, id_: str) -> str:
        if not self.tagged_by:
            return id_
        item = self.one(id_)
        if item is None:
            raise ProviderError(f"{id_} is gone", reason=Reason.NOT_FOUND)
        return str(item[self.tagged_by])


class ListedKind(AwsKind):
    """A kind whose service lists all that there are in pages; tags come along or have a call of their own."""

    listing: str
    items: str
    name_field = ""

    def all(self) -> list[Item]:
        """Every item of the region."""
        return everything(self.client, self.listing, self.items)

    def tagged(self, items: Sequence[Item]) -> list[Item]:
        """The items with their tags."""
        return list(items)

    def select(self, ids: Sequence[str]) -> list[Item]:
        return self.tagged([item for item in self.all() if self.id_of(item) in ids])

    def twins(self, inputs: Mapping[str, Value]) -> list[Item]:
        name = str(inputs[self.name_input])
        return self.tagged([item for item in self.all() if item[self.name_field or self.id_field] == name])
