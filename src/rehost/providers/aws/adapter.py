"""The pure half of the AWS adapter: nothing here needs the SDK or credentials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rehost.providers import figures
from rehost.providers.aws import managed, prices
from rehost.providers.aws.catalog import CATALOG
from rehost.providers.aws.conditions import CONDITIONS
from rehost.providers.aws.diagnose import DEVICES, diagnose
from rehost.providers.aws.diagnose_managed import diagnose_managed
from rehost.providers.aws.fits import fits
from rehost.providers.aws.lift import OVERRIDABLE, lift
from rehost.providers.aws.lift.job import NATIVE
from rehost.providers.aws.lower import AwsLowering
from rehost.providers.aws.places import places
from rehost.providers.base import BaseAdapter, Condition, RuleBook
from rehost.stacks.catalog import Charge, Sheet, Transfer
from rehost.stacks.diagnostics import Diagnostic
from rehost.stacks.graph import Resource, Value
from rehost.stacks.lift.draft import Draft, LiftJob
from rehost.stacks.lower import Lowering
from rehost.stacks.model import Stack, Target, parse_size, show_size
from rehost.stacks.portability import Finding
from rehost.stacks.ports import Candidate, Need

if TYPE_CHECKING:
    from rehost.providers.aws.connection import AwsConnection
    from rehost.providers.aws.probe import AwsProber
    from rehost.stacks.readiness import Hands, Wanted

_MIB = 1024**2

_MANAGED = {"database_class": "databases", "cache_type": "caches"}
"""Needs of Amazon's own databases and caches, with their family in the catalog."""

OPTIONS = {"profile": "The profile in AWS's own configuration files that holds the credentials."}


