"""DNS zones. Their record sets are in rrsets.py."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from ipaddress import ip_address

from rehost.providers.sandbox.hcloud_api import labels, zonefile
from rehost.providers.sandbox.hcloud_api.errors import ApiError, Record, invalid, missing, protected
from rehost.providers.sandbox.hcloud_api.records import SetData, checked_set, checked_values
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind, guard
from rehost.providers.sandbox.hcloud_api.store import Project, effect, public

NAMESERVERS = ("hydrogen.ns.hetzner.com.", "oxygen.ns.hetzner.com.", "helium.ns.hetzner.de.")
_SECONDARY = ("ns1.first-ns.de.", "robotns2.second-ns.de.", "robotns3.second-ns.com.")
_DEFAULT_TTL = 3600
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"^({_LABEL}\.)+[a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?$")
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "or", "org"})
"""Second labels below country codes under which names are registered (co.uk, com.au); stands for the list of
public suffixes that the API keeps to."""


def _view(project: Project, zone: Record) -> Record:
    shown, found = public(zone), delegation(project, zone["name"])
    if found != "unknown":
        servers = zone["authoritative_nameservers"]
        shown["authoritative_nameservers"] = {
            **servers,
            "delegated": servers["assigned"] if found == "valid" else [],
            "delegation_last_check": project.stamp(),
            "delegation_status": found,
        }
    shown["record_count"] = sum(len(rrset["records"]) for rrset in zone["_sets"].values())
    return shown


def delegation(project: Project, name: str) -> str:
    """What is known of a zone's delegation, as the stand-in was told."""
    return project.behaviour.delegations.get(name, "unknown")


ZONES = Kind("zones", "zone", _view, filters={"mode": ("primary", "secondary")})


def zone(project: Project, key: str) -> Record:
    """A zone by id or name. Raises ApiError."""
    try:
        return project.named("zones", key)
    except ApiError:
        raise missing(f"zone with ID or name '{key}'") from None


def primary(project: Project, key: str) -> Record:
    """A zone whose record sets are kept here. Raises ApiError."""
    found = zone(project, key)
    if found["mode"] != "primary":
        raise ApiError(422, "incorrect_zone_mode", "the operation is only for zones in primary mode")
    return found


def enclosing(project: Project, name: str) -> Record | None:
    """The zone of the project that a name is in."""
    while name:
        for row in project.all("zones").values():
            if row["name"] == name:
                return row
        name = name.partition(".")[2]
    return None


def _checked_name(name: str) -> str:
    if not _NAME.match(name):
        raise invalid("name", "must be a domain name in lower case, without a dot at its end")
    parts = name.split(".")
    country = len(parts) == 3 and len(parts[2]) == 2 and parts[1] in _SECOND_LEVEL
    if len(parts) > 2 and not country:
        raise invalid("name", "subdomains are not supported")
    return name


def _checked_servers(rows: list[Record]) -> list[Record]:
    if not rows:
        raise invalid("primary_nameservers", "must not be empty")
    servers = []
    for number, row in enumerate(rows):
        path = f"primary_nameservers[{number}]"
        try:
            ip_address(row["address"])
        except ValueError:
            raise invalid(f"{path}.address", "must be an IP address") from None
        server = {"address": row["address"], "port": row.get("port") or 53}
        if (row.get("tsig_key") is None) != (row.get("tsig_algorithm") is None):
            raise invalid(f"{path}.tsig_key", "key and algorithm belong together")
        if row.get("tsig_key"):
            try:
                base64.b64decode(row["tsig_key"], validate=True)
            except binascii.Error:
                raise invalid(f"{path}.tsig_key", "must be base64 encoded") from None
            server |= {"tsig_algorithm": row["tsig_algorithm"], "tsig_key": row["tsig_key"]}
        servers.append(server)
    return servers


# Record sets of a zone


def rrset(zone_: Record, data: SetData, marks: dict[str, str]) -> Record:
    """A record set as the zone keeps it."""
    return {
        "id": f"{data.name}/{data.type}",
        "name": data.name,
        "type": data.type,
        "ttl": data.ttl,
        "labels": marks,
        "protection": {"change": False},
        "records": data.records,
        "zone": zone_["id"],
    }


