"""Volumes."""

from __future__ import annotations

from werkzeug.wrappers import Request

from rehost.providers.sandbox.hcloud_api import catalog
from rehost.providers.sandbox.hcloud_api.simple import listing, renaming, single
from rehost.providers.sandbox.hcloud_api.store import ApiError, Project, Record, check_labels, invalid


def _add(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    size = body.get("size")
    if not isinstance(size, int) or not 10 <= size <= 10240:
        raise invalid("size", "must be between 10 and 10240")
    record: Record = {
        "name": body.get("name"),
        "server": None,
        "location": catalog.location(str(body.get("location"))),
        "size": size,
        "linux_device": "",
        "protection": {"delete": False},
        "labels": check_labels(body.get("labels")),
        "status": "creating",
        "format": body.get("format"),
    }
    made = project.add("volumes", record)
    made["linux_device"] = f"/dev/disk/by-id/scsi-0HC_Volume_{made['id']}"
    action = project.act(
        "create_volume", [("volume", made["id"])], lambda: made.update(status="available"), lock=made
    )
    return 201, {"volume": made, "action": action, "next_actions": []}


def _delete(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    volume = project.get("volumes", id)
    if volume["protection"]["delete"]:
        raise ApiError(423, "protected", "volume is protected against deletion")
    project.locked(volume)
    if volume["server"] is not None:
        raise ApiError(409, "resource_in_use", "volume is attached to a server")
    project.remove("volumes", id)
    return 204, {}


def _attach(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    volume, server = project.get("volumes", id), project.get("servers", body.get("server"))
    project.locked(volume)
    project.locked(server)
    if volume["server"] is not None:
        raise ApiError(422, "volume_already_attached", "volume is already attached to a server")
    if volume["location"]["name"] != server["location"]["name"]:
        raise invalid("server", "volume and server are in different locations")

    def effect() -> None:
        volume["server"] = server["id"]
        server["volumes"].append(id)

    owners = [("volume", id), ("server", server["id"])]
    return 201, {"action": project.act("attach_volume", owners, effect, lock=volume)}


def _detach(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    volume = project.get("volumes", id)
    project.locked(volume)
    if volume["server"] is None:
        raise ApiError(422, "invalid_input", "volume is not attached")
    server = project.get("servers", volume["server"])

    def effect() -> None:
        volume["server"] = None
        server["volumes"].remove(id)

    owners = [("volume", id), ("server", server["id"])]
    return 201, {"action": project.act("detach_volume", owners, effect, lock=volume)}


def _resize(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    volume = project.get("volumes", id)
    project.locked(volume)
    if body.get("size", 0) <= volume["size"]:
        raise invalid("size", "must be larger than the current size")
    grow = project.act("resize_volume", [("volume", id)], lambda: volume.update(size=body["size"]), lock=volume)
    return 201, {"action": grow}


ROUTES = (
    ("GET", "/volumes", listing("volumes")),
    ("POST", "/volumes", _add),
    ("GET", "/volumes/<int:id>", single("volumes", "volume")),
    ("PUT", "/volumes/<int:id>", renaming("volumes", "volume")),
    ("DELETE", "/volumes/<int:id>", _delete),
    ("POST", "/volumes/<int:id>/actions/attach", _attach),
    ("POST", "/volumes/<int:id>/actions/detach", _detach),
    ("POST", "/volumes/<int:id>/actions/resize", _resize),
)
