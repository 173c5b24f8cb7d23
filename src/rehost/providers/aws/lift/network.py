"""VPC, subnets and routes to the network."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Any

from rehost.providers.aws import tokens as t
from rehost.providers.aws.lift.job import AwsJob
from rehost.providers.aws.places import ADDED
from rehost.stacks.graph import Value
from rehost.stacks.lift.draft import Draft
from rehost.stacks.lift.items import Item
from rehost.stacks.model import Network, Subnet

_INHABITANTS = (t.INSTANCE, t.BALANCER, t.DB_SUBNETS, t.CACHE_SUBNETS)


def lift(made: AwsJob) -> None:
    """The network that the platform is in. A stack has one; what is in others is told."""
    vpc = made.vpc = _chosen(made)
    if vpc is None:
        return
    draft, items = made.draft, made.items
    for other in items.of(t.VPC):
        if other.key != vpc.key:
            draft.leave(other, "a stack has one network, and the platform is in another one")
            _born(made, other)
    draft.claim(t.VPC, "main", vpc)
    _born(made, vpc)
    mine = [item for item in items.of(t.SUBNET) if items.get(item.inputs["vpcId"], t.VPC) is vpc]
    for item in items.of(t.SUBNET):
        if item not in mine:
            draft.leave(item, "it is in another network")
    zones = made.zones = _zones(mine)
    names: dict[str, dict[str, Any]] = {}
    scratch = Draft({"subnets": names})
    for item in mine:
        zone = _number(zones, item)
        name = _added(made, item, zone, mine)
        if name is None:
            name = scratch.name("subnets", item.name or f"zone-{zone}", exact=item.marked)
            names[name] = {"cidr": item.inputs["cidrBlock"], "zone": zone}
        made.subnets[item.key] = name
        draft.claim(t.SUBNET, name, item)
    cidr = str(vpc.inputs["cidrBlock"])
    draft.network = {"cidr": cidr, **_layout(cidr, names)}
    if zones:
        draft.fact("network.zones", zones, "the zones that its subnets are in")


def _zones(mine: list[Item]) -> list[str]:
    """The zones that subnets are in, by their number in the stack: what was added for a way out says its own."""
    said = {
        int(item.name.rpartition("-")[2]): str(item.inputs["availabilityZone"])
        for item in mine
        if item.marked and re.fullmatch(rf"{ADDED}-\d+", item.name)
    }
    others = sorted({str(item.inputs["availabilityZone"]) for item in mine} - set(said.values()))
    count = max([*said, len(said) + len(others)], default=0)
    return [said.get(n) or (others.pop(0) if others else said[max(said)]) for n in range(1, count + 1)]


def _number(zones: list[str], subnet: Item) -> int:
    """The number of the zone that a subnet is in."""
    name = str(subnet.inputs["availabilityZone"])
    # What fills a gap is a zone that has a number of its own behind it.
    return max(n for n, zone in enumerate(zones, 1) if zone == name)


def _added(made: AwsJob, item: Item, zone: int, mine: list[Item]) -> str | None:
    """The name of a subnet that is there for a way out only: rehost's own; or where gateways lead out of private
    subnets, the first one of the zone that has a way out itself."""
    name = f"{ADDED}-{zone}"
    if item.marked:
        return item.name if re.fullmatch(rf"{ADDED}-\d+", item.name) else None
    public = [subnet for subnet in mine if subnet.key in _public(made)]
    if not made.items.of(t.NAT) or item not in public or len(public) == len(mine) or name in made.subnets.values():
        return None
    return name


def _public(made: AwsJob) -> set[str]:
    """Keys of subnets whose table leads to an Internet gateway."""
    items = made.items
    open_ = {
        table.key
        for route in items.of(t.ROUTE)
        if items.get(route.inputs.get("gatewayId"), t.GATEWAY)
        and (table := items.get(route.inputs["routeTableId"], t.TABLE)) is not None
    }
    return {
        subnet.key
        for join in items.of(t.ASSOCIATION)
        if (table := items.get(join.inputs["routeTableId"], t.TABLE)) is not None
        and table.key in open_
        and (subnet := items.get(join.inputs["subnetId"], t.SUBNET)) is not None
    }


def _chosen(made: AwsJob) -> Item | None:
    """Our own, or the one that most is in."""
    vpcs = made.items.of(t.VPC)
    inside: dict[str, int] = {}
    for item in made.items.of(*_INHABITANTS):
        subnets = item.inputs.get("subnets") or item.inputs.get("subnetIds") or [item.inputs.get("subnetId")]
        for subnet in made.items.each(subnets, t.SUBNET):
            found = made.items.get(subnet.inputs["vpcId"], t.VPC)
            if found is not None:
                inside[found.key] = inside.get(found.key, 0) + 1
    own = [vpc for vpc in vpcs if vpc.marked]
    ordered = sorted(own or vpcs, key=lambda vpc: -inside.get(vpc.key, 0))
    if own or not ordered or inside.get(ordered[0].key):
        return ordered[0] if ordered else None
    for vpc in vpcs:
        made.draft.leave(vpc, "nothing is in it")
        _born(made, vpc)
        for item in made.items.of(t.SUBNET, t.GATEWAY, t.TABLE, t.ROUTE, t.ASSOCIATION):
            made.draft.known.add(item.key)
    return None


def _born(made: AwsJob, vpc: Item) -> None:
    """What came with a network goes with it."""
    for output, token in (("mainRouteTableId", t.TABLE), ("defaultSecurityGroupId", t.GROUP)):
        item = made.items.get(vpc.outputs.get(output), token)
        if item is not None:
            made.draft.known.add(item.key)
            if token == t.TABLE:
                made.draft.known |= {
                    route.key
                    for route in made.items.of(t.ROUTE)
                    if made.items.get(route.inputs["routeTableId"], t.TABLE) is item
                }


def _layout(cidr: str, names: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How many zones, where that says it all; otherwise the subnets."""
    zones = max((row["zone"] for row in names.values()), default=1)
    try:
        wanted = {name: Subnet(**row) for name, row in names.items()}
        usual = Network(cidr=IPv4Network(cidr), zones=zones).layout()
    except ValueError:
        return {"subnets": names}
    return {"zones": zones} if list(usual.items()) == list(wanted.items()) or not names else {"subnets": names}


