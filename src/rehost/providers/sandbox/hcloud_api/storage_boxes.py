"""Storage boxes with their snapshots and subaccounts. In the real world they are at another host (api.hetzner.com)
with the same tokens; clients have an address of its own for them.

What is stored in a box is not held here: its figures stay 0 and it has no folders but the home directories.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

from rehost.providers.sandbox.hcloud_api import catalog, labels
from rehost.providers.sandbox.hcloud_api.errors import ApiError, Record, invalid, limited, missing
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind, guard
from rehost.providers.sandbox.hcloud_api.store import Project, effect, public

_ACCESS = ("reachable_externally", "samba_enabled", "ssh_enabled", "webdav_enabled")
_LETTERS = "A-Za-zÄÖÜäöüß"
_SIGNS = r"\^°!§$%/()=?+#\-.,;:~*@{}_&"
_PASSWORD = re.compile(rf"[{_LETTERS}0-9{_SIGNS}]{{12,128}}")
_HOME = re.compile(r"[a-zA-Z0-9 ./_-]{1,999}")


def _view(project: Project, box: Record) -> Record:
    del project
    return {
        **public(box),
        "storage_box_type": catalog.storage_box_types()[box["storage_box_type"]],
        "location": catalog.locations()[box["location"]],
        "stats": {"size": 0, "size_data": 0, "size_snapshots": 0},
    }


_SORTS = ("id", "name", "created", "stats.size", "stats.size_filesystem")
BOXES = Kind("storage_boxes", "storage_box", _view, _SORTS)
_SNAPSHOTS = Kind("snapshots", "snapshot", filters={"is_automatic": ("true", "false")})
_SUBACCOUNTS = Kind("subaccounts", "subaccount", filters={"username": ()})


def _parts(project: Project, kind: str, box: int) -> list[Record]:
    return [row for row in project.all(kind).values() if row["storage_box"] == box]


def _part(call: Call, kind: str, box: int, id_: int) -> Record:
    call.project.get("storage_boxes", box)
    found = call.project.find(kind, id_)
    if found is None or found["storage_box"] != box:
        raise missing(f"{kind.removeprefix('storage_box_').removesuffix('s')} with ID '{id_}'")
    return found


def _checked_password(text: str) -> str:
    """A password that obeys the policy. Raises ApiError."""
    kinds = {unicodedata.category(sign) for sign in text}
    signs = any(not sign.isalnum() for sign in text)
    if not _PASSWORD.fullmatch(text) or not {"Lu", "Ll", "Nd"} <= kinds or not signs:
        raise invalid("password", "does not obey the password policy")
    return text


def _checked_home(text: str) -> str:
    if not _HOME.fullmatch(text) or ".." in text.split("/"):
        raise invalid("home_directory", "is not a valid path")
    return text


def _box(call: Call, id_: int) -> Record:
    """A box that takes a change now. Raises ApiError."""
    found = call.project.get("storage_boxes", id_)
    call.project.free("storage_boxes", id_)
    return found


def _access(body: Record, *more: str) -> Record:
    asked = body.get("access_settings") or {}
    return {name: bool(asked.get(name, False)) for name in (*_ACCESS, *more)}


def _act(call: Call, command: str, box: int, *effects: tuple[str, Record]) -> Record:
    return BOXES.act(call, command, box, *effects, lock=True)


# -- boxes ----------------------------------------------------------------------------------------------------


def _add(call: Call) -> Answer:
    body, project = call.body, call.project
    _checked_password(body["password"])
    type_, place = catalog.storage_box_type(body["storage_box_type"]), catalog.location(body["location"])
    made = project.add(
        "storage_boxes",
        {
            "name": body["name"],
            "username": None,
            "server": None,
            "system": None,
            "status": "initializing",
            "storage_box_type": type_["name"],
            "location": place["name"],
            "access_settings": _access(body, "zfs_enabled"),
            "labels": labels.checked(body.get("labels")),
            "protection": {"delete": False},
            "snapshot_plan": None,
        },
    )
    user = f"u{made['id']}"
    ready = {
        "status": "active",
        "username": user,
        "server": f"{user}.your-storagebox.de",
        "system": f"{place['name'].upper()}-BX{made['id']}",
    }
    action = _act(call, "create", made["id"], ("update", {"values": ready}))
    return 201, {"storage_box": _view(project, made), "action": action}


def _delete(call: Call, id: int) -> Answer:
    guard(_box(call, id), "storage_box")
    return 201, {"action": _act(call, "delete", id, ("forget_box", {}))}


@effect
def forget_box(project: Project, kind: str, id: int) -> None:
    """A box goes with all that is in it."""
    for part in ("storage_box_snapshots", "storage_box_subaccounts"):
        for row in _parts(project, part, id):
            project.remove(part, row["id"])
    project.remove(kind, id)


def _change_type(call: Call, id: int) -> Answer:
    type_ = catalog.storage_box_type(call.body["storage_box_type"])
    if _box(call, id)["storage_box_type"] == type_["name"]:
        raise invalid("storage_box_type", "the storage box has this type already")
    values = {"storage_box_type": type_["name"]}
    return 201, {"action": _act(call, "change_type", id, ("update", {"values": values}))}


def _password(call: Call, id: int) -> Answer:
    _box(call, id)
    _checked_password(call.body["password"])
    return 201, {"action": _act(call, "reset_password", id)}


def _settings(call: Call, id: int) -> Answer:
    found = _box(call, id)
    values = {"access_settings": _settled(found, call.body)}
    return 201, {"action": _act(call, "update_access_settings", id, ("update", {"values": values}))}


def _settled(found: Record, asked: Record) -> Record:
    """The access settings of a box or subaccount with those that are asked for."""
    before: Record = found["access_settings"]
    return before | {name: asked[name] for name in before if asked.get(name) is not None}


def _plan(call: Call, id: int) -> Answer:
    _box(call, id)
    fields = ("day_of_month", "day_of_week", "hour", "max_snapshots", "minute")
    values = {"snapshot_plan": {name: call.body.get(name) for name in fields}}
    return 201, {"action": _act(call, "enable_snapshot_plan", id, ("update", {"values": values}))}


def _no_plan(call: Call, id: int) -> Answer:
    _box(call, id)
    values = {"snapshot_plan": None}
    return 201, {"action": _act(call, "disable_snapshot_plan", id, ("update", {"values": values}))}


def _folders(call: Call, id: int) -> Answer:
    call.project.get("storage_boxes", id)
    above = call.query.get("path", "").strip("./")
    found = set()
    for row in _parts(call.project, "storage_box_subaccounts", id):
        parts = row["home_directory"].strip("/").split("/")
        depth = len(above.split("/")) if above else 0
        if "/".join(parts[:depth]) == above and len(parts) > depth:
            found.add(parts[depth])
    return 200, {"folders": sorted(found)}


# -- snapshots ------------------------------------------------------------------------------------------------


def _listed(kind: Kind, rows: str) -> Any:
    def handler(call: Call, id: int) -> Answer:
        call.project.get("storage_boxes", id)
        status, answer = kind.listed(call, _parts(call.project, rows, id))
        # These lists come whole.
        return status, {kind.plural: answer[kind.plural]}

    return handler


def _snapshot(call: Call, id: int) -> Answer:
    box, project = _box(call, id), call.project
    most = catalog.storage_box_types()[box["storage_box_type"]]["snapshot_limit"]
    if len(_parts(project, "storage_box_snapshots", id)) >= most:
        raise limited("snapshot_limit", "snapshot limit exceeded")
    moment = datetime.fromtimestamp(project.clock(), UTC)
    made = project.add(
        "storage_box_snapshots",
        {
            "name": f"{moment:%Y-%m-%dT%H-%M-%S}-{project.next_id}",
            "description": call.body.get("description") or "",
            "labels": labels.checked(call.body.get("labels")),
            "is_automatic": False,
            "stats": {"size": 0, "size_filesystem": 0},
            "storage_box": id,
        },
    )
    action = _act(call, "create_snapshot", id)
    return 201, {"snapshot": {"id": made["id"], "storage_box": id}, "action": action}


def _one_snapshot(call: Call, id: int, snapshot_id: int) -> Answer:
    return 200, {"snapshot": public(_part(call, "storage_box_snapshots", id, snapshot_id))}


def _change_snapshot(call: Call, id: int, snapshot_id: int) -> Answer:
    found = _part(call, "storage_box_snapshots", id, snapshot_id)
    _describe(call, found)
    return 200, {"snapshot": public(found)}


def _describe(call: Call, found: Record) -> None:
    fresh = labels.checked(call.body["labels"]) if call.body.get("labels") is not None else found["labels"]
    if call.body.get("description") is not None:
        found["description"] = call.body["description"]
    found["labels"] = fresh


def _delete_snapshot(call: Call, id: int, snapshot_id: int) -> Answer:
    _part(call, "storage_box_snapshots", id, snapshot_id)
    _box(call, id)
    gone = ("forget_part", {"part": "storage_box_snapshots", "row": snapshot_id})
    return 201, {"action": _act(call, "delete_snapshot", id, gone)}


@effect
def forget_part(project: Project, kind: str, id: int, part: str, row: int) -> None:
    """Remove a snapshot or subaccount of a box."""
    del kind, id
    project.remove(part, row)


def _roll_back(call: Call, id: int) -> Answer:
    _box(call, id)
    key = call.body["snapshot"]
    rows = _parts(call.project, "storage_box_snapshots", id)
    found = next((row for row in rows if str(key) in (str(row["id"]), row["name"])), None)
    if found is None:
        raise invalid("snapshot", f"snapshot '{key}' not found")
    newer = [row["id"] for row in rows if row["id"] > found["id"]]
    effects = [("forget_part", {"part": "storage_box_snapshots", "row": row}) for row in newer]
    return 201, {"action": _act(call, "rollback_snapshot", id, *effects)}


# -- subaccounts ----------------------------------------------------------------------------------------------


def _subaccount(call: Call, id: int) -> Answer:
    box, project, body = _box(call, id), call.project, call.body
    if box["username"] is None:
        raise ApiError(423, "locked", f"storage box with ID '{id}' is locked by another action")
    _checked_password(body["password"])
    there = _parts(project, "storage_box_subaccounts", id)
    if len(there) >= catalog.storage_box_types()[box["storage_box_type"]]["subaccounts_limit"]:
        raise limited("subaccounts_limit", "subaccount limit exceeded")
    taken = {row["username"] for row in there}
    user = next(name for n in range(1, len(there) + 2) if (name := f"{box['username']}-sub{n}") not in taken)
    made = project.add(
        "storage_box_subaccounts",
        {
            "name": body.get("name") or user,
            "username": user,
            "server": f"{user}.your-storagebox.de",
            "home_directory": _checked_home(body["home_directory"]),
            "description": body.get("description") or "",
            "labels": labels.checked(body.get("labels")),
            "access_settings": _access(body, "readonly"),
            "storage_box": id,
        },
        unique=False,
    )
    action = _act(call, "create_subaccount", id)
    return 201, {"subaccount": {"id": made["id"], "storage_box": id}, "action": action}


def _one_subaccount(call: Call, id: int, subaccount_id: int) -> Answer:
    return 200, {"subaccount": public(_part(call, "storage_box_subaccounts", id, subaccount_id))}


def _change_subaccount(call: Call, id: int, subaccount_id: int) -> Answer:
    found = _part(call, "storage_box_subaccounts", id, subaccount_id)
    _describe(call, found)
    if call.body.get("name") is not None:
        found["name"] = call.body["name"]
    return 200, {"subaccount": public(found)}


def _delete_subaccount(call: Call, id: int, subaccount_id: int) -> Answer:
    _part(call, "storage_box_subaccounts", id, subaccount_id)
    _box(call, id)
    gone = ("forget_part", {"part": "storage_box_subaccounts", "row": subaccount_id})
    return 201, {"action": _act(call, "delete_subaccount", id, gone)}


@effect
def change_part(project: Project, kind: str, id: int, part: str, row: int, values: Record) -> None:
    """Set fields of a subaccount of a box."""
    del kind, id
    found = project.find(part, row)
    if found is not None:
        found.update(values)


def _changed(call: Call, command: str, id: int, part: int, values: Record) -> Answer:
    _box(call, id)
    change = ("change_part", {"part": "storage_box_subaccounts", "row": part, "values": values})
    return 201, {"action": _act(call, command, id, change)}


def _change_home(call: Call, id: int, subaccount_id: int) -> Answer:
    _part(call, "storage_box_subaccounts", id, subaccount_id)
    values = {"home_directory": _checked_home(call.body["home_directory"])}
    return _changed(call, "change_home_directory", id, subaccount_id, values)


def _subaccount_password(call: Call, id: int, subaccount_id: int) -> Answer:
    _part(call, "storage_box_subaccounts", id, subaccount_id)
    _checked_password(call.body["password"])
    return _changed(call, "reset_subaccount_password", id, subaccount_id, {})


def _subaccount_settings(call: Call, id: int, subaccount_id: int) -> Answer:
    found = _part(call, "storage_box_subaccounts", id, subaccount_id)
    values = {"access_settings": _settled(found, call.body)}
    return _changed(call, "update_access_settings", id, subaccount_id, values)


_ONE = "/storage_boxes/<int:id>"
_ACTIONS = f"{_ONE}/actions"
_SNAPSHOT = f"{_ONE}/snapshots/<int:snapshot_id>"
_SUB = f"{_ONE}/subaccounts/<int:subaccount_id>"

ROUTES = (
    *BOXES.reads(),
    ("POST", "/storage_boxes", _add),
    ("PUT", _ONE, BOXES.change),
    ("DELETE", _ONE, _delete),
    ("GET", f"{_ONE}/folders", _folders),
    ("POST", f"{_ACTIONS}/change_protection", BOXES.protect),
    ("POST", f"{_ACTIONS}/change_type", _change_type),
    ("POST", f"{_ACTIONS}/reset_password", _password),
    ("POST", f"{_ACTIONS}/update_access_settings", _settings),
    ("POST", f"{_ACTIONS}/enable_snapshot_plan", _plan),
    ("POST", f"{_ACTIONS}/disable_snapshot_plan", _no_plan),
    ("POST", f"{_ACTIONS}/rollback_snapshot", _roll_back),
    ("GET", f"{_ONE}/snapshots", _listed(_SNAPSHOTS, "storage_box_snapshots")),
    ("POST", f"{_ONE}/snapshots", _snapshot),
    ("GET", _SNAPSHOT, _one_snapshot),
    ("PUT", _SNAPSHOT, _change_snapshot),
    ("DELETE", _SNAPSHOT, _delete_snapshot),
    ("GET", f"{_ONE}/subaccounts", _listed(_SUBACCOUNTS, "storage_box_subaccounts")),
    ("POST", f"{_ONE}/subaccounts", _subaccount),
    ("GET", _SUB, _one_subaccount),
    ("PUT", _SUB, _change_subaccount),
    ("DELETE", _SUB, _delete_subaccount),
    ("POST", f"{_SUB}/actions/change_home_directory", _change_home),
    ("POST", f"{_SUB}/actions/reset_subaccount_password", _subaccount_password),
    ("POST", f"{_SUB}/actions/update_access_settings", _subaccount_settings),
)
