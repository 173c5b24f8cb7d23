"""What Amazon offers, as data: types, prices, regions, images. See data/catalog.json for the sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Catalog:
    """The shipped catalog; prices are USD, an hour's or a month's as the keys say."""

    path: Path

    @cached_property
    def _data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return data

    @property
    def regions(self) -> list[str]:
        """Regions that the prices cover."""
        return list(self._data["regions"])

    @property
    def images(self) -> Mapping[str, Mapping[str, str]]:
        """Owner and name pattern by neutral name."""
        images: Mapping[str, Mapping[str, str]] = self._data["images"]
        return images

    @property
    def types(self) -> Mapping[str, Mapping[str, Any]]:
        """Instance types."""
        types: Mapping[str, Mapping[str, Any]] = self._data["types"]
        return types

    @property
    def ebs_gb_monthly(self) -> Mapping[str, float]:
        """A GiB of gp3 for a month, by region; regions without a known price are missing."""
        prices: Mapping[str, float] = self._data["ebs_gb_monthly"]
        return prices

    def versions(self, family: str, engine: str) -> list[str]:
        """Versions of an engine of `databases` or `caches`."""
        return list(self._data[family]["versions"][engine])

    def managed(self, family: str) -> Mapping[str, tuple[int, float]]:
        """CPUs and the MiB of memory that can be counted on, by instance class of `databases` or node type of
        `caches`; the smallest first."""
        about = self._data[family]
        prefix, names = ("db", about["classes"]) if family == "databases" else ("cache", about["nodes"])
        sized: dict[str, tuple[int, float]] = {}
        for name in names:
            type_, usable = self.types[name], about.get("usable", {}).get(name.split(".")[0], 1.0)
            sized[f"{prefix}.{name}"] = (type_["vcpu"], type_["memory_mib"] * usable)
        return dict(sorted(sized.items(), key=lambda item: (item[1][1], item[1][0])))

    @property
    def egress_gb(self) -> Mapping[str, float]:
        """A GB that leaves for the Internet, by region; regions without a known price are missing."""
        prices: Mapping[str, float] = self._data["egress_gb"]
        return prices


CATALOG = Catalog(Path(__file__).parent / "data" / "catalog.json")
