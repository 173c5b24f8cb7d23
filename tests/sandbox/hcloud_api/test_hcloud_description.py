"""What the stand-in knows by heart, against the API's description: parameters of lists and fields of bodies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rehost.providers.sandbox.hcloud_api as package

SPEC = Path(__file__).parents[4] / "shared" / "specs" / "hcloud-openapi.json"
CHANGED = {
    "POST /load_balancers": {"public_net"},
    # The description gives a box the settings of a subaccount.
    "POST /storage_boxes/{id}/actions/update_access_settings": {"readonly", "zfs_enabled"},
}
"""Fields that came or went since the description was written."""

pytestmark = pytest.mark.skipif(not SPEC.exists(), reason="no copy of the API's description beside the checkout")


@pytest.fixture(scope="module")
def spec() -> Any:
    return json.loads(SPEC.read_text())


def lists(spec: Any) -> Any:
    for path, methods in spec["paths"].items():
        names = {row.get("name") for row in methods.get("get", {}).get("parameters", [])}
        if "per_page" in names and "datacenter" not in path:
            yield path, methods["get"]["parameters"]


def test_lists_take_the_parameters_that_are_described(spec: Any, api: Any) -> None:
    api.done("/zones", {"name": "plaza.example", "mode": "primary"})
    box = {"name": "box", "storage_box_type": "bx11", "location": "fsn1", "password": "Correct-horse-1"}
    boxes = api.done("/storage_boxes", box)["storage_box"]["id"]
    ids = {"servers": api.server()["id"], "zones": "plaza.example", "storage_boxes": boxes}
    for described, parameters in lists(spec):
        kind = described.split("/")[1]
        if "{" in described and kind not in ids:
            continue
        path = described.replace("{id}", str(ids.get(kind))).replace("{id_or_name}", str(ids.get(kind)))
        for row in parameters:
            schema = row["schema"].get("items", row["schema"])
            for value in schema.get("enum", []):
                api.get(path, **{row["name"]: value})
            if "enum" in schema:
                assert api.refused("GET", path, **{row["name"]: "nonsense"}) == (422, "invalid_input"), (
                    path,
                    row["name"],
                )


def test_bodies_have_the_fields_that_are_described(spec: Any) -> None:
    rules = json.loads((Path(package.__file__).parent / "data" / "requests.json").read_text())
    schemas = spec["components"]["schemas"]
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody") if isinstance(operation, dict) else None
            if not body:
                continue
            name = f"{method.upper()} {path}"
            schema = body["content"]["application/json"]["schema"]
            while "$ref" in schema:
                schema = schemas[schema["$ref"].rsplit("/", 1)[-1]]
            rule = rules["requests"][name]
            while isinstance(rule, str):
                rule = rules["parts"][rule[1:]]
            known = {field.rstrip("!") for field in rule}
            assert known ^ set(schema.get("properties", {})) <= CHANGED.get(name, set()), name
