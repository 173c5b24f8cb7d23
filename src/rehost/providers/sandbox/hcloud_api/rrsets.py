"""Record sets of zones and their records. Changes show at once; actions end when all nameservers have them."""

from __future__ import annotations

from typing import Any

from rehost.providers.sandbox.hcloud_api import labels
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, missing, protected, taken
from rehost.providers.sandbox.hcloud_api.records import TYPES, SetData, checked_set, checked_values
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind
from rehost.providers.sandbox.hcloud_api.store import Project, effect
from rehost.providers.sandbox.hcloud_api.zones import primary, put, rrset, serial, touch

RRSETS = Kind("rrsets", "rrset", filters={"type": TYPES}, most=100)


def _found(call: Call, key: str, name: str, type_: str) -> tuple[Record, Record]:
    zone = primary(call.project, key)
    found = zone["_sets"].get(f"{name}/{type_}")
    if found is None:
        raise missing(f"rrset '{name}/{type_}'")
    return zone, found


def _changing(call: Call, key: str, name: str, type_: str) -> tuple[Record, Record]:
    zone, found = _found(call, key, name, type_)
    call.project.free("zones", zone["id"])
    if found["protection"]["change"]:
        raise protected("rrset", "changes")
    return zone, found


def _start(call: Call, command: str, zone: Record, id_: str, before: Record | None) -> Record:
    failed = [("restore_set", {"zone": zone["id"], "id": id_, "rrset": before})]
    return call.project.shown(call.project.act(command, [("zone", zone["id"])], failed=failed))


@effect
def restore_set(project: Project, zone: int, id: str, rrset: Record | None) -> None:
    """Put back what a record set was before an action that failed."""
    found = project.find("zones", zone)
    if found is None:
        return
    before = serial(found)
    if rrset is None:
        found["_sets"].pop(id, None)
    else:
        found["_sets"][id] = rrset
    touch(project, found, before)


def _replaced(call: Call, command: str, zone: Record, before: Record, **fields: Any) -> Record:
    put(call.project, zone, {**before, **fields})
    return _start(call, command, zone, before["id"], before)


def _list(call: Call, id_or_name: str) -> Answer:
    return RRSETS.listed(call, primary(call.project, id_or_name)["_sets"].values())


def _made(call: Call, zone: Record, data: SetData, marks: dict[str, str]) -> Record:
    if f"{data.name}/{data.type}" in zone["_sets"]:
        raise taken("name", "rrset already exists")
    checked_set(zone["name"], data, [(row["name"], row["type"]) for row in zone["_sets"].values()])
    return put(call.project, zone, rrset(zone, data, marks))


def _add(call: Call, id_or_name: str) -> Answer:
    zone, body = primary(call.project, id_or_name), call.body
    call.project.free("zones", zone["id"])
    data = SetData(body["name"], body["type"], body.get("ttl"), checked_values(body["type"], body["records"]))
    made = _made(call, zone, data, labels.checked(body.get("labels")))
    action = _start(call, "create_rrset", zone, made["id"], None)
    return 201, {"rrset": RRSETS.show(call.project, made), "action": action}


def _one(call: Call, id_or_name: str, rr_name: str, rr_type: str) -> Answer:
    _, found = _found(call, id_or_name, rr_name, rr_type)
    return 200, {"rrset": RRSETS.show(call.project, RRSETS.fresh(call, found))}


def _change(call: Call, id_or_name: str, rr_name: str, rr_type: str) -> Answer:
    _, found = _found(call, id_or_name, rr_name, rr_type)
    if call.body.get("labels") is not None:
        found["labels"] = labels.checked(call.body["labels"])
    return 200, {"rrset": RRSETS.show(call.project, found)}


def _removed(call: Call, command: str, zone: Record, found: Record) -> Record:
    if found["type"] == "SOA":
        raise invalid("type", "a zone can't be without its SOA record")
    del zone["_sets"][found["id"]]
    touch(call.project, zone, serial(zone))
    return _start(call, command, zone, found["id"], found)


