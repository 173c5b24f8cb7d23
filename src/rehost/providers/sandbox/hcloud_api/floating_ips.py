"""Floating IPs."""

from __future__ import annotations

from rehost.providers.sandbox.hcloud_api import addresses, catalog, labels
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind, guard
from rehost.providers.sandbox.hcloud_api.store import Project, effect, public


def _view(project: Project, record: Record) -> Record:
    del project
    return {**public(record), "home_location": catalog.locations()[record["home_location"]]}


FLOATING_IPS = Kind("floating_ips", "floating_ip", _view, ("id", "created"))


@effect
def carry(project: Project, id: int, server: int | None) -> None:
    """Move a floating IP to a server, or away from one."""
    record = project.find("floating_ips", id)
    if record is None:
        return
    before, after = project.find("servers", record["server"]), project.find("servers", server)
    if before is not None:
        before["_floating"].remove(id)
    if after is not None:
        after["_floating"].append(id)
    record["server"] = server if after is not None else None


def _start(project: Project, id: int, server: int) -> Record:
    owners = [("floating_ip", id), ("server", server)]
    effects = [("carry", {"id": id, "server": server})]
    locks = [("floating_ips", id)]
    return project.shown(project.act("assign_floating_ip", owners, effects, locks=locks))


def _add(call: Call) -> Answer:
    project, body = call.project, call.body
    server = project.get("servers", body["server"]) if body.get("server") is not None else None
    if server is None and body.get("home_location") is None:
        raise invalid("home_location", "one of home_location and server is needed")
    place = server["location"] if server else catalog.location(body["home_location"], "home_location")["name"]
    marks, number = labels.checked(body.get("labels")), project.next_id
    ip = addresses.public(body["type"], number)
    record: Record = {
        "name": body.get("name") or project.unused("floating_ips", f"floating-ip-{number}"),
        "description": body.get("description") or "",
        "type": body["type"],
        "ip": ip,
        "server": None,
        "dns_ptr": addresses.default_pointers(body["type"], ip),
        "home_location": place,
        "blocked": False,
        "protection": {"delete": False},
        "labels": marks,
    }
    made = project.add("floating_ips", record)
    answer: Record = {"action": _start(project, made["id"], server["id"])} if server else {}
    return 201, {"floating_ip": _view(project, made), **answer}


def _change(call: Call, id: int) -> Answer:
    record = call.project.get("floating_ips", id)
    FLOATING_IPS.apply_plain(call, record)
    if "description" in call.body:
        record["description"] = call.body["description"] or ""
    return 200, {"floating_ip": _view(call.project, record)}


def _delete(call: Call, id: int) -> Answer:
    record = call.project.get("floating_ips", id)
    guard(record, "floating_ip")
    call.project.free("floating_ips", id)
    if record["server"] is not None:
        raise refused("must_be_unassigned", "floating IP is still assigned to a server")
    call.project.remove("floating_ips", id)
    return 204, {}


def _assign(call: Call, id: int) -> Answer:
    project, record = call.project, call.project.get("floating_ips", id)
    server = project.get("servers", call.body["server"])
    project.free("floating_ips", id)
    if record["server"] == server["id"]:
        raise refused("floating_ip_assigned", "floating IP is already assigned")
    return 201, {"action": _start(project, id, server["id"])}


def _unassign(call: Call, id: int) -> Answer:
    project, record = call.project, call.project.get("floating_ips", id)
    project.free("floating_ips", id)
    if record["server"] is None:
        raise invalid("server", "floating IP is not assigned")
    owners = [("floating_ip", id), ("server", record["server"])]
    effects = [("carry", {"id": id, "server": None})]
    action = project.act("unassign_floating_ip", owners, effects, locks=[("floating_ips", id)])
    return 201, {"action": project.shown(action)}


def _pointer(call: Call, id: int) -> Answer:
    entries = addresses.pointer(call.project.get("floating_ips", id), call.body["ip"], call.body["dns_ptr"])
    return 201, {"action": FLOATING_IPS.act(call, "change_dns_ptr", id, ("point", {"entries": entries}))}


_ACTIONS = "/floating_ips/<int:id>/actions"
ROUTES = (
    *FLOATING_IPS.reads(),
    ("POST", "/floating_ips", _add),
    ("PUT", "/floating_ips/<int:id>", _change),
    ("DELETE", "/floating_ips/<int:id>", _delete),
    ("POST", f"{_ACTIONS}/assign", _assign),
    ("POST", f"{_ACTIONS}/unassign", _unassign),
    ("POST", f"{_ACTIONS}/change_protection", FLOATING_IPS.protect),
    ("POST", f"{_ACTIONS}/change_dns_ptr", _pointer),
)
