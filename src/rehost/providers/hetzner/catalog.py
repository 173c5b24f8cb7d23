"""What Hetzner offers, as data. See data/catalog.json for the sources."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

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


def images() -> frozenset[tuple[str, str]]:
    """Official images by name and architecture."""
    return frozenset((row["name"], row["architecture"]) for row in _data()["images"])
