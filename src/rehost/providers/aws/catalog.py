"""What Amazon offers, as data: types, prices, regions, images. See data/catalog.json for the sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rehost.stacks.catalog import HOURS, Offer, Origin, Rate, Sheet

_MIB = 1024**2


@dataclass(frozen=True)
class Catalog:
    """The shipped catalog."""

    path: Path

    @cached_property
    def _data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return data

    @cached_property
    def _sheets(self) -> dict[str, Sheet]:
        return {}

    @property
    def regions(self) -> list[str]:
        """Regions that the prices cover."""
        return list(self._data["regions"])

    @property
    def images(self) -> Mapping[str, Mapping[str, str]]:
        """Owner, name patterns and first user by neutral name."""
        images: Mapping[str, Mapping[str, str]] = self._data["images"]
        return images

    def login(self, image: str) -> str:
        """Whom an image lets in."""
        return self.images.get(image, {}).get("user", "root")

    @property
    def types(self) -> Mapping[str, Mapping[str, Any]]:
        """Instance types."""
        types: Mapping[str, Mapping[str, Any]] = self._data["types"]
        return types

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

    def sheet(self, region: str) -> Sheet:
        """What is known of a region without asking Amazon."""
        if region not in self._sheets:
            self._sheets[region] = Sheet(tuple(self._offers(region)), tuple(self._rates(region)))
        return self._sheets[region]

    def _origin(self, name: str) -> Origin:
        return Origin(**self._data["origins"][name])

    def _offers(self, region: str) -> list[Offer]:
        offers = []
        for name, row in self.types.items():
            hourly = row["hourly"].get(region)
            if hourly is not None:
                size = (row["vcpu"], row["memory_mib"] * _MIB)
                monthly = round(hourly * HOURS, 2)
                offers.append(
                    Offer(
                        "servers",
                        name,
                        region,
                        *size,
                        architecture=row["arch"],
                        monthly=monthly,
                        origin=self._origin("servers"),
                    )
                )
        if region in self.regions:
            for family in ("databases", "caches"):
                for name in self.managed(family):
                    row = self.types[name.partition(".")[2]]
                    memory = row["memory_mib"] * _MIB
                    offers.append(Offer(family, name, region, row["vcpu"], memory, architecture=row["arch"]))
        return offers

    def _rates(self, region: str) -> list[Rate]:
        rates = []
        for row in self._data["rates"]:
            amount = row["regions"].get(region, row["regions"].get("*"))
            if amount is not None:
                rates.append(Rate(row["what"], region, row["unit"], amount, self._origin(row["origin"])))
        tiers = self._data["egress"]
        for above, amount in zip(tiers["from_gb"], tiers["regions"].get(region, ()), strict=False):
            origin = self._origin(tiers["origin"])
            rates.append(Rate("egress", region, tiers["unit"], amount, origin, above))
        if len(tiers["regions"].get(region, ())) < len(tiers["from_gb"]) and region in tiers["regions"]:
            above = tiers["from_gb"][len(tiers["regions"][region])]
            rates.append(Rate("egress", region, tiers["unit"], None, None, above))
        return rates


CATALOG = Catalog(Path(__file__).parent / "data" / "catalog.json")
