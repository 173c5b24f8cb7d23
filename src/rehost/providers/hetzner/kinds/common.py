"""What Hetzner's kinds share: lists, labels, names that are unique in the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.base import described
from rehost.providers.hetzner.api import Api
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


def mark(inputs: Mapping[str, Value]) -> str:
    """The rehost-id among the labels."""
    return str((inputs.get("labels") or {}).get("rehost-id", ""))


class CloudKind:
    """A kind with a list of its own. Subclasses say what a record means and how it is made and changed."""

    plural: str
    word: str

    def __init__(self, api: Api, rules: KindRules) -> None:
        self.api = api
        self.rules = rules

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        """What a record means as Pulumi properties."""
        return {"name": record["name"]}

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        """The body that makes the resource, besides name and labels."""
        raise AssertionError(f"{self.plural} do not say how {sorted(inputs)} are made")

    def live(self, asked: Mapping[str, Value], record: Mapping[str, Any]) -> Live:
        """A record as a resource."""
        outputs = {**self.properties(record), "labels": dict(record.get("labels") or {})}
        kept = {key: asked[key] for key in (self.rules.unread | self.rules.frozen) & asked.keys()}
        return Live(str(record["id"]), described(self.rules, asked, outputs), {**kept, **outputs})

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        records = {str(record["id"]): record for record in self.api.all(self.plural)}
        return [self.live(item.inputs, records[item.id]) if item.id in records else None for item in known]

    def marked(self, inputs: Mapping[str, Value]) -> list[Live]:
        """All that carries our mark."""
        rows = self.api.all(self.plural, label_selector=f"rehost-id={mark(inputs)}")
        return [self.live(inputs, row) for row in rows]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        rows = self.api.all(self.plural, label_selector=f"rehost-id={mark(inputs)}")
        if not rows:
            named = self.api.all(self.plural, name=inputs["name"])
            rows = [row for row in named if (row.get("labels") or {}).get("rehost-id") == mark(inputs)]
        return self.live(inputs, rows[0]) if rows else None

    def one(self, id_: str, inputs: Mapping[str, Value]) -> Live:
        """The resource as it is now. Raises ProviderError NOT_FOUND."""
        return self.live(inputs, self.api.call("GET", f"/{self.plural}/{id_}")[self.word])

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        body = {"name": inputs["name"], "labels": inputs.get("labels") or {}, **self.request(inputs)}
        try:
            answer = self.api.call("POST", f"/{self.plural}", body)
        except ProviderError as error:
            if error.reason is Reason.EXISTS:
                error.why = (
                    f"a {self.rules.title} named {inputs['name']} that this deployment did not make is there"
                )
                error.fix = "rename or remove it, or deploy with another stack name"
            raise
        id_ = str(answer[self.word]["id"])
        call.made(id_)
        self.api.done(call, answer)
        return self.one(id_, inputs)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        self.change(call, known, inputs)
        plain = {
            key: inputs[key]
            for key in ("name", "labels")
            if key in inputs and known.inputs.get(key) != inputs[key]
        }
        if plain:
            self.api.call("PUT", f"/{self.plural}/{known.id}", plain)
        return self.one(known.id, inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        """Kinds whose properties change in place do it here."""

    def act(self, call: Call, id_: str, command: str, body: Any = None) -> None:
        """Start an action of a resource and wait for it."""
        self.api.done(call, self.api.call("POST", f"/{self.plural}/{id_}/actions/{command}", body or {}))

    def delete(self, call: Call, known: Known) -> None:
        try:
            self.prepare_delete(call, known)
            self.api.done(call, self.api.call("DELETE", f"/{self.plural}/{known.id}"))
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise

    def prepare_delete(self, call: Call, known: Known) -> None:
        """What has to be undone before."""


class Part:
    """Something that lives in another resource's record and is changed by that one's actions: a subnet of a
    network, a service of a load balancer. Subclasses say how it is seen there."""

    plural: str
    word: str
    parent: str
    """The input that holds the other resource's id."""

    def __init__(self, api: Api, rules: KindRules) -> None:
        self.api = api
        self.rules = rules

    def seen(self, inputs: Mapping[str, Value], record: Mapping[str, Any]) -> Live | None:
        """The part as its parent's record has it."""
        raise AssertionError(f"{self.rules.title} {sorted(inputs)} is not read from {sorted(record)}")

    def live(self, id_: str, inputs: Mapping[str, Value], outputs: Mapping[str, Value]) -> Live:
        """A part as a resource."""
        return Live(id_, described(self.rules, inputs, outputs), dict(outputs))

    def named(self, id_: str) -> Mapping[str, Value]:
        """The inputs that an official import id stands for: enough to find the part."""
        raise AssertionError(f"{self.rules.title} {id_} can't be imported")

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        records = {str(record["id"]): record for record in self.api.all(self.plural)}
        return [self._read(item, records) for item in known]

    def _read(self, known: Known, records: Mapping[str, Mapping[str, Any]]) -> Live | None:
        inputs = known.inputs or self.named(known.id)
        record = records.get(str(inputs[self.parent]))
        live = None if record is None else self.seen(inputs, record)
        if live is None or known.inputs:
            return live
        return self.live(live.id, {}, live.outputs)

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        try:
            record = self.api.call("GET", f"/{self.plural}/{inputs[self.parent]}")[self.word]
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise
        return self.seen(inputs, record)

    def must(self, inputs: Mapping[str, Value]) -> Live:
        """The part as it is now. Raises ProviderError NOT_FOUND."""
        live = self.find(inputs)
        if live is None:
            raise ProviderError(f"the {self.rules.title} is gone", reason=Reason.NOT_FOUND)
        return live

    def act(self, call: Call, inputs: Mapping[str, Value], command: str, body: Mapping[str, Any]) -> None:
        """Start an action of the parent and wait for it."""
        path = f"/{self.plural}/{inputs[self.parent]}/actions/{command}"
        self.api.done(call, self.api.call("POST", path, dict(body)))

    def undo(self, call: Call, known: Known, command: str, body: Mapping[str, Any]) -> None:
        """Take the part out, unless it is out already."""
        try:
            if self.find(known.inputs) is not None:
                self.act(call, known.inputs, command, body)
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
