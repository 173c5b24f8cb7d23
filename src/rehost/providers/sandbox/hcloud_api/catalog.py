"""What is on offer: locations, server and load balancer types, ISOs, prices. Read once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rehost.providers.sandbox.hcloud_api.errors import ApiError, Record, invalid, missing, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind
from rehost.providers.sandbox.hcloud_api.store import Project

_SHARED = Path(__file__).parents[2] / "hetzner" / "data" / "catalog.json"
_OWN = Path(__file__).parent / "data" / "offers.json"
_TRAFFIC = 20 * 1024**4
_HOURS = 730
_VAT = 1.19


@cache
def data() -> Record:
    """The catalog that the adapter ships too."""
    loaded: Record = json.loads(_SHARED.read_text(encoding="utf-8"))
    return loaded


@cache
def _offers() -> Record:
    loaded: Record = json.loads(_OWN.read_text(encoding="utf-8"))
    return loaded


def limit(name: str) -> int:
    """A limit of the platform."""
    value: int = _offers()["limits"][name]
    return value


def price(net: float) -> Record:
    """A price in EUR as the API writes it."""
    return {"net": f"{net:.10f}", "gross": f"{net * _VAT:.16f}"}


@cache
def locations() -> Mapping[str, Record]:
    """Locations by name, as the API shows them."""
    shown = {}
    for row in data()["locations"]:
        latitude, longitude = _offers()["positions"][row["name"]]
        shown[row["name"]] = {
            **{key: row[key] for key in ("id", "name", "network_zone", "country", "city")},
            "description": f"{row['city']} DC Park 1",
            "latitude": latitude,
            "longitude": longitude,
        }
    return shown


@cache
def zones() -> frozenset[str]:
    """Names of network zones."""
    return frozenset(row["network_zone"] for row in locations().values())


def location(key: Any, name: str = "location") -> Record:
    """A location by id or name. Raises ApiError for the field `name`."""
    for row in locations().values():
        if str(key) in (row["name"], str(row["id"])):
            return row
    raise invalid(name, f"location '{key}' not found")


def _rate(what: str, place: str) -> float | None:
    zone = locations()[place]["network_zone"]
    return next((row["amount"] for row in data()["rates"] if row["what"] == what and zone in row["zones"]), None)


def _priced(row: Record, places: Sequence[str]) -> list[Record]:
    found = {place: row.get("monthly", {}).get(locations()[place]["network_zone"]) for place in places}
    return [
        {
            "location": place,
            "price_hourly": price(monthly / _HOURS),
            "price_monthly": price(monthly),
            "included_traffic": _TRAFFIC,
            "price_per_tb_traffic": price(1.0),
        }
        for place, monthly in found.items()
        if monthly is not None
    ]


@cache
def server_types() -> Mapping[str, Record]:
    """Server types by name, as the API shows them. Where the price is not known there is none."""
    rows = [*data()["server_types"], *_offers()["retired_server_types"]]
    return {row["name"]: _server_type(row) for row in rows}


@cache
def images() -> Sequence[Record]:
    """Official images, retired ones included, as the catalogs have them."""
    return [*data()["images"], *_offers()["retired_images"]]


def _server_type(row: Record) -> Record:
    gone = row.get("deprecation")
    places = [
        {
            "id": locations()[place]["id"],
            "name": place,
            "deprecation": gone,
            "available": gone is None,
            "recommended": gone is None,
        }
        for place in row["locations"]
    ]
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["name"].upper(),
        "category": "Shared vCPU" if row["cpu_type"] == "shared" else "Dedicated vCPU",
        "cores": row["cores"],
        "memory": float(row["memory_gib"]),
        "disk": row["disk_gb"],
        "deprecated": gone is not None,
        "deprecation": gone,
        "prices": _priced(row, row["locations"]),
        "storage_type": "local",
        "cpu_type": row["cpu_type"],
        "architecture": row["architecture"],
        "locations": places,
    }


def server_type(key: Any) -> Record:
    """A server type by id or name. Raises ApiError."""
    return _known(server_types(), key, "server_type")


@cache
def load_balancer_types() -> Mapping[str, Record]:
    """Load balancer types by name, as the API shows them."""
    prices = {row["name"]: row for row in data().get("load_balancer_types", ())}
    return {
        row["name"]: {
            **row,
            "deprecated": None,
            "deprecation": None,
            "prices": _priced(prices.get(row["name"], {}), list(locations())),
        }
        for row in _offers()["load_balancer_types"]
    }


def load_balancer_type(key: Any) -> Record:
    """A load balancer type by id or name. Raises ApiError."""
    return _known(load_balancer_types(), key, "load_balancer_type")


@cache
def storage_box_types() -> Mapping[str, Record]:
    """Storage box types by name, as the API shows them. Their prices are not known."""
    return {row["name"]: {"deprecation": None, "prices": [], **row} for row in _offers()["storage_box_types"]}


def storage_box_type(key: Any) -> Record:
    """A storage box type by id or name. Raises ApiError."""
    return _known(storage_box_types(), key, "storage_box_type")


@cache
def isos() -> Mapping[str, Record]:
    """ISOs by name, as the API shows them."""
    return {row["name"]: {"type": "public", "deprecation": None, **row} for row in _offers()["isos"]}


def iso(key: Any) -> Record:
    """An ISO by id or name. Raises ApiError."""
    return _known(isos(), key, "iso")


def _known(rows: Mapping[str, Record], key: Any, name: str) -> Record:
    found = rows.get(str(key)) or next((row for row in rows.values() if str(row["id"]) == str(key)), None)
    if found is None:
        raise invalid(name, f"{name.replace('_', ' ')} '{key}' not found")
    return found


def capacity(project: Project, type_: str, place: str) -> Record | None:
    """What stands against one more server of a type in a location, by the stand-in's own switches."""
    return _short(project.behaviour.capacity, type_, place)


