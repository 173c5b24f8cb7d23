"""Servers in front of buckets back to the buckets' public names, where that says all of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rehost.stacks.bucketproxy import IMAGE
from rehost.stacks.lift.draft import Draft
from rehost.stacks.substitutes import group_for


def with_proxy(draft: Draft) -> dict[str, str]:
    """The public names of buckets that seem to have a proxy, by bucket."""
    found = {}
    for name in draft.families.get("buckets", {}):
        service = draft.families.get("services", {}).get(group_for(f"buckets.{name}"), {})
        public = service.get("environment", {}).get("NAME")
        if service.get("image") == IMAGE and isinstance(public, str) and public:
            found[name] = public
    return found


def folded(draft: Draft, name: str, public: str) -> Draft:
    """The draft with a public name in place of a bucket's proxy. Whether it says the same is for others to find
    out."""
    group = group_for(f"buckets.{name}")
    # What says the bucket's own address goes on saying that.
    families = _renamed(
        copy.deepcopy(draft.families), f"${{buckets.{name}.url}}", f"${{buckets.{name}.direct_url}}"
    )
    subnet = families.get("servers", {}).get(group, {}).get("subnet")
    there = {f"servers.{group}-1.subnet": (subnet, "where it is in the network")} if subnet else {}
    for family in ("servers", "firewalls", "services"):
        families.get(family, {}).pop(group, None)
    if families.get("certificates", {}).get(group, {}).get("domains") == [public]:
        del families["certificates"][group]
    for zone, records in families.get("dns", {}).items():
        families["dns"][zone] = [record for record in records if record.get("to") not in _proxies(group)]
    families["buckets"][name]["public_name"] = public
    for service in families.get("services", {}).values():
        variables = service.get("environment") or {}
        service["environment"] = _renamed(variables, f"https://{public}", f"${{buckets.{name}.url}}")
    return replace(draft, families=families, facts={**draft.facts, **there})


def _proxies(group: str) -> tuple[str, ...]:
    return f"servers.{group}", f"servers.{group}-1"


def _renamed(value: Any, old: str, new: str) -> Any:
    match value:
        case str():
            return value.replace(old, new)
        case Mapping():
            # A program's source refers to nothing.
            return {key: item if key == "files" else _renamed(item, old, new) for key, item in value.items()}
        case list() | tuple():
            return [_renamed(item, old, new) for item in value]
    return value
