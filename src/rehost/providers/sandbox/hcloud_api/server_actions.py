"""Actions of servers: power, type, image, backups, rescue, ISO, console, protection, groups, reverse DNS."""

from __future__ import annotations

import secrets
from typing import Any

from rehost.providers.sandbox.hcloud_api import addresses, catalog, groups, images, labels
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, limited, protected, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Handler
from rehost.providers.sandbox.hcloud_api.servers import SERVERS, off, password, ready
from rehost.providers.sandbox.hcloud_api.store import Effect, Project, effect

_WINDOW = "22-02"
_RESCUE_SECONDS = 3600
_COMMANDS = {
    "poweron": ("start_server", "starting", "running"),
    "poweroff": ("stop_server", "stopping", "off"),
    "shutdown": ("shutdown_server", None, "off"),
    "reset": ("reset_server", None, "running"),
    "reboot": ("reboot_server", None, "running"),
}
"""Commands of the power actions, the state meanwhile and the state afterwards."""


def _status(id: int, status: str, **fields: Any) -> Effect:
    return "server_status", {"id": id, "status": status, **fields}


def _start(call: Call, command: str, id: int, *effects: Effect, failed: tuple[Effect, ...] = ()) -> Record:
    action = call.project.act(command, [("server", id)], effects, failed=failed, locks=[("servers", id)])
    return call.project.shown(action)


def _power(name: str) -> Handler:
    command, meanwhile, afterwards = _COMMANDS[name]

    def handler(call: Call, id: int) -> Answer:
        server = ready(call.project, id)
        before = server["status"]
        if afterwards == "running" and before == "off" and not (server["private_net"] or _public(server)):
            raise invalid("public_net", "a server needs at least one network interface to be powered on")
        if name in ("shutdown", "reboot") and before == "off":
            # Nobody is there to hear it.
            return 201, {"action": _start(call, command, id)}
        if name == "shutdown":
            return 201, {"action": _shut_down(call, command, id)}
        if meanwhile and before != afterwards:
            server["status"] = meanwhile
        booted = {"rescue_enabled": False} if afterwards == "running" and before != "running" else {}
        if name in ("reset", "reboot"):
            booted = {"rescue_enabled": False}
        done = _status(id, afterwards, **booted)
        return 201, {"action": _start(call, command, id, done, failed=(_status(id, before),))}

    return handler


def _shut_down(call: Call, command: str, id: int) -> Record:
    """The action only tells that the server was asked; it is off some time later."""
    action = call.project.act(command, [("server", id)], locks=[("servers", id)])
    call.project.later([("went_down", {"id": id})], action)
    return call.project.shown(action)


@effect
def went_down(project: Project, id: int) -> None:
    """A server that was asked to shut down has done so."""
    server = project.find("servers", id)
    if server is not None and server["status"] == "running":
        server["status"] = "off"


def _public(server: Record) -> bool:
    return bool(server["_ipv4"] or server["_ipv6"])


def _change_type(call: Call, id: int) -> Answer:
    project, server = call.project, ready(call.project, id)
    off(server)
    before, after = catalog.server_types()[server["server_type"]], catalog.server_type(call.body["server_type"])
    if after["name"] == before["name"]:
        raise refused("invalid_server_type", "the server has this type already")
    if after["architecture"] != before["architecture"] or after["storage_type"] != before["storage_type"]:
        raise refused("invalid_server_type", "the server type does not fit the server")
    if after["disk"] < server["primary_disk_size"]:
        raise refused("invalid_server_type", "the disk of the server type is too small")
    if after["deprecated"]:
        raise refused("invalid_server_type", "the server type is deprecated")
    catalog.reserve(project, after, server["location"])
    server["status"] = "migrating"
    fields: Record = {"server_type": after["name"]}
    if call.body["upgrade_disk"]:
        fields["primary_disk_size"] = after["disk"]
    changed = _status(id, "running", **fields)
    return 201, {"action": _start(call, "change_server_type", id, changed, failed=(_status(id, "off"),))}


