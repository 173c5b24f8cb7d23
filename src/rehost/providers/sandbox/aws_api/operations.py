"""Which operation of AWS a request is, by the service models that botocore carries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.loaders import Loader

from rehost.providers.sandbox.wire import Call, Environ, body

_NAMES = {"elasticloadbalancing": "elbv2", "email": "ses", "monitoring": "cloudwatch"}
"""Names in signatures that are not those of the models."""


def service_of(environ: Environ) -> str:
    """The service that a request is signed for; s3 for one without a signature, as nothing else takes those."""
    scope = re.search(r"Credential=([^,\s]+)", environ.get("HTTP_AUTHORIZATION", ""))
    text = scope[1] if scope else dict(parse_qsl(environ.get("QUERY_STRING", ""))).get("X-Amz-Credential", "")
    parts = unquote(text).split("/")
    name = parts[-2] if len(parts) >= 5 else "s3"
    return _NAMES.get(name, name)


def call_of(environ: Environ) -> Call:
    """The call that a request is."""
    service = service_of(environ)
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return Call(service, target.rpartition(".")[2], "json")
    params = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded") and service != "s3":
        params |= dict(parse_qsl(body(environ).decode("utf-8", "replace"), keep_blank_values=True))
    if "Action" in params and service != "s3":
        return Call(service, params["Action"], "ec2" if service == "ec2" else "query", params)
    model = model_of(service)
    protocol = "s3" if service == "s3" else str(model.get("metadata", {}).get("protocol", "rest-xml"))
    return Call(service, _rest(service, environ, params), protocol, params)


@lru_cache
def model_of(service: str) -> dict[str, Any]:
    """A service's model; empty for one that there is none of."""
    try:
        model: dict[str, Any] = Loader().load_service_model(service, "service-2")
    except Exception:  # noqa: BLE001 - botocore has several errors for names that it does not know
        return {}
    return model


@dataclass(frozen=True)
class _Route:
    operation: str
    method: str
    path: re.Pattern[str]
    query: frozenset[tuple[str, str]]
    wanted: frozenset[str]
    headers: frozenset[str]
    literal: int

    def weight(self, method: str, path: str, params: dict[str, str], environ: Environ) -> tuple[int, int] | None:
        # The cheap questions first: there are a hundred routes for a small object.
        if method != self.method or not self.wanted <= params.keys():
            return None
        if any(name not in params or (value and params[name] != value) for name, value in self.query):
            return None
        if any(name not in environ for name in self.headers) or not self.path.fullmatch(path):
            return None
        return len(self.query) + len(self.wanted) + len(self.headers), self.literal


@lru_cache
def _routes(service: str) -> tuple[_Route, ...]:
    model = model_of(service)
    found = []
    for name, operation in model.get("operations", {}).items():
        if operation.get("deprecated"):
            continue
        path, _, query = operation["http"]["requestUri"].partition("?")
        pattern = re.sub(r"\\\{\w+\\\+\\\}", ".+", re.escape(path))
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", pattern)
        shape = model["shapes"].get(operation.get("input", {}).get("shape", ""), {})
        needed = [shape["members"][member] for member in shape.get("required", [])]
        found.append(
            _Route(
                name,
                operation["http"]["method"],
                re.compile(pattern.rstrip("/") + "/?"),
                frozenset((item.partition("=")[0], item.partition("=")[2]) for item in query.split("&") if item),
                frozenset(m["locationName"] for m in needed if m.get("location") == "querystring"),
                frozenset(
                    "HTTP_" + m["locationName"].upper().replace("-", "_")
                    for m in needed
                    if m.get("location") == "header"
                ),
                len(re.sub(r"\{[^}]*\}", "", path)),
            )
        )
    return tuple(found)


def _rest(service: str, environ: Environ, params: dict[str, str]) -> str:
    path = str(environ.get("RAW_URI") or environ.get("PATH_INFO", "/")).partition("?")[0]
    best, chosen = (-1, -1), "Unknown"
    for route in _routes(service):
        weight = route.weight(environ["REQUEST_METHOD"], path, params, environ)
        if weight is not None and weight > best:
            best, chosen = weight, route.operation
    return chosen
