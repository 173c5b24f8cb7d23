"""The pure half of the Hetzner adapter: nothing here needs an SDK or credentials."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rehost.providers.base import BaseAdapter, Condition, RuleBook
from rehost.providers.hetzner import catalog
from rehost.providers.hetzner.fits import fits
from rehost.providers.hetzner.lower import ANCHOR, SERVER, VOLUME, HetznerLowering
from rehost.stacks.diagnostics import Diagnostic, Severity
from rehost.stacks.graph import Resource, Value, is_unknown
from rehost.stacks.lower import Lowering
from rehost.stacks.model import Server, Stack, Target, parse_size, show_size
from rehost.stacks.portability import Finding
from rehost.stacks.ports import Candidate, Change, Need

if TYPE_CHECKING:
    from rehost.providers.hetzner.connection import HetznerConnection

_ARCHITECTURES = {"x86_64": "x86", "arm64": "arm"}
_GIB = 1024**3
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "or", "org"})
"""Second labels below country codes under which domains are registered (co.uk)."""
_LABEL = re.compile(r"(|[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)\Z")


def _volume(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """Volumes grow and never shrink."""
    if change.path == "size" and not is_unknown(new.get("size")) and new["size"] < old["size"]:
        return replace(change, replaces=True)
    return change


def _server(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """A type of another architecture or with a smaller disk means another server; so do other public nets."""
    if change.path == "serverType":
        rows = {row["name"]: row for row in catalog.server_types()}
        before, after = rows.get(str(change.old)), rows.get(str(change.new))
        if before and after:
            other = before["architecture"] != after["architecture"] or after["disk_gb"] < before["disk_gb"]
            return replace(change, replaces=other)
    return replace(change, replaces=True) if change.path.startswith("publicNets") else change


CONDITIONS: dict[str, Condition] = {VOLUME: _volume, SERVER: _server}


@dataclass
class HetznerAdapter(BaseAdapter):
    """Hetzner Cloud and Object Storage."""

    book: RuleBook = field(default_factory=lambda: RuleBook(Path(__file__).parent / "data" / "kinds.json"))
    conditions: Mapping[str, Condition] = field(default_factory=lambda: CONDITIONS)
    name: str = "hetzner"
    title: str = "Hetzner Cloud"
    parallel: int = 12
    anchor: str | None = ANCHOR
    currency: str = "EUR"

    def diagnose(self, stack: Stack, target: Target) -> Iterable[Diagnostic]:
        """What Hetzner will not accept. Limits: Cloud API reference, as in data/kinds.json."""
        return list(_diagnose(self, stack, target))

    def fits(self, stack: Stack, target: Target) -> Iterable[Finding]:
        """What is not simply native here."""
        return list(fits(stack, target))

    def needs(self, stack: Stack, target: Target) -> Sequence[Need]:
        """Type and image of each server group."""
        needs: list[Need] = []
        for name, server in stack.servers.items():
            needs.append(Need(f"servers.{name}.type", "server_type", _size(server)))
            image = {"image": server.image, "architecture": server.architecture}
            needs.append(Need(f"servers.{name}.image", "image", image))
        return needs

    def offers(self, need: Need, target: Target) -> Sequence[Candidate] | None:
        """From the catalog: types with the cheapest first (those without a known price last), images by name."""
        if need.kind == "image":
            name = need.requirement["image"]
            known = (name, _ARCHITECTURES[need.requirement["architecture"]]) in catalog.images()
            return [Candidate(name, f"{name}, Hetzner's own image")] if known else []
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
        """List price of a server a month; volumes have none in the catalog, the rest is free or billed by use."""
        if token == SERVER:
            rows = {row["name"]: row["monthly"] for row in catalog.server_types()}
            type_ = inputs.get("serverType")
            return rows.get(type_) if isinstance(type_, str) else None
        return None if token == VOLUME else 0.0

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


def _size(server: Server) -> dict[str, Any]:
    return {
        "cpu": server.size.cpu,
        "memory": show_size(server.size.memory),
        "disk": show_size(server.size.disk),
        "architecture": server.architecture,
    }


def _fits(row: Mapping[str, Any], need: Need) -> bool:
    asked = need.requirement
    return bool(
        row["cores"] >= asked["cpu"]
        and row["memory_gib"] * _GIB >= parse_size(asked["memory"])
        and row["disk_gb"] * 10**9 >= parse_size(asked["disk"])
        and row["architecture"] == _ARCHITECTURES[asked["architecture"]]
    )


def _near(word: str, choices: Iterable[str]) -> str:
    known = sorted(choices)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(known)}"


def _diagnose(adapter: HetznerAdapter, stack: Stack, target: Target) -> Iterator[Diagnostic]:
    path: tuple[str | int, ...] = ("targets", target.name)
    places = catalog.locations()
    if target.region not in places:
        summary = f"there is no location {target.region!r}" if target.region else "the target names no region"
        yield Diagnostic("region", summary, fix=_near(target.region, places), path=(*path, "region"))
        return
    storage = str(target.options.get("object_storage_location") or target.region)
    if stack.buckets and not places.get(storage, {}).get("object_storage"):
        have = ", ".join(name for name, row in places.items() if row["object_storage"])
        yield Diagnostic(
            "object-storage",
            f"there is no object storage in {storage}",
            f"buckets can be in {have}",
            "add object_storage_location to the target",
            path,
        )
    if stack.network and stack.network.cidr.prefixlen > 24:
        yield Diagnostic(
            "cidr-size", f"{stack.network.cidr} is too small", "a network has at least a /24", path=("network",)
        )
    for zone in stack.dns:
        parts = zone.split(".")
        if len(parts) > 2 and not (len(parts) == 3 and len(parts[2]) == 2 and parts[1] in _SECOND_LEVEL):
            yield Diagnostic(
                "zone",
                f"{zone} can't be a zone of its own",
                "Hetzner takes zones of registered domains only",
                f"put its records into the zone of the domain, named below it ({parts[0]})",
                ("dns", zone),
            )
    for name, server in stack.servers.items():
        here: tuple[str | int, ...] = ("servers", name)
        for key, value in server.labels.items():
            if not _LABEL.match(key.rpartition("/")[2]) or not _LABEL.match(value):
                yield Diagnostic(
                    "label",
                    f"{key}: {value} can't be a label",
                    "labels are at most 63 letters, digits, dots, dashes and underscores, and begin and end with one "
                    "of the first two",
                    path=(*here, "labels", key),
                )
        names = {image for image, architecture in catalog.images()}
        if server.image not in names:
            fix = _near(server.image, names)
            yield Diagnostic("image", f"there is no image {server.image!r}", fix=fix, path=(*here, "image"))
        if not adapter.offers(Need("", "server_type", _size(server)), target):
            summary = f"no server type in {target.region} has what servers.{name} needs"
            yield Diagnostic("size", summary, fix="ask for less, or choose another location", path=(*here, "size"))
        if len(server.user_data.encode()) > 32768:
            yield Diagnostic("user-data", "user_data is longer than 32 KiB", path=(*here, "user_data"))
        if len(server.firewalls) > 5:
            yield Diagnostic("firewalls", "a server has at most 5 firewalls", path=(*here, "firewalls"))
    for name, firewall in stack.firewalls.items():
        for rule in firewall.ingress:
            for peer in rule.peers:
                group = stack.servers.get(peer.removeprefix("servers."))
                if peer.startswith("servers.") and group is not None and not group.public:
                    yield Diagnostic(
                        "private-traffic",
                        f"traffic from {peer} is not filtered here",
                        "Hetzner's firewalls stand before the public interface only",
                        "filter on the servers themselves where it matters",
                        ("firewalls", name),
                        severity=Severity.NOTE,
                    )


ADAPTER = HetznerAdapter()
