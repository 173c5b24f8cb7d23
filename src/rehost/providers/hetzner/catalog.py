"""What Hetzner offers, as data. See data/catalog.json for the sources."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rehost.stacks.catalog import Offer, Origin, Rate, Sheet
from rehost.stacks.model import Target

Row = Mapping[str, Any]
GIB = 1024**3
GB = 10**9
ARCHITECTURES = {"x86": "x86_64", "arm": "arm64"}
INCLUDED_TB = 1.0
"""Traffic of a month that the base price of the object storage includes."""


@cache
def _data() -> Mapping[str, Any]:
    path = Path(__file__).parent / "data" / "catalog.json"
    data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def locations() -> Mapping[str, Row]:
    """Locations by name."""
    return {row["name"]: row for row in _data()["locations"]}


def server_types() -> Sequence[Row]:
    """Server types as they are shipped; `monthly` has the net list price in EUR of the network zones where it is
    known."""
    rows: Sequence[Row] = _data()["server_types"]
    return rows


def load_balancer_types() -> Sequence[Row]:
    """Load balancer types, the smallest first."""
    rows: Sequence[Row] = _data()["load_balancer_types"]
    return rows


def storage_location(target: Target) -> str:
    """Where a target's buckets are."""
    return str(target.options.get("object_storage_location") or target.region)


def login(image: str) -> str:
    """Whom an image lets in."""
    return str(next((row["login"] for row in _data()["images"] if row["name"] == image), "root"))


def images() -> frozenset[tuple[str, str]]:
    """Official images by name and architecture."""
    return frozenset((row["name"], row["architecture"]) for row in _data()["images"])


@cache
def shipped(region: str) -> Sheet:
    """What is known of a location without asking Hetzner."""
    if region not in locations():
        return Sheet()
    zone = locations()[region]["network_zone"]
    origins = {name: Origin(**row) for name, row in _data()["origins"].items()}
    offers = [
        Offer(
            "servers",
            row["name"],
            region,
            row["cores"],
            row["memory_gib"] * GIB,
            row["disk_gb"] * GB,
            ARCHITECTURES[row["architecture"]],
            monthly=row["monthly"].get(zone),
            origin=origins["servers"] if zone in row["monthly"] else None,
            note="dedicated CPUs" if row["cpu_type"] == "dedicated" else "",
        )
        for row in server_types()
        if region in row["locations"]
    ]
    offers += [
        Offer(
            "load_balancers",
            row["name"],
            region,
            monthly=row["monthly"].get(zone),
            origin=origins["load_balancers"] if zone in row["monthly"] else None,
            note=balancer_note(row),
        )
        for row in load_balancer_types()
    ]
    rates = [
        Rate(row["what"], region, row["unit"], row["amount"], origins[row["origin"]])
        for row in _data()["rates"]
        if zone in row["zones"]
    ]
    return Sheet(tuple(offers), tuple(rates))


def balancer_note(row: Row) -> str:
    """What a load balancer type can hold."""
    return f"{row['services']} services, {row['targets']} targets, {row['certificates']} certificates"
