"""Networks with their subnets and routes, and the private addresses in them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from rehost.providers.sandbox.hcloud_api import catalog, labels
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, limited, missing, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind, guard
from rehost.providers.sandbox.hcloud_api.store import Project, effect

NETWORKS = Kind("networks", "network")
_MOVES = {"attach_to_network": "attaching", "detach_from_network": "detaching", "change_alias_ips": "updating"}
_MEMBERS = Kind(
    "members",
    "member",
    sorts=("id", "type", "ip", "status"),
    filters={
        "type": ("server", "load_balancer"),
        "status": ("ok", "attaching", "detaching", "updating", "error"),
        "subnet": (),
    },
)
_PRIVATE = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_RESERVED = IPv4Address("172.31.1.1")
"""The gateway of the public interface."""
_SMALLEST_NETWORK, _SMALLEST_SUBNET, _DEFAULT_SUBNET = 24, 30, 24


def _range(value: str, name: str, smallest: int) -> IPv4Network:
    try:
        found = IPv4Network(value)
    except ValueError:
        raise invalid(name, "must be an IPv4 network in CIDR notation with empty host bits") from None
    if not any(found.subnet_of(private) for private in _PRIVATE):
        raise invalid(name, "must be a private network (RFC 1918)")
    if found.prefixlen > smallest:
        raise invalid(name, f"must be at least a /{smallest}")
    return found


def _whole(network: Record) -> IPv4Network:
    return IPv4Network(network["ip_range"])


def _subnets(network: Record) -> list[IPv4Network]:
    return [IPv4Network(subnet["ip_range"]) for subnet in network["subnets"]]


def _subnet(project: Project, network: Record, body: Record) -> Record:
    whole, others = _whole(network), _subnets(network)
    if len(others) >= catalog.limit("subnets_per_network"):
        raise limited("subnet_limit", "the network has too many subnets")
    if body["network_zone"] not in catalog.zones():
        raise invalid("network_zone", f"must be one of {', '.join(sorted(catalog.zones()))}")
    vswitch = body.get("vswitch_id") or None
    if (body["type"] == "vswitch") != (vswitch is not None):
        raise invalid("vswitch_id", "is needed for type vswitch, and only there")
    if vswitch is not None and any(
        subnet["vswitch_id"] == vswitch
        for other in project.all("networks").values()
        for subnet in other["subnets"]
    ):
        raise refused("vswitch_id_already_used", "the vSwitch is coupled to a network already")
    if body.get("ip_range"):
        inside = _range(body["ip_range"], "ip_range", _SMALLEST_SUBNET)
    else:
        step = max(_DEFAULT_SUBNET, whole.prefixlen)
        free = (n for n in whole.subnets(new_prefix=step) if not any(n.overlaps(other) for other in others))
        found = next(free, None)
        if found is None:
            raise invalid("ip_range", "the network has no room for another subnet")
        inside = found
    if not inside.subnet_of(whole):
        raise invalid("ip_range", "is not part of the network's range")
    if any(inside.overlaps(other) for other in others):
        raise invalid("ip_range", "overlaps with another subnet of the network")
    if any(_covers(route, inside) for route in network["routes"]):
        raise invalid("ip_range", "overlaps with the destination of a route")
    return {
        "type": body["type"],
        "ip_range": str(inside),
        "network_zone": body["network_zone"],
        "gateway": str(whole[1]),
        "vswitch_id": vswitch,
    }


def _covers(route: Record, inside: IPv4Network) -> bool:
    destination = IPv4Network(route["destination"])
    return destination.prefixlen > 0 and destination.overlaps(inside)


def _route(network: Record, body: Record) -> Record:
    whole = _whole(network)
    if len(network["routes"]) >= catalog.limit("routes_per_network"):
        raise limited("route_limit", "the network has too many routes")
    everywhere = body["destination"] == "0.0.0.0/0"
    destination = IPv4Network("0.0.0.0/0") if everywhere else _range(body["destination"], "destination", 32)
    if any(str(destination) == route["destination"] for route in network["routes"]):
        raise invalid("destination", "there is a route to this destination already")
    if not everywhere:
        if whole[1] in destination or _RESERVED in destination:
            raise invalid("destination", "holds a reserved address")
        if any(destination.overlaps(subnet) for subnet in _subnets(network)):
            raise invalid("destination", "overlaps with a subnet of the network")
        if any(_covers(route, destination) for route in network["routes"]):
            raise invalid("destination", "overlaps with the destination of another route")
    gateway = ipv4(body["gateway"], "gateway")
    if gateway in (whole[1], _RESERVED):
        raise invalid("gateway", "is a reserved address")
    if gateway not in whole:
        raise invalid("gateway", "is not part of the network's range")
    if behind_vswitch(network, gateway):
        raise invalid("gateway", "must not be behind a vSwitch")
    return {"destination": str(destination), "gateway": str(gateway)}


def ipv4(value: str, name: str) -> IPv4Address:
    """An IPv4 address. Raises ApiError for the field `name`."""
    try:
        return IPv4Address(value)
    except AddressValueError:
        raise invalid(name, "must be a valid IPv4 address") from None


def overlap(one: Record, other: Record) -> bool:
    """Whether two networks share addresses."""
    return _whole(one).overlaps(_whole(other))


def private(address: IPv4Address) -> bool:
    """Whether an address is of RFC 1918."""
    return any(address in block for block in _PRIVATE)


def behind_vswitch(network: Record, address: IPv4Address) -> bool:
    """Whether an address is in a vSwitch subnet of a network."""
    return any(s["type"] == "vswitch" and address in IPv4Network(s["ip_range"]) for s in network["subnets"])


# Addresses of members


def _taken(project: Project, network: Record) -> set[IPv4Address]:
    taken = {_whole(network)[1], _RESERVED}
    for kind in ("servers", "load_balancers"):
        for member in network[kind]:
            for net in project.get(kind, member)["private_net"]:
                if net["network"] == network["id"]:
                    taken.update(IPv4Address(ip) for ip in (net["ip"], *net.get("alias_ips", ())))
    return taken


def allocate(
    project: Project, network: Record, place: str, ip: str | None = None, ip_range: str | None = None
) -> str:
    """An address for a member in a location: the asked one, or a free one of the last subnet by range that has
    any. Raises ApiError."""
    members = len(network["servers"]) + len(network["load_balancers"])
    if members >= catalog.limit("members_per_network"):
        raise limited("network_member_limit", "the network has too many members")
    zone = catalog.locations()[place]["network_zone"]
    usable = [
        IPv4Network(subnet["ip_range"])
        for subnet in network["subnets"]
        if subnet["network_zone"] == zone and subnet["type"] != "vswitch"
    ]
    if ip_range:
        usable = [subnet for subnet in usable if str(subnet) == ip_range]
    if not usable:
        raise refused("no_subnet_available", "the network has no subnet for this location")
    taken = _taken(project, network)
    if ip:
        return str(_asked(ip, "ip", usable, taken))
    for subnet in sorted(usable, reverse=True):
        free = next((address for address in subnet.hosts() if address not in taken), None)
        if free is not None:
            return str(free)
    raise refused("no_subnet_available", "the network has no free address")


def _asked(ip: str, name: str, subnets: Iterable[IPv4Network], taken: set[IPv4Address]) -> IPv4Address:
    address = ipv4(ip, name)
    subnet = next((subnet for subnet in subnets if address in subnet), None)
    if subnet is None:
        raise invalid(name, "is in no subnet of the network")
    edges = (subnet.network_address, subnet.broadcast_address)
    if address in taken or address in edges:
        raise refused("ip_not_available", f"the address {address} is not available")
    return address


def aliases(project: Project, network: Record, ips: list[str], keep: Iterable[str] = ()) -> list[str]:
    """Further addresses of one member, of which `keep` are its own already. Raises ApiError."""
    if len(ips) > catalog.limit("alias_ips_per_network"):
        raise limited("alias_ip_limit", "too many alias IPs")
    taken = _taken(project, network) - {IPv4Address(ip) for ip in keep}
    found: list[str] = []
    for ip in ips:
        address = _asked(ip, "alias_ips", _subnets(network), taken)
        taken.add(address)
        found.append(str(address))
    return found


@effect
def leave_network(project: Project, kind: str, id: int, network: int) -> None:
    """Take a server or load balancer out of a network."""
    member, record = project.find(kind, id), project.find("networks", network)
    if member is not None:
        member["private_net"] = [net for net in member["private_net"] if net["network"] != network]
    if record is not None and id in record[kind]:
        record[kind].remove(id)


# Requests


def _add(call: Call) -> Answer:
    body = call.body
    record: Record = {
        "name": body["name"],
        "ip_range": str(_range(body["ip_range"], "ip_range", _SMALLEST_NETWORK)),
        "subnets": [],
        "routes": [],
        "servers": [],
        "load_balancers": [],
        "protection": {"delete": False},
        "labels": labels.checked(body.get("labels")),
        "expose_routes_to_vswitch": bool(body.get("expose_routes_to_vswitch", False)),
    }
    for subnet in body.get("subnets") or []:
        record["subnets"].append(_subnet(call.project, record, subnet))
    for route in body.get("routes") or []:
        record["routes"].append(_route(record, route))
    return 201, {"network": NETWORKS.show(call.project, call.project.add("networks", record))}


def _unchanging(call: Call, id: int) -> Record:
    network = call.project.get("networks", id)
    call.project.free("networks", id, "conflict")
    return network


def _change(call: Call, id: int) -> Answer:
    network = _unchanging(call, id)
    NETWORKS.apply_plain(call, network)
    if call.body.get("expose_routes_to_vswitch") is not None:
        network["expose_routes_to_vswitch"] = call.body["expose_routes_to_vswitch"]
    return 200, {"network": NETWORKS.show(call.project, network)}


def _delete(call: Call, id: int) -> Answer:
    network = _unchanging(call, id)
    guard(network, "network")
    for kind in ("servers", "load_balancers"):
        for member in list(network[kind]):
            leave_network(call.project, kind, member, id)
    call.project.remove("networks", id)
    return 204, {}


@effect
def change_list(project: Project, kind: str, id: int, field: str, rows: list[Record]) -> None:
    """Put the rows of a list of a record."""
    record = project.find(kind, id)
    if record is not None:
        record[field] = rows


def _edit(call: Call, command: str, network: Record, field: str, rows: list[Record]) -> Answer:
    effect_ = ("change_list", {"field": field, "rows": rows})
    return 201, {"action": NETWORKS.act(call, command, network["id"], effect_, lock=True)}


def _add_subnet(call: Call, id: int) -> Answer:
    network = _unchanging(call, id)
    return _edit(
        call, "add_subnet", network, "subnets", [*network["subnets"], _subnet(call.project, network, call.body)]
    )


def _delete_subnet(call: Call, id: int) -> Answer:
    network = _unchanging(call, id)
    left = [subnet for subnet in network["subnets"] if subnet["ip_range"] != call.body["ip_range"]]
    if len(left) == len(network["subnets"]):
        raise missing("subnet")
    inside = IPv4Network(call.body["ip_range"])
    if any(ip in inside for ip in _taken(call.project, network) - {_whole(network)[1], _RESERVED}):
        raise refused("service_error", "cannot remove subnet because servers are attached to it")
    return _edit(call, "delete_subnet", network, "subnets", left)


def _add_route(call: Call, id: int) -> Answer:
    network = _unchanging(call, id)
    return _edit(call, "add_route", network, "routes", [*network["routes"], _route(network, call.body)])


def _delete_route(call: Call, id: int) -> Answer:
    network = _unchanging(call, id)
    asked = {"destination": call.body["destination"], "gateway": call.body["gateway"]}
    if asked not in network["routes"]:
        raise missing("route")
    return _edit(call, "delete_route", network, "routes", [row for row in network["routes"] if row != asked])


def _change_range(call: Call, id: int) -> Answer:
    network = _unchanging(call, id)
    before, after = _whole(network), _range(call.body["ip_range"], "ip_range", _SMALLEST_NETWORK)
    if after.network_address != before.network_address or after.prefixlen > before.prefixlen:
        raise invalid("ip_range", "a range can only grow, at its end")
    effect_ = ("update", {"values": {"ip_range": str(after)}})
    return 201, {"action": NETWORKS.act(call, "change_ip_range", id, effect_, lock=True)}


def _protect(call: Call, id: int) -> Answer:
    _unchanging(call, id)
    return NETWORKS.protect(call, id)


def _members(call: Call, id: int) -> Answer:
    project, network = call.project, call.project.get("networks", id)
    moving = {
        (row["type"], row["id"]): _MOVES[action["command"]]
        for action in project.actions_of("network", id)
        if action["status"] == "running" and action["command"] in _MOVES
        for row in action["resources"]
    }
    members: list[Record] = []
    for kind, word in (("servers", "server"), ("load_balancers", "load_balancer")):
        for member in network[kind]:
            net = next(net for net in project.get(kind, member)["private_net"] if net["network"] == id)
            address = IPv4Address(net["ip"])
            members.append(
                {
                    "type": word,
                    "id": member,
                    "ip": net["ip"],
                    "status": moving.get((word, member), "ok"),
                    "alias_ips": net.get("alias_ips", []),
                    "subnet": str(next(subnet for subnet in _subnets(network) if address in subnet)),
                }
            )
    return _MEMBERS.listed(call, members)


_ACTIONS = "/networks/<int:id>/actions"
ROUTES = (
    *NETWORKS.reads(),
    ("POST", "/networks", _add),
    ("PUT", "/networks/<int:id>", _change),
    ("DELETE", "/networks/<int:id>", _delete),
    ("GET", "/networks/<int:id>/members", _members),
    ("POST", f"{_ACTIONS}/add_subnet", _add_subnet),
    ("POST", f"{_ACTIONS}/delete_subnet", _delete_subnet),
    ("POST", f"{_ACTIONS}/add_route", _add_route),
    ("POST", f"{_ACTIONS}/delete_route", _delete_route),
    ("POST", f"{_ACTIONS}/change_ip_range", _change_range),
    ("POST", f"{_ACTIONS}/change_protection", _protect),
)
