"""The stack's checks, asked of one side whatever the public names say today."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 10.0
_MOST = 1_000_000
"""Bytes of an answer that are looked at."""


def ask(url: str, status: int, contains: str, addresses: Mapping[str, str]) -> dict[str, Any]:
    """Ask over HTTP, at the address that `addresses` has for the host. Certificates are verified for the name."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    told: dict[str, Any] = {"http": url, "at": addresses.get(host, host)}
    try:
        port = parts.port or (443 if secure else 80)
        with socket.create_connection((told["at"], port), TIMEOUT) as plain:
            link = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
            client = http.client.HTTPConnection(host, port)
            client.sock = link
            client.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            answer = client.getresponse()
            text = answer.read(_MOST).decode("utf-8", "replace")
            client.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return {**told, "ok": False, "said": f"no answer: {error or type(error).__name__}"}
    if answer.status != status:
        return {**told, "ok": False, "said": f"status {answer.status} instead of {status}"}
    if contains not in text:
        return {**told, "ok": False, "said": f"status {status}, but not the text {contains!r}"}
    return {**told, "ok": True, "said": f"status {status}"}
