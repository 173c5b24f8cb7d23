"""What is deployed at a target, where it is reached, and how it differs from what was made and what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rehost.stacks.deployment import Deployment
from rehost.stacks.graph import UNKNOWN, Secret, Value, at_path
from rehost.stacks.plan import Action, Plan, Step
from rehost.stacks.ports import Adapter
from rehost.stacks.state import LockInfo, State, Store


@dataclass(frozen=True, slots=True)
class Address:
    """Where something is reached: a public address, a zone's name servers, a bucket's host name."""

    component: str
    title: str
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A state in a line. Times are RFC 3339 in UTC, empty where nothing is deployed."""

    target: str
    deployment: str
    since: str
    changed: str
    resources: int
    replaced: int
    pending: int
    holder: LockInfo | None


@dataclass(frozen=True)
class Status:
    """A deployment at its target. `plan` is None where nothing is deployed; drift is known after a refresh."""

    summary: Summary
    state: State
    addresses: tuple[Address, ...]
    plan: Plan | None

    @property
    def changed_outside(self) -> tuple[Step, ...]:
        """What somebody changed at the provider."""
        return tuple(step for step in self._changing if step.drifted)

    @property
    def deleted_outside(self) -> tuple[Step, ...]:
        """What somebody deleted at the provider."""
        return tuple(step for step in self._changing if self._was_deleted(step))

    @property
    def waiting(self) -> tuple[Step, ...]:
        """What the definition would change."""
        return tuple(step for step in self._changing if not step.drifted and not self._was_deleted(step))

    @property
    def _changing(self) -> tuple[Step, ...]:
        return self.plan.changing if self.plan else ()

    def _was_deleted(self, step: Step) -> bool:
        refreshed = self.plan is not None and self.plan.refreshed
        return refreshed and step.action is Action.CREATE and step.urn in self.state.resources


def summarize(store: Store, stack: str, target: str) -> Summary:
    """One target's state, without a look at the provider."""
    return _summary(store.read(stack, target), store.holder(stack, target))


def _summary(state: State, holder: LockInfo | None) -> Summary:
    resources = state.resources.values()
    return Summary(
        state.target,
        state.deployment,
        min((r.created for r in resources if r.created), default=""),
        max((r.modified for r in resources if r.modified), default=""),
        len(resources),
        len(state.replaced),
        len(state.pending),
        holder,
    )


def status_of(deployment: Deployment, *, refresh: bool) -> Status:
    """The status of a deployment. Raises RehostError where the provider can't be asked."""
    stack, target = deployment.stack.stack, deployment.target.name
    state = deployment.store.read(stack, target)
    summary = _summary(state, deployment.store.holder(stack, target))
    plan = deployment.plan(refresh=refresh) if state.holds_anything else None
    return Status(summary, state, addresses(state, deployment.adapter), plan)


def addresses(state: State, adapter: Adapter) -> tuple[Address, ...]:
    """Where the resources of a state are reached, by component."""
    found: list[Address] = []
    for resource in sorted(state.resources.values(), key=lambda r: (r.component, r.urn)):
        try:
            rules = adapter.rules(resource.type)
        except KeyError:
            continue
        for path in rules.addresses:
            values = _texts(at_path(resource.outputs, path))
            if values:
                found.append(Address(resource.component, rules.title, path, tuple(values)))
    return tuple(found)


def _texts(value: Value) -> Sequence[str]:
    if value in (None, "") or value is UNKNOWN or isinstance(value, Secret):
        return ()
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