def _keep(project: Project, zone_: Record, made: Record) -> Record:
    made.setdefault("_born", project.clock())
    zone_["_sets"][made["id"]] = made
    return made


def put(project: Project, zone_: Record, made: Record) -> Record:
    """Keep a record set, in place of the one that was there."""
    before = serial(zone_)
    _keep(project, zone_, made)
    touch(project, zone_, before)
    return made


def serial(zone_: Record) -> int:
    """The zone's serial number; 0 for a zone without one."""
    soa = zone_["_sets"].get("@/SOA")
    return int(soa["records"][0]["value"].split()[2]) if soa else 0


def touch(project: Project, zone_: Record, before: int) -> None:
    """Raise the zone's serial number (YYYYMMDDnn) above what it was before."""
    soa = zone_["_sets"].get("@/SOA")
    if soa is None:
        return
    parts = soa["records"][0]["value"].split()
    today = int(datetime.fromtimestamp(project.clock(), UTC).strftime("%Y%m%d")) * 100
    parts[2] = str(max(before + 1, today))
    soa["records"] = [{**soa["records"][0], "value": " ".join(parts)}]


def _furnish(project: Project, zone_: Record) -> None:
    first = f"{datetime.fromtimestamp(project.clock(), UTC):%Y%m%d}00"
    soa = f"{NAMESERVERS[0]} dns.hetzner.com. {first} 86400 10800 3600000 3600"
    for type_, values in (("SOA", [soa]), ("NS", list(NAMESERVERS))):
        rows = [{"value": value, "comment": ""} for value in values]
        _keep(project, zone_, rrset(zone_, SetData("@", type_, None, rows), {}))


def _imported(zone_: Record, text: str) -> tuple[int | None, list[SetData]]:
    ttl, sets = zonefile.parse(text, zone_["name"])
    by_key = {(data.name, data.type): data for data in sets}
    if ("@", "SOA") not in by_key:
        raise invalid("zonefile", "a SOA record must be present")
    apex = by_key.get(("@", "NS"))
    if not set(NAMESERVERS) <= {row["value"] for row in (apex.records if apex else [])}:
        raise invalid("zonefile", "the assigned nameservers must be present as NS records")
    types: dict[str, list[str]] = {}
    for data in sets:
        types.setdefault(data.name, []).append(data.type)
    for data in sets:
        beside = [(data.name, type_) for type_ in types[data.name] if type_ != data.type]
        checked_set(zone_["name"], data, beside, field="zonefile")
    return ttl, sets


def _replace_sets(project: Project, zone_: Record, ttl: int | None, sets: list[SetData]) -> None:
    before = serial(zone_)
    zone_["_sets"] = {}
    for data in sets:
        _keep(project, zone_, rrset(zone_, data, {}))
    if before:
        touch(project, zone_, max(before, serial(zone_)))
    if ttl is not None:
        zone_["ttl"] = ttl


# Requests


def _add(call: Call) -> Answer:
    project, body = call.project, call.body
    secondary = body["mode"] == "secondary"
    record: Record = {
        "name": _checked_name(body["name"]),
        "mode": body["mode"],
        "ttl": body.get("ttl") or _DEFAULT_TTL,
        "status": "ok",
        "registrar": "unknown",
        "labels": labels.checked(body.get("labels")),
        "protection": {"delete": False},
        "primary_nameservers": _checked_servers(body.get("primary_nameservers") or []) if secondary else [],
        "authoritative_nameservers": {
            "assigned": list(_SECONDARY if secondary else NAMESERVERS),
            "delegated": [],
            "delegation_last_check": None,
            "delegation_status": "unknown",
        },
        "_sets": {},
    }
    sets: list[tuple[SetData, dict[str, str]]] = []
    imported = None
    if not secondary and body.get("zonefile"):
        if body.get("rrsets"):
            raise invalid("rrsets", "must be empty when a zone file is given")
        imported = _imported(record, body["zonefile"])
    elif not secondary:
        taken: list[tuple[str, str]] = [("@", "SOA"), ("@", "NS")]
        for row in body.get("rrsets") or []:
            values = checked_values(row["type"], row["records"])
            data = SetData(row["name"], row["type"], row.get("ttl"), values)
            checked_set(record["name"], data, [key for key in taken if key != ("@", "NS")])
            taken.append((data.name, data.type))
            sets.append((data, labels.checked(row.get("labels"))))
    made = project.add("zones", record)
    if imported is not None:
        _replace_sets(project, made, *imported)
    elif not secondary:
        _furnish(project, made)
        for data, marks in sets:
            put(project, made, rrset(made, data, marks))
    failed = [("forget", {"kind": "zones", "id": made["id"]})]
    action = project.act("create_zone", [("zone", made["id"])], failed=failed)
    return 201, {"zone": _view(project, made), "action": project.shown(action)}


