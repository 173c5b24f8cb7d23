"""Calls and failures of Hetzner's Cloud API. Source: API reference, sections Errors and Rate Limiting."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any, Protocol

from rehost.providers.sandbox.wire import Answer, Call, Environ

_MESSAGES = {
    "rate_limit_exceeded": "limit of 3600 requests per hour reached",
    "server_error": "an error occurred, please try again later",
    "resource_unavailable": "the requested resource is currently unavailable",
    "resource_limit_exceeded": "resource limit exceeded",
    "conflict": "the resource has changed during the request, please retry",
    "locked": "the item you are trying to access is locked",
    "unauthorized": "unable to authenticate",
}
_STATUSES = {
    "rate_limit_exceeded": 429,
    "resource_unavailable": 412,
    "resource_limit_exceeded": 403,
    "conflict": 409,
    "locked": 423,
    "unauthorized": 401,
}


class HcloudDialect:
    """Calls are named by method and path: `POST /servers`, `GET /servers/42`."""

    def call(self, environ: Environ) -> Call:
        """The call that a request is."""
        path = environ.get("PATH_INFO", "").removeprefix("/v1").rstrip("/") or "/"
        return Call("hcloud", f"{environ['REQUEST_METHOD']} {path}", "hcloud")

    def failure(self, call: Call, kind: str, code: str, status: int, message: str) -> Answer:
        """JSON with code and message; 429 comes with the headers of the limit."""
        code = code or ("rate_limit_exceeded" if kind == "throttle" else "server_error")
        status = status or _STATUSES.get(code, 429 if kind == "throttle" else 500)
        headers = [("Content-Type", "application/json")]
        if status == 429:
            reset = str(int(time.time()) + 1)
            headers += [("RateLimit-Limit", "3600"), ("RateLimit-Remaining", "0"), ("RateLimit-Reset", reset)]
        if status in (502, 504):
            # The balancer in front of the API answers, not the API.
            return Answer(status, [("Content-Type", "text/html")], b"<html><body>gateway</body></html>")
        error = {"code": code, "message": message or _MESSAGES.get(code, code.replace("_", " ")), "details": None}
        return Answer(status, headers, json.dumps({"error": error}).encode())

    def born(self, call: Call, environ: Environ, answer: Answer) -> set[str]:
        """`/servers/42` for what a POST to a collection made."""
        match = re.fullmatch(r"POST /([a-z_]+)", call.operation)
        if not match:
            return set()
        rows = [
            row
            for row in _object(answer).values()
            if isinstance(row, dict) and "id" in row and "command" not in row
        ]
        return {f"/{match[1]}/{row['id']}" for row in rows}

    def veil(self, call: Call, environ: Environ, answer: Answer, hidden: set[str]) -> Answer:
        """Lists lose their rows, single reads answer 404."""
        method, path = call.operation.split(" ", 1)
        if method != "GET" or answer.status != 200:
            return answer
        if path in hidden:
            return self.failure(call, "error", "not_found", 404, f"{path.split('/')[1].rstrip('s')} not found")
        content, kind = _object(answer), path[1:]
        rows = content.get(kind)
        if not isinstance(rows, list):
            return answer
        content[kind] = [row for row in rows if f"{path}/{row.get('id')}" not in hidden]
        return Answer(200, answer.headers, json.dumps(content).encode())


class Holds(Protocol):
    """What the stand-in offers for keeping."""

    def dump(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        ...

    def load(self, kept: Mapping[str, Any]) -> None:
        """Go on where `dump` was. Raises ValueError for another format."""
        ...


class HcloudMemory:
    """What the stand-in knows, as JSON."""

    def __init__(self, api: Holds) -> None:
        self._api = api

    def dump(self) -> bytes:
        """All projects, actions under way included."""
        return json.dumps(self._api.dump()).encode()

    def load(self, kept: bytes) -> None:
        """Go on where `dump` was. Raises ValueError for bytes of no use."""
        try:
            self._api.load(json.loads(kept))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the kept state can't be read: {error!r}") from error

    def kept(self) -> None:
        """There is nothing beside the dump."""


def _object(answer: Answer) -> dict[str, object]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
