"""Hetzner's Cloud API over HTTP. The SDK repeats calls by itself and hides the rate-limit headers; the engine
wants both, so calls go through the SDK's own transport (requests) directly."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from rehost.providers.waits import retry_after
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import Call

ENDPOINT = "https://api.hetzner.cloud/v1"

_REASONS = {
    "unauthorized": Reason.DENIED,
    "forbidden": Reason.DENIED,
    "token_readonly": Reason.DENIED,
    "rate_limit_exceeded": Reason.THROTTLED,
    "conflict": Reason.BUSY,
    "locked": Reason.BUSY,
    "resource_in_use": Reason.BUSY,
    # The server that has the address lets go of it in a step of its own.
    "primary_ip_assigned": Reason.BUSY,
    "primary_ip_already_assigned": Reason.BUSY,
    "must_be_unassigned": Reason.BUSY,
    "not_found": Reason.NOT_FOUND,
    "uniqueness_error": Reason.EXISTS,
    "server_already_attached": Reason.EXISTS,
    "volume_already_attached": Reason.EXISTS,
    "resource_limit_exceeded": Reason.QUOTA,
    "resource_unavailable": Reason.UNAVAILABLE,
    "placement_error": Reason.UNAVAILABLE,
    "server_error": Reason.UNAVAILABLE,
    "service_error": Reason.UNAVAILABLE,
    "unavailable": Reason.UNAVAILABLE,
    "maintenance": Reason.UNAVAILABLE,
    "timeout": Reason.UNAVAILABLE,
    "invalid_input": Reason.INVALID,
    "json_error": Reason.INVALID,
}
"""Error codes of the API reference, by what they mean for the caller."""


class Api:
    """One project. Many threads may share it."""

    def __init__(self, endpoint: str, token: str, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._endpoint = endpoint.rstrip("/")
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            # The longest prefix wins: anything shorter would leave requests' own small pool in place.
            self._session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=64))
        self._session.headers.update({"Authorization": f"Bearer {token}", "User-Agent": "rehost"})

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """One request. Raises ProviderError."""
        operation = f"{method} {path}"
        try:
            response = self._session.request(
                method, f"{self._endpoint}{path}", json=body, params=query or None, timeout=(10, 60)
            )
        except (requests.ConnectTimeout, requests.exceptions.SSLError) as error:
            raise self._unreachable(operation, Reason.UNAVAILABLE) from error
        except requests.ConnectionError as error:
            refused = "NewConnectionError" in str(error) or "refused" in str(error)
            raise self._unreachable(operation, Reason.UNAVAILABLE if refused else Reason.UNCERTAIN) from error
        except requests.RequestException as error:
            raise self._unreachable(operation, Reason.UNCERTAIN) from error
        try:
            answer = response.json() if response.content else {}
        except ValueError:
            answer = {}
        if response.ok:
            return dict(answer)
        raise self._refused(operation, response, answer.get("error") or {})

    def _wait_asked(self, response: requests.Response) -> float | None:
        """Seconds until calls may pass again, where the answer says so."""
        wait = retry_after(response.headers.get("Retry-After"), self._now())
        reset = response.headers.get("RateLimit-Reset")
        if wait is None and response.status_code == 429 and reset and reset.isdecimal():
            # The reset is when the full limit is back; a call is free again after a second's share of it.
            wait = min(60.0, max(1.0, float(reset) - self._now()))
        return wait

    @staticmethod
    def _unreachable(operation: str, reason: Reason) -> ProviderError:
        return ProviderError(
            f"{operation}: no answer from the Hetzner Cloud API", reason=reason, operation=operation
        )

    def _refused(self, operation: str, response: requests.Response, error: Mapping[str, Any]) -> ProviderError:
        code, status = str(error.get("code", "")), response.status_code
        fallback = Reason.THROTTLED if status == 429 else Reason.UNAVAILABLE if status >= 500 else Reason.FAILED
        fields = (error.get("details") or {}).get("fields") or []
        about = "; ".join(
            f"{field.get('name')}: {', '.join(field.get('messages') or [])}"
            for field in fields
            if field.get("name")
        )
        return ProviderError(
            f"{operation}: {error.get('message') or response.reason}",
            reason=_REASONS.get(code, fallback),
            operation=operation,
            code=code,
            status=status,
            retry_after=self._wait_asked(response),
            why=about,
        )

    def all(self, kind: str, path: str = "", **query: Any) -> list[dict[str, Any]]:
        """All records of a list, page by page."""
        rows: list[dict[str, Any]] = []
        page: int | None = 1
        while page is not None:
            answer = self.call("GET", path or f"/{kind}", per_page=50, page=page, **query)
            rows += answer[kind]
            page = ((answer.get("meta") or {}).get("pagination") or {}).get("next_page")
        return rows

    def done(self, call: Call, answer: Mapping[str, Any]) -> None:
        """Wait for the actions in an answer. Raises ProviderError for one that failed."""
        actions = [answer.get("action"), *(answer.get("actions") or []), *(answer.get("next_actions") or [])]
        for action in actions:
            if action is not None:
                self._wait(call, action)

    def _wait(self, call: Call, action: dict[str, Any]) -> None:
        latest = action

        def over() -> bool:
            nonlocal latest
            if latest["status"] == "running":
                latest = self.call("GET", f"/actions/{action['id']}")["action"]
            return bool(latest["status"] != "running")

        call.poll(over, str(action["command"]))
        if latest["status"] == "error":
            error = latest.get("error") or {}
            raise ProviderError(
                f"the action {latest['command']} failed: {error.get('message', '')}",
                reason=_REASONS.get(str(error.get("code")), Reason.UNAVAILABLE),
                operation=str(latest["command"]),
                code=str(error.get("code", "")),
            )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
