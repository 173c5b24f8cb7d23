"""State in memory, and how each journal entry changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rehost.stacks.errors import RehostError
from rehost.stacks.graph import UNKNOWN, Ref, Value, at_path


@dataclass(frozen=True, slots=True)
class Fact:
    """A choice that was made once. `source` is `catalog` or `live`."""

    key: str
    value: Any
    why: str = ""
    runner_up: str = ""
    source: str = "catalog"


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a deployment was made; it is refused anywhere else."""

    endpoint: str
    account: str = ""


@dataclass(slots=True)
class ResourceState:
    """One resource that this deployment owns. `created` and `modified` are RFC 3339 in UTC."""

    urn: str
    type: str
    id: str
    inputs: dict[str, Value]
    outputs: dict[str, Value]
    dependencies: tuple[str, ...] = ()
    component: str = ""
    created: str = ""
    modified: str = ""


@dataclass(slots=True)
class Intent:
    """A call that was about to be made and whose outcome is not known. `time` is seconds since 1970."""

    n: int
    action: str
    urn: str
    type: str
    id: str = ""
    inputs: dict[str, Value] = field(default_factory=dict)
    token: str = ""
    time: float = 0.0
    component: str = ""
    dependencies: tuple[str, ...] = ()
    generation: str = "current"


@dataclass
class State:
    """Everything a deployment owns. `resources` are by URN, `replaced` predecessors by `urn#id`.

    `locked` says that secrets could not be read for want of a passphrase and stand as UNKNOWN.
    """

    stack: str
    target: str
    deployment: str = ""
    binding: Binding | None = None
    facts: dict[str, Fact] = field(default_factory=dict)
    secrets: dict[str, Value] = field(default_factory=dict)
    resources: dict[str, ResourceState] = field(default_factory=dict)
    replaced: dict[str, ResourceState] = field(default_factory=dict)
    pending: dict[int, Intent] = field(default_factory=dict)
    serial: int = 0
    applying: str = ""
    """Digest of the saved plan that is being carried out, empty when none is."""
    locked: bool = False

    @property
    def unfinished(self) -> frozenset[str]:
        """URNs of resources whose update or taken-over create was interrupted: they look as they should, perhaps,
        but the kind has not said that it is done with them."""
        return frozenset(intent.urn for intent in self.pending.values() if intent.action == "update")

    def output(self, ref: Ref) -> Value:
        """What a reference to a resource's output stands for; UNKNOWN where there is no such resource."""
        resource = self.resources.get(ref.urn)
        if resource is None:
            return UNKNOWN
        return resource.id if ref.path == "id" else at_path(resource.outputs, ref.path)

    def predecessors(self, urn: str) -> frozenset[str]:
        """Ids of what a resource replaces and what is still there."""
        return frozenset(old.id for old in self.replaced.values() if old.urn == urn)

    @property
    def holds_anything(self) -> bool:
        """Whether anything at the provider may belong to this deployment."""
        return bool(self.resources or self.replaced or self.pending)

    def apply(self, entry: Mapping[str, Any]) -> None:
        """Replay one journal entry. Raises RehostError for one that this version does not know."""
        handler = _HANDLERS.get(entry["kind"])
        if handler is None:
            raise RehostError(
                f"the journal has an entry of the unknown kind {entry['kind']!r}",
                why="a newer version of rehost wrote it",
                fix="use that version",
            )
        handler(self, entry)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _deployment(state: State, entry: Mapping[str, Any]) -> None:
    state.deployment = entry["id"]
    state.binding = Binding(entry["endpoint"], entry.get("account", ""))


def _facts(state: State, entry: Mapping[str, Any]) -> None:
    for key, fact in entry["facts"].items():
        if fact is None:
            state.facts.pop(key, None)
        else:
            state.facts[key] = Fact(key=key, **fact)


def _secrets(state: State, entry: Mapping[str, Any]) -> None:
    state.secrets.update(entry["secrets"])


def _applying(state: State, entry: Mapping[str, Any]) -> None:
    state.applying = entry["plan"]


def _intent(state: State, entry: Mapping[str, Any]) -> None:
    fields = {key: entry[key] for key in Intent.__dataclass_fields__ if key in entry}
    fields["dependencies"] = tuple(fields.get("dependencies", ()))
    state.pending[entry["n"]] = Intent(**fields)


def _made(state: State, entry: Mapping[str, Any]) -> None:
    intent = state.pending.get(entry["n"])
    if intent is not None:
        intent.id = entry["id"]


def _done(state: State, entry: Mapping[str, Any]) -> None:
    intent = state.pending.pop(entry["n"])
    for n, other in list(state.pending.items()):
        # What was begun before on the same resource is settled by this.
        if n < intent.n and (other.urn, other.generation) == (intent.urn, intent.generation):
            del state.pending[n]
    stamp = _stamp(entry["time"])
    if intent.action == "delete":
        if intent.generation == "replaced":
            state.replaced.pop(f"{intent.urn}#{intent.id}", None)
        else:
            state.resources.pop(intent.urn, None)
        return
    old = state.resources.get(intent.urn)
    state.resources[intent.urn] = ResourceState(
        intent.urn,
        intent.type,
        entry["id"],
        dict(entry["inputs"]),
        dict(entry["outputs"]),
        intent.dependencies,
        intent.component,
        old.created if old is not None and intent.action == "update" else stamp,
        stamp,
    )


def _abandoned(state: State, entry: Mapping[str, Any]) -> None:
    state.pending.pop(entry["n"], None)


def _refreshed(state: State, entry: Mapping[str, Any]) -> None:
    resource = state.resources[entry["urn"]]
    resource.inputs, resource.outputs = dict(entry["inputs"]), dict(entry["outputs"])


def _gone(state: State, entry: Mapping[str, Any]) -> None:
    """`urn` may be the key of a replaced predecessor."""
    urn = entry["urn"]
    state.replaced.pop(urn, None)
    if state.resources.pop(urn, None) is not None:
        state.pending = {n: i for n, i in state.pending.items() if i.urn != urn or i.action == "create"}


def _forget(state: State, entry: Mapping[str, Any]) -> None:
    """The operator's: a resource, the remains of a replacement (`key`), or an open step (`n`)."""
    state.resources.pop(entry.get("urn", ""), None)
    state.replaced.pop(entry.get("key", ""), None)
    state.pending.pop(entry.get("n", -1), None)


def _replaced(state: State, entry: Mapping[str, Any]) -> None:
    """Another state was about to be put in the place of this one; as long as it is not there, nothing changed."""


def _replacing(state: State, entry: Mapping[str, Any]) -> None:
    old = state.resources.pop(entry["urn"])
    state.replaced[f"{old.urn}#{old.id}"] = old


_HANDLERS = {
    "deployment": _deployment,
    "facts": _facts,
    "secrets": _secrets,
    "applying": _applying,
    "intent": _intent,
    "made": _made,
    "done": _done,
    "abandoned": _abandoned,
    "refreshed": _refreshed,
    "gone": _gone,
    "forget": _forget,
    "replaced": _replaced,
    "replacing": _replacing,
}
