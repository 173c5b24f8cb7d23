"""Servers: how they are made, shown, changed and deleted."""

from __future__ import annotations

import re
import secrets
from typing import Any

from rehost.providers.sandbox.hcloud_api import (
    catalog,
    firewalls,
    floating_ips,
    groups,
    images,
    labels,
    networks,
    primary_ips,
    targets,
    volumes,
)
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, limited, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind, guard
from rehost.providers.sandbox.hcloud_api.store import Project, effect, public

_NAME = re.compile(
    r"^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
)
_FAMILIES = ("ipv4", "ipv6")
_DEFAULT_LOCATION = "fsn1"
_TRAFFIC = 20 * 1024**4
STATES = (
    "running",
    "initializing",
    "starting",
    "stopping",
    "off",
    "deleting",
    "migrating",
    "rebuilding",
    "unknown",
)


def _interfaces(project: Project, server: Record) -> Record:
    v4, v6 = (project.find("primary_ips", server[f"_{family}"]) for family in _FAMILIES)
    return {
        "ipv4": v4 and {"id": v4["id"], "ip": v4["ip"], "blocked": False, "dns_ptr": v4["dns_ptr"][0]["dns_ptr"]},
        "ipv6": v6 and {"id": v6["id"], "ip": v6["ip"], "blocked": False, "dns_ptr": v6["dns_ptr"]},
        "floating_ips": server["_floating"],
        "firewalls": firewalls.standing_before(project, server),
    }


def _view(project: Project, server: Record) -> Record:
    image, group = (
        images.known(project, server["image"]),
        project.find("placement_groups", server["placement_group"]),
    )
    return {
        **public(server),
        "server_type": catalog.offered_type(project, catalog.server_types()[server["server_type"]]),
        "location": catalog.locations()[server["location"]],
        "image": public(image) if image else None,
        "iso": catalog.isos()[server["iso"]] if server["iso"] else None,
        "locked": project.locked("servers", server["id"]),
        "load_balancers": targets.balancers_of(project, server),
        "placement_group": public(group) if group else None,
        "public_net": _interfaces(project, server),
    }


SERVERS = Kind("servers", "server", _view, filters={"status": STATES})


def checked_name(name: str) -> str:
    """A server's name. Raises ApiError."""
    if not _NAME.match(name):
        raise invalid("name", "must be a valid hostname as per RFC 1123")
    return name


def password() -> str:
    """A root password."""
    return secrets.token_urlsafe(15)


def mac(server: int, number: int) -> str:
    """The hardware address of a private interface."""
    return ":".join(f"{part:02x}" for part in (0x86, number, *(server & 0xFFFFFFFF).to_bytes(4, "big")))


class _Order:
    """A request for a server, checked as a whole before anything is made."""

    def __init__(self, project: Project, body: Record) -> None:
        self.project, self.body = project, body
        self.name = checked_name(body["name"])
        if len((body.get("user_data") or "").encode()) > catalog.limit("user_data_bytes"):
            raise invalid("user_data", "must not exceed 32 KiB")
        self.labels = labels.checked(body.get("labels"))
        self.type = catalog.server_type(body["server_type"])
        self.image = images.chosen(project, body["image"], self.type["architecture"])
        if self.image["disk_size"] > self.type["disk"]:
            raise invalid("image", "the image's disk is larger than that of the server type")
        self.place: str = catalog.location(body.get("location") or _DEFAULT_LOCATION)["name"]
        self.keys = [groups.key(project, key)["id"] for key in body.get("ssh_keys") or []]
        self._addresses()
        self._networks()
        self._firewalls()
        self._volumes()
        group = body.get("placement_group")
        self.group = groups.room(project, group)["id"] if group is not None else None
        self.start = body.get("start_after_create") is not False

    def _addresses(self) -> None:
        asked = self.body.get("public_net") or {}
        self.addresses: dict[str, int | None] = {}
        for family in _FAMILIES:
            given = asked.get(family)
            if given is not None:
                if asked.get(f"enable_{family}") is False:
                    raise invalid(f"public_net.{family}", f"can't be given with enable_{family} false")
                self.addresses[family] = primary_ips.usable(self.project, given, family, self.place)["id"]
            elif asked.get(f"enable_{family}") is not False:
                self.addresses[family] = None
        self.project.room("primary_ips", list(self.addresses.values()).count(None))

    def _networks(self) -> None:
        ids = self.body.get("networks") or []
        if len(set(ids)) != len(ids):
            raise invalid("networks", "a network is named more than once")
        if len(ids) > catalog.limit("networks_per_server"):
            raise limited("networks_per_server_limit", "too many networks")
        if not ids and not self.addresses and self.body.get("start_after_create") is not False:
            raise invalid("public_net", "a server needs a public or a private interface to be started")
        self.networks: list[tuple[Record, str]] = []
        for id_ in ids:
            network = self.project.get("networks", id_)
            check_overlap(self.project, [row["id"] for row, _ in self.networks], network)
            self.networks.append((network, networks.allocate(self.project, network, self.place)))

    def _firewalls(self) -> None:
        ids = [row["firewall"] for row in self.body.get("firewalls") or []]
        if ids and not self.addresses:
            raise refused("private_net_only_server", "the server has no public interface")
        if len(ids) > catalog.limit("firewalls_per_server"):
            raise limited("firewalls_per_server_limit", "the server has too many firewalls")
        self.firewalls = [self.project.get("firewalls", id_) for id_ in dict.fromkeys(ids)]

    def _volumes(self) -> None:
        ids = list(dict.fromkeys(self.body.get("volumes") or []))
        if len(ids) > catalog.limit("volumes_per_server"):
            raise limited("volumes_per_server_limit", "the server has too many volumes")
        self.volumes = [self.project.get("volumes", id_) for id_ in ids]
        for volume in self.volumes:
            if volume["server"] is not None:
                raise refused("volume_already_attached", "volume is already attached to a server")
            if volume["location"] != self.place:
                raise invalid("volumes", "volume and server are in different locations")
            self.project.free("volumes", volume["id"])


