"""Networks with subnets, and firewalls."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

from werkzeug.wrappers import Request

from rehost.providers.sandbox.hcloud_api.simple import listing, renaming, single
from rehost.providers.sandbox.hcloud_api.store import ApiError, Project, Record, check_labels, invalid


def _range(value: object, name: str) -> IPv4Network:
    try:
        found = IPv4Network(str(value))
    except ValueError:
        raise invalid(name, "must be a network in CIDR notation") from None
    if not found.is_private:
        raise invalid(name, "must be a private network")
    return found


def _subnet(network: Record, body: Record) -> Record:
    inside = _range(body.get("ip_range"), "ip_range")
    if not inside.subnet_of(IPv4Network(network["ip_range"])):
        raise invalid("ip_range", "is not part of the network")
    if any(inside.overlaps(IPv4Network(other["ip_range"])) for other in network["subnets"]):
        raise ApiError(409, "conflict", "the subnet overlaps with another")
    if body.get("type") not in ("cloud", "server"):
        raise invalid("type", "must be cloud")
    gateway = str(IPv4Network(network["ip_range"])[1])
    return {
        "type": "cloud",
        "ip_range": str(inside),
        "network_zone": body.get("network_zone"),
        "gateway": gateway,
        "vswitch_id": None,
    }


def _add_network(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    record: Record = {
        "name": body.get("name"),
        "ip_range": str(_range(body.get("ip_range"), "ip_range")),
        "subnets": [],
        "routes": [],
        "servers": [],
        "load_balancers": [],
        "protection": {"delete": False},
        "labels": check_labels(body.get("labels")),
        "expose_routes_to_vswitch": bool(body.get("expose_routes_to_vswitch", False)),
    }
    for subnet in body.get("subnets") or []:
        record["subnets"].append(_subnet(record, subnet))
    return 201, {"network": project.add("networks", record)}


def _delete_network(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    network = project.get("networks", id)
    if network["protection"]["delete"]:
        raise ApiError(423, "protected", "network is protected against deletion")
    project.locked(network)
    if network["servers"]:
        raise ApiError(409, "resource_in_use", "network still has servers attached")
    project.remove("networks", id)
    return 204, {}


def _add_subnet(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    network = project.get("networks", id)
    project.locked(network)
    subnet = _subnet(network, body)
    action = project.act("add_subnet", [("network", id)], lambda: network["subnets"].append(subnet), lock=network)
    return 201, {"action": action}


def _delete_subnet(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    network = project.get("networks", id)
    project.locked(network)
    subnet = next((s for s in network["subnets"] if s["ip_range"] == body.get("ip_range")), None)
    if subnet is None:
        raise ApiError(404, "not_found", "subnet not found")
    inside = ip_network(subnet["ip_range"])
    for server in project.all("servers").values():
        for net in server["private_net"]:
            if net["network"] == id and ip_network(net["ip"]).subnet_of(inside):  # type: ignore[arg-type]
                raise ApiError(409, "resource_in_use", "subnet still has servers attached")
    action = project.act(
        "delete_subnet", [("network", id)], lambda: network["subnets"].remove(subnet), lock=network
    )
    return 201, {"action": action}


def _rules(body: Record) -> list[Record]:
    rules = []
    for rule in body.get("rules") or []:
        ways = {"in": "source_ips", "out": "destination_ips"}
        if rule.get("direction") not in ways:
            raise invalid("rules", "direction must be in or out")
        if rule.get("protocol") not in ("tcp", "udp", "icmp", "esp", "gre"):
            raise invalid("rules", "protocol is not valid")
        if (rule["protocol"] in ("tcp", "udp")) != bool(rule.get("port")):
            raise invalid("rules", "port is needed for tcp and udp, and only there")
        for address in rule.get(ways[rule["direction"]]) or []:
            try:
                ip_network(address)
            except ValueError:
                raise invalid("rules", f"{address} is not a network") from None
        rules.append(
            {
                "direction": rule["direction"],
                "protocol": rule["protocol"],
                "port": rule.get("port"),
                "source_ips": list(rule.get("source_ips") or []),
                "destination_ips": list(rule.get("destination_ips") or []),
                "description": rule.get("description"),
            }
        )
    if len(rules) > 50:
        raise invalid("rules", "at most 50 rules are allowed")
    return rules


def _add_firewall(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    record = {
        "name": body.get("name"),
        "labels": check_labels(body.get("labels")),
        "rules": _rules(body),
        "applied_to": [],
    }
    made = project.add("firewalls", record)
    return 201, {"firewall": made, "actions": [project.act("set_firewall_rules", [("firewall", made["id"])])]}


def _set_rules(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    firewall = project.get("firewalls", id)
    firewall["rules"] = _rules(body)
    return 201, {"actions": [project.act("set_firewall_rules", [("firewall", id)])]}


def _apply(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    firewall = project.get("firewalls", id)
    actions = []
    for row in body.get("apply_to") or []:
        server = project.get("servers", row["server"]["id"])
        attach(firewall, server)
        actions.append(project.act("apply_firewall", [("firewall", id), ("server", server["id"])]))
    return 201, {"actions": actions}


def _remove(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    firewall = project.get("firewalls", id)
    actions = []
    for row in body.get("remove_from") or []:
        server = project.get("servers", row["server"]["id"])
        detach(firewall, server)
        actions.append(project.act("remove_firewall", [("firewall", id), ("server", server["id"])]))
    return 201, {"actions": actions}


def attach(firewall: Record, server: Record) -> None:
    """Put a firewall before a server's public interface."""
    if not (server["public_net"]["ipv4"] or server["public_net"]["ipv6"]):
        raise ApiError(422, "private_net_only_server", "the server has no public interface")
    if all(row["id"] != firewall["id"] for row in server["public_net"]["firewalls"]):
        server["public_net"]["firewalls"].append({"id": firewall["id"], "status": "applied"})
        firewall["applied_to"].append({"type": "server", "server": {"id": server["id"]}})


def detach(firewall: Record, server: Record) -> None:
    """Take a firewall away from a server."""
    net = server["public_net"]
    net["firewalls"] = [row for row in net["firewalls"] if row["id"] != firewall["id"]]
    firewall["applied_to"] = [row for row in firewall["applied_to"] if row["server"]["id"] != server["id"]]


def _delete_firewall(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    if project.get("firewalls", id)["applied_to"]:
        raise ApiError(409, "resource_in_use", "firewall is in use")
    project.remove("firewalls", id)
    return 204, {}


ROUTES = (
    ("GET", "/networks", listing("networks")),
    ("POST", "/networks", _add_network),
    ("GET", "/networks/<int:id>", single("networks", "network")),
    ("PUT", "/networks/<int:id>", renaming("networks", "network")),
    ("DELETE", "/networks/<int:id>", _delete_network),
    ("POST", "/networks/<int:id>/actions/add_subnet", _add_subnet),
    ("POST", "/networks/<int:id>/actions/delete_subnet", _delete_subnet),
    ("GET", "/firewalls", listing("firewalls")),
    ("POST", "/firewalls", _add_firewall),
    ("GET", "/firewalls/<int:id>", single("firewalls", "firewall")),
    ("PUT", "/firewalls/<int:id>", renaming("firewalls", "firewall")),
    ("DELETE", "/firewalls/<int:id>", _delete_firewall),
    ("POST", "/firewalls/<int:id>/actions/set_rules", _set_rules),
    ("POST", "/firewalls/<int:id>/actions/apply_to_resources", _apply),
    ("POST", "/firewalls/<int:id>/actions/remove_from_resources", _remove),
)
