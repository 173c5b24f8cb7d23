"""The pure half of the Hetzner adapter: nothing here needs an SDK or credentials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rehost.providers import figures
from rehost.providers.base import BaseAdapter, Condition, RuleBook
from rehost.providers.hetzner import catalog, places, prices
from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.diagnose import diagnose
from rehost.providers.hetzner.fits import fits
from rehost.providers.hetzner.lift import OVERRIDABLE, lift
from rehost.providers.hetzner.lower import HetznerLowering
from rehost.providers.limits import size_of
from rehost.stacks.catalog import Charge, Sheet, Transfer
from rehost.stacks.diagnostics import Diagnostic
from rehost.stacks.graph import Resource, Value, is_unknown
from rehost.stacks.lift.draft import Draft, LiftJob
from rehost.stacks.lower import Lowering
from rehost.stacks.model import Network, Stack, Target
from rehost.stacks.portability import Finding
from rehost.stacks.ports import Candidate, Change, Disruption, Need

if TYPE_CHECKING:
    from rehost.providers.hetzner.connection import HetznerConnection
    from rehost.providers.hetzner.probe import HetznerProber
    from rehost.stacks.readiness import Hands, Wanted

_ARCHITECTURES = {"x86_64": "x86", "arm64": "arm"}


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


def _certificate(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change | None:
    """White space round a certificate is taken off by the API, and is no difference."""
    sides = [side.strip() for side in (change.old, change.new) if isinstance(side, str)]
    return None if change.path == "certificate" and len(sides) == 2 and sides[0] == sides[1] else change


def _balancer_network(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """A load balancer goes from one subnet of its network into another in place."""
    network = [str(side or "").partition("-")[0] for side in (change.old, change.new)]
    moves = change.path == "subnetId" and (is_unknown(change.new) or network[0] == network[1])
    return replace(change, replaces=False, disruption=Disruption.RESTART) if moves else change


CONDITIONS: dict[str, Condition] = {
    t.VOLUME: _volume,
    t.SERVER: _server,
    t.BALANCER_NETWORK: _balancer_network,
    t.UPLOADED: _certificate,
}

OPTIONS = {
    "object_storage_location": "The location of the buckets, where the region has no object storage.",
    places.OPTION: "The locations of the zones beyond the first, such as nbg1, hel1.",
}


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
    name_servers: str = r"\.ns\.hetzner\.(com|de)$"
    options: Mapping[str, str] = field(default_factory=lambda: OPTIONS)
    overridable: Mapping[str, str] = field(default_factory=lambda: OVERRIDABLE)
    bucket_keys: tuple[tuple[str, str], ...] = (
        ("HETZNER_S3_APP_ACCESS_KEY", "HETZNER_S3_APP_SECRET_KEY"),
        ("HETZNER_S3_ACCESS_KEY", "HETZNER_S3_SECRET_KEY"),
    )
    fetched: Mapping[str, Sheet] = field(default_factory=dict)
    """What was last asked for, by location."""

    def sheet(self, region: str) -> Sheet:
        """All that is known of a location."""
        older = catalog.shipped(region)
        return self.fetched[region].over(older) if region in self.fetched else older

    def informed(self, environment: Mapping[str, str]) -> HetznerAdapter:
        """The same with what was last asked for."""
        return replace(self, fetched=figures.read(_file(environment)))

    def ask(self, regions: Sequence[str], environment: Mapping[str, str]) -> Mapping[str, Sheet]:
        """What Hetzner says now of types, prices and what there is room for."""
        from rehost.providers.hetzner.live import ask

        sheets = ask(regions, environment)
        figures.write(_file(environment), sheets)
        return sheets

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
        """Type, image and subnets of each server group, type and subnet of each load balancer."""
        needs: list[Need] = []
        subnets = {"subnets": tuple((stack.network or Network()).layout())}
        for name, server in stack.servers.items():
            where = {"locations": places.of_group(stack, target, server)}
            needs.append(Need(f"servers.{name}.type", "server_type", {**size_of(server), **where}))
            image = {"image": server.image, "architecture": server.architecture}
            needs.append(Need(f"servers.{name}.image", "image", image))
            for member in server.members(name) if server.subnet is None else ():
                needs.append(Need(f"servers.{member}.subnet", "subnet", subnets, pool=f"servers.{name}"))
        for name, balancer in stack.load_balancers.items():
            size = {
                "services": sum(not listener.redirect for listener in balancer.listen),
                "targets": len(stack.servers_at(balancer.to)),
                "certificates": len({listener.certificate for listener in balancer.listen} - {None}),
            }
            needs.append(Need(f"load_balancers.{name}.type", "load_balancer_type", size))
            needs.append(Need(f"load_balancers.{name}.subnet", "subnet", subnets, pool="load balancers"))
        return needs

    def offers(self, need: Need, target: Target) -> Sequence[Candidate] | None:
        """From the catalog: types with the cheapest first (those without a known price last), images by name."""
        if need.kind == "subnet":
            return [Candidate(name, f"the subnet {name}") for name in need.requirement["subnets"]]
        if need.kind == "image":
            name = need.requirement["image"]
            there = (name, _ARCHITECTURES[need.requirement["architecture"]]) in catalog.images()
            return [Candidate(name, f"{name}, Hetzner's own image")] if there else []
        sheet = self.sheet(target.region)
        if need.kind == "load_balancer_type":
            asked = need.requirement
            rows = [row for row in catalog.load_balancer_types() if all(row[key] >= asked[key] for key in asked)]
            known = [offer for row in rows if (offer := sheet.named("load_balancers", row["name"]))]
            return [figures.candidate(offer, self.currency) for offer in known if not offer.retired]
        elsewhere = [
            self.sheet(place) for place in need.requirement.get("locations", ()) if place != target.region
        ]
        found = [
            offer
            for offer in sheet.of("servers")
            if figures.fits(offer, need.requirement)
            and all(other.named("servers", offer.name) for other in elsewhere)
        ]
        return [figures.candidate(offer, self.currency) for offer in figures.cheapest_first(found)]

    def meets(self, need: Need, value: Any, target: Target) -> bool:
        """Whether a pinned choice still meets its need. A server keeps its type when that is retired."""
        if need.kind != "server_type":
            return any(offer.value == value for offer in self.offers(need, target) or ())
        known = (*self.sheet(target.region).of("servers"), *catalog.shipped(target.region).of("servers"))
        return any(offer.name == value and figures.fits(offer, need.requirement) for offer in known)

    def charges(self, token: str, inputs: Mapping[str, Value], target: Target) -> Sequence[Charge]:
        """What a resource is billed for."""
        return prices.charges(self.sheet(target.region), token, inputs)

    def at_rest(self, target: Target, size: int) -> Charge | None:
        """What content of buckets costs."""
        return prices.at_rest(self.sheet(catalog.storage_location(target)), size)

    def egress(self, target: Target, size: int) -> Transfer | None:
        """What traffic costs at most."""
        return prices.egress(self.sheet(target.region), size)

    def login(self, image: str) -> str:
        """The user of Hetzner's images."""
        return catalog.login(image)

    def lower(self, lowering: Lowering) -> Iterable[Resource]:
        """The resources of a stack."""
        return list(HetznerLowering(lowering).all())

    def export(self, lowering: Lowering, address: str) -> Value:
        """What a reference stands for."""
        return HetznerLowering(lowering).export(address)

    def place(self, lowering: Lowering, database: str) -> Mapping[str, Value]:
        """Where a database is."""
        return HetznerLowering(lowering).place(database)

    def lift(self, job: LiftJob) -> Draft:
        """The components that resources are."""
        return lift(job)

    def prober(self, wanted: Wanted, environment: Mapping[str, str], hands: Hands) -> HetznerProber:
        """Checks of the project."""
        from rehost.providers.hetzner.probe import HetznerProber

        connection = self.connect(wanted.target, environment)
        return HetznerProber(wanted, connection.api, connection.s3, self.sheet(wanted.target.region), hands)

    def connect(self, target: Target, environment: Mapping[str, str]) -> HetznerConnection:
        """A connection with HCLOUD_TOKEN and, for buckets, the keys of the object storage."""
        from rehost.providers.hetzner.connection import HetznerConnection

        return HetznerConnection(target, environment, self.book)


def _file(environment: Mapping[str, str]) -> Path:
    return figures.path("hetzner", environment, environment.get("HCLOUD_ENDPOINT"))


ADAPTER = HetznerAdapter()