def _short(rows: Sequence[Record], type_: str, place: str) -> Record | None:
    for row in rows:
        kind = row.get("kind", "servers")
        if kind == "servers" and row.get("server_type") in (None, type_) and row.get("location") in (None, place):
            return row
    return None


def reserve_space(project: Project, place: str) -> None:
    """Raise ApiError when a location has no room for volumes, by the stand-in's own switches."""
    for row in project.behaviour.capacity:
        if row.get("kind") == "volumes" and row.get("location") in (None, place):
            _use(project, row)
            raise refused("no_space_left_in_location", f"there is no volume space left in '{place}'")


def _use(project: Project, row: Record) -> None:
    if "times" in row:
        row["times"] -= 1
        if row["times"] <= 0:
            project.behaviour.capacity.remove(row)


def reserve(project: Project, type_: Record, place: str) -> None:
    """Raise ApiError 412 when a server type is not to be had in a location."""
    offered = next((row for row in type_["locations"] if row["name"] == place), None)
    if offered is None:
        raise invalid("location", "unsupported location for server type")
    if not offered["available"]:
        text = f"server type '{type_['name']}' is not available in location '{place}'"
        raise ApiError(412, "resource_unavailable", text)
    short = capacity(project, type_["name"], place)
    if short is None:
        return
    _use(project, short)
    code = short.get("code", "resource_unavailable")
    raise ApiError(412, code, f"error during placement: no room for '{type_['name']}' in '{place}'")


def offered_type(project: Project, type_: Record) -> Record:
    """A server type with what is available now. A shortage that passes with a try or two is not listed."""
    lasting = [row for row in project.behaviour.capacity if "times" not in row]
    if not lasting:
        return type_
    places = [
        {**row, "available": row["available"] and _short(lasting, type_["name"], row["name"]) is None}
        for row in type_["locations"]
    ]
    return {**type_, "locations": places}


def _same(project: Project, record: Record) -> Record:
    del project
    return record


_LOCATIONS = Kind("locations", "location", _same, ("id", "name"))
_SERVER_TYPES = Kind("server_types", "server_type", offered_type, ("id", "name"))
_BALANCER_TYPES = Kind("load_balancer_types", "load_balancer_type", _same, ("id", "name"))
_BOX_TYPES = Kind("storage_box_types", "storage_box_type", _same, ("id", "name"))
_ISOS = Kind("isos", "iso", _same, ("id", "name"))


def _all(kind: Kind, rows: Any) -> Any:
    def handler(call: Call) -> Answer:
        return kind.listed(call, rows().values())

    return handler


def _one(kind: Kind, rows: Any) -> Any:
    def handler(call: Call, id: int) -> Answer:
        found = next((row for row in rows().values() if row["id"] == id), None)
        if found is None:
            raise missing(f"{kind.word.replace('_', ' ')} with ID '{id}'")
        return 200, {kind.word: kind.show(call.project, found)}

    return handler


def _list_isos(call: Call) -> Answer:
    wanted = call.query.getlist("architecture")
    if not set(wanted) <= {"x86", "arm"}:
        raise invalid("architecture", "must be one of x86, arm")
    wild = call.flag("include_architecture_wildcard")
    rows = [
        row
        for row in isos().values()
        if not wanted or row["architecture"] in wanted or (wild and row["architecture"] is None)
    ]
    return _ISOS.listed(call, rows)


def _pricing(call: Call) -> Answer:
    del call

    def priced(rows: Mapping[str, Record]) -> list[Record]:
        return [{"id": row["id"], "name": row["name"], "prices": row["prices"]} for row in rows.values()]

    def known(what: str) -> Record:
        return price(_rate(what, "fsn1") or 0.0)

    addresses = [
        {"location": place, "price_hourly": price(monthly / _HOURS), "price_monthly": price(monthly)}
        for place in locations()
        if (monthly := _rate("public IPv4 address", place)) is not None
    ]

    pricing = {
        "currency": data()["currency"],
        "vat_rate": f"{(_VAT - 1) * 100:.6f}",
        "image": {"price_per_gb_month": known("snapshot")},
        "volume": {"price_per_gb_month": known("volume")},
        "server_backup": {"percentage": "20.0000000000"},
        "server_types": priced(server_types()),
        "load_balancer_types": priced(load_balancer_types()),
        "primary_ips": [{"type": "ipv4", "prices": addresses}, {"type": "ipv6", "prices": []}],
        "floating_ips": [{"type": type_, "prices": []} for type_ in ("ipv4", "ipv6")],
        "floating_ip": {"price_monthly": known("floating IP")},
    }
    return 200, {"pricing": pricing}


ROUTES = (
    ("GET", "/locations", _all(_LOCATIONS, locations)),
    ("GET", "/locations/<int:id>", _one(_LOCATIONS, locations)),
    ("GET", "/server_types", _all(_SERVER_TYPES, server_types)),
    ("GET", "/server_types/<int:id>", _one(_SERVER_TYPES, server_types)),
    ("GET", "/load_balancer_types", _all(_BALANCER_TYPES, load_balancer_types)),
    ("GET", "/load_balancer_types/<int:id>", _one(_BALANCER_TYPES, load_balancer_types)),
    ("GET", "/storage_box_types", _all(_BOX_TYPES, storage_box_types)),
    ("GET", "/storage_box_types/<int:id>", _one(_BOX_TYPES, storage_box_types)),
    ("GET", "/isos", _list_isos),
    ("GET", "/isos/<int:id>", _one(_ISOS, isos)),
    ("GET", "/pricing", _pricing),
)
