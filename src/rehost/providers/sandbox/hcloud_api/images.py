"""Images: those of the catalog, and a project's own snapshots and backups."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from rehost.providers.sandbox.hcloud_api import catalog
from rehost.providers.sandbox.hcloud_api.errors import ApiError, Record, invalid, missing, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind, guard
from rehost.providers.sandbox.hcloud_api.store import Project, effect

_SYSTEM_DISK_GB = 5
_GB_PER_DISK_GB = 0.05
"""How large an image of a disk gets: what is in use is stored, compressed."""

IMAGES = Kind(
    "images",
    "image",
    filters={
        "type": ("system", "app", "snapshot", "backup"),
        "status": ("available", "creating", "unavailable"),
        "bound_to": (),
        "architecture": ("x86", "arm"),
    },
)


@cache
def _official() -> Mapping[int, Record]:
    return {row["id"]: _system(row) for row in catalog.images()}


def _system(row: Record) -> Record:
    gone = row.get("deprecation")
    return {
        "id": row["id"],
        "type": "system",
        "status": "available",
        "name": row["name"],
        "description": row["name"].replace("-", " ").title(),
        "image_size": None,
        "disk_size": _SYSTEM_DISK_GB,
        "created": "2025-01-01T00:00:00Z",
        "created_from": None,
        "bound_to": None,
        "os_flavor": row["os_flavor"],
        "os_version": row["os_version"],
        "rapid_deploy": True,
        "protection": {"delete": False},
        "deprecated": gone["announced"] if gone else None,
        "deprecation": gone,
        "deleted": None,
        "labels": {},
        "architecture": row["architecture"],
    }


def known(project: Project, id_: int | None) -> Record | None:
    """An image by id, official or the project's own; None where it is gone."""
    return _official().get(id_ or 0) or project.find("images", id_)


def chosen(project: Project, key: Any, architecture: str, server: int | None = None) -> Record:
    """The image that a request means, by id or name. Raises ApiError for one that is not known, not ready, bound
    to another server or of another architecture."""
    for row in _official().values():
        if str(row["id"]) == str(key) or (row["name"] == str(key) and row["architecture"] == architecture):
            found = row
            break
    else:
        own = project.find("images", int(key)) if str(key).isdigit() else None
        if own is None:
            raise invalid("image", f"image '{key}' not found")
        found = own
    gone = found["deprecation"]
    if found["status"] != "available" or (gone and gone["unavailable_after"] < project.stamp()):
        raise ApiError(412, "resource_unavailable", "image is not available")
    if found["architecture"] != architecture:
        raise invalid("image", "image has another architecture than the server type")
    if found["type"] == "backup" and found["bound_to"] not in (None, server):
        raise invalid("image", "image is a backup of another server")
    return found


def capture(project: Project, server: Record, type_: str, description: str, labels: Record) -> Record:
    """Begin an image of a server's disk."""
    source = known(project, server["image"]) or {"os_flavor": "unknown", "os_version": None}
    image: Record = {
        "type": type_,
        "status": "creating",
        "name": None,
        "description": description,
        "image_size": None,
        "disk_size": server["primary_disk_size"],
        "created_from": {"id": server["id"], "name": server["name"]},
        "bound_to": server["id"] if type_ == "backup" else None,
        "os_flavor": source["os_flavor"],
        "os_version": source["os_version"],
        "rapid_deploy": False,
        "protection": {"delete": False},
        "deprecated": None,
        "deprecation": None,
        "deleted": None,
        "labels": labels,
        "architecture": catalog.server_types()[server["server_type"]]["architecture"],
    }
    return project.add("images", image, unique=False)


@effect
def image_made(project: Project, id: int) -> None:
    """An image is ready."""
    image = project.find("images", id)
    if image is not None:
        image.update(status="available", image_size=round(image["disk_size"] * _GB_PER_DISK_GB, 2))


def drop_backups(project: Project, server: int) -> None:
    """Remove the backups that are bound to a server."""
    for image in [row for row in project.all("images").values() if row["bound_to"] == server]:
        project.remove("images", image["id"])


def _list(call: Call) -> Answer:
    rows = [*_official().values(), *call.project.all("images").values()]
    if not call.flag("include_deprecated"):
        rows = [row for row in rows if row["deprecated"] is None]
    return IMAGES.listed(call, rows)


def _one(call: Call, id: int) -> Answer:
    found = known(call.project, id)
    if found is None:
        raise missing(f"image with ID '{id}'")
    return 200, {"image": IMAGES.show(call.project, IMAGES.fresh(call, found))}


def _own(call: Call, id: int, what: str) -> Record:
    if id in _official():
        raise refused("unsupported_error", f"only snapshots and backups can be {what}")
    return call.project.get("images", id)


def _change(call: Call, id: int) -> Answer:
    image = _own(call, id, "changed")
    IMAGES.apply_plain(call, image)
    if call.body.get("description") is not None:
        image["description"] = call.body["description"]
    if call.body.get("type") == "snapshot":
        image.update(type="snapshot", bound_to=None)
    return 200, {"image": IMAGES.show(call.project, image)}


def _delete(call: Call, id: int) -> Answer:
    image = _own(call, id, "deleted")
    guard(image, "image")
    call.project.free("images", id)
    call.project.remove("images", id)
    return 204, {}


def _protect(call: Call, id: int) -> Answer:
    if _own(call, id, "protected")["type"] != "snapshot":
        raise refused("unsupported_error", "only snapshots can be protected")
    return IMAGES.protect(call, id)


ROUTES = (
    ("GET", "/images", _list),
    ("GET", "/images/<int:id>", _one),
    ("PUT", "/images/<int:id>", _change),
    ("DELETE", "/images/<int:id>", _delete),
    ("POST", "/images/<int:id>/actions/change_protection", _protect),
)
