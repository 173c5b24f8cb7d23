"""What Hetzner offers, as data. See data/catalog.json for the sources."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rehost.stacks.model import Target

Row = Mapping[str, Any]


@cache
def _data() -> Mapping[str, Any]:
    path = Path(__file__).parent / "data" / "catalog.json"
    data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def locations() -> Mapping[str, Row]:
    """Locations by name."""
    return {row["name"]: row for row in _data()["locations"]}


def server_types() -> Sequence[Row]:
    """Server types; `monthly` is the net list price in EUR, None where it is not known."""
    rows: Sequence[Row] = _data()["server_types"]
    return rows


def load_balancer_types() -> Sequence[Row]:
    """Load balancer types, the smallest first; `monthly` is None where no price is known."""
    rows: Sequence[Row] = _data()["load_balancer_types"]
    return rows


def storage_location(target: Target) -> str:
    """Where a target's buckets are."""
    return str(target.options.get("object_storage_location") or target.region)


def images() -> frozenset[tuple[str, str]]:
    """Official images by name and architecture."""
    return frozenset((row["name"], row["architecture"]) for row in _data()["images"])
