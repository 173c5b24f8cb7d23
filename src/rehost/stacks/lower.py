"""Component to resources: what every provider's lowering is given, and the pass itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rehost.stacks.acme.resource import CERTIFICATE
from rehost.stacks.errors import InvalidInput
from rehost.stacks.graph import UNKNOWN, Graph, Join, Ref, Resource, Secret, Value, make_urn, reveal
from rehost.stacks.model import Network, Record, Stack, Target
from rehost.stacks.ports import Adapter
from rehost.stacks.records import normal
from rehost.stacks.secretkeys import public_key

if TYPE_CHECKING:
    from rehost.stacks.legalize import SqlRole

REFERENCE = re.compile(r"\$\$|\$\{([^{}]*)\}")
FOUND = "found."
"""What the keys of facts begin with that hold how one resource was found when it was adopted: native inputs that
are laid over what is lowered, and belong to this one target."""


def kept_key(type_: str, name: str) -> str:
    """The key of the fact that holds the inputs which an adopted resource keeps."""
    return f"{FOUND}{type_}::{name}"


def rehost_id(deployment: str, urn: str) -> str:
    """The mark that tells a resource's owner: 32 hex digits, fit for any provider's label values."""
    return hashlib.sha256(f"{deployment}\n{urn}".encode()).hexdigest()[:32]


@dataclass
class Lowering:
    """The context of one lowering: definition, target, facts, and how names and marks are made."""

    stack: Stack
    target: Target
    facts: Mapping[str, Any]
    deployment: str | None = None
    """The deployment id; None in a preview of what was never deployed: what depends on it is unknown."""
    secrets: Mapping[str, Value] = field(default_factory=dict)
    """Secret values by name; UNKNOWN where they can't be read."""

    texts: Mapping[str, str] = field(default_factory=dict)
    """What references to derived values stand for, by address; see legalize."""
    roles: tuple[SqlRole, ...] = ()

    guards: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """By server group the ports that only some may reach, and whom; see legalize."""

    def fact(self, key: str) -> Any:
        """A chosen fact, UNKNOWN where nothing could be chosen yet."""
        return self.facts.get(key, UNKNOWN)

    def urn(self, type_: str, name: str) -> str:
        """The URN for a type and logical name."""
        return make_urn(self.target.name, self.stack.stack, type_, name)

    def resource(
        self,
        type_: str,
        name: str,
        inputs: Mapping[str, Value],
        *,
        component: str,
        after: Iterable[str] = (),
    ) -> Resource:
        """A resource of this stack, without the inputs that are None."""
        kept = {key: value for key, value in inputs.items() if value is not None}
        return Resource(self.urn(type_, name), type_, name, kept, component, tuple(after))

    def marks(self, type_: str, name: str, labels: Mapping[str, str] | None = None) -> dict[str, Value]:
        """Tags or labels of a resource: the operator's own, and the mark of its owner."""
        mark = UNKNOWN if self.deployment is None else rehost_id(self.deployment, self.urn(type_, name))
        return {**(labels or {}), "rehost-id": mark, "rehost-stack": self.stack.stack}

    def physical(self, name: str) -> str:
        """The provider-side name of a resource: stack and logical name."""
        return f"{self.stack.stack}-{name}"

    def kept(self, type_: str, name: str) -> Mapping[str, Any]:
        """The inputs that a resource keeps because it was adopted with them."""
        found: Mapping[str, Any] = self.facts.get(kept_key(type_, name), {})
        return found

    def global_name(self, name: str, kept: Value = None) -> Value:
        """A name that must be unique in the world, with a suffix from the deployment id; or the one that is
        kept."""
        if kept is not None:
            return kept
        if self.deployment is None:
            return UNKNOWN
        return f"{self.stack.stack}-{name}-{rehost_id(self.deployment, 'global')[:10]}"

    def text(self, text: str, export: Callable[[str], Value]) -> Value:
        """Text with its `${...}` references replaced by what `export` answers for each; `$$` is a dollar."""
        parts: list[Value] = []
        position = 0
        for match in REFERENCE.finditer(text):
            parts.append(text[position : match.start()])
            position = match.end()
            value: Value = "$" if match[0] == "$$" else self._refer(match[1].strip(), export)
            # What stands for a text is as if it had been written in its place.
            inside = match[1] is not None and match[1].strip() in self.texts
            parts += value.parts if inside and isinstance(value, Join) else [value]
        parts.append(text[position:])
        present: list[Value] = []
        for part in parts:
            if isinstance(part, str) and present and isinstance(present[-1], str):
                present[-1] += part
            elif part != "":
                present.append(part)
        if not present:
            return ""
        return present[0] if len(present) == 1 else Join(tuple(present))

    def values_of(
        self,
        records: tuple[Record, ...],
        export: Callable[[str], Value],
        pointed: Callable[[str], list[Value]],
    ) -> list[Value]:
        """The values of a record set: as they are written, in their normal form, or what `pointed` answers."""
        found: list[Value] = []
        for record in records:
            given = record.values()
            if given is None:
                found += pointed(record.to or "")
                continue
            for text in given[1]:
                value = self.text(text, export)
                found.append(normal(given[0], value) if isinstance(value, str) else value)
        return found

    def _refer(self, address: str, export: Callable[[str], Value]) -> Value:
        if address in self.texts:
            return self.text(self.texts[address], export)
        head, _, rest = address.partition(".")
        if head == "secrets":
            name, _, part = rest.partition(".")
            value = self.secrets.get(name, UNKNOWN)
            if value is not UNKNOWN and part == "public_key":
                return public_key(name, str(reveal(value)))
            if value is not UNKNOWN and part == "quoted":
                return Secret(quote(str(reveal(value)), safe=""))
            return value if value is UNKNOWN or isinstance(value, Secret) else Secret(value)
        if head == "certificates" and rest.endswith(".chain"):
            return Ref(self.urn(CERTIFICATE, rest.removesuffix(".chain")), "chainPem")
        if address == "stack":
            return self.stack.stack
        if address == "network.cidr" and self.stack.network is not None:
            return str(self.stack.network.cidr)
        if address in ("target", "target.name"):
            return self.target.name
        if address == "target.region":
            return self.target.region
        return export(address)


