"""The HTTP side: token, rate limit, routes, bodies, and the stand-in's own switches."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from rehost.providers.sandbox.hcloud_api import (
    bodies,
    catalog,
    certificates,
    firewalls,
    floating_ips,
    groups,
    history,
    images,
    load_balancer_actions,
    load_balancers,
    metrics,
    networks,
    primary_ips,
    rrsets,
    server_actions,
    server_network,
    servers,
    storage_boxes,
    volumes,
    zones,
)
from rehost.providers.sandbox.hcloud_api.errors import ApiError, Record, removed
from rehost.providers.sandbox.hcloud_api.resources import Call
from rehost.providers.sandbox.hcloud_api.routing import Router
from rehost.providers.sandbox.hcloud_api.store import Behaviour, Project

_FAMILIES = (
    catalog,
    certificates,
    firewalls,
    floating_ips,
    groups,
    history,
    images,
    load_balancer_actions,
    load_balancers,
    metrics,
    networks,
    primary_ips,
    rrsets,
    server_actions,
    server_network,
    servers,
    storage_boxes,
    volumes,
    zones,
)
_SWITCHES = (
    "action_seconds",
    "stale_seconds",
    "stale_single_seconds",
    "rate_limit",
    "capacity",
    "limits",
    "delegations",
)
FORMAT = 1
"""Of what `dump` writes."""


class HcloudApi:
    """The API for the projects of the given tokens (token: project). Tokens in `read_only` may only read. `limits`
    are how many of a kind a project may have. Thread-safe; nothing runs in the background."""

    def __init__(
        self,
        tokens: Mapping[str, str],
        clock: Callable[[], float] = time.time,
        action_seconds: float = 0.3,
        rate_limit: int = 3600,
        stale_seconds: float = 0.0,
        read_only: Collection[str] = (),
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self.behaviour = Behaviour(action_seconds, stale_seconds, rate_limit=rate_limit, limits=dict(limits or {}))
        self.calls: dict[str, int] = {}
        self._clock = clock
        self._lock = threading.RLock()
        self._read_only = frozenset(read_only)
        projects: dict[str, Project] = {}
        for name in tokens.values():
            projects.setdefault(
                name, Project(name, clock, self.behaviour, tokens_left=rate_limit, refilled=clock())
            )
        self._projects = {token: projects[name] for token, name in tokens.items()}

    def project(self, token: str) -> Project:
        """The project of a token, for tests that look behind the API."""
        return self._projects[token]

    @contextmanager
    def looking(self) -> Iterator[list[Project]]:
        """The projects as they are now. No call is being answered meanwhile."""
        with self._lock:
            projects = list({id(project): project for project in self._projects.values()}.values())
            for project in projects:
                project.settle()
            yield projects

    def dump(self) -> Record:
        """Everything the stand-in knows, pending actions included, as JSON can hold it."""
        with self._lock:
            projects = {project.name: project.dump() for project in self._projects.values()}
            kept: Record = json.loads(json.dumps({"format": FORMAT, "projects": projects}))
        return kept

    def load(self, kept: Mapping[str, Any]) -> None:
        """Go on where a `dump` was made; projects that have no token here any more are left out. Raises
        ValueError for another format."""
        if kept.get("format") != FORMAT:
            raise ValueError(f"the stand-in's state has format {kept.get('format')}, not {FORMAT}")
        copy: Record = json.loads(json.dumps(kept))
        with self._lock:
            for project in {id(project): project for project in self._projects.values()}.values():
                if project.name in copy["projects"]:
                    project.load(copy["projects"][project.name])

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        with self._lock:
            response = self._control(request) if request.path.startswith("/_sandbox/") else self._answer(request)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        headers = {"X-Correlation-Id": secrets.token_hex(8)}
        try:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            project = self._projects.get(token)
            if project is None:
                raise ApiError(401, "unauthorized", "the token you have provided is invalid")
            allowed, limits = self._limit(project)
            headers |= limits
            if not allowed:
                raise ApiError(429, "rate_limit_exceeded", "limit of requests per hour reached")
            operation, values = _router().find(request.method, _path(request))
            self.calls[operation.name] = self.calls.get(operation.name, 0) + 1
            if request.method != "GET" and token in self._read_only:
                raise ApiError(403, "forbidden", "the token is only allowed to perform GET requests")
            call = Call(project, bodies.checked(operation.name, _body(request)), MultiDict(request.args))
            project.settle()
            status, answer = operation.handler(call, **values)
            if call.links:
                headers["Link"] = _links(request, call.links)
        except ApiError as error:
            status, answer = error.status, error.body()
        return _json(status, answer, headers)

    def _limit(self, project: Project) -> tuple[bool, dict[str, str]]:
        limit, now = self.behaviour.rate_limit, self._clock()
        per_second = limit / 3600
        project.tokens_left = min(limit, project.tokens_left + (now - project.refilled) * per_second)
        project.refilled = now
        allowed = project.tokens_left >= 1
        if allowed:
            project.tokens_left -= 1
        return allowed, {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(int(project.tokens_left)),
            "RateLimit-Reset": str(int(now + (limit - project.tokens_left) / per_second)),
        }

    def _control(self, request: Request) -> Response:
        if request.path == "/_sandbox/inventory":
            counts = {
                p.name: {kind: len(rows) for kind, rows in p.records.items() if rows}
                for p in self._projects.values()
            }
            return _json(200, {"projects": counts, "calls": self.calls}, {})
        if request.path == "/_sandbox/zones":
            zones = [zone for p in self._projects.values() for zone in p.records.get("zones", {}).values()]
            return _json(200, {"zones": [_zone(zone) for zone in zones]}, {})
        if request.path == "/_sandbox/behaviour" and request.method == "POST":
            body = request.get_json(force=True)
            for name in _SWITCHES:
                if name in body:
                    setattr(self.behaviour, name, body[name])
            self.behaviour.fail += body.get("fail_actions", [])
            self.behaviour.slow |= {row["command"]: row["seconds"] for row in body.get("slow_actions", [])}
            return _json(200, {}, {})
        return _json(404, {}, {})


def _zone(zone: Record) -> Record:
    """A zone as name servers need it, with full names."""
    return {
        "name": zone["name"],
        # Names without a last dot are below the zone.
        "origin": zone["name"],
        "servers": zone["authoritative_nameservers"]["assigned"],
        "records": [
            {
                "name": zone["name"] if row["name"] == "@" else f"{row['name']}.{zone['name']}",
                "type": row["type"],
                "ttl": row["ttl"] if row["ttl"] is not None else zone["ttl"],
                "values": [record["value"] for record in row["records"]],
            }
            for row in zone["_sets"].values()
        ],
    }


@cache
def _router() -> Router:
    gone = (("GET", "/datacenters", _datacenters), ("GET", "/datacenters/<int:id>", _datacenters))
    return Router([*(route for family in _FAMILIES for route in family.ROUTES), *gone])


def _datacenters(call: Call, id: int = 0) -> tuple[int, Record]:
    raise removed("2026-06-02-datacenters-deprecated", "datacenters were removed; use locations")


def _path(request: Request) -> str:
    if not request.path.startswith("/v1/"):
        raise ApiError(404, "not_found", "the path does not exist")
    return request.path.removeprefix("/v1")


def _body(request: Request) -> Record:
    if request.method not in ("POST", "PUT"):
        return {}
    text = request.get_data()
    if not text.strip():
        return {}
    try:
        body = json.loads(text)
    except ValueError as error:
        raise ApiError(400, "json_error", "the request body is not valid JSON") from error
    if not isinstance(body, dict):
        raise ApiError(400, "json_error", "the request body must be a JSON object")
    return body


def _links(request: Request, links: Mapping[str, int]) -> str:
    parts = []
    for relation, page in links.items():
        others = [(key, value) for key, value in request.args.items(multi=True) if key != "page"]
        parts.append(f'<{request.base_url}?{urlencode([*others, ("page", page)])}>; rel="{relation}"')
    return ", ".join(parts)


def _json(status: int, body: Record, headers: Mapping[str, str]) -> Response:
    if status == 204:
        return Response(status=204, headers=dict(headers))
    return Response(json.dumps(body), status, dict(headers), content_type="application/json")