def check_overlap(project: Project, joined: list[int], network: Record) -> None:
    """Raise ApiError when a network overlaps with those that a server is in."""
    if any(networks.overlap(project.get("networks", id_), network) for id_ in joined):
        raise refused("networks_overlap", "the network overlaps with another network of the server")


def join(project: Project, server: Record, network: Record, ip: str, aliases: list[str]) -> None:
    """Give a server an interface in a network."""
    number = len(server["private_net"]) + 1
    net = {"network": network["id"], "ip": ip, "alias_ips": aliases, "mac_address": mac(server["id"], number)}
    server["private_net"].append(net)
    network["servers"].append(server["id"])


def _add(call: Call) -> Answer:
    project = call.project
    order = _Order(project, call.body)
    catalog.reserve(project, order.type, order.place)
    server = project.add("servers", _fresh(order))
    id_ = server["id"]
    for family, given in order.addresses.items():
        fields = {"assignee_id": id_, "assignee_type": "server"}
        if given is None:
            made = primary_ips.make(project, family, order.place, auto_delete=True, **fields)
            server[f"_{family}"] = made["id"]
        else:
            project.get("primary_ips", given).update(fields)
            server[f"_{family}"] = given
    for network, ip in order.networks:
        join(project, server, network, ip, [])
    for firewall in order.firewalls:
        firewall["_servers"].append(id_)
    if order.group is not None:
        groups.join_group(project, id_, order.group)
    word = None if order.keys else password()
    owners, locks = [("server", id_)], [("servers", id_)]
    status = ("server_status", {"id": id_, "status": "starting" if order.start else "off"})
    failed = ("server_gone", {"id": id_})
    action = project.act("create_server", owners, [status], failed=[failed], locks=locks)
    following = []
    if order.start:
        started = ("server_status", {"id": id_, "status": "running"})
        off = ("server_status", {"id": id_, "status": "off"})
        following.append(project.act("start_server", owners, [started], failed=[off], locks=locks, after=action))
    following += [volumes.attach(project, volume, id_, action) for volume in order.volumes]
    answer = {"server": _view(project, server), "action": project.shown(action), "root_password": word}
    return 201, {**answer, "next_actions": [project.shown(row) for row in following]}


def _fresh(order: _Order) -> Record:
    return {
        "name": order.name,
        "status": "initializing",
        "server_type": order.type["name"],
        "location": order.place,
        "image": order.image["id"],
        "iso": None,
        "rescue_enabled": False,
        "backup_window": None,
        "outgoing_traffic": None,
        "ingoing_traffic": None,
        "included_traffic": _TRAFFIC,
        "protection": {"delete": False, "rebuild": False},
        "labels": order.labels,
        "volumes": [],
        "primary_disk_size": order.type["disk"],
        "placement_group": None,
        "private_net": [],
        "_ipv4": None,
        "_ipv6": None,
        "_floating": [],
        "_user_data": order.body.get("user_data"),
        "_keys": order.keys,
    }


@effect
def server_status(project: Project, id: int, status: str, **fields: Any) -> None:
    """A server is in another state; other fields may change with it."""
    server = project.find("servers", id)
    if server is not None:
        server.update(status=status, **fields)


@effect
def server_gone(project: Project, id: int) -> None:
    """A server is deleted: what hung on it is let go."""
    server = project.find("servers", id)
    if server is None:
        return
    for volume in list(server["volumes"]):
        volumes.unplug(project, volume)
    for net in list(server["private_net"]):
        networks.leave_network(project, "servers", id, net["network"])
    for floating in list(server["_floating"]):
        floating_ips.carry(project, floating, None)
    groups.leave_group(project, id)
    firewalls.forget_server(project, id)
    targets.forget_server(project, id)
    images.drop_backups(project, id)
    for family in _FAMILIES:
        primary_ips.release(project, server[f"_{family}"])
    project.remove("servers", id)


def _change(call: Call, id: int) -> Answer:
    if call.body.get("name") is not None:
        checked_name(call.body["name"])
    return SERVERS.change(call, id)


def _delete(call: Call, id: int) -> Answer:
    project, server = call.project, call.project.get("servers", id)
    guard(server, "server")
    project.free("servers", id)
    before, server["status"] = server["status"], "deleting"
    kept = ("server_status", {"id": id, "status": before})
    action = project.act(
        "delete_server",
        [("server", id)],
        [("server_gone", {"id": id})],
        failed=[kept],
        locks=[("servers", id)],
    )
    return 200, {"action": project.shown(action)}


def off(server: Record) -> None:
    """Raise ApiError unless a server is off."""
    if server["status"] != "off":
        raise refused("server_not_stopped", "server must be stopped for this operation")


def ready(project: Project, id: int) -> Record:
    """A server that no action keeps others away from. Raises ApiError."""
    server = project.get("servers", id)
    project.free("servers", id)
    return server


ROUTES = (
    *SERVERS.reads(),
    ("POST", "/servers", _add),
    ("PUT", "/servers/<int:id>", _change),
    ("DELETE", "/servers/<int:id>", _delete),
)
