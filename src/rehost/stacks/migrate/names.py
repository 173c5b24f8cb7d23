"""The names of a stack turned to another side, in the zone that the source keeps."""

from __future__ import annotations

from typing import Any

from rehost.stacks.deployment import Deployment
from rehost.stacks.migrate.addresses import addresses_of
from rehost.stacks.model import Record, Stack
from rehost.stacks.publicnames import TTL, named, relative


def pointed(stack: Stack, target: Deployment) -> Stack:
    """The stack with every record that points to a component of its own, and every public name of a bucket,
    pointing to what `target` has for it."""
    found = addresses_of(target)
    zones: dict[str, tuple[Record, ...]] = {}
    for zone, records in stack.dns.items():
        made = []
        for record in records:
            fields: dict[str, Any] = {}
            for type_, key in (("A", "a"), ("AAAA", "aaaa"), ("CNAME", "cname")):
                address = found.get((record.full(zone), type_))
                if address is not None and _turns(record):
                    fields[key] = address.values[0] if key == "cname" else address.values
            made.append(record.model_copy(update={"to": None, **fields}) if fields else record)
        made += [
            Record(name=relative(public, zone), a=found[public, "A"].values, ttl=TTL)
            for public in named(stack).values()
            if stack.zone_of(public) == zone and (public, "A") in found
        ]
        zones[zone] = tuple(made)
    return stack.model_copy(update={"dns": zones})


def parts_of(stack: Stack) -> list[str]:
    """The components that hold a stack's records, those of public names of buckets among them."""
    names = {record.full(zone) for zone, records in stack.dns.items() for record in records}
    names |= {name for name in named(stack).values() if stack.zone_of(name) is not None}
    return [f"dns.{name}" for name in sorted(names | stack.dns.keys())]


def turned(source: Deployment, target: Deployment) -> Deployment:
    """The source, with its zones pointing to the target."""
    return source.like(stack=pointed(source.stack, target))


def _turns(record: Record) -> bool:
    """Whether what it says depends on the side: it points to a component, or has a reference in its value."""
    given = record.values()
    return given is None or any("${" in value for value in given[1])
