"""Servers."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from werkzeug.wrappers import Request

from rehost.providers.sandbox.hcloud_api import catalog
from rehost.providers.sandbox.hcloud_api.network import attach, detach
from rehost.providers.sandbox.hcloud_api.simple import listing, renaming, single
from rehost.providers.sandbox.hcloud_api.store import ApiError, Project, Record, check_labels, invalid

_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$")


def free_address(project: Project, network: Record, asked: str | None = None) -> str:
    """An address in one of the network's subnets; the first of the network is the gateway's."""
    taken = {
        net["ip"]
        for server in project.all("servers").values()
        for net in server["private_net"]
        if net["network"] == network["id"]
    }
    taken.add(str(IPv4Network(network["ip_range"])[1]))
    subnets = [IPv4Network(subnet["ip_range"]) for subnet in network["subnets"]]
    if asked:
        if asked in taken:
            raise ApiError(409, "ip_not_available", "the address is already in use")
        if not any(IPv4Address(asked) in subnet for subnet in subnets):
            raise invalid("ip", "is in no subnet of the network")
        return asked
    for subnet in subnets:
        for address in subnet.hosts():
            if str(address) not in taken:
                return str(address)
    raise ApiError(409, "no_subnet_available", "the network has no free address")


def _join(project: Project, server: Record, network: Record, ip: str | None) -> None:
    net = {
        "network": network["id"],
        "ip": free_address(project, network, ip),
        "alias_ips": [],
        "mac_address": f"86:00:00:{server['id'] // 256 % 256:02x}:{server['id'] % 256:02x}:01",
    }
    server["private_net"].append(net)
    network["servers"].append(server["id"])


def _public(id_: int, asked: Record) -> Record:
    v4 = {
        "id": id_ * 10 + 1,
        "ip": f"203.0.{id_ // 250 % 250}.{id_ % 250 + 1}",
        "blocked": False,
        "dns_ptr": f"static.{id_}.clients.your-server.de",
    }
    v6 = {"id": id_ * 10 + 2, "ip": f"2001:db8:{id_:x}::/64", "blocked": False, "dns_ptr": []}
    return {
        "ipv4": v4 if asked.get("enable_ipv4", True) else None,
        "ipv6": v6 if asked.get("enable_ipv6", True) else None,
        "floating_ips": [],
        "firewalls": [],
    }


def _add(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    if "datacenter" in body:
        raise invalid("datacenter", "is no longer supported, use location")
    if not _NAME.match(str(body.get("name", ""))):
        raise invalid("name", "must be a valid hostname as per RFC 1123")
    if len(str(body.get("user_data") or "").encode()) > 32768:
        raise invalid("user_data", "must not exceed 32 KiB")
    type_ = catalog.server_type(str(body.get("server_type")))
    image = catalog.image(str(body.get("image")), type_["architecture"])
    place = catalog.location(str(body.get("location") or "fsn1"))
    if all(row["name"] != place["name"] for row in type_["locations"]):
        raise ApiError(412, "resource_unavailable", "server type is not available in the location")
    for key in body.get("ssh_keys") or []:
        if not any(str(key) in (str(k["id"]), k["name"]) for k in project.all("ssh_keys").values()):
            raise invalid("ssh_keys", "SSH key not found")
    networks = [project.get("networks", id_) for id_ in body.get("networks") or []]
    firewalls = [project.get("firewalls", row["firewall"]) for row in body.get("firewalls") or []]
    asked = body.get("public_net") or {}
    if not asked.get("enable_ipv4", True) and not asked.get("enable_ipv6", True) and not networks:
        raise invalid("public_net", "a server needs a public or a private interface")
    for network in networks:
        free_address(project, network)
    record: Record = {
        "name": body["name"],
        "status": "initializing",
        "server_type": type_,
        "location": place,
        "image": image,
        "iso": None,
        "rescue_enabled": False,
        "locked": False,
        "backup_window": None,
        "outgoing_traffic": 0,
        "ingoing_traffic": 0,
        "included_traffic": 21990232555520,
        "protection": {"delete": False, "rebuild": False},
        "labels": check_labels(body.get("labels")),
        "volumes": [],
        "load_balancers": [],
        "primary_disk_size": type_["disk"],
        "placement_group": None,
        "private_net": [],
        "public_net": {},
        "_user_data": body.get("user_data"),
    }
    server = project.add("servers", record)
    server["public_net"] = _public(server["id"], asked)
    for network in networks:
        _join(project, server, network, None)
    for firewall in firewalls:
        attach(firewall, server)

    def running() -> None:
        server["status"] = "running" if body.get("start_after_create", True) else "off"

    action = project.act("create_server", [("server", server["id"])], running, lock=server)
    following = [project.act("start_server", [("server", server["id"])])]
    return 201, {"server": server, "action": action, "next_actions": following, "root_password": None}


def _delete(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    server = project.get("servers", id)
    if server["protection"]["delete"]:
        raise ApiError(423, "protected", "server is protected against deletion")
    project.locked(server)

    def gone() -> None:
        for volume in server["volumes"]:
            project.all("volumes")[volume]["server"] = None
        for net in server["private_net"]:
            project.get("networks", net["network"])["servers"].remove(id)
        for row in list(server["public_net"]["firewalls"]):
            detach(project.get("firewalls", row["id"]), server)
        project.remove("servers", id)

    server["status"] = "deleting"
    return 200, {"action": project.act("delete_server", [("server", id)], gone, lock=server)}


def _power(command: str, status: str) -> Any:
    def handler(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
        server = project.get("servers", id)
        project.locked(server)
        action = project.act(command, [("server", id)], lambda: server.update(status=status), lock=server)
        return 201, {"action": action}

    return handler


def _change_type(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    server = project.get("servers", id)
    project.locked(server)
    if server["status"] != "off":
        raise ApiError(422, "server_not_stopped", "server must be stopped")
    type_ = catalog.server_type(str(body.get("server_type")))
    if type_["architecture"] != server["server_type"]["architecture"]:
        raise ApiError(422, "invalid_server_type", "server type has another architecture")
    if type_["disk"] < server["primary_disk_size"]:
        raise ApiError(422, "invalid_server_type", "the disk of the server type is too small")

    def changed() -> None:
        server["server_type"] = type_
        if body.get("upgrade_disk"):
            server["primary_disk_size"] = type_["disk"]

    return 201, {"action": project.act("change_server_type", [("server", id)], changed, lock=server)}


def _attach_network(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    server, network = project.get("servers", id), project.get("networks", body.get("network"))
    project.locked(server)
    if any(net["network"] == network["id"] for net in server["private_net"]):
        raise ApiError(409, "server_already_attached", "server is already attached to the network")
    free_address(project, network, body.get("ip"))
    join = lambda: _join(project, server, network, body.get("ip"))  # noqa: E731
    return 201, {"action": project.act("attach_to_network", [("server", id)], join, lock=server)}


def _detach_network(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    server, network = project.get("servers", id), project.get("networks", body.get("network"))
    project.locked(server)

    def left() -> None:
        server["private_net"] = [n for n in server["private_net"] if n["network"] != network["id"]]
        network["servers"].remove(id)

    return 201, {"action": project.act("detach_from_network", [("server", id)], left, lock=server)}


_ACTIONS = "/servers/<int:id>/actions"
ROUTES = (
    ("GET", "/servers", listing("servers")),
    ("POST", "/servers", _add),
    ("GET", "/servers/<int:id>", single("servers", "server")),
    ("PUT", "/servers/<int:id>", renaming("servers", "server")),
    ("DELETE", "/servers/<int:id>", _delete),
    ("POST", f"{_ACTIONS}/poweron", _power("start_server", "running")),
    ("POST", f"{_ACTIONS}/poweroff", _power("stop_server", "off")),
    ("POST", f"{_ACTIONS}/shutdown", _power("shutdown_server", "off")),
    ("POST", f"{_ACTIONS}/reset", _power("reset_server", "running")),
    ("POST", f"{_ACTIONS}/reboot", _power("reboot_server", "running")),
    ("POST", f"{_ACTIONS}/change_type", _change_type),
    ("POST", f"{_ACTIONS}/attach_to_network", _attach_network),
    ("POST", f"{_ACTIONS}/detach_from_network", _detach_network),
)