@dataclass
class AwsAdapter(BaseAdapter):
    """Amazon Web Services."""

    book: RuleBook = field(default_factory=lambda: RuleBook(Path(__file__).parent / "data" / "kinds.json"))
    conditions: Mapping[str, Condition] = field(default_factory=lambda: CONDITIONS)
    name: str = "aws"
    title: str = "Amazon Web Services"
    parallel: int = 16
    anchor: str | None = None
    currency: str = "USD"
    account: bool = True
    native: frozenset[str] = NATIVE
    name_servers: str = r"\.awsdns-\d+\.(com|net|org|co\.uk)$"
    options: Mapping[str, str] = field(default_factory=lambda: OPTIONS)
    overridable: Mapping[str, str] = field(default_factory=lambda: OVERRIDABLE)
    fetched: Mapping[str, Sheet] = field(default_factory=dict)
    """What was last asked for, by region."""

    def sheet(self, region: str) -> Sheet:
        """All that is known of a region."""
        older = CATALOG.sheet(region)
        return self.fetched[region].over(older) if region in self.fetched else older

    def informed(self, environment: Mapping[str, str]) -> AwsAdapter:
        """The same with what was last asked for."""
        return replace(self, fetched=figures.read(_file(environment)))

    def ask(self, regions: Sequence[str], environment: Mapping[str, str]) -> Mapping[str, Sheet]:
        """What Amazon's price list says now."""
        from rehost.providers.aws.live import ask

        sheets = ask(regions, environment)
        figures.write(_file(environment), sheets)
        return sheets

    def regions(self) -> Sequence[str]:
        """Regions that the catalog covers."""
        return CATALOG.regions

    def diagnose(self, stack: Stack, target: Target) -> Iterable[Diagnostic]:
        """What AWS will not accept."""

        def offered(size: Mapping[str, Any], kind: str = "server_type") -> bool:
            return bool(self.offers(Need("", kind, size), target))

        unmet = [need for need in managed.needs(stack) if not offered(need.requirement, need.kind)]
        return [*diagnose(stack, target, offered), *diagnose_managed(stack, unmet)]

    def fits(self, stack: Stack, target: Target) -> Iterable[Finding]:
        """What is not simply native here."""
        return list(fits(stack, target))

    def needs(self, stack: Stack, target: Target) -> Sequence[Need]:
        """Type and image of each server group, and the zones of the region."""
        needs: list[Need] = []
        where = places(stack)
        if stack.servers or stack.network:
            count = max((subnet.zone for subnet in stack.subnets().values()), default=1)
            needs.append(Need("network.zones", "zones", {"zones": count}))
        for name, server in stack.servers.items():
            size = {
                "cpu": server.size.cpu,
                "memory": show_size(server.size.memory),
                "architecture": server.architecture,
            }
            needs.append(Need(f"servers.{name}.type", "server_type", size))
            image = {"image": server.image, "architecture": server.architecture}
            needs.append(Need(f"servers.{name}.image", "image", image))
            names = {"subnets": where.open_to(server)}
            for member in server.members(name) if server.subnet is None else ():
                needs.append(Need(f"servers.{member}.subnet", "subnet", names, pool=f"servers.{name}"))
        for name, volume in stack.volumes.items():
            for number, member in enumerate(stack.server_named(volume.on), 1):
                key = f"volumes.{name}-{number}.device.{member}"
                needs.append(Need(key, "device", {"server": member}, pool=f"devices of {member}"))
        return [*needs, *managed.needs(stack)]

    def offers(self, need: Need, target: Target) -> Sequence[Candidate] | None:
        """Types from the catalog, the cheapest first; subnets and device names in their order; images and zones
        only Amazon itself knows."""
        if need.kind == "subnet":
            return [Candidate(name, f"the subnet {name}") for name in need.requirement["subnets"]]
        if need.kind == "device":
            return [Candidate(name, name) for name in DEVICES]
        sheet = self.sheet(target.region)
        if need.kind in _MANAGED:
            family = _MANAGED[need.kind]
            sizes = CATALOG.managed(family)
            engine = need.requirement.get("engine", "")
            known = [sheet.named(family, name, engine) for name in sizes if _holds(*sizes[name], need)]
            offers = figures.cheapest_first(offer for offer in known if offer)
        elif need.kind == "server_type":
            fitting = (offer for offer in sheet.of("servers") if figures.fits(offer, need.requirement))
            offers = figures.cheapest_first(offer for offer in fitting if offer.monthly is not None)
        else:
            return None
        return [figures.candidate(offer, self.currency) for offer in offers]

    def meets(self, need: Need, value: Any, target: Target) -> bool:
        """Whether a pinned choice still meets its need; an image does as long as it is of the same name, a subnet
        as long as it exists."""
        if need.kind == "subnet":
            return value in need.requirement["subnets"]
        if need.kind == "server_type":
            known = (*self.sheet(target.region).of("servers"), *CATALOG.sheet(target.region).of("servers"))
            same = [offer for offer in known if offer.name == value]
            # A type may be known without a price in this region.
            row = CATALOG.types.get(value)
            return any(figures.fits(offer, need.requirement) for offer in same) or bool(row and _fits(row, need))
        if need.kind in _MANAGED:
            sizes = CATALOG.managed(_MANAGED[need.kind])
            return value in sizes and _holds(*sizes[value], need)
        return len(value) >= need.requirement["zones"] if need.kind == "zones" else True

    def charges(self, token: str, inputs: Mapping[str, Value], target: Target) -> Sequence[Charge]:
        """What a resource is billed for."""
        return prices.charges(self.sheet(target.region), token, inputs)

    def at_rest(self, target: Target, size: int) -> Charge | None:
        """What content of buckets costs."""
        return prices.at_rest(self.sheet(target.region), size)

    def egress(self, target: Target, size: int) -> Transfer | None:
        """What traffic to the Internet costs."""
        return prices.egress(self.sheet(target.region), size)

    def login(self, image: str) -> str:
        """The user of Amazon's images of a distribution."""
        return CATALOG.login(image)

    def lower(self, lowering: Lowering) -> Iterable[Resource]:
        """The resources of a stack."""
        return list(AwsLowering(lowering).all())

    def export(self, lowering: Lowering, address: str) -> Value:
        """What a reference stands for."""
        return AwsLowering(lowering).export(address)

    def place(self, lowering: Lowering, database: str) -> Mapping[str, Value]:
        """Where a database is."""
        return AwsLowering(lowering).place(database)

    def lift(self, job: LiftJob) -> Draft:
        """The components that resources are."""
        return lift(job)

    def prober(self, wanted: Wanted, environment: Mapping[str, str], hands: Hands) -> AwsProber:
        """Checks of the account."""
        from rehost.providers.aws.probe import AwsProber

        connection = self.connect(wanted.target, environment)
        return AwsProber(wanted, connection.clients, self.sheet(wanted.target.region), connection.image, hands)

    def connect(self, target: Target, environment: Mapping[str, str]) -> AwsConnection:
        """A connection with the credentials of AWS's own tools."""
        from rehost.providers.aws.connection import AwsConnection

        return AwsConnection(target, environment, self.book)


def _file(environment: Mapping[str, str]) -> Path:
    return figures.path("aws", environment, environment.get("AWS_ENDPOINT_URL"))


def _fits(type_: Mapping[str, Any], need: Need) -> bool:
    return bool(
        type_["vcpu"] >= need.requirement["cpu"]
        and type_["memory_mib"] * _MIB >= parse_size(need.requirement["memory"])
        and type_["arch"] == need.requirement["architecture"]
    )


def _holds(cpu: int, mib: float, need: Need) -> bool:
    return cpu >= need.requirement.get("cpu", 1) and mib * _MIB >= parse_size(need.requirement["memory"])


ADAPTER = AwsAdapter()
