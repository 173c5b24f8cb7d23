"""Primary IPs: the public addresses of servers and load balancers."""

from __future__ import annotations

from typing import Any

from rehost.providers.sandbox.hcloud_api import addresses, catalog, labels, targets
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind, guard
from rehost.providers.sandbox.hcloud_api.store import Project, effect, public


def _view(project: Project, record: Record) -> Record:
    del project
    return {**public(record), "location": catalog.locations()[record["location"]]}


PRIMARY_IPS = Kind("primary_ips", "primary_ip", _view, ("id", "created"), filters={"ip": ()})


def make(project: Project, type_: str, place: str, name: str | None = None, **fields: Any) -> Record:
    """A fresh address; without a name it gets one, as those do that come with a server."""
    number = project.next_id
    ip = addresses.public(type_, number)
    record: Record = {
        "name": name or project.unused("primary_ips", f"primary_ip-{number}"),
        "type": type_,
        "ip": ip,
        "labels": {},
        "protection": {"delete": False},
        "auto_delete": False,
        "assignee_id": None,
        "assignee_type": "unassigned",
        "blocked": False,
        "dns_ptr": addresses.default_pointers(type_, ip),
        "location": place,
        **fields,
    }
    return project.add("primary_ips", record)


def usable(project: Project, id: int, type_: str, place: str) -> Record:
    """A primary IP that a new resource is to have. Raises ApiError."""
    record = project.get("primary_ips", id)
    if record["type"] != type_:
        raise refused("primary_ip_version_mismatch", f"primary IP is not of type {type_}")
    if record["assignee_id"] is not None:
        raise refused("primary_ip_assigned", "primary IP is already assigned")
    if record["location"] != place:
        raise refused("primary_ip_datacenter_mismatch", "primary IP is in another location")
    project.free("primary_ips", id)
    return record


@effect
def give(project: Project, id: int, server: int) -> None:
    """Assign a primary IP to a server."""
    record, owner = project.find("primary_ips", id), project.find("servers", server)
    if record is not None and owner is not None:
        record.update(assignee_id=server, assignee_type="server")
        owner[f"_{record['type']}"] = id


@effect
def take(project: Project, id: int) -> None:
    """Unassign a primary IP from its server."""
    record = project.find("primary_ips", id)
    if record is None:
        return
    owner = project.find("servers", record["assignee_id"])
    if owner is not None:
        owner[f"_{record['type']}"] = None
    record.update(assignee_id=None, assignee_type="unassigned")


def release(project: Project, id: int | None) -> None:
    """What happens to an address when its server or load balancer is deleted."""
    record = project.find("primary_ips", id)
    if record is None:
        return
    if record["auto_delete"]:
        project.remove("primary_ips", record["id"])
    else:
        record.update(assignee_id=None, assignee_type="unassigned")


def _ready(project: Project, record_type: str, place: str, server_id: int) -> Record:
    """A server that can take an address. Raises ApiError."""
    server = project.get("servers", server_id)
    if server["location"] != place:
        raise invalid("assignee_id", "server and primary IP are in different locations")
    if server["status"] != "off":
        raise refused("server_not_stopped", "server must be stopped")
    if server[f"_{record_type}"] is not None:
        raise refused(f"server_has_{record_type}", f"server already has an {record_type} address")
    project.free("servers", server_id)
    return server


def _start(project: Project, record: Record, server_id: int) -> Record:
    locks = [("primary_ips", record["id"]), ("servers", server_id)]
    owners = [("primary_ip", record["id"]), ("server", server_id)]
    effects = [("give", {"id": record["id"], "server": server_id})]
    return project.shown(project.act("assign_primary_ip", owners, effects, locks=locks))


