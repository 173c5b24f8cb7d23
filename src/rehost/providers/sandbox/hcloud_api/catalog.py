"""Locations, server types, images, prices and actions."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request

from rehost.providers.sandbox.hcloud_api.store import Project, Record, missing

_FILE = Path(__file__).parents[2] / "hetzner" / "data" / "catalog.json"


@cache
def data() -> Record:
    """The catalog that the adapter ships too."""
    loaded: Record = json.loads(_FILE.read_text(encoding="utf-8"))
    return loaded


def _price(value: float | None, factor: float = 1.0) -> Record:
    net = (value or 0.0) * factor
    return {"net": f"{net:.10f}", "gross": f"{net * 1.19:.16f}"}


def location(name: str) -> Record:
    """A location as the API shows it. Raises ApiError 404."""
    row = next((row for row in data()["locations"] if name in (row["name"], str(row["id"]))), None)
    if row is None:
        raise missing("location")
    shown = {key: row[key] for key in ("id", "name", "network_zone", "country", "city")}
    return {**shown, "description": f"{row['city']} DC Park 1", "latitude": 0.0, "longitude": 0.0}


def server_type(name: str) -> Record:
    """A server type as the API shows it. Raises ApiError 404."""
    row = next((row for row in data()["server_types"] if name in (row["name"], str(row["id"]))), None)
    if row is None:
        raise missing("server type")
    prices = [
        {
            "location": place,
            "price_hourly": _price(row["monthly"], 1 / 730),
            "price_monthly": _price(row["monthly"]),
            "included_traffic": 21990232555520,
            "price_per_tb_traffic": _price(1.0),
        }
        for place in row["locations"]
    ]
    places = [
        {"id": location(place)["id"], "name": place, "deprecation": None, "available": True, "recommended": True}
        for place in row["locations"]
    ]
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["name"].upper(),
        "category": "Shared vCPU",
        "cores": row["cores"],
        "memory": float(row["memory_gib"]),
        "disk": row["disk_gb"],
        "deprecated": False,
        "deprecation": None,
        "prices": prices,
        "storage_type": "local",
        "cpu_type": row["cpu_type"],
        "architecture": row["architecture"],
        "locations": places,
    }


def image(name: str, architecture: str) -> Record:
    """An official image by name or id. Raises ApiError 404."""
    for row in data()["images"]:
        if str(row["id"]) == name or (row["name"] == name and row["architecture"] == architecture):
            return _image(row)
    raise missing("image")


def _image(row: Record) -> Record:
    return {
        "id": row["id"],
        "type": "system",
        "status": "available",
        "name": row["name"],
        "description": row["name"].replace("-", " ").title(),
        "image_size": None,
        "disk_size": 5,
        "created": "2025-01-01T00:00:00+00:00",
        "created_from": None,
        "bound_to": None,
        "os_flavor": row["os_flavor"],
        "os_version": row["os_version"],
        "rapid_deploy": True,
        "protection": {"delete": False},
        "deprecated": None,
        "deleted": None,
        "labels": {},
        "architecture": row["architecture"],
    }


def _locations(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    return 200, {"_list": "locations", "locations": [location(row["name"]) for row in data()["locations"]]}


def _types(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    rows = [server_type(row["name"]) for row in data()["server_types"]]
    return 200, {"_list": "server_types", "server_types": rows}


def _images(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    wanted = request.args.getlist("architecture")
    rows = [_image(row) for row in data()["images"] if not wanted or row["architecture"] in wanted]
    return 200, {"_list": "images", "images": rows}


def _one(kind: str, rows: Any) -> Any:
    def handler(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
        return 200, {kind: rows(str(id))}

    return handler


def _actions(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    return 200, {"_list": "actions", "actions": list(project.actions.values())}


def _action(project: Project, request: Request, body: Record, id: int) -> tuple[int, Record]:
    if id not in project.actions:
        raise missing("action")
    return 200, {"action": project.actions[id]}


def _pricing(project: Project, request: Request, body: Record) -> tuple[int, Record]:
    rows = [server_type(row["name"]) for row in data()["server_types"]]
    types = [{"id": row["id"], "name": row["name"], "prices": row["prices"]} for row in rows]
    pricing = {
        "currency": "EUR",
        "vat_rate": "19.000000",
        "image": {"price_per_gb_month": _price(0.0)},
        "volume": {"price_per_gb_month": _price(0.0)},
        "server_backup": {"percentage": "20.0000000000"},
        "server_types": types,
        "load_balancer_types": [],
        "primary_ips": [],
        "floating_ips": [],
        "floating_ip": {"price_monthly": _price(0.0)},
        "traffic": {"price_per_tb": _price(1.0)},
    }
    return 200, {"pricing": pricing}


ROUTES = (
    ("GET", "/locations", _locations),
    ("GET", "/locations/<int:id>", _one("location", location)),
    ("GET", "/server_types", _types),
    ("GET", "/server_types/<int:id>", _one("server_type", server_type)),
    ("GET", "/images", _images),
    ("GET", "/images/<int:id>", _one("image", lambda id_: image(id_, ""))),
    ("GET", "/actions", _actions),
    ("GET", "/actions/<int:id>", _action),
    ("GET", "/pricing", _pricing),
)