def _rebuild(call: Call, id: int) -> Answer:
    server = ready(call.project, id)
    if server["protection"]["rebuild"]:
        raise protected("server", "rebuild")
    architecture = catalog.server_types()[server["server_type"]]["architecture"]
    image = images.chosen(call.project, call.body["image"], architecture, id)
    if image["disk_size"] > server["primary_disk_size"]:
        raise invalid("image", "the image's disk is larger than the server's")
    before, server["status"] = server["status"], "rebuilding"
    fields: Record = {"image": image["id"]}
    if call.body.get("user_data") is not None:
        fields["_user_data"] = call.body["user_data"]
    action = _start(call, "rebuild_server", id, _status(id, "running", **fields), failed=(_status(id, before),))
    return 201, {"action": action, "root_password": None if server["_keys"] else password()}


def _create_image(call: Call, id: int) -> Answer:
    project, server = call.project, ready(call.project, id)
    type_ = call.body.get("type") or "snapshot"
    if type_ == "backup":
        if server["backup_window"] is None:
            raise refused("service_error", "backups are not enabled for this server")
        kept = [row for row in project.all("images").values() if row["bound_to"] == id]
        if len(kept) >= catalog.limit("backups_per_server"):
            raise limited("backup_limit", "the server has no backup slot left")
    marks = labels.checked(call.body.get("labels"))
    image = images.capture(project, server, type_, call.body.get("description") or server["name"], marks)
    action = project.act(
        "create_image",
        [("server", id), ("image", image["id"])],
        [("image_made", {"id": image["id"]})],
        failed=[("forget", {"kind": "images", "id": image["id"]})],
        locks=[("servers", id), ("images", image["id"])],
    )
    return 201, {"image": images.IMAGES.show(project, image), "action": project.shown(action)}


def _enable_backup(call: Call, id: int) -> Answer:
    ready(call.project, id)
    return 201, {"action": _set(call, "enable_backup", id, {"backup_window": _WINDOW})}


def _disable_backup(call: Call, id: int) -> Answer:
    ready(call.project, id)
    return 201, {"action": _start(call, "disable_backup", id, ("backups_off", {"id": id}))}


@effect
def backups_off(project: Project, id: int) -> None:
    """A server has no backups any more."""
    server = project.find("servers", id)
    if server is not None:
        server["backup_window"] = None
        images.drop_backups(project, id)


def _set(call: Call, command: str, id: int, values: Record) -> Record:
    return _start(call, command, id, ("update", {"kind": "servers", "id": id, "values": values}))


def _enable_rescue(call: Call, id: int) -> Answer:
    ready(call.project, id)
    keys = [groups.key(call.project, key) for key in call.body.get("ssh_keys") or []]
    project, mark = call.project, secrets.token_hex(4)
    values = {"rescue_enabled": True, "_rescue": mark}
    enabled = ("update", {"kind": "servers", "id": id, "values": values})
    action = project.act("enable_rescue", [("server", id)], [enabled], locks=[("servers", id)])
    project.later([("rescue_over", {"id": id, "mark": mark})], action, _RESCUE_SECONDS)
    answer = {"action": project.shown(action)}
    return 201, answer if keys else {**answer, "root_password": password()}


@effect
def rescue_over(project: Project, id: int, mark: str) -> None:
    """The rescue system was not used for too long."""
    server = project.find("servers", id)
    if server is not None and server.get("_rescue") == mark:
        server["rescue_enabled"] = False


def _disable_rescue(call: Call, id: int) -> Answer:
    ready(call.project, id)
    return 201, {"action": _set(call, "disable_rescue", id, {"rescue_enabled": False})}


def _reset_password(call: Call, id: int) -> Answer:
    server = ready(call.project, id)
    if server["status"] != "running":
        raise refused("service_error", "server must be running and its guest agent must answer")
    return 201, {"action": _start(call, "reset_password", id), "root_password": password()}