def _one(call: Call, id_or_name: str) -> Answer:
    return 200, {"zone": _view(call.project, ZONES.fresh(call, zone(call.project, id_or_name)))}


def _change(call: Call, id_or_name: str) -> Answer:
    found = zone(call.project, id_or_name)
    if call.body.get("labels") is not None:
        found["labels"] = labels.checked(call.body["labels"])
    return 200, {"zone": _view(call.project, found)}


def _delete(call: Call, id_or_name: str) -> Answer:
    found = zone(call.project, id_or_name)
    guard(found, "zone")
    call.project.free("zones", found["id"])
    found["status"] = "updating"
    return 201, {"action": ZONES.act(call, "delete_zone", found["id"], ("forget", {}), lock=True)}


def _act(call: Call, command: str, zone_: Record, name: str, arguments: Record, lock: bool = False) -> Answer:
    call.project.free("zones", zone_["id"])
    return 201, {"action": ZONES.act(call, command, zone_["id"], (name, arguments), lock=lock)}


def _change_ttl(call: Call, id_or_name: str) -> Answer:
    return _act(
        call, "change_ttl", primary(call.project, id_or_name), "update", {"values": {"ttl": call.body["ttl"]}}
    )


def _protect(call: Call, id_or_name: str) -> Answer:
    return ZONES.protect(call, zone(call.project, id_or_name)["id"])


def _change_servers(call: Call, id_or_name: str) -> Answer:
    found = zone(call.project, id_or_name)
    if found["mode"] != "secondary":
        raise ApiError(422, "incorrect_zone_mode", "the operation is only for zones in secondary mode")
    servers = _checked_servers(call.body["primary_nameservers"])
    values = {"primary_nameservers": servers}
    return _act(call, "change_primary_nameservers", found, "update", {"values": values})


def _import(call: Call, id_or_name: str) -> Answer:
    found = primary(call.project, id_or_name)
    if any(row["protection"]["change"] for row in found["_sets"].values()):
        raise protected("a record set of the zone", "changes")
    _imported(found, call.body["zonefile"])
    return _act(call, "import_zonefile", found, "import_file", {"text": call.body["zonefile"]}, lock=True)


@effect
def import_file(project: Project, kind: str, id: int, text: str) -> None:
    """A zone's record sets are those of a zone file."""
    found = project.find(kind, id)
    if found is not None:
        _replace_sets(project, found, *_imported(found, text))


def _export(call: Call, id_or_name: str) -> Answer:
    found = primary(call.project, id_or_name)
    return 200, {"zonefile": zonefile.written(found["name"], found["ttl"], found["_sets"].values())}


_ONE = "/zones/<id_or_name>"
_ACTIONS = f"{_ONE}/actions"


ROUTES = (
    ("GET", "/zones", ZONES.list),
    ("POST", "/zones", _add),
    ("GET", _ONE, _one),
    ("PUT", _ONE, _change),
    ("DELETE", _ONE, _delete),
    ("GET", f"{_ONE}/zonefile", _export),
    ("POST", f"{_ACTIONS}/change_ttl", _change_ttl),
    ("POST", f"{_ACTIONS}/change_protection", _protect),
    ("POST", f"{_ACTIONS}/change_primary_nameservers", _change_servers),
    ("POST", f"{_ACTIONS}/import_zonefile", _import),
)
