"""A draft against what is there: its own lowering is compared with the items that it claims.

What differs is native: an `override` where the component has one and it says more than a name, otherwise an input
that this one resource keeps, as a fact of its target. What nothing claims is told. Nothing is passed over.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from rehost.stacks.errors import InvalidInput
from rehost.stacks.graph import UNKNOWN, Graph, Ref, Resource, Value, at_path, is_unknown, reveal
from rehost.stacks.graph import resolve as resolve_value
from rehost.stacks.legalize import legalize
from rehost.stacks.lift.draft import Draft, Left, LiftJob, Note
from rehost.stacks.lift.items import Item
from rehost.stacks.lift.publicnames import folded, with_proxy
from rehost.stacks.lower import Lowering, kept_key, lower, merged
from rehost.stacks.model import Stack
from rehost.stacks.ports import Adapter, Lifting
from rehost.stacks.state import Fact

LIFTED = "lifted"
"""The source of facts that were read off what is there."""
_MARKS = "rehost-"
_NAMES = frozenset(
    {"name", "description", "comment", "keyName", "bucket", "identifier", "replicationGroupId", "id"}
)
"""Inputs that only say what something is called: no lock-in, and kept for the one resource."""
_NOTHING: tuple[Value, ...] = (None, "", [], {})


@dataclass(frozen=True)
class Lifted:
    """A stack as its file would have it, and what it was made of.

    `claims` has for the URN of a resource that the stack lowers to the key of the item that it is, `facts` what to
    pin, `left` what no component stands for, `graph` the stack's own lowering.
    """

    data: Mapping[str, Any]
    stack: Stack
    facts: Mapping[str, Fact]
    claims: Mapping[str, str]
    left: Sequence[Left]
    notes: Sequence[Note]
    graph: Graph = field(repr=False)


def lift(adapter: Adapter, job: LiftJob) -> Lifted:
    """The stack that the job's items are. Raises InvalidInput for a provider whose resources can't be lifted."""
    if not isinstance(adapter, Lifting):
        raise InvalidInput(f"resources of {adapter.name} can't be lifted", why="the provider does not say how")
    return settle(adapter, job, adapter.lift(job))


def settle(adapter: Adapter, job: LiftJob, draft: Draft, given: Stack | None = None) -> Lifted:
    """The stack of a draft, with everything that differs from the items it claims. With `given`, a stack that was
    written already, nothing is added to that: what differs in more than a name is a change that it asks for."""
    assert isinstance(adapter, Lifting)
    bench = _Bench(adapter, job, draft, given)
    stack, graph = bench.lowered()
    for name, public in with_proxy(draft).items() if given is None else ():
        shorter = _Bench(adapter, job, folded(draft, name, public), given)
        told, same = shorter.lowered()
        if same.resources == graph.resources:
            bench, draft, stack, graph = shorter, shorter.draft, told, same
    kept: dict[str, dict[str, Any]] = {}
    overrides: dict[tuple[str, str], list[dict[str, Any]]] = {}
    users: dict[tuple[str, str], list[Resource]] = {}
    for resource, item in bench.claimed(graph):
        differing = bench.differing(resource, item, graph)
        rules = adapter.rules(resource.type)
        numbers = {path.split(".")[0] for path in rules.integers}
        place = bench.place(resource)
        # What we made and is called otherwise was called so by an override.
        names = frozenset() if item.marked and place else _NAMES
        named = {
            key: value
            for key, value in differing.items()
            if key in names or bench.refers(value, numbers=key in numbers)
        }
        tags = rules.tags
        if tags in differing and not item.marked:
            # They are people's own, and not one of them says more elsewhere.
            named[tags] = differing[tags]
        own = {key: value for key, value in differing.items() if key not in named}
        if given is not None:
            own = {key: value for key, value in own.items() if key == tags}
        if place is None or given is not None:
            named |= own
        else:
            users.setdefault(place, []).append(resource)
            overrides.setdefault(place, []).append(own)
        if named:
            kept[kept_key(resource.type, resource.name)] = named
    for place, rows in overrides.items():
        if all(row == rows[0] for row in rows):
            bench.override(place, rows[0])
            continue
        for resource, row in zip(users[place], rows, strict=True):
            if row:
                key = kept_key(resource.type, resource.name)
                kept[key] = merged(kept.get(key, {}), row)
                said = ", ".join(sorted(row))
                draft.note(*place, text=f"{resource.component} keeps {said} of its own, unlike the others")
    for key, value in kept.items():
        draft.fact(key, value, "as it was found")
    stack, graph = bench.lowered()
    return bench.result(stack, graph)


def _place(overridable: Mapping[str, str], resource: Resource) -> tuple[str, str] | None:
    """The component, as family and name, whose override is laid over a resource."""
    family, _, name = resource.component.partition(".")
    if overridable.get(resource.type) != family:
        return None
    # These are as many as there are servers, and say which one.
    return family, name.rpartition("-")[0] if family in ("servers", "volumes") else name


class _Bench:
    """One draft on its way to a stack."""

    def __init__(self, adapter: Adapter, job: LiftJob, draft: Draft, given: Stack | None) -> None:
        self.adapter, self.job, self.draft, self.given = adapter, job, draft, given
        self._ids = {item.id for item in job.items.all if item.id}

    def place(self, resource: Resource) -> tuple[str, str] | None:
        """The component, as family and name, whose override is laid over a resource."""
        assert isinstance(self.adapter, Lifting)
        found = _place(self.adapter.overridable, resource)
        # A server in front of a bucket is no component of its own.
        return found if found is None or not found[1] or found[1] in self.draft.family(found[0]) else None

    def data(self) -> dict[str, Any]:
        """The stack as data, without targets."""
        draft = self.draft
        families = {name: draft.families[name] for name in Stack.model_fields if draft.families.get(name)}
        network = {"network": draft.network} if draft.network is not None else {}
        return {"stack": self.job.stack, **network, **families}

    def _stack(self) -> Stack:
        if self.given is not None:
            return self.given
        target = self.job.target
        whole = {"targets": {target.name: target.model_dump()}}
        while True:
            try:
                return Stack.model_validate({**self.data(), **whole})
            except ValidationError as error:
                self._leave_out(error)

    def _leave_out(self, error: ValidationError) -> None:
        """Take out what no component can be, with the reason."""
        first = error.errors()[0]
        family, *rest = [str(step) for step in first["loc"]] or [""]
        inside = self.draft.families.get(family)
        if inside is None or not rest or rest[0] not in inside:
            raise InvalidInput(f"{family} can't be written as a component", why=str(first["msg"]))
        del inside[rest[0]]
        self.draft.left.append(Left("", family, rest[0], f"it can't be said in a stack file: {first['msg']}"))

    def lowered(self) -> tuple[Stack, Graph]:
        """The stack and its resources."""
        stack = self._stack()
        legal = legalize(stack, self.adapter.native)
        facts = {key: value for key, (value, _) in self.draft.facts.items()}
        needs = {need.key for need in self.adapter.needs(legal.stack, self.job.target)}
        facts |= dict.fromkeys(needs - facts.keys(), UNKNOWN)
        lowering = Lowering(
            legal.stack,
            self.job.target,
            facts,
            self.job.deployment,
            secrets=self.job.secrets,
            texts=legal.texts,
            roles=legal.roles,
        )
        return stack, lower(self.adapter, lowering)

    def urn_claims(self, graph: Graph) -> dict[str, str]:
        """Keys of items by the URN of the resource that they are."""
        claims = self.draft.claims
        return {
            urn: claims[resource.type, resource.name]
            for urn, resource in graph.resources.items()
            if (resource.type, resource.name) in claims
        }

    def claimed(self, graph: Graph) -> Iterator[tuple[Resource, Item]]:
        """Resources with the items that they are."""
        for urn, key in self.urn_claims(graph).items():
            yield graph.resources[urn], self.job.items.key(key)

    def differing(self, resource: Resource, item: Item, graph: Graph) -> dict[str, Any]:
        """Native inputs that, laid over a resource's own, make it what the item is."""
        rules = self.adapter.rules(resource.type)
        claims = self.urn_claims(graph)
        wanted = resolve_value(dict(resource.inputs), lambda ref: self._told(claims.get(ref.urn), ref))
        there = resolve_value(dict(item.inputs), lambda ref: self._told(ref.urn, ref))
        made: dict[str, Any] = {}
        if rules.tags:
            ours, theirs = wanted.pop(rules.tags, None) or {}, there.pop(rules.tags, None) or {}
            extra = {
                key: value
                for key, value in theirs.items()
                if ours.get(key) != value and not key.startswith(_MARKS)
            }
            if extra:
                made[rules.tags] = extra
        for change in self.adapter.diff(resource.type, there, item.outputs, wanted).changes:
            head = change.path.split(".")[0].split("[")[0]
            old, new = reveal(change.old), reveal(change.new)
            if head not in there and item.outputs.get(head) is not None:
                old = item.outputs[head]
            if is_unknown(new) and item.id and change.path in there and self._stays(change.path, old):
                made[change.path] = old
                continue
            unread = (head in rules.unread and head not in there) or (item.key, head) in self.draft.ignored
            if unread or is_unknown(new) or (old in _NOTHING and new in _NOTHING):
                continue
            _put(made, change.path, there, old)
        return made

    def _stays(self, path: str, old: Value) -> bool:
        """Whether a value is kept that rehost would only know later: a name, or another resource that does the
        same."""
        return path in _NAMES or (isinstance(old, str) and self.refers(old, numbers=False))

    def _told(self, key: str | None, ref: Ref) -> Value:
        """What a reference says: the live value, or in a graph a text that stands for it."""
        if key is None:
            return UNKNOWN
        item = self.job.items.key(key)
        if not item.id:
            return f"<{key}#{ref.path}>"
        return item.id if ref.path == "id" else at_path({**item.inputs, **item.outputs}, ref.path)

    def refers(self, value: Value, *, numbers: bool) -> bool:
        """Whether a value names other resources: it means nothing elsewhere. Their ids may be `numbers`."""
        match value:
            case dict():
                return any(self.refers(inner, numbers=numbers) for inner in value.values())
            case list():
                return any(self.refers(inner, numbers=numbers) for inner in value)
            case str():
                known = value in self._ids and (numbers or not value.isdigit())
                return known or "<urn:" in value or (bool(self._ids) and value.startswith("arn:"))
            case int():
                return numbers and str(value) in self._ids
        return False

    def override(self, place: tuple[str, str], native: Mapping[str, Any]) -> None:
        """Write native inputs into a component."""
        if not native:
            return
        family, name = place
        component = self.draft.network if not name else self.draft.family(family)[name]
        if component is not None:
            component["override"] = {self.job.target.provider: copy.deepcopy(dict(native))}

    def result(self, stack: Stack, graph: Graph) -> Lifted:
        """All that was found out."""
        claims = self.urn_claims(graph)
        told = set(claims.values()) | self.draft.known
        reason = "no component stands for it"
        rest = [
            Left(item.key, item.type, item.name or item.id, reason)
            for item in self.job.items.all
            if item.key not in told
        ]
        facts = {key: Fact(key, value, why, source=LIFTED) for key, (value, why) in self.draft.facts.items()}
        return Lifted(self.data(), stack, facts, claims, [*self.draft.left, *rest], self.draft.notes, graph)


def _put(made: dict[str, Any], path: str, there: Mapping[str, Value], old: Value) -> None:
    """Put a value at a path; a list is put as a whole, since only all of it can be laid over another."""
    steps = path.partition("[")[0].split(".")
    value = old if "[" not in path else _at(there, steps)
    inside = made
    for step in steps[:-1]:
        inside = inside.setdefault(step, {})
    inside[steps[-1]] = value


def _at(value: Mapping[str, Value], steps: Sequence[str]) -> Value:
    found: Value = value
    for step in steps:
        found = found[step]
    return found