def _attach_iso(call: Call, id: int) -> Answer:
    server, iso = ready(call.project, id), catalog.iso(call.body["iso"])
    architecture = catalog.server_types()[server["server_type"]]["architecture"]
    if iso["architecture"] not in (None, architecture):
        raise invalid("iso", "ISO has another architecture than the server")
    return 201, {"action": _set(call, "attach_iso", id, {"iso": iso["name"]})}


def _detach_iso(call: Call, id: int) -> Answer:
    if ready(call.project, id)["iso"] is None:
        return 201, {"action": call.project.at_once("detach_iso", [("server", id)])}
    return 201, {"action": _set(call, "detach_iso", id, {"iso": None})}


def _console(call: Call, id: int) -> Answer:
    ready(call.project, id)
    token = secrets.token_hex(16)
    return 201, {
        "action": call.project.at_once("request_console", [("server", id)]),
        "wss_url": f"wss://console.hetzner.cloud/?server_id={id}&token={token}",
        "password": secrets.token_hex(16),
    }


def _protect(call: Call, id: int) -> Answer:
    asked = {name: call.body[name] for name in ("delete", "rebuild") if call.body.get(name) is not None}
    after = {**call.project.get("servers", id)["protection"], **asked}
    if after["delete"] != after["rebuild"]:
        raise invalid("rebuild", "delete and rebuild protection must have the same value")
    return SERVERS.protect(call, id)


def _join_group(call: Call, id: int) -> Answer:
    server = ready(call.project, id)
    off(server)
    group = groups.room(call.project, call.body["placement_group"])
    if server["placement_group"] is not None:
        raise refused("invalid_input", "server is already in a placement group")
    joined = ("join_group", {"server": id, "group": group["id"]})
    return 201, {"action": _start(call, "add_to_placement_group", id, joined)}


def _leave_group(call: Call, id: int) -> Answer:
    server = ready(call.project, id)
    if server["placement_group"] is None:
        raise refused("invalid_input", "server is in no placement group")
    return 201, {"action": _start(call, "remove_from_placement_group", id, ("leave_group", {"server": id}))}


def _pointer(call: Call, id: int) -> Answer:
    project, server = call.project, call.project.get("servers", id)
    ip = call.body["ip"]
    for family in ("ipv4", "ipv6"):
        record = project.find("primary_ips", server[f"_{family}"])
        if record is not None and addresses.owns(record, ip):
            entries = addresses.pointer(record, ip, call.body["dns_ptr"])
            change = ("point", {"kind": "primary_ips", "id": record["id"], "entries": entries})
            return 201, {"action": project.shown(project.act("change_dns_ptr", [("server", id)], [change]))}
    raise invalid("ip", "does not belong to the server")


_ACTIONS = "/servers/<int:id>/actions"
ROUTES = (
    *(("POST", f"{_ACTIONS}/{name}", _power(name)) for name in _COMMANDS),
    ("POST", f"{_ACTIONS}/change_type", _change_type),
    ("POST", f"{_ACTIONS}/rebuild", _rebuild),
    ("POST", f"{_ACTIONS}/create_image", _create_image),
    ("POST", f"{_ACTIONS}/enable_backup", _enable_backup),
    ("POST", f"{_ACTIONS}/disable_backup", _disable_backup),
    ("POST", f"{_ACTIONS}/enable_rescue", _enable_rescue),
    ("POST", f"{_ACTIONS}/disable_rescue", _disable_rescue),
    ("POST", f"{_ACTIONS}/reset_password", _reset_password),
    ("POST", f"{_ACTIONS}/attach_iso", _attach_iso),
    ("POST", f"{_ACTIONS}/detach_iso", _detach_iso),
    ("POST", f"{_ACTIONS}/request_console", _console),
    ("POST", f"{_ACTIONS}/change_protection", _protect),
    ("POST", f"{_ACTIONS}/add_to_placement_group", _join_group),
    ("POST", f"{_ACTIONS}/remove_from_placement_group", _leave_group),
    ("POST", f"{_ACTIONS}/change_dns_ptr", _pointer),
)
