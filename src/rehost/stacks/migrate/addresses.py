"""The names of a stack: what they point to at either side, and who has to be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rehost.stacks.deployment import Deployment
from rehost.stacks.records import text_pieces
from rehost.stacks.state import ResourceState


@dataclass(frozen=True, slots=True)
class Address:
    """One record set: fully qualified name, type, values."""

    name: str
    type: str
    values: tuple[str, ...]
    ttl: int


def addresses_of(deployment: Deployment) -> dict[tuple[str, str], Address]:
    """The record sets that a deployment made, by name and type."""
    return {(found.name, found.type): found for found in (_address(r) for r in _records(deployment)) if found}


def _records(deployment: Deployment) -> Iterator[ResourceState]:
    state = deployment.store.read(deployment.stack.stack, deployment.target.name)
    for resource in state.resources.values():
        if resource.component.startswith("dns."):
            yield resource


def _address(resource: ResourceState) -> Address | None:
    type_ = resource.inputs.get("type")
    rows = resource.outputs.get("records") or resource.outputs.get("values") or []
    if not type_ or not rows:
        return None
    # The final dot of a full name is written by some providers and left out by others.
    values = [str(row["value"] if isinstance(row, Mapping) else row).removesuffix(".") for row in rows]
    if type_ == "TXT":
        # Quotes, and where a long text is split, are a provider's way to write it down.
        values = ["".join(text_pieces(value)) if value.startswith('"') else value for value in values]
    name = resource.component.removeprefix("dns.")
    return Address(name, str(type_), tuple(sorted(values)), int(resource.outputs.get("ttl") or 0))


def changes(source: Deployment, target: Deployment) -> list[dict[str, Any]]:
    """Every name with what it points to before and after; empty where a side has it not (yet)."""
    before, after = addresses_of(source), addresses_of(target)
    told = []
    for name, type_ in sorted(before.keys() | after.keys()):
        old, new = before.get((name, type_)), after.get((name, type_))
        told.append(
            {
                "name": name,
                "type": type_,
                "before": list(old.values) if old else [],
                "after": list(new.values) if new else [],
                "ttl": (new or old or Address("", "", (), 0)).ttl,
            }
        )
    return told


def name_servers(deployment: Deployment) -> dict[str, list[str]]:
    """The name servers of every zone that a deployment made, as its outputs name them."""
    found: dict[str, list[str]] = {}
    for resource in _records(deployment):
        if not resource.inputs.get("type"):
            for key, value in resource.outputs.items():
                if "nameserver" in key.lower():
                    found.setdefault(resource.component.removeprefix("dns."), []).extend(_texts(value))
    return {zone: sorted(set(servers)) for zone, servers in found.items() if servers}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def hosts(deployment: Deployment) -> dict[str, str]:
    """Host names with an address on this side; names that stand for others (CNAME) included."""
    known = addresses_of(deployment)
    found = {name: address.values[0] for (name, type_), address in known.items() if type_ in ("A", "AAAA")}
    for (name, type_), address in known.items():
        if type_ == "CNAME":
            target, seen = address.values[0], {name}
            while target not in found and target not in seen and (target, "CNAME") in known:
                seen.add(target)
                target = known[target, "CNAME"].values[0]
            if target in found:
                found[name] = found[target]
    return found
