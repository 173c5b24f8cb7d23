"""The HTTP side: token, rate limit, routes, pages, and the stand-in's own switches."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from rehost.providers.sandbox.hcloud_api import catalog, dns, network, server, simple, volume
from rehost.providers.sandbox.hcloud_api.store import ApiError, Behaviour, Project, Record, public, selects

Handler = Callable[..., tuple[int, Record]]
_FAMILIES = (catalog, dns, network, server, simple, volume)


class HcloudApi:
    """The API for the projects of the given tokens. Thread-safe; nothing runs in the background."""

    def __init__(
        self,
        tokens: Mapping[str, str],
        clock: Callable[[], float] = time.time,
        action_seconds: float = 0.3,
        rate_limit: int = 3600,
        stale_seconds: float = 0.0,
    ) -> None:
        self.behaviour = Behaviour(action_seconds, stale_seconds, rate_limit)
        self.calls: dict[str, int] = {}
        self._clock = clock
        self._lock = threading.RLock()
        self._projects = {
            token: Project(name, clock, self.behaviour, tokens_left=float(rate_limit), refilled=clock())
            for token, name in tokens.items()
        }
        rules: list[Rule] = []
        self._handlers: dict[str, Handler] = {}
        for family in _FAMILIES:
            for method, path, handler in family.ROUTES:
                name = f"{method} {path}"
                rules.append(Rule(f"/v1{path}", methods=[method], endpoint=name))
                self._handlers[name] = handler
        rules.append(Rule("/v1/datacenters", methods=["GET"], endpoint="gone"))
        self._map = Map(rules, strict_slashes=False)

    def project(self, token: str) -> Project:
        """The project of a token, for tests that look behind the API."""
        return self._projects[token]

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        with self._lock:
            response = self._control(request) if request.path.startswith("/_sandbox/") else self._answer(request)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        headers: dict[str, str] = {}
        try:
            project = self._projects.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
            if project is None:
                raise ApiError(401, "unauthorized", "the token you have provided is invalid")
            headers = self._limit(project)
            try:
                endpoint, values = self._map.bind_to_environ(request.environ).match()
            except HTTPException as error:
                raise ApiError(404, "not_found", "the path does not exist") from error
            self.calls[endpoint] = self.calls.get(endpoint, 0) + 1
            if endpoint == "gone":
                raise ApiError(410, "deprecated_api_endpoint", "datacenters were removed; use locations")
            project.settle()
            body = request.get_json(force=True, silent=True) if request.get_data() else {}
            if not isinstance(body, dict):
                raise ApiError(400, "json_error", "the request body is not valid JSON")
            status, answer = self._handlers[endpoint](project, request, body, **values)
            project.settle()
            answer = self._paged(project, request, answer)
        except ApiError as error:
            status, answer = error.status, error.body()
        return _json(status, answer, headers)

    def _limit(self, project: Project) -> dict[str, str]:
        limit, now = self.behaviour.rate_limit, self._clock()
        project.tokens_left = min(limit, project.tokens_left + (now - project.refilled) * limit / 3600)
        project.refilled = now
        reset = int(now + (limit - project.tokens_left) * 3600 / limit)
        if project.tokens_left < 1:
            raise ApiError(429, "rate_limit_exceeded", "limit of requests per hour reached")
        project.tokens_left -= 1
        return {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(int(project.tokens_left)),
            "RateLimit-Reset": str(reset),
        }

    def _paged(self, project: Project, request: Request, answer: Record) -> Record:
        """Filters, order and pages for the lists that handlers answer with."""
        kind = answer.get("_list")
        if kind is None:
            return {key: _cleaned(value) for key, value in answer.items()}
        rows = list(answer[kind])
        arguments = request.args
        if self.behaviour.stale_seconds:
            until = self._clock() - self.behaviour.stale_seconds
            rows = [row for row in rows if project.born.get(row.get("id", 0), 0.0) <= until]
        for name in ("name", "status", "id", "type"):
            wanted = arguments.getlist(name)
            if wanted:
                rows = [row for row in rows if str(row.get(name)) in wanted]
        selector = arguments.get("label_selector")
        if selector:
            rows = [row for row in rows if selects(selector, row.get("labels", {}))]
        for order in reversed(arguments.getlist("sort")):
            name, _, way = order.partition(":")
            rows.sort(key=partial(_sortable, name), reverse=way == "desc")
        size, page = int(arguments.get("per_page", 25)), int(arguments.get("page", 1))
        size = max(1, min(size, 50))
        last = max(1, -(-len(rows) // size))
        pagination = {
            "page": page,
            "per_page": size,
            "previous_page": page - 1 if page > 1 else None,
            "next_page": page + 1 if page < last else None,
            "last_page": last,
            "total_entries": len(rows),
        }
        shown = [_cleaned(row) for row in rows[(page - 1) * size : page * size]]
        return {kind: shown, "meta": {"pagination": pagination}}

    def _control(self, request: Request) -> Response:
        if request.path == "/_sandbox/inventory":
            counts = {
                p.name: {kind: len(rows) for kind, rows in p.records.items() if rows}
                for p in self._projects.values()
            }
            return _json(200, {"projects": counts, "calls": self.calls}, {})
        if request.path == "/_sandbox/behaviour" and request.method == "POST":
            body = request.get_json(force=True)
            for name in ("action_seconds", "stale_seconds", "rate_limit"):
                if name in body:
                    setattr(self.behaviour, name, body[name])
            self.behaviour.fail += body.get("fail_actions", [])
            self.behaviour.slow |= {row["command"]: row["seconds"] for row in body.get("slow_actions", [])}
            return _json(200, {}, {})
        return _json(404, {}, {})


def _sortable(name: str, row: Record) -> str:
    return str(row.get(name, "")).zfill(12)


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in public(value).items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return value


def _json(status: int, body: Record, headers: Mapping[str, str]) -> Response:
    return Response(
        json.dumps(body) if status != 204 else "", status, dict(headers), content_type="application/json"
    )