class Components:
    """What the lowerings of all providers have in common; each adds how its resources are marked."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        self._stack = lowering.stack
        self._network = self._stack.network or (Network() if self._stack.servers else None)

    def ref(self, token: str, name: str, path: str = "id") -> Ref:
        """Another resource's output."""
        return Ref(self.lowering.urn(token, name), path)

    def plain(
        self,
        token: str,
        name: str,
        component: str,
        inputs: Mapping[str, Value],
        *,
        after: tuple[str, ...] = (),
    ) -> Resource:
        """A resource whose type has no marks."""
        return self.lowering.resource(token, name, inputs, component=component, after=after)


def lower(adapter: Adapter, lowering: Lowering) -> Graph:
    """The graph of a stack at a target, with overrides laid over the inputs, what adopted resources keep laid over
    those, and every input checked.

    Raises InvalidInput for inputs that break a kind's limits and GraphError for a broken graph.
    """
    resources = []
    for resource in adapter.lower(lowering):
        kept = lowering.kept(resource.type, resource.name)
        try:
            inputs = adapter.check(resource.type, merged(resource.inputs, kept) if kept else resource.inputs)
        except InvalidInput as error:
            error.address = error.address or resource.component
            raise
        resources.append(
            Resource(resource.urn, resource.type, resource.name, inputs, resource.component, resource.after)
        )
    return Graph.of(resources)


def overridden(
    inputs: Mapping[str, Value], override: Mapping[str, Mapping[str, Any]], target: Target
) -> dict[str, Value]:
    """Inputs with the operator's native properties for this provider, then for this target, laid over them."""
    laid = dict(inputs)
    for key in (target.provider, target.name):
        laid = merged(laid, override.get(key, {}))
    return laid


def merged(below: Mapping[str, Value], above: Mapping[str, Any]) -> dict[str, Value]:
    """Inputs with others laid over them, key by key."""
    made = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = merged(made[key], value)
        else:
            made[key] = value
    return made
