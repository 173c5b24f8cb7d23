"""What the stand-ins share at the edge of HTTP: a named call, an answer, and ways to end a connection."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from werkzeug.test import run_wsgi_app

Environ = dict[str, Any]
CLOSED = "500 Closed"
"""The status of an answer that nobody gets."""
App = Callable[[Environ, Any], Iterable[bytes]]


@dataclass(frozen=True)
class Call:
    """One request by the name that the API's own documentation gives it."""

    service: str
    """The API: ec2, s3, route53, ... or hcloud."""
    operation: str
    """`RunInstances`, `PutObject`, or `POST /servers`."""
    protocol: str = ""
    """How errors are written: ec2, query, rest-xml, s3, json, rest-json, hcloud."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Parameters of a form or query string."""

    @property
    def name(self) -> str:
        """`ec2:RunInstances`."""
        return f"{self.service}:{self.operation}"

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, going by its name."""
        return self.operation.startswith(("Describe", "List", "Get", "Head", "GET "))


@dataclass
class Answer:
    """A whole response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def send(self, start_response: Any) -> Iterable[bytes]:
        """Answer a WSGI request."""
        try:
            status = f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            status = f"{self.status} Answer"
        # Without a body the length that is told is that of what a GET would give.
        headers = [
            (name, value) for name, value in self.headers if not self.body or name.lower() != "content-length"
        ]
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(self.body))))
        start_response(status, headers)
        return [self.body]


class Dialect(Protocol):
    """How one family of APIs names its calls and words its failures."""

    def call(self, environ: Environ) -> Call:
        """The call that a request is. The request can still be read afterwards."""
        ...

    def failure(self, call: Call, kind: str, code: str, status: int, message: str) -> Answer:
        """A refusal in the API's own shape. `kind` is throttle or error; empty fields mean the usual ones."""
        ...

    def born(self, call: Call, environ: Environ, answer: Answer) -> set[str]:
        """Names of what a call made."""
        ...

    def veil(self, call: Call, environ: Environ, answer: Answer, hidden: set[str]) -> Answer:
        """The answer to a read as it was before the hidden things were made."""
        ...


def body(environ: Environ) -> bytes:
    """The whole request body; it stays readable for the application."""
    kept = environ.get("rehost.body")
    if kept is None:
        # What is sent in chunks has an end of its own.
        size = -1 if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
        kept = environ["wsgi.input"].read(size)
        environ["rehost.body"] = kept
    environ["wsgi.input"] = io.BytesIO(kept)
    return bytes(kept)


def drain(environ: Environ) -> None:
    """Read what the client still sends, so that it gets to see an early answer."""
    if "rehost.body" in environ:
        return
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left > 0:
        chunk = environ["wsgi.input"].read(min(left, 1 << 20))
        if not chunk:
            return
        left -= len(chunk)


def run(app: App, environ: Environ) -> Answer:
    """The application's whole answer."""
    chunks, status, headers = run_wsgi_app(app, environ, buffered=True)
    return Answer(int(status.split()[0]), [(k, v) for k, v in headers], b"".join(chunks))


def hang_up(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Close the connection without an answer."""
    connection = environ.get("werkzeug.socket")
    if connection is None:
        raise ConnectionAbortedError("closed without an answer")
    connection.shutdown(socket.SHUT_RDWR)
    # The server writes this to a closed connection and notices.
    start_response(CLOSED, [])
    return [b"closed"]
