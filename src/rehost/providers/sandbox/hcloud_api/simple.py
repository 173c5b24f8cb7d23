"""SSH keys and placement groups: kinds without actions."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from werkzeug.wrappers import Request

from rehost.providers.sandbox.hcloud_api.store import ApiError, Project, Record, check_labels, invalid


def listing(kind: str) -> Any:
    """GET of all records of a kind."""

    def handler(project: Project, request: Request, body: Record) -> tuple[int, Record]:
        return 200, {"_list": kind, kind: list(project.all(kind).values())}

    return handler


def single(kind: str, word: str) -> Any:
    """GET of one record."""

    def handler(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
        return 200, {word: project.get(kind, id)}

    return handler


def renaming(kind: str, word: str) -> Any:
    """PUT of name and labels."""

    def handler(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
        record = project.get(kind, id)
        if "labels" in body:
            record["labels"] = check_labels(body["labels"])
        if body.get("name") and body["name"] != record["name"]:
            if any(other["name"] == body["name"] for other in project.all(kind).values()):
                raise ApiError(409, "uniqueness_error", f"{word} name is already used")
            record["name"] = body["name"]
        return 200, {word: record}

    return handler


def removing(kind: str) -> Any:
    """DELETE without an action."""

    def handler(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
        record = project.get(kind, id)
        if record.get("protection", {}).get("delete"):
            raise ApiError(423, "protected", "resource is protected against deletion")
        project.remove(kind, id)
        return 204, {}

    return handler


def _add_key(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    parts = str(body.get("public_key", "")).split()
    try:
        raw = base64.b64decode(parts[1], validate=True)
    except (IndexError, ValueError):
        raise invalid("public_key", "must be a valid public key") from None
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    fingerprint = ":".join(digest[n : n + 2] for n in range(0, 32, 2))
    if any(key["fingerprint"] == fingerprint for key in project.all("ssh_keys").values()):
        raise ApiError(409, "uniqueness_error", "SSH key with the same fingerprint already exists")
    record = {
        "name": body.get("name"),
        "fingerprint": fingerprint,
        "public_key": body["public_key"],
        "labels": check_labels(body.get("labels")),
    }
    return 201, {"ssh_key": project.add("ssh_keys", record)}


def _add_group(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    if body.get("type") != "spread":
        raise invalid("type", "must be spread")
    record: Record = {
        "name": body.get("name"),
        "type": "spread",
        "servers": [],
        "labels": check_labels(body.get("labels")),
    }
    return 201, {"placement_group": project.add("placement_groups", record), "action": None}


ROUTES = (
    ("GET", "/ssh_keys", listing("ssh_keys")),
    ("POST", "/ssh_keys", _add_key),
    ("GET", "/ssh_keys/<int:id>", single("ssh_keys", "ssh_key")),
    ("PUT", "/ssh_keys/<int:id>", renaming("ssh_keys", "ssh_key")),
    ("DELETE", "/ssh_keys/<int:id>", removing("ssh_keys")),
    ("GET", "/placement_groups", listing("placement_groups")),
    ("POST", "/placement_groups", _add_group),
    ("GET", "/placement_groups/<int:id>", single("placement_groups", "placement_group")),
    ("PUT", "/placement_groups/<int:id>", renaming("placement_groups", "placement_group")),
    ("DELETE", "/placement_groups/<int:id>", removing("placement_groups")),
)