def _add(call: Call) -> Answer:
    project, body = call.project, call.body
    assignee = body.get("assignee_id")
    if (assignee is None) == (body.get("location") is None):
        raise invalid("location", "exactly one of location and assignee_id is needed")
    if assignee is None:
        place = catalog.location(body["location"])["name"]
    else:
        if body.get("assignee_type") is None:
            raise invalid("assignee_type", "is needed with assignee_id")
        place = project.get("servers", assignee)["location"]
        _ready(project, body["type"], place, assignee)
    marks = labels.checked(body.get("labels"))
    record = make(
        project, body["type"], place, body["name"], labels=marks, auto_delete=bool(body.get("auto_delete", False))
    )
    answer: Record = {}
    if assignee is not None:
        answer["action"] = _start(project, record, assignee)
    return 201, {"primary_ip": _view(project, record), **answer}


def _change(call: Call, id: int) -> Answer:
    record = call.project.get("primary_ips", id)
    call.project.free("primary_ips", id, "conflict")
    if call.body.get("auto_delete") and record["protection"]["delete"]:
        raise invalid("auto_delete", "can't be enabled while the primary IP is protected")
    PRIMARY_IPS.apply_plain(call, record)
    if call.body.get("auto_delete") is not None:
        record["auto_delete"] = call.body["auto_delete"]
    return 200, {"primary_ip": _view(call.project, record)}


def _delete(call: Call, id: int) -> Answer:
    record = call.project.get("primary_ips", id)
    guard(record, "primary_ip")
    call.project.free("primary_ips", id)
    if record["assignee_id"] is not None:
        raise refused("must_be_unassigned", "primary IP is still assigned to a resource")
    call.project.remove("primary_ips", id)
    return 204, {}


def _assign(call: Call, id: int) -> Answer:
    project, record = call.project, call.project.get("primary_ips", id)
    project.free("primary_ips", id)
    if record["assignee_id"] is not None:
        raise refused("primary_ip_already_assigned", "primary IP is already assigned to a different resource")
    server = _ready(project, record["type"], record["location"], call.body["assignee_id"])
    return 201, {"action": _start(project, record, server["id"])}


def _unassign(call: Call, id: int) -> Answer:
    project, record = call.project, call.project.get("primary_ips", id)
    project.free("primary_ips", id)
    if record["assignee_type"] == "unassigned":
        raise invalid("assignee_id", "primary IP is not assigned")
    if record["assignee_type"] != "server":
        raise refused("unsupported_error", "the addresses of a load balancer stay for its life")
    server = project.get("servers", record["assignee_id"])
    if server["status"] != "off":
        raise refused("server_not_stopped", "server must be stopped")
    if record["type"] == "ipv4" and targets.publicly_reached(project, server):
        raise refused("server_is_load_balancer_target", "the server's address is a load balancer's target")
    project.free("servers", server["id"])
    owners = [("primary_ip", id), ("server", server["id"])]
    locks = [("primary_ips", id), ("servers", server["id"])]
    action = project.act("unassign_primary_ip", owners, [("take", {"id": id})], locks=locks)
    return 201, {"action": project.shown(action)}


def _protect(call: Call, id: int) -> Answer:
    if call.project.get("primary_ips", id)["auto_delete"] and call.body["delete"]:
        raise invalid("delete", "a primary IP that is deleted with its server can't be protected")
    return PRIMARY_IPS.protect(call, id)


def _pointer(call: Call, id: int) -> Answer:
    entries = addresses.pointer(call.project.get("primary_ips", id), call.body["ip"], call.body["dns_ptr"])
    return 201, {"action": PRIMARY_IPS.act(call, "change_dns_ptr", id, ("point", {"entries": entries}))}


_ACTIONS = "/primary_ips/<int:id>/actions"
ROUTES = (
    *PRIMARY_IPS.reads(),
    ("POST", "/primary_ips", _add),
    ("PUT", "/primary_ips/<int:id>", _change),
    ("DELETE", "/primary_ips/<int:id>", _delete),
    ("POST", f"{_ACTIONS}/assign", _assign),
    ("POST", f"{_ACTIONS}/unassign", _unassign),
    ("POST", f"{_ACTIONS}/change_protection", _protect),
    ("POST", f"{_ACTIONS}/change_dns_ptr", _pointer),
)