def routes(made: AwsJob) -> None:
    """The gateways, and the tables whose ways out lead there, if subnets were put to them by name."""
    items, draft, vpc = made.items, made.draft, made.vpc
    if vpc is None:
        return
    _ways_out(made, vpc)
    for item in items.of(t.GATEWAY):
        if items.get(item.inputs.get("vpcId"), t.VPC) is vpc:
            draft.claim(t.GATEWAY, "main", item)
        else:
            draft.leave(item, "it belongs to another network, or to none")
    joined = {
        table.key
        for item in items.of(t.ASSOCIATION)
        if (table := items.get(item.inputs["routeTableId"], t.TABLE)) is not None
    }
    for route in items.of(t.ROUTE):
        table = items.get(route.inputs["routeTableId"], t.TABLE)
        ours = table is not None and items.get(table.inputs["vpcId"], t.VPC) is vpc
        if table is not None and route.inputs["destinationCidrBlock"] == "0.0.0.0/0":
            name = draft.claimed(table)
            if name is not None:
                draft.claim(t.ROUTE, name, route)
        out = items.get(route.inputs.get("gatewayId"), t.GATEWAY) is not None
        usable = table is not None and (table.marked or table.key in joined)
        if ours and out and usable and route.inputs["destinationCidrBlock"] == "0.0.0.0/0":
            draft.claim(t.TABLE, "public", table)
            draft.claim(t.ROUTE, "public", route)
        if route.key not in draft.claims.values() and route.key not in draft.known:
            draft.leave(route, "a stack file has no routes of one's own; it stays as it is")
    for item in items.of(t.TABLE):
        if item.key not in draft.claims.values() and item.key not in draft.known:
            draft.leave(item, "a stack file has no route tables; it stays as it is")
    for item in items.of(t.ASSOCIATION):
        subnet = items.get(item.inputs["subnetId"], t.SUBNET)
        name = made.subnets.get(subnet.key) if subnet is not None else None
        if name is not None:
            draft.claim(t.ASSOCIATION, name, item)
        else:
            draft.leave(item, "its subnet is in another network")


def _ways_out(made: AwsJob, vpc: Item) -> None:
    """Gateways for servers without public addresses, or the server that is their way out."""
    items, draft = made.items, made.draft
    through: dict[str, list[Item]] = {}
    for route in items.of(t.ROUTE):
        table = items.get(route.inputs["routeTableId"], t.TABLE)
        if table is None or items.get(table.inputs["vpcId"], t.VPC) is not vpc:
            continue
        gateway = items.get(route.inputs.get("natGatewayId"), t.NAT)
        if gateway is not None and route.inputs["destinationCidrBlock"] == "0.0.0.0/0":
            through.setdefault(gateway.key, []).append(table)
        server = _interface(made, route.inputs.get("networkInterfaceId"))
        if server is not None and draft.network is not None:
            draft.network["way_out"] = f"servers.{server}"
            draft.claim(t.TABLE, "private", table)
    if not through or draft.network is None:
        return
    zones = _private_zones(made)
    zonal = len(through) > 1 and len(through) >= len(zones)
    draft.network["way_out"] = "zonal" if zonal else "shared"
    for number, (key, tables) in enumerate(through.items()):
        gateway = items.key(key)
        zone = _zone(made, gateway) if zonal else min(zones, default=1)
        if gateway.marked:
            zone = int(gateway.name.rpartition("-")[2])
        if number and not zonal:
            break
        draft.claim(t.NAT, f"{ADDED}-{zone}", gateway)
        draft.claim(t.ADDRESS, f"{ADDED}-{zone}", items.get(gateway.inputs.get("allocationId"), t.ADDRESS))
        draft.claim(t.TABLE, f"private-{zone}", tables[0])


def _interface(made: AwsJob, value: Value) -> str | None:
    """The server whose first interface this is."""
    for member in made.members:
        here = member.item.outputs.get("primaryNetworkInterfaceId")
        if value and (value == here or made.items.get(value, t.INSTANCE) is member.item):
            return member.name
    return None


def _private_zones(made: AwsJob) -> set[int]:
    """Zones, as numbers, of the subnets that the stack lists."""
    network = made.draft.network or {}
    listed = network.get("subnets")
    if listed:
        return {row["zone"] for row in listed.values()}
    return set(range(1, network.get("zones", 1) + 1))


def _zone(made: AwsJob, gateway: Item) -> int:
    subnet = made.items.get(gateway.inputs["subnetId"], t.SUBNET)
    return _number(made.zones, subnet) if subnet is not None else 1
