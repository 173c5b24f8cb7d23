"""The pure half of the Hetzner adapter: nothing here needs an SDK or credentials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rehost.providers.base import BaseAdapter, Condition, RuleBook
from rehost.providers.hetzner import catalog
from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.diagnose import diagnose
from rehost.providers.hetzner.fits import fits
from rehost.providers.hetzner.lower import HetznerLowering
from rehost.providers.limits import size_of
from rehost.stacks.diagnostics import Diagnostic
from rehost.stacks.graph import Resource, Value, is_unknown
from rehost.stacks.lower import Lowering
from rehost.stacks.model import Stack, Target, parse_size
from rehost.stacks.portability import Finding
from rehost.stacks.ports import Candidate, Change, Need

if TYPE_CHECKING:
    from rehost.providers.hetzner.connection import HetznerConnection

_ARCHITECTURES = {"x86_64": "x86", "arm64": "arm"}
_GIB = 1024**3


def _volume(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """Volumes grow and never shrink."""
    if change.path == "size" and not is_unknown(new.get("size")) and new["size"] < old["size"]:
        return replace(change, replaces=True)
    return change


def _server(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """A type of another architecture, or whose disk is smaller than the server's, means another server; so do
    public nets that come or go, other than a static address in place of a passing one."""
    if change.path == "serverType":
        rows = {row["name"]: row for row in catalog.server_types()}
        before, after = rows.get(str(change.old)), rows.get(str(change.new))
        if before and after:
            # The disk stays as it was made when a server grows, so that it can shrink again.
            disk = old.get("primaryDiskSize") or before["disk_gb"]
            other = before["architecture"] != after["architecture"] or after["disk_gb"] < disk
            return replace(change, replaces=other)
    switched = change.path.startswith("publicNets") and not change.path.endswith(".ipv4")
    return replace(change, replaces=True) if switched else change


CONDITIONS: dict[str, Condition] = {t.VOLUME: _volume, t.SERVER: _server}

_UNPRICED = {t.VOLUME, t.BALANCER, t.PRIMARY_IP, t.FLOATING_IP, t.SNAPSHOT}

OPTIONS = {"object_storage_location": "The location of the buckets, where the region has no object storage."}


@dataclass
class HetznerAdapter(BaseAdapter):
    """Hetzner Cloud and Object Storage."""

    book: RuleBook = field(default_factory=lambda: RuleBook(Path(__file__).parent / "data" / "kinds.json"))
    conditions: Mapping[str, Condition] = field(default_factory=lambda: CONDITIONS)
    name: str = "hetzner"
    title: str = "Hetzner Cloud"
    parallel: int = 12
    anchor: str | None = t.ANCHOR
    currency: str = "EUR"
    account: bool = True
    options: Mapping[str, str] = field(default_factory=lambda: OPTIONS)

    def regions(self) -> Sequence[str]:
        """Locations."""
        return list(catalog.locations())

    def diagnose(self, stack: Stack, target: Target) -> Iterable[Diagnostic]:
        """What Hetzner will not accept."""
        return list(diagnose(stack, target, lambda size: bool(self.offers(Need("", "server_type", size), target))))

    def fits(self, stack: Stack, target: Target) -> Iterable[Finding]:
        """What is not simply native here."""
        return list(fits(stack, target))

    def needs(self, stack: Stack, target: Target) -> Sequence[Need]:
        """Type and image of each server group."""
        needs: list[Need] = []
        for name, server in stack.servers.items():
            needs.append(Need(f"servers.{name}.type", "server_type", size_of(server)))
            image = {"image": server.image, "architecture": server.architecture}
            needs.append(Need(f"servers.{name}.image", "image", image))
        for name, balancer in stack.load_balancers.items():
            size = {
                "services": sum(not listener.redirect for listener in balancer.listen),
                "targets": len(stack.servers_at(balancer.to)),
                "certificates": len({listener.certificate for listener in balancer.listen} - {None}),
            }
            needs.append(Need(f"load_balancers.{name}.type", "load_balancer_type", size))
        return needs

    def offers(self, need: Need, target: Target) -> Sequence[Candidate] | None:
        """From the catalog: types with the cheapest first (those without a known price last), images by name."""
        if need.kind == "image":
            name = need.requirement["image"]
            known = (name, _ARCHITECTURES[need.requirement["architecture"]]) in catalog.images()
            return [Candidate(name, f"{name}, Hetzner's own image")] if known else []
        if need.kind == "load_balancer_type":
            asked = need.requirement
            rows = [row for row in catalog.load_balancer_types() if all(row[key] >= asked[key] for key in asked)]
            about = "{name}: {services} services, {targets} targets, {certificates} certificates"
            return [Candidate(row["name"], about.format_map(row), row["monthly"], self.currency) for row in rows]
        fitting = [row for row in catalog.server_types() if _fits(row, need) and target.region in row["locations"]]
        fitting.sort(
            key=lambda row: (row["monthly"] is None, row["monthly"] or 0, row["cores"], row["memory_gib"])
        )
        return [
            Candidate(
                row["name"],
                f"{row['name']}: {row['cores']} vCPU, {row['memory_gib']} GiB, {row['disk_gb']} GB"
                + (f", EUR {row['monthly']:.2f} a month" if row["monthly"] is not None else ""),
                row["monthly"],
                "EUR",
            )
            for row in fitting
        ]

    def meets(self, need: Need, value: Any, target: Target) -> bool:
        """Whether a pinned choice still meets its need."""
        return any(offer.value == value for offer in self.offers(need, target) or ())

    def price(self, token: str, inputs: Mapping[str, Value], target: Target) -> float | None:
        """List price of a server a month; what else is paid for has none in the catalog, the rest is free."""
        if token == t.SERVER:
            rows = {row["name"]: row["monthly"] for row in catalog.server_types()}
            type_ = inputs.get("serverType")
            return rows.get(type_) if isinstance(type_, str) else None
        return None if token in _UNPRICED else 0.0

    def lower(self, lowering: Lowering) -> Iterable[Resource]:
        """The resources of a stack."""
        return list(HetznerLowering(lowering).all())

    def egress(self, target: Target) -> float | None:
        """Unknown: what is included depends on the servers and buckets there are."""
        del target
        return None

    def connect(self, target: Target, environment: Mapping[str, str]) -> HetznerConnection:
        """A connection with HCLOUD_TOKEN and, for buckets, the keys of the object storage."""
        from rehost.providers.hetzner.connection import HetznerConnection

        return HetznerConnection(target, environment, self.book)


def _fits(row: Mapping[str, Any], need: Need) -> bool:
    asked = need.requirement
    return bool(
        row["cores"] >= asked["cpu"]
        and row["memory_gib"] * _GIB >= parse_size(asked["memory"])
        and row["disk_gb"] * 10**9 >= parse_size(asked["disk"])
        and row["architecture"] == _ARCHITECTURES[asked["architecture"]]
    )


ADAPTER = HetznerAdapter()