def _delete(call: Call, id_or_name: str, rr_name: str, rr_type: str) -> Answer:
    zone, found = _changing(call, id_or_name, rr_name, rr_type)
    return 201, {"action": _removed(call, "delete_rrset", zone, found)}


def _set_records(call: Call, id_or_name: str, rr_name: str, rr_type: str) -> Answer:
    zone, found = _changing(call, id_or_name, rr_name, rr_type)
    rows = checked_values(rr_type, call.body["records"])
    return 201, {"action": _replaced(call, "set_rrset_records", zone, found, records=rows)}


def _add_records(call: Call, id_or_name: str, rr_name: str, rr_type: str) -> Answer:
    zone = primary(call.project, id_or_name)
    if rr_type not in TYPES:
        raise invalid("type", f"must be one of {', '.join(TYPES)}")
    command, ttl = "add_rrset_records", call.body.get("ttl")
    found = zone["_sets"].get(f"{rr_name}/{rr_type}")
    if found is None:
        call.project.free("zones", zone["id"])
        data = SetData(rr_name, rr_type, ttl, checked_values(rr_type, call.body["records"]))
        made = _made(call, zone, data, {})
        return 201, {"action": _start(call, command, zone, made["id"], None)}
    _changing(call, id_or_name, rr_name, rr_type)
    if ttl is not None and ttl != found["ttl"]:
        raise invalid("ttl", "differs from that of the rrset")
    rows = checked_values(rr_type, [*found["records"], *call.body["records"]])
    return 201, {"action": _replaced(call, command, zone, found, records=rows)}


def _remove_records(call: Call, id_or_name: str, rr_name: str, rr_type: str) -> Answer:
    zone, found = _changing(call, id_or_name, rr_name, rr_type)
    gone = {row["value"] for row in call.body["records"]}
    if not gone <= {row["value"] for row in found["records"]}:
        raise invalid("records", "a record is not part of the rrset")
    left = [row for row in found["records"] if row["value"] not in gone]
    command = "remove_rrset_records"
    if not left:
        return 201, {"action": _removed(call, command, zone, found)}
    return 201, {"action": _replaced(call, command, zone, found, records=left)}


def _update_records(call: Call, id_or_name: str, rr_name: str, rr_type: str) -> Answer:
    zone, found = _changing(call, id_or_name, rr_name, rr_type)
    comments = {row["value"]: row["comment"] for row in call.body["records"]}
    if not comments.keys() <= {row["value"] for row in found["records"]}:
        raise invalid("records", "a record is not part of the rrset")
    rows = [{**row, "comment": comments.get(row["value"], row["comment"])} for row in found["records"]]
    return 200, {"action": _replaced(call, "update_rrset_records", zone, found, records=rows)}


def _change_ttl(call: Call, id_or_name: str, rr_name: str, rr_type: str) -> Answer:
    zone, found = _changing(call, id_or_name, rr_name, rr_type)
    return 201, {"action": _replaced(call, "change_rrset_ttl", zone, found, ttl=call.body["ttl"])}


def _protect(call: Call, id_or_name: str, rr_name: str, rr_type: str) -> Answer:
    zone, found = _found(call, id_or_name, rr_name, rr_type)
    change = {"change": call.body["change"]}
    return 201, {"action": _replaced(call, "change_rrset_protection", zone, found, protection=change)}


_SETS = "/zones/<id_or_name>/rrsets"
_ONE = f"{_SETS}/<rr_name>/<rr_type>"
ROUTES = (
    ("GET", _SETS, _list),
    ("POST", _SETS, _add),
    ("GET", _ONE, _one),
    ("PUT", _ONE, _change),
    ("DELETE", _ONE, _delete),
    ("POST", f"{_ONE}/actions/set_records", _set_records),
    ("POST", f"{_ONE}/actions/add_records", _add_records),
    ("POST", f"{_ONE}/actions/remove_records", _remove_records),
    ("POST", f"{_ONE}/actions/update_records", _update_records),
    ("POST", f"{_ONE}/actions/change_ttl", _change_ttl),
    ("POST", f"{_ONE}/actions/change_protection", _protect),
)
