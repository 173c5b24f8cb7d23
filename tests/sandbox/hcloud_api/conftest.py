"""A client of the stand-in that checks every answer against the API's own description, where a copy of that lies
beside the checkout."""

from __future__ import annotations

import copy
import json
import logging
import re
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from werkzeug.serving import make_server
from werkzeug.test import Client as WsgiClient

from rehost.providers.sandbox.hcloud_api import HcloudApi

SPEC = Path(__file__).parents[4] / "shared" / "specs" / "hcloud-openapi.json"
TOKEN = "t" * 64
ADDED = (
    "available",
    "blocked",
    "deprecation",
    "detail",
    "http_status_code",
    "id",
    "meta",
    "recommended",
    "timeout_idle",
)
"""Fields that came since the copy of the description was made, and pages of what was asked by id."""


def _changed(schemas: dict[str, Any]) -> None:
    """What changed in the API since the copy of its description was made."""
    schemas["server"]["required"].remove("datacenter")
    _drop_datacenter(schemas)


def _drop_datacenter(node: Any) -> None:
    if isinstance(node, dict):
        if "assignee_type" in node.get("properties", {}) and "assignee_id" in node["properties"]:
            node["required"] = [name for name in node.get("required", []) if name != "datacenter"]
            node["properties"]["assignee_type"] = {"enum": ["server", "load_balancer", "unassigned"]}
        for value in node.values():
            _drop_datacenter(value)
    elif isinstance(node, list):
        for value in node:
            _drop_datacenter(value)


