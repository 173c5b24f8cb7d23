"""Zones and record sets."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from werkzeug.wrappers import Request

from rehost.providers.sandbox.hcloud_api.simple import listing
from rehost.providers.sandbox.hcloud_api.store import ApiError, Project, Record, check_labels, invalid, missing

_SERVERS = ["hydrogen.ns.hetzner.com.", "oxygen.ns.hetzner.com.", "helium.ns.hetzner.de."]
_TYPES = {"A", "AAAA", "CAA", "CNAME", "DS", "HINFO", "HTTPS", "MX", "NS", "PTR", "RP", "SOA", "SRV", "SVCB"}
_TYPES |= {"TLSA", "TXT"}


def _zone(project: Project, key: str) -> Record:
    for zone in project.all("zones").values():
        if key in (str(zone["id"]), zone["name"]):
            return zone
    raise missing("zone")


def _ttl(value: object) -> int | None:
    if value is not None and (not isinstance(value, int) or not 60 <= value <= 2147483647):
        raise invalid("ttl", "must be between 60 and 2147483647")
    return value


def _set(zone: Record, name: str, type_: str, records: list[Record], ttl: int | None, labels: Record) -> Record:
    return {
        "id": f"{name}/{type_}",
        "name": name,
        "type": type_,
        "ttl": ttl,
        "labels": labels,
        "protection": {"change": False},
        "records": records,
        "zone": zone["id"],
    }


def _add_zone(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    if body.get("mode") not in ("primary", "secondary"):
        raise invalid("mode", "must be primary or secondary")
    record: Record = {
        "name": body.get("name"),
        "mode": body["mode"],
        "ttl": _ttl(body.get("ttl")) or 3600,
        "status": "ok",
        "record_count": 4,
        "registrar": "unknown",
        "labels": check_labels(body.get("labels")),
        "protection": {"delete": False},
        "primary_nameservers": [],
        "authoritative_nameservers": {
            "assigned": _SERVERS,
            "delegated": [],
            "delegation_last_check": None,
            "delegation_status": "unknown",
        },
    }
    zone = project.add("zones", record)
    soa = f"{_SERVERS[0]} dns.hetzner.com. 2026010100 86400 10800 3600000 3600"
    zone["_sets"] = {
        ("@", "SOA"): _set(zone, "@", "SOA", [{"value": soa, "comment": None}], None, {}),
        ("@", "NS"): _set(zone, "@", "NS", [{"value": s, "comment": None} for s in _SERVERS], None, {}),
    }
    action = project.act("create_zone", [("zone", zone["id"])])
    return 201, {"zone": zone, "action": action}


def _get_zone(project: Project, request: Request, body: Record, key: str) -> tuple[int, Record]:
    return 200, {"zone": _zone(project, key)}


def _put_zone(project: Project, request: Request, body: Record, key: str) -> tuple[int, Record]:
    zone = _zone(project, key)
    zone["labels"] = check_labels(body.get("labels", zone["labels"]))
    return 200, {"zone": zone}


def _delete_zone(project: Project, request: Request, body: Record, key: str) -> tuple[int, Record]:
    zone = _zone(project, key)
    if zone["protection"]["delete"]:
        raise ApiError(423, "protected", "zone is protected against deletion")
    project.remove("zones", zone["id"])
    return 201, {"action": project.act("delete_zone", [("zone", zone["id"])])}


def _zone_ttl(project: Project, request: Request, body: Record, key: str) -> tuple[int, Record]:
    zone = _zone(project, key)
    zone["ttl"] = _ttl(body.get("ttl"))
    return 201, {"action": project.act("change_ttl", [("zone", zone["id"])])}


def _records(type_: str, body: Record) -> list[Record]:
    rows = body.get("records") or []
    if not 1 <= len(rows) <= 50:
        raise invalid("records", "must have between 1 and 50 items")
    values = [str(row.get("value", "")) for row in rows]
    if len(set(values)) != len(values):
        raise invalid("records", "values must be distinct")
    for value in values:
        try:
            if type_ == "A":
                IPv4Address(value)
            elif type_ == "AAAA":
                IPv6Address(value)
        except ValueError:
            raise invalid("records", f"{value} is not an address") from None
        if type_ == "TXT" and not (value.startswith('"') and value.endswith('"') and len(value) > 1):
            raise invalid("records", "TXT values must be quoted")
        if type_ == "CNAME" and (len(values) > 1 or not value.endswith(".")):
            raise invalid("records", "a CNAME has one fully qualified value")
    return [{"value": row["value"], "comment": row.get("comment")} for row in rows]


def _list_sets(project: Project, request: Request, body: Record, key: str) -> tuple[int, Record]:
    return 200, {"_list": "rrsets", "rrsets": list(_zone(project, key)["_sets"].values())}


def _add_set(project: Project, request: Request, body: Record, key: str) -> tuple[int, Record]:
    zone, type_, name = _zone(project, key), body.get("type"), body.get("name")
    if type_ not in _TYPES:
        raise invalid("type", "is not supported")
    if not isinstance(name, str) or name != name.lower() or name.endswith("."):
        raise invalid("name", "must be lower case and relative to the zone")
    sets = zone["_sets"]
    if (name, type_) in sets:
        raise ApiError(409, "uniqueness_error", "rrset already exists")
    beside = [other for other_name, other in sets if other_name == name]
    if beside and (type_ == "CNAME" or "CNAME" in beside):
        raise invalid("type", "a CNAME can't stand beside other records")
    made = _set(zone, name, type_, _records(type_, body), _ttl(body.get("ttl")), check_labels(body.get("labels")))
    sets[(name, type_)] = made
    return 201, {"rrset": made, "action": project.act("create_rrset", [("zone", zone["id"])])}


def _one_set(project: Project, key: str, name: str, type_: str) -> tuple[Record, Record]:
    zone = _zone(project, key)
    found = zone["_sets"].get((name, type_))
    if found is None:
        raise missing("rrset")
    return zone, found


def _get_set(
    project: Project, request: Request, body: Record, key: str, name: str, type: str
) -> tuple[int, Record]:
    return 200, {"rrset": _one_set(project, key, name, type)[1]}


def _put_set(
    project: Project, request: Request, body: Record, key: str, name: str, type: str
) -> tuple[int, Record]:
    found = _one_set(project, key, name, type)[1]
    found["labels"] = check_labels(body.get("labels", found["labels"]))
    return 200, {"rrset": found}


def _delete_set(
    project: Project, request: Request, body: Record, key: str, name: str, type: str
) -> tuple[int, Record]:
    zone, found = _one_set(project, key, name, type)
    if found["protection"]["change"]:
        raise ApiError(423, "protected", "rrset is protected against changes")
    del zone["_sets"][(name, type)]
    return 201, {"action": project.act("delete_rrset", [("zone", zone["id"])])}


def _set_records(
    project: Project, request: Request, body: Record, key: str, name: str, type: str
) -> tuple[int, Record]:
    zone, found = _one_set(project, key, name, type)
    found["records"] = _records(type, body)
    return 201, {"action": project.act("set_rrset_records", [("zone", zone["id"])])}


def _set_ttl(
    project: Project, request: Request, body: Record, key: str, name: str, type: str
) -> tuple[int, Record]:
    zone, found = _one_set(project, key, name, type)
    found["ttl"] = _ttl(body.get("ttl"))
    return 201, {"action": project.act("change_rrset_ttl", [("zone", zone["id"])])}


_SETS = "/zones/<key>/rrsets"
_ONE = "/zones/<key>/rrsets/<name>/<type>"
ROUTES = (
    ("GET", "/zones", listing("zones")),
    ("POST", "/zones", _add_zone),
    ("GET", "/zones/<key>", _get_zone),
    ("PUT", "/zones/<key>", _put_zone),
    ("DELETE", "/zones/<key>", _delete_zone),
    ("POST", "/zones/<key>/actions/change_ttl", _zone_ttl),
    ("GET", _SETS, _list_sets),
    ("POST", _SETS, _add_set),
    ("GET", _ONE, _get_set),
    ("PUT", _ONE, _put_set),
    ("DELETE", _ONE, _delete_set),
    ("POST", f"{_ONE}/actions/set_records", _set_records),
    ("POST", f"{_ONE}/actions/change_ttl", _set_ttl),
)
