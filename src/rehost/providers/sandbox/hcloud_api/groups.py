"""SSH keys and placement groups."""

from __future__ import annotations

import base64
import hashlib

from rehost.providers.sandbox.hcloud_api import catalog, labels
from rehost.providers.sandbox.hcloud_api.errors import ApiError, Record, invalid, refused, taken
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind
from rehost.providers.sandbox.hcloud_api.store import Project, effect

KEYS = Kind("ssh_keys", "ssh_key", sorts=("id", "name"), filters={"fingerprint": ()})
GROUPS = Kind("placement_groups", "placement_group", filters={"type": ("spread",)})

_ALGORITHMS = ("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_SECURITY_KEYS = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")


def fingerprint(public_key: str) -> str:
    """The MD5 fingerprint of an OpenSSH public key. Raises ApiError for what is none."""
    parts = public_key.split()
    try:
        algorithm, raw = parts[0], base64.b64decode(parts[1], validate=True)
    except (IndexError, ValueError):
        raise invalid("public_key", "must be a valid public key in OpenSSH format") from None
    named = raw[4 : 4 + int.from_bytes(raw[:4], "big")].decode("ascii", "replace")
    if algorithm not in (*_ALGORITHMS, *_SECURITY_KEYS) or named != algorithm:
        raise invalid("public_key", "must be a valid public key in OpenSSH format")
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return ":".join(digest[n : n + 2] for n in range(0, 32, 2))


def key(project: Project, asked: object) -> Record:
    """An SSH key by id or name. Raises ApiError."""
    try:
        return project.named("ssh_keys", asked)
    except ApiError:
        raise invalid("ssh_keys", f"SSH key '{asked}' not found") from None


def _add_key(call: Call) -> Answer:
    project, body = call.project, call.body
    mark = fingerprint(body["public_key"])
    if any(other["fingerprint"] == mark for other in project.all("ssh_keys").values()):
        raise taken("public_key", "SSH key with the same fingerprint already exists")
    record = {
        "name": body["name"],
        "fingerprint": mark,
        "public_key": body["public_key"],
        "labels": labels.checked(body.get("labels")),
    }
    return 201, {"ssh_key": KEYS.show(project, project.add("ssh_keys", record))}


def _delete_key(call: Call, id: int) -> Answer:
    call.project.get("ssh_keys", id)
    call.project.remove("ssh_keys", id)
    return 204, {}


def _add_group(call: Call) -> Answer:
    record: Record = {
        "name": call.body["name"],
        "type": call.body["type"],
        "servers": [],
        "labels": labels.checked(call.body.get("labels")),
    }
    group = call.project.add("placement_groups", record)
    return 201, {"placement_group": GROUPS.show(call.project, group), "action": None}


def _delete_group(call: Call, id: int) -> Answer:
    if call.project.get("placement_groups", id)["servers"]:
        raise refused("resource_in_use", "placement group still has servers")
    call.project.remove("placement_groups", id)
    return 204, {}


def room(project: Project, id: int) -> Record:
    """A placement group that takes one more server. Raises ApiError."""
    group = project.get("placement_groups", id)
    if len(group["servers"]) >= catalog.limit("servers_per_group"):
        raise ApiError(412, "placement_error", "placement group is full")
    return group


@effect
def join_group(project: Project, server: int, group: int) -> None:
    """Put a server into a placement group."""
    record, target = project.find("servers", server), project.find("placement_groups", group)
    if record is not None and target is not None and server not in target["servers"]:
        target["servers"].append(server)
        record["placement_group"] = group


@effect
def leave_group(project: Project, server: int) -> None:
    """Take a server out of its placement group."""
    record = project.find("servers", server)
    group = project.find("placement_groups", record["placement_group"]) if record else None
    if record is not None and group is not None:
        group["servers"].remove(server)
        record["placement_group"] = None


ROUTES = (
    *KEYS.reads(),
    ("POST", "/ssh_keys", _add_key),
    ("PUT", "/ssh_keys/<int:id>", KEYS.change),
    ("DELETE", "/ssh_keys/<int:id>", _delete_key),
    *GROUPS.reads(),
    ("POST", "/placement_groups", _add_group),
    ("PUT", "/placement_groups/<int:id>", GROUPS.change),
    ("DELETE", "/placement_groups/<int:id>", _delete_group),
)