def _nullable(node: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema, with objects that hold nothing but what is described."""
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _nullable(value) for key, value in node.items() if key not in ("example", "examples")}
    nullable = made.pop("nullable", False)
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made["properties"] = {**{key: {} for key in ADDED}, **made["properties"]}
        made.setdefault("additionalProperties", False)
    if len(made.get("allOf", [])) == 1 and "enum" not in made:
        # The description marks most references that may be null only in their text.
        return {"anyOf": [made["allOf"][0], {"type": "null"}]}
    if nullable:
        return {"anyOf": [made, {"type": "null"}]}
    return made


class Description:
    """The API's description: validators by operation and status."""

    def __init__(self, text: str) -> None:
        document = json.loads(text)
        schemas = document["components"]["schemas"]
        _changed(schemas)
        self._components = {"components": {"schemas": _nullable(schemas)}}
        self._validators: dict[str, Draft202012Validator] = {}
        self.operations: list[tuple[str, str, re.Pattern[str], dict[str, Any]]] = []
        for path, methods in document["paths"].items():
            if "datacenter" in path:
                continue
            # Fixed parts win over placeholders, as in the router.
            pattern = re.compile("^" + re.sub(r"\{\w+\}", r"[^/]+", path) + "$")
            for method, operation in methods.items():
                if method in ("get", "post", "put", "delete"):
                    self.operations.append((method.upper(), path, pattern, copy.deepcopy(operation)))
        self.operations.sort(key=lambda row: row[1].count("{"))

    def find(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        for known, name, pattern, operation in self.operations:
            if known == method and pattern.match(path):
                return f"{method} {name}", operation
        return None

    def check(self, method: str, path: str, status: int, body: Any) -> str | None:
        """The operation, checked; None for one that is not described."""
        found = self.find(method, path)
        if found is None:
            return None
        name, operation = found
        if status >= 400:
            self._validate(f"{name} error", {"$ref": "#/components/schemas/error_response"}, body)
            return name
        if name == "DELETE /load_balancers/{id}":
            # Answers with an action since October 2026.
            assert status == 201
            self._validate(name, {"$ref": "#/components/schemas/delete_zone_response"}, body)
            return name
        assert str(status) in operation["responses"], f"{name} answered {status}"
        content = operation["responses"][str(status)].get("content")
        if content is None:
            assert body is None, f"{name} answered {body}"
            return name
        self._validate(name, _nullable(content["application/json"]["schema"]), body)
        return name

    def _validate(self, name: str, schema: Any, body: Any) -> None:
        if name not in self._validators:
            self._validators[name] = Draft202012Validator({**self._components, **schema})
        faults = [
            f"{list(error.absolute_path)}: {error.message}" for error in self._validators[name].iter_errors(body)
        ]
        assert not faults, f"{name}: {faults}"


@cache
def description() -> Description | None:
    return Description(SPEC.read_text()) if SPEC.exists() else None


class Checked:
    """The WSGI application, with every answer checked."""

    def __init__(self, app: HcloudApi) -> None:
        self.app = app
        self.seen: set[str] = set()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        caught: list[Any] = []

        def catch(status: str, headers: Any, exc_info: Any = None) -> Any:
            caught[:] = [int(status.split()[0])]
            return start_response(status, headers)

        parts = list(self.app(environ, catch))
        text = b"".join(parts)
        known, path = description(), environ["PATH_INFO"].removeprefix("/v1")
        if known is not None and not path.startswith("/_sandbox"):
            body = json.loads(text) if text else None
            name = known.check(environ["REQUEST_METHOD"], path, caught[0], body)
            if name is not None and caught[0] < 400:
                self.seen.add(name)
        return parts


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Api:
    """Raw requests."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        options = {"action_seconds": 1.0, "rate_limit": 1_000_000, **options}
        self.app = HcloudApi(options.pop("tokens", {TOKEN: "plaza"}), clock=self.clock, **options)
        self.checked = Checked(self.app)
        known = description()
        self.operations = {f"{method} {path}" for method, path, _, _ in known.operations} if known else None
        self._client = WsgiClient(self.checked)

    def raw(self, method: str, path: str, body: Any = None, token: str = TOKEN, **query: Any) -> Any:
        """The response as it is."""
        text = body if isinstance(body, str | bytes) or body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {token}"}
        return self._client.open(f"/v1{path}", method=method, data=text, headers=headers, query_string=query)

    def ok(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The answer to a request that must succeed."""
        response = self.raw(method, path, body, **query)
        assert response.status_code < 400, (method, path, response.get_json())
        return response.get_json() if response.data else None

    def get(self, path: str, **query: Any) -> Any:
        return self.ok("GET", path, **query)

    def post(self, path: str, body: Any = None) -> Any:
        return self.ok("POST", path, body or {})

    def refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str]:
        """Status and code of a request that must fail."""
        response = self.raw(method, path, body, **query)
        assert response.status_code >= 400, (method, path, response.get_json())
        return response.status_code, response.get_json()["error"]["code"]

    def fields(self, method: str, path: str, body: Any) -> set[str]:
        """The fields at fault in a request that is not valid."""
        response = self.raw(method, path, body)
        error = response.get_json()["error"]
        assert (response.status_code, error["code"]) == (422, "invalid_input"), error
        return {field["name"] for field in error["details"]["fields"]}

    def settle(self) -> None:
        """Let every action come to its end."""
        for _ in range(4):
            self.clock.pass_by(2.0)

    def done(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """A request and the end of its actions, which must succeed."""
        answer = self.ok(method, path, body if body is not None or method == "DELETE" else {})
        self.settle()
        for action in _actions(answer):
            after = self.get(f"/actions/{action['id']}")["action"]
            assert after["status"] == "success", after
        return answer

    def failed(self, path: str, body: Any = None) -> str:
        """The code with which the action of a request fails."""
        answer = self.post(path, body)
        self.settle()
        action = self.get(f"/actions/{answer['action']['id']}")["action"]
        assert action["status"] == "error", action
        return str(action["error"]["code"])

    def server(self, name: str = "app", **fields: Any) -> Any:
        body = {"name": name, "server_type": "cx23", "image": "debian-12", "location": "fsn1", **fields}
        return self.done("/servers", body)["server"]

    def network(self, name: str = "net", zones: int = 1, **fields: Any) -> Any:
        subnets = [
            {"type": "cloud", "ip_range": f"10.0.{number + 1}.0/24", "network_zone": "eu-central"}
            for number in range(zones)
        ]
        return self.post("/networks", {"name": name, "ip_range": "10.0.0.0/16", "subnets": subnets, **fields})[
            "network"
        ]


def _actions(answer: Any) -> list[Any]:
    answer = answer or {}
    single = [answer["action"]] if answer.get("action") else []
    return [*single, *(answer.get("actions") or []), *(answer.get("next_actions") or [])]


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def make_api() -> type[Api]:
    """For tests that need other options, or several."""
    return Api


@pytest.fixture
def served() -> Iterator[tuple[Checked, str]]:
    """The stand-in on loopback: the checked application and its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = HcloudApi({TOKEN: "plaza"}, action_seconds=0.0, rate_limit=1_000_000)
    checked = Checked(app)
    server = make_server("127.0.0.1", 0, checked, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield checked, f"http://127.0.0.1:{server.port}/v1"
    server.shutdown()
    thread.join()
