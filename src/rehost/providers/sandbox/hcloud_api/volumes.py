"""Volumes."""

from __future__ import annotations

import re

from rehost.providers.sandbox.hcloud_api import catalog, labels
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, limited, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind, guard
from rehost.providers.sandbox.hcloud_api.store import Project, effect, public

_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$")
_FORMATS = ("ext4", "xfs")


def _view(project: Project, record: Record) -> Record:
    del project
    return {**public(record), "location": catalog.locations()[record["location"]]}


VOLUMES = Kind("volumes", "volume", _view, filters={"status": ("available", "creating")})


def checked_name(name: str) -> str:
    """A volume's name. Raises ApiError."""
    if not _NAME.match(name):
        raise invalid("name", "must hold letters, digits, dashes, underscores and dots only, 64 at most")
    return name


@effect
def plug(project: Project, volume: int, server: int) -> None:
    """A volume hangs on a server."""
    record, owner = project.find("volumes", volume), project.find("servers", server)
    if record is not None and owner is not None:
        record["server"] = server
        owner["volumes"].append(volume)


@effect
def unplug(project: Project, volume: int) -> None:
    """A volume hangs on no server."""
    record = project.find("volumes", volume)
    owner = project.find("servers", record["server"]) if record else None
    if record is not None:
        record["server"] = None
    if owner is not None and volume in owner["volumes"]:
        owner["volumes"].remove(volume)


def can_attach(project: Project, server: Record, place: str, more: int = 1) -> None:
    """Raise ApiError when a server takes no more volumes, or none of a location."""
    if server["location"] != place:
        raise invalid("server", "volume and server are in different locations")
    if len(server["volumes"]) + more > catalog.limit("volumes_per_server"):
        raise limited("volumes_per_server_limit", "the server has too many volumes")


def attach(project: Project, volume: Record, server: int, after: Record | None = None) -> Record:
    """Start to attach a volume."""
    owners = [("volume", volume["id"]), ("server", server)]
    effects = [("plug", {"volume": volume["id"], "server": server})]
    locks = [("volumes", volume["id"]), ("servers", server)]
    return project.act("attach_volume", owners, effects, locks=locks, after=after)


def _add(call: Call) -> Answer:
    project, body = call.project, call.body
    server = project.get("servers", body["server"]) if body.get("server") is not None else None
    if (server is None) == (body.get("location") is None):
        raise invalid("location", "exactly one of location and server is needed")
    if body.get("format") is not None and body["format"] not in _FORMATS:
        raise invalid("format", f"must be one of {', '.join(_FORMATS)}")
    if body.get("automount") and server is None:
        raise invalid("automount", "needs a server")
    if server is not None:
        project.free("servers", server["id"])
        can_attach(project, server, server["location"])
    place = server["location"] if server else catalog.location(body["location"])["name"]
    catalog.reserve_space(project, place)
    record: Record = {
        "name": checked_name(body["name"]),
        "server": None,
        "location": place,
        "size": body["size"],
        "linux_device": "",
        "protection": {"delete": False},
        "labels": labels.checked(body.get("labels")),
        "status": "creating",
        "format": body.get("format"),
    }
    made = project.add("volumes", record)
    made["linux_device"] = f"/dev/disk/by-id/scsi-0HC_Volume_{made['id']}"
    ready = ("update", {"kind": "volumes", "id": made["id"], "values": {"status": "available"}})
    failed = ("forget", {"kind": "volumes", "id": made["id"]})
    action = project.act(
        "create_volume", [("volume", made["id"])], [ready], failed=[failed], locks=[("volumes", made["id"])]
    )
    following = [attach(project, made, server["id"], action)] if server else []
    answer = {"volume": _view(project, made), "action": project.shown(action)}
    return 201, {**answer, "next_actions": [project.shown(row) for row in following]}


def _change(call: Call, id: int) -> Answer:
    if call.body.get("name") is not None:
        checked_name(call.body["name"])
    return VOLUMES.change(call, id)


def _delete(call: Call, id: int) -> Answer:
    volume = call.project.get("volumes", id)
    guard(volume, "volume")
    call.project.free("volumes", id)
    if volume["server"] is not None:
        raise refused("resource_in_use", "volume is still attached to a server")
    call.project.remove("volumes", id)
    return 204, {}


def _attach(call: Call, id: int) -> Answer:
    project, volume = call.project, call.project.get("volumes", id)
    server = project.get("servers", call.body["server"])
    if volume["server"] is not None:
        raise refused("volume_already_attached", "volume is already attached to a server")
    project.free("volumes", id)
    project.free("servers", server["id"])
    can_attach(project, server, volume["location"])
    return 201, {"action": project.shown(attach(project, volume, server["id"]))}


def _detach(call: Call, id: int) -> Answer:
    project, volume = call.project, call.project.get("volumes", id)
    project.free("volumes", id)
    if volume["server"] is None:
        raise invalid("server", "volume is not attached to a server")
    project.free("servers", volume["server"])
    owners = [("volume", id), ("server", volume["server"])]
    locks = [("volumes", id), ("servers", volume["server"])]
    action = project.act("detach_volume", owners, [("unplug", {"volume": id})], locks=locks)
    return 201, {"action": project.shown(action)}


def _resize(call: Call, id: int) -> Answer:
    volume = call.project.get("volumes", id)
    call.project.free("volumes", id)
    if call.body["size"] <= volume["size"]:
        raise invalid("size", "must be larger than the current size")
    grown = ("update", {"values": {"size": call.body["size"]}})
    return 201, {"action": VOLUMES.act(call, "resize_volume", id, grown, lock=True)}


_ACTIONS = "/volumes/<int:id>/actions"
ROUTES = (
    *VOLUMES.reads(),
    ("POST", "/volumes", _add),
    ("PUT", "/volumes/<int:id>", _change),
    ("DELETE", "/volumes/<int:id>", _delete),
    ("POST", f"{_ACTIONS}/attach", _attach),
    ("POST", f"{_ACTIONS}/detach", _detach),
    ("POST", f"{_ACTIONS}/resize", _resize),
    ("POST", f"{_ACTIONS}/change_protection", VOLUMES.protect),
)
