"""What Amazon's kinds share: tags, guarded calls, and EC2's describe calls in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.base import described
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live

BATCH = 200
"""Values in one EC2 filter (API reference: at most 200)."""


def to_tags(tags: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Tags as the API takes them."""
    return [{"Key": key, "Value": str(value)} for key, value in sorted((tags or {}).items())]


def from_tags(tags: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """Tags as properties; Amazon's own are left out."""
    return {tag["Key"]: tag["Value"] for tag in tags or () if not tag["Key"].startswith("aws:")}


def mark(inputs: Mapping[str, Value]) -> str:
    """The rehost-id among the tags."""
    return str((inputs.get("tags") or {}).get("rehost-id", ""))


def retag(client: Any, id_: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Make the tags of an EC2 resource those of the inputs."""
    gone = [{"Key": key} for key in sorted(set(old) - set(new))]
    if gone:
        client.delete_tags(Resources=[id_], Tags=gone)
    changed = {key: value for key, value in new.items() if old.get(key) != value}
    if changed:
        client.create_tags(Resources=[id_], Tags=to_tags(changed))


class Ec2Kind:
    """A kind that EC2 describes in pages, filtered by id or tag.

    Subclasses name the call and say what an item means as properties.
    """

    token: str
    describe: str
    items: str
    id_field: str
    id_filter: str
    resource_type: str

    def __init__(self, clients: Mapping[str, Any], rules: KindRules) -> None:
        self.clients = clients
        self.client: Any = clients["ec2"]
        self.rules = rules

    def properties(self, item: Mapping[str, Any]) -> dict[str, Value]:
        """What the API's answer means as Pulumi properties."""
        raise AssertionError(f"{self.token} does not say what its items mean: {sorted(item)}")

    def alive(self, item: Mapping[str, Any]) -> bool:
        """Whether an item counts as existing."""
        del item
        return True

    def specification(self, inputs: Mapping[str, Value]) -> list[dict[str, Any]]:
        """Tags given at creation: there is no moment without our mark."""
        return [{"ResourceType": self.resource_type, "Tags": to_tags(inputs.get("tags"))}]

    def query(self, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All items that pass the filters."""
        with guarded(self.describe):
            pages = self.client.get_paginator(self.describe).paginate(Filters=filters)
            return [item for page in pages for item in self.unpack(page) if self.alive(item)]

    def unpack(self, page: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The items of a page."""
        return list(page[self.items])

    def live(self, asked: Mapping[str, Value], item: Mapping[str, Any]) -> Live:
        """An item as a resource."""
        outputs = self.properties(item)
        if self.rules.tags:
            outputs["tags"] = outputs["tagsAll"] = from_tags(item.get("Tags"))
        merged = {**{key: asked[key] for key in self.rules.unread & asked.keys()}, **outputs}
        return Live(str(item[self.id_field]), described(self.rules, asked, outputs), merged)

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        """In batches of ids; what is gone is simply not in the answer."""
        found: dict[str, dict[str, Any]] = {}
        ids = sorted({item.id for item in known})
        for start in range(0, len(ids), BATCH):
            chunk = ids[start : start + BATCH]
            for item in self.query([{"Name": self.id_filter, "Values": chunk}]):
                found[item[self.id_field]] = item
        return [self.live(k.inputs, found[k.id]) if k.id in found else None for k in known]

    def one(self, id_: str) -> dict[str, Any] | None:
        """One item, for waiting."""
        items = self.query([{"Name": self.id_filter, "Values": [id_]}])
        return items[0] if items else None

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        """By our mark."""
        items = self.query([{"Name": "tag:rehost-id", "Values": [mark(inputs)]}])
        return self.live(inputs, items[0]) if items else None

    def settled(self, call: Call, id_: str, inputs: Mapping[str, Value]) -> Live:
        """The resource after a change, waited for while reads lag behind."""
        seen: list[dict[str, Any]] = []

        def visible() -> bool:
            item = self.one(id_)
            if item is not None:
                seen.append(item)
            return item is not None

        call.poll(visible, f"{id_} to be visible")
        return self.live(inputs, seen[-1])

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Change in place: tags here, the rest in `change`."""
        with guarded("update"):
            self.change(call, known, inputs)
            if self.rules.tags and known.inputs.get("tags") != inputs.get("tags"):
                retag(self.client, known.id, known.inputs.get("tags") or {}, inputs.get("tags") or {})
        return self.settled(call, known.id, inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        """Kinds whose properties change in place do it here."""

    def differs(self, known: Known, inputs: Mapping[str, Value], name: str) -> bool:
        """Whether an input is another than before."""
        default = self.rules.defaults.get(name)
        return bool(known.inputs.get(name, default) != inputs.get(name, default))

    def delete(self, call: Call, known: Known) -> None:
        """Remove it; gone already is fine."""
        try:
            with guarded("delete"):
                self.remove(call, known)
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise

    def remove(self, call: Call, known: Known) -> None:
        """The call that deletes."""
        del call
        raise AssertionError(f"{self.token} does not say how {known.id} is deleted")
