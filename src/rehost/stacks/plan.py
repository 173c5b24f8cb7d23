"""Desired graph x state x live resources -> Plan. Pure: no clock, no network, no files."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from rehost.stacks.catalog import Bill, Origin
from rehost.stacks.graph import UNKNOWN, Graph, Ref, Resource, Value, at_path, is_secret, order
from rehost.stacks.graph import resolve as resolve_value
from rehost.stacks.ports import Adapter, Change, Disruption, KindRules, Live
from rehost.stacks.state import Fact, ResourceState, State
from rehost.stacks.unique import taken_from

_UNPRICED: Mapping[str, Any] = {"monthly": None, "unpriced": (), "origins": ()}
MASK = "[secret]"
NOT_KNOWN = "(known after apply)"


class Action(StrEnum):
    """What a step does."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    ADOPT = "adopt"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do to one resource. `monthly` and `was_monthly` are list prices as far as they are known, None
    where nothing of them is."""

    action: Action
    urn: str
    type: str
    component: str
    title: str
    name: str
    reason: str = ""
    changes: tuple[Change, ...] = ()
    disruption: Disruption = Disruption.NONE
    delete_first: bool = False
    holds_data: bool = False
    generation: str = "current"
    """`replaced` for the remains of an earlier replacement, with `key` naming them in state."""
    key: str = ""
    monthly: float | None = None
    was_monthly: float | None = None
    unpriced: tuple[str, ...] = ()
    """What is not in `monthly`, as its price is not known."""
    origins: tuple[Origin, ...] = ()
    """Where the prices are from; for display only."""
    drifted: bool = False
    notice: str = ""
    """What people should know about the change, beyond its disruption."""
    takes_from: tuple[str, ...] = ()
    """Resources (by URN, or by key for remains) that have a value which only this one may have afterwards."""
    shows: tuple[str, ...] = ()
    """Inputs that tell a reader what is made; for display only."""

    @property
    def address(self) -> str:
        """What people call it: component and title."""
        where = self.component or self.name
        return self.title if self.title.startswith(where) else f"{where} {self.title}".strip()


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered steps that make the target what the stack says. Frozen; display fields are derived."""

    stack: str
    target: str
    deployment: str
    serial: int
    steps: tuple[Step, ...]
    facts: tuple[Fact, ...] = ()
    chosen: tuple[str, ...] = ()
    """Keys of the facts that this plan chooses."""
    dropped: tuple[str, ...] = ()
    unknown_facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    """Components that hold data and would lose it, without having been named."""
    refreshed: bool = True
    currency: str = ""

    @property
    def changing(self) -> tuple[Step, ...]:
        """The steps that do something."""
        return tuple(step for step in self.steps if step.action is not Action.SAME)

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not self.changing and not self.chosen and not self.dropped

    def counts(self) -> dict[str, int]:
        """Steps by action."""
        counts = dict.fromkeys((action.value for action in Action), 0)
        for step in self.steps:
            counts[step.action.value] += 1
        return counts

    def monthly(self) -> tuple[float, float, int]:
        """List price before and after as far as it is known, and how many resources have a part without one."""
        before = round(sum(step.was_monthly or 0.0 for step in self.steps), 2)
        after = round(sum(step.monthly or 0.0 for step in self.steps), 2)
        return before, after, sum(bool(step.unpriced) for step in self.steps)

    def origins(self) -> tuple[Origin, ...]:
        """Where the prices are from, the oldest first."""
        found = {origin for step in self.steps for origin in step.origins}
        return tuple(sorted(found, key=lambda origin: (origin.date, origin.source)))

    def digest(self) -> str:
        """The same for plans that would do the same."""
        told = [_told(step) for step in self.changing]
        chosen = {fact.key: fact.value for fact in self.facts if fact.key in self.chosen}
        text = json.dumps([self.deployment, told, chosen, sorted(self.dropped)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _told(step: Step) -> dict[str, Any]:
    """What a step is for comparing plans; URN and action, with what changes."""
    return {
        "action": step.action.value,
        "urn": step.urn,
        "generation": step.generation,
        "changes": [[c.path, show(c.old), show(c.new)] for c in step.changes],
    }


def show(value: Value) -> Value:
    """A value as it may be shown: secrets masked, unknown ones said to be so."""
    if is_secret(value):
        return MASK
    if value is UNKNOWN:
        return NOT_KNOWN
    if isinstance(value, dict):
        return {key: show(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [show(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asked for besides, by addresses of components (`servers.app`, `servers.app-1`)."""

    only: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    delete_data: tuple[str, ...] = ()
    """Components whose data may be lost; `*` is all."""
    destroy: bool = False
    choose: tuple[str, ...] = ()
    """Choices that were made by hand: `servers.app.type=cpx22`."""


NO_WISHES = Wishes()


def named(component: str, addresses: Iterable[str]) -> bool:
    """Whether an address names the component or the group that it is a member of."""
    for address in addresses:
        if address in ("*", component) or component.startswith(address + "."):
            return True
        rest = component.removeprefix(address + "-")
        if rest != component and rest.isdigit():
            return True
    return False


@dataclass
class Planner:
    """Builds one plan.

    `live` holds what a refresh found by URN, None for what is gone; without a refresh it is None itself. `found`
    are resources of interrupted creates, `prices` answers what a type with its inputs is billed for. Components
    that would lose data without having been named are in `blocked` afterwards.
    """

    adapter: Adapter
    state: State
    live: Mapping[str, Live | None] | None
    wishes: Wishes
    prices: Callable[[str, Mapping[str, Value]], Bill] | None = None
    found: Mapping[str, Live] = field(default_factory=dict)
    _outputs: dict[str, tuple[str | Any, Mapping[str, Value], bool]] = field(default_factory=dict)
    _changing: dict[str, frozenset[str]] = field(default_factory=dict)
    _replaced: dict[str, bool] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    _notes: list[str] = field(default_factory=list)

    def plan(self, graph: Graph) -> tuple[list[Step], list[str], list[str]]:
        """Steps in an order in which they could be done, notes, and components that block."""
        wanted = self._wanted(graph)
        steps = [self._step(graph.resources[urn], urn in wanted) for urn in order(graph.resources, graph.edges)]
        steps += self._deletions(graph, wanted)
        steps = self._delete_first_spreads(self._taking(steps, graph), graph)
        return steps, self._notes, sorted(self.blocked)

    def _wanted(self, graph: Graph) -> set[str]:
        if not self.wishes.only:
            return set(graph.resources)
        pending = [urn for urn, resource in graph.resources.items() if named(resource.component, self.wishes.only)]
        wanted: set[str] = set()
        while pending:
            urn = pending.pop()
            if urn not in wanted:
                wanted.add(urn)
                pending += [
                    other
                    for other in graph.edges[urn]
                    if self._now(other, self.state.resources.get(other)) is None
                ]
        return wanted

    def lookup(self, ref: Ref) -> Value:
        """What is known of another resource's output before anything is done."""
        if ref.urn not in self._outputs:
            return UNKNOWN
        id_, outputs, complete = self._outputs[ref.urn]
        if ref.path == "id":
            return id_
        head = ref.path.split(".")[0].split("[")[0]
        if head not in outputs:
            return None if complete else UNKNOWN
        value = at_path(outputs, ref.path)
        # What the provider adds to an input that is new (an address in a network) is only known afterwards.
        settled = complete and head not in self._changing.get(ref.urn, ())
        return UNKNOWN if value is None and not settled else value

    def _step(self, resource: Resource, wanted: bool) -> Step:
        rules = self.adapter.rules(resource.type)
        inputs: dict[str, Value] = resolve_value(dict(resource.inputs), self.lookup)
        old = self.state.resources.get(resource.urn)
        now = self._now(resource.urn, old)
        base: dict[str, Any] = {
            "urn": resource.urn,
            "type": resource.type,
            "component": resource.component,
            "title": rules.title,
            "name": resource.name,
            "holds_data": rules.holds_data,
            **self._priced(resource.type, inputs),
            "shows": rules.shows,
        }
        if not wanted:
            if now is not None:
                self._outputs[resource.urn] = (now.id, now.outputs, True)
            kept = self._priced(resource.type, now.inputs) if now else _UNPRICED
            base |= {**kept, "was_monthly": kept["monthly"]}
            return Step(action=Action.SAME, reason="not named by --target", **base)
        if now is None:
            preview = self.adapter.preview(resource.type, inputs)
            self._outputs[resource.urn] = (preview.get("id", UNKNOWN), preview, False)
            reason = "deleted outside rehost" if old is not None else "new"
            given = tuple(Change(key, None, value) for key, value in inputs.items())
            return Step(action=Action.CREATE, reason=reason, changes=given, **base)
        return self._existing(base, resource, inputs, old, now)

    def _now(self, urn: str, old: ResourceState | None) -> Live | None:
        if old is None:
            return self.found.get(urn)
        if self.live is None or urn not in self.live:
            return Live(old.id, old.inputs, old.outputs)
        return self.live[urn]

    def _existing(
        self,
        base: dict[str, Any],
        resource: Resource,
        inputs: dict[str, Value],
        old: ResourceState | None,
        now: Live,
    ) -> Step:
        rules = self.adapter.rules(resource.type)
        if now.unseen:
            self._notes.append(
                f"{resource.component} {rules.title} {resource.name} is taken to be as it was: {now.unseen}"
            )
        diff = self.adapter.diff(resource.type, now.inputs, now.outputs, inputs)
        was = self._priced(resource.type, now.inputs)
        base["was_monthly"] = was["monthly"]
        drifted = old is not None and self.live is not None and _drifted(self.adapter, resource.type, old, now)
        for change in diff.changes:
            if change.frozen:
                self._notes.append(
                    f"{resource.component}: {change.path} differs from what the {rules.title} was created with; "
                    f"it is used at creation only (--replace {resource.component} makes it anew)"
                )
        asked = named(resource.component, self.wishes.replace)
        effective = diff.effective
        notice = _notice(rules, effective, now.inputs)
        base |= {"changes": effective, "drifted": drifted and bool(effective), "notice": notice}
        if rules.due and rules.due in now.inputs:
            base["drifted"] = False
        if diff.replaces or (asked and resource.component != ""):
            return self._replace(base, resource, inputs, diff.replaces, asked)
        unfinished = resource.urn in self.state.unfinished
        if not effective and not unfinished:
            self._outputs[resource.urn] = (now.id, now.outputs, True)
            action = Action.SAME if old is not None else Action.ADOPT
            # What can't be known before an apply, such as a reference, is known of what is there.
            base |= was
            return Step(action=action, reason="" if old else "made by an interrupted run", **base)
        heads = frozenset(change.path.split(".")[0].split("[")[0] for change in effective)
        self._changing[resource.urn] = heads
        outputs = {**now.outputs, **{head: inputs.get(head) for head in heads}}
        outputs.update((name, UNKNOWN) for head in heads for name in rules.moves.get(head, ()))
        disruption = max((change.disruption for change in effective), default=Disruption.NONE)
        if disruption >= Disruption.RESTART or heads & rules.renewing:
            outputs.update(dict.fromkeys(rules.volatile, UNKNOWN))
        self._outputs[resource.urn] = (now.id, outputs, True)
        reason = "changed outside rehost" if base["drifted"] else "the definition changed"
        if not effective:
            reason = "an interrupted run was not done with it"
        return Step(action=Action.UPDATE, disruption=disruption, reason=reason, **base)

    def _replace(
        self,
        base: dict[str, Any],
        resource: Resource,
        inputs: dict[str, Value],
        forced: tuple[str, ...],
        asked: bool,
    ) -> Step:
        rules = self.adapter.rules(resource.type)
        preview = self.adapter.preview(resource.type, inputs)
        self._outputs[resource.urn] = (preview.get("id", UNKNOWN), preview, False)
        if rules.holds_data and not asked and not named(resource.component, self.wishes.delete_data):
            self.blocked.add(resource.component)
        reason = f"{', '.join(forced)} can't change in place" if forced else "asked for with --replace"
        if forced == (rules.due,):
            reason = next(str(change.old) for change in base["changes"] if change.path == rules.due)
        self._replaced[resource.urn] = rules.delete_before_replace
        return Step(
            action=Action.REPLACE,
            reason=reason,
            disruption=_of_replacing(rules),
            delete_first=rules.delete_before_replace,
            **base,
        )

    def _taking(self, steps: list[Step], graph: Graph) -> list[Step]:
        """Steps that take a value over know from whom; who gives one up is deleted before its successor exists."""
        takers, holders = [], []
        for step in steps:
            if not self.adapter.rules(step.type).unique or step.action in (Action.SAME, Action.ADOPT):
                continue
            if step.action is not Action.DELETE:
                inputs = resolve_value(dict(graph.resources[step.urn].inputs), self.lookup)
                takers.append((step.urn, step.type, inputs))
            old = self.state.replaced.get(step.key) if step.key else self.state.resources.get(step.urn)
            if old is not None and step.action is not Action.CREATE:
                holders.append((step.key or step.urn, step.type, old.inputs))
        taken = taken_from(takers, holders, self.adapter.rules)
        updated = {step.urn for step in steps if step.action is Action.UPDATE}
        givers = {name for names in taken.values() for name in names}
        made = []
        for step in steps:
            if step.action is not Action.DELETE and step.urn in taken:
                others = tuple(n for n in taken[step.urn] if n != step.urn or step.urn not in updated)
                step = replace(step, takes_from=others)
            if step.action is Action.REPLACE and step.urn in givers:
                step = replace(step, delete_first=True)
            made.append(step)
        return made

    def _delete_first_spreads(self, steps: list[Step], graph: Graph) -> list[Step]:
        """What depends on a resource that is deleted before its successor exists has to go before it; so has what
        depends on one that has to be gone for another to be made."""
        first = {step.urn for step in steps if step.delete_first}
        first |= {name for step in steps for name in step.takes_from if name in self.state.resources}
        going = {step.urn for step in steps if step.action in (Action.REPLACE, Action.DELETE)}
        first &= going
        pending = list(first)
        while pending and any(step.takes_from for step in steps):
            gone = pending.pop()
            for urn in going - first:
                old = self.state.resources.get(urn)
                if old is not None and gone in old.dependencies:
                    first.add(urn)
                    pending.append(urn)
        for step in steps:
            if step.action is Action.REPLACE and graph.edges[step.urn] & first:
                first.add(step.urn)
        return [
            replace(step, delete_first=True) if step.urn in first and step.action is Action.REPLACE else step
            for step in steps
        ]

    def _deletions(self, graph: Graph, wanted: set[str]) -> list[Step]:
        gone = []
        for urn, old in self.state.resources.items():
            if urn in graph.resources or (self.wishes.only and not named(old.component, self.wishes.only)):
                continue
            if self.live is not None and self.live.get(urn, old) is None:
                continue
            gone.append(
                self._deletion(old, "", "no longer in the stack" if not self.wishes.destroy else "destroy")
            )
        dependents = {step.urn: self.state.resources[step.urn].dependencies for step in gone}
        present = {urn: [d for d in needed if d in dependents] for urn, needed in dependents.items()}
        position = {urn: n for n, urn in enumerate(reversed(order(present, present)))}
        gone.sort(key=lambda step: position[step.urn])
        for key, old in self.state.replaced.items():
            if self.live is None or self.live.get(key, old) is not None:
                gone.append(self._deletion(old, key, "its replacement exists"))
        return gone

    def _deletion(self, old: ResourceState, key: str, reason: str) -> Step:
        rules = self.adapter.rules(old.type)
        if rules.holds_data and not key and not named(old.component, self.wishes.delete_data):
            self.blocked.add(old.component)
        return Step(
            action=Action.DELETE,
            urn=old.urn,
            type=old.type,
            component=old.component,
            title=rules.title,
            name=old.urn.split("::")[-1],
            reason=reason,
            disruption=Disruption.DATA_LOSS if rules.holds_data else Disruption.NONE,
            holds_data=rules.holds_data,
            generation="replaced" if key else "current",
            key=key,
            was_monthly=self._priced(old.type, old.inputs)["monthly"],
        )

    def _priced(self, token: str, inputs: Mapping[str, Value]) -> dict[str, Any]:
        bill = self.prices(token, inputs) if self.prices else None
        if bill is None:
            return dict(_UNPRICED)
        nothing = bill.unknown and not bill.known
        return {
            "monthly": None if nothing else bill.known,
            "unpriced": bill.unknown,
            "origins": bill.origins,
        }


def _of_replacing(rules: KindRules) -> Disruption:
    if rules.paper:
        return Disruption.NONE
    return Disruption.DATA_LOSS if rules.holds_data else Disruption.REPLACE


def _notice(rules: KindRules, changes: Iterable[Change], inputs: Mapping[str, Value]) -> str:
    if not rules.notice:
        return ""
    heads = (change.path.split(".")[0].split("[")[0] for change in changes)
    texts = dict.fromkeys(rules.notice[head] for head in heads if head in rules.notice)
    known = {key: show(value) for key, value in {**rules.defaults, **inputs}.items()}
    return "; ".join(text.format_map(defaultdict(lambda: "some", known)) for text in texts)


def _drifted(adapter: Adapter, token: str, old: ResourceState, now: Live) -> bool:
    return old.inputs != now.inputs and bool(adapter.diff(token, old.inputs, old.outputs, now.inputs).changes)
