"""The pure half of the AWS adapter: nothing here needs the SDK or credentials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rehost.providers.aws import managed
from rehost.providers.aws import tokens as t
from rehost.providers.aws.catalog import CATALOG
from rehost.providers.aws.conditions import CONDITIONS
from rehost.providers.aws.diagnose import DEVICES, diagnose
from rehost.providers.aws.diagnose_managed import diagnose_managed
from rehost.providers.aws.fits import fits
from rehost.providers.aws.lower import AwsLowering
from rehost.providers.aws.places import places
from rehost.providers.base import BaseAdapter, Condition, RuleBook
from rehost.stacks.diagnostics import Diagnostic
from rehost.stacks.graph import Resource, Value
from rehost.stacks.lower import Lowering
from rehost.stacks.model import Stack, Target, parse_size, show_size
from rehost.stacks.portability import Finding
from rehost.stacks.ports import Candidate, Need

if TYPE_CHECKING:
    from rehost.providers.aws.connection import AwsConnection

HOURS = 730
"""Hours in the month of a list price, as Amazon's own calculator has it."""

_MIB = 1024**2
_UNPRICED = {
    "aws:ec2/eip:Eip",
    "aws:ec2/natGateway:NatGateway",
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "aws:lb/loadBalancer:LoadBalancer",
    "aws:rds/instance:Instance",
    "aws:secretsmanager/secret:Secret",
}
"""Kinds that cost something by the month for which the catalog has no price."""

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
    native: frozenset[str] = frozenset(
        {"databases.postgres", "databases.mysql", "caches.valkey", "caches.redis", "network.way_out"}
    )
    options: Mapping[str, str] = field(default_factory=lambda: OPTIONS)

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
        if need.kind in _MANAGED:
            return [
                Candidate(name, f"{name}: {cpu} vCPU, {mib / 1024:g} GiB; its price is not in the catalog")
                for name, (cpu, mib) in CATALOG.managed(_MANAGED[need.kind]).items()
                if _holds(cpu, mib, need)
            ]
        if need.kind != "server_type":
            return None
        found = []
        for name, type_ in CATALOG.types.items():
            hourly = type_["hourly"].get(target.region)
            if hourly and _fits(type_, need):
                monthly = round(hourly * HOURS, 2)
                summary = (
                    f"{name}: {type_['vcpu']} vCPU, {type_['memory_mib'] / 1024:g} GiB, USD {monthly:.2f} a month"
                )
                found.append(Candidate(name, summary, monthly, "USD"))
        return sorted(found, key=lambda candidate: (candidate.monthly or 0.0, candidate.value))

    def meets(self, need: Need, value: Any, target: Target) -> bool:
        """Whether a pinned choice still meets its need; an image does as long as it is of the same name, a subnet
        as long as it exists."""
        if need.kind == "subnet":
            return value in need.requirement["subnets"]
        if need.kind == "server_type":
            return value in CATALOG.types and _fits(CATALOG.types[value], need)
        if need.kind in _MANAGED:
            sizes = CATALOG.managed(_MANAGED[need.kind])
            return value in sizes and _holds(*sizes[value], need)
        return len(value) >= need.requirement["zones"] if need.kind == "zones" else True

    def price(self, token: str, inputs: Mapping[str, Value], target: Target) -> float | None:
        """List price a month: servers and volumes by the catalog; what is billed by use counts as free, and what
        has a price that the catalog lacks is unknown."""
        if token == t.INSTANCE:
            type_ = inputs.get("instanceType")
            hourly = CATALOG.types.get(type_, {}).get("hourly", {}) if isinstance(type_, str) else {}
            root = (inputs.get("rootBlockDevice") or {}).get("volumeSize", 0)
            price, disk = hourly.get(target.region), CATALOG.ebs_gb_monthly.get(target.region)
            return None if price is None or disk is None else round(price * HOURS + float(root) * disk, 2)
        if token == t.VOLUME:
            disk = CATALOG.ebs_gb_monthly.get(target.region)
            return None if disk is None else round(float(inputs["size"]) * disk, 2)
        if token in _UNPRICED:
            return None
        return 0.5 if token == "aws:route53/zone:Zone" else 0.0

    def lower(self, lowering: Lowering) -> Iterable[Resource]:
        """The resources of a stack."""
        return list(AwsLowering(lowering).all())

    def egress(self, target: Target) -> float | None:
        """List price of the first 10 TB a month, in regions that the catalog has it for."""
        return CATALOG.egress_gb.get(target.region)

    def connect(self, target: Target, environment: Mapping[str, str]) -> AwsConnection:
        """A connection with the credentials of AWS's own tools."""
        from rehost.providers.aws.connection import AwsConnection

        return AwsConnection(target, environment, self.book)


def _fits(type_: Mapping[str, Any], need: Need) -> bool:
    return bool(
        type_["vcpu"] >= need.requirement["cpu"]
        and type_["memory_mib"] * _MIB >= parse_size(need.requirement["memory"])
        and type_["arch"] == need.requirement["architecture"]
    )


def _holds(cpu: int, mib: float, need: Need) -> bool:
    return cpu >= need.requirement.get("cpu", 1) and mib * _MIB >= parse_size(need.requirement["memory"])


ADAPTER = AwsAdapter()
