"""What stands for nginx in front of a bucket (`stacks/bucketproxy.py`): the same variables, the same answers. Run
as a program.

The bucket is asked at the stand-in that has it. What may be kept is kept in memory. Unlike nginx it asks for a
range as it is, unless it has the whole object.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import ssl
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from werkzeug.datastructures import ResponseCacheControl
from werkzeug.http import parse_cache_control_header, parse_date
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

ROOM = 256 * 1024**2
"""Bytes that are kept at most, whatever the server of the asked-for size would have."""
TIMEOUT_S = 30.0
PIECE = 64 * 1024
_HOSTS = re.compile(r"(.+?)\.(?:s3[.-][a-z0-9-]+\.amazonaws\.com|[a-z0-9]+\.your-objectstorage\.com|127\.0\.0\.1)")
"""Host names of buckets; that of Hetzner's is made of where its API is asked."""
_PARTS = {"aws": "aws", "hetzner": "objects"}
"""The stand-in that has the buckets, by the folder of the machines."""
_ASKED = ("Accept", "Origin", "User-Agent")
"""What a bucket is told of a request. Ranges and conditions are added where they are its to answer."""
_NOT_PASSED = ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server")


@dataclass(frozen=True)
class Kept:
    """An answer that may be given again until `fresh`, in seconds as `now` tells them."""

    headers: tuple[tuple[str, str], ...]
    body: bytes
    fresh: float


class Cache:
    """Answers by their keys; the one that was not asked for the longest goes first."""

    def __init__(self, room: int) -> None:
        self._room, self._size = room, 0
        self._kept: OrderedDict[tuple[str, ...], Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...]) -> Kept | None:
        """What there is, fresh or not."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[str, ...], kept: Kept) -> None:
        """Keep an answer, as far as there is room."""
        with self._lock:
            self._drop(key)
            if len(kept.body) <= self._room:
                self._kept[key] = kept
                self._size += len(kept.body)
            while self._size > self._room:
                self._drop(next(iter(self._kept)))

    def drop(self, key: tuple[str, ...]) -> None:
        """Forget an answer."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: tuple[str, ...]) -> None:
        gone = self._kept.pop(key, None)
        self._size -= len(gone.body) if gone else 0


class Proxy:
    """The application. `where` answers the bucket's address: scheme and host, and a path before the keys."""

    def __init__(
        self,
        where: Callable[[], tuple[str, str]],
        room: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where, self._now = where, now
        self._cache, self._room = Cache(room), room

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        return self._answer(environ)(environ, start_response)

    def _answer(self, environ: dict[str, Any]) -> Response:
        target, method = str(environ.get("REQUEST_URI", "/")), environ["REQUEST_METHOD"]
        if urlsplit(target).path == "/healthz":
            return Response("ok\n", content_type="text/plain")
        if method not in ("GET", "HEAD"):
            return Response("", 405, {"Allow": "GET, HEAD"})
        headers = {name: environ[_variable(name)] for name in _ASKED if _variable(name) in environ}
        key = (method, target, headers.get("Origin", ""))
        kept = self._cache.get(key)
        if kept is not None and kept.fresh > self._now():
            return _given(kept, environ, "HIT")
        tag = next((value for name, value in kept.headers if name.lower() == "etag"), "") if kept else ""
        if kept is not None and tag:
            headers["If-None-Match"] = tag
        elif kept is None:
            passed = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")
            headers |= {name: environ[_variable(name)] for name in passed if _variable(name) in environ}
        try:
            answer = self._ask(method, target, headers)
        except (OSError, http.client.HTTPException):
            return _given(kept, environ, "STALE") if kept is not None else Response("", 502)
        if kept is not None and answer.status >= 500:
            answer.close()
            return _given(kept, environ, "STALE")
        if kept is not None and answer.status == 304:
            answer.close()
            again = Kept(kept.headers, kept.body, self._now() + _lifetime(answer.headers))
            self._cache.put(key, again)
            return _given(again, environ, "REVALIDATED")
        return self._passed(key, answer, environ)

    def _ask(self, method: str, target: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        base, before = self._where()
        parts = urlsplit(base)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        client = kind(parts.netloc, timeout=TIMEOUT_S)
        client.request(method, before + target, headers={**headers, "Accept-Encoding": "identity"})
        return client.getresponse()

    def _passed(self, key: tuple[str, ...], answer: http.client.HTTPResponse, environ: dict[str, Any]) -> Response:
        headers = tuple((n, v) for n, v in answer.getheaders() if n.lower() not in _NOT_PASSED)
        length, lifetime = answer.getheader("Content-Length"), _lifetime(answer.headers)
        size = int(length) if length and length.isdecimal() else self._room + 1
        if answer.status == 200 and lifetime > 0 and size <= self._room:
            if key[0] == "HEAD":
                headers += (("Content-Length", str(size)),)
            body = answer.read()
            if key[0] == "GET" and len(body) != size:
                return Response("", 502)
            kept = Kept(headers, body, self._now() + lifetime)
            self._cache.put(key, kept)
            return _given(kept, environ, "MISS")
        self._cache.drop(key)
        response = Response(_pieces(answer), answer.status, list(headers), direct_passthrough=True)
        if length:
            response.headers["Content-Length"] = length
        response.headers["X-Cache"] = "MISS"
        return response


def _variable(header: str) -> str:
    return f"HTTP_{header.upper().replace('-', '_')}"


def _given(kept: Kept, environ: dict[str, Any], said: str) -> Response:
    """A kept answer, or the part of it that is asked for."""
    response = Response(kept.body, 200, list(kept.headers))
    response.headers["X-Cache"] = said
    if environ["REQUEST_METHOD"] == "GET":
        response.make_conditional(environ, accept_ranges=True, complete_length=len(kept.body))
        # The server adds one of its own.
        response.headers.pop("Date", None)
    return response


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    with answer:
        while piece := answer.read(PIECE):
            yield piece


def _lifetime(headers: Message) -> float:
    """Seconds for which an answer may be given again; 0 for one that may not."""
    given = parse_cache_control_header(headers.get("Cache-Control"), cls=ResponseCacheControl)
    if given.no_store or given.private or given.no_cache or headers.get("Vary") == "*":
        return 0.0
    seconds = given.s_maxage if given.s_maxage is not None else given.max_age
    if seconds is not None:
        return float(seconds)
    expires = parse_date(headers.get("Expires"))
    return max(0.0, (expires - datetime.now(UTC)).total_seconds()) if expires else 0.0


def bucket_at(url: str, machines: Path) -> tuple[str, str]:
    """Where a bucket really is: an address of its provider is that of the stand-in, others stay. Raises OSError
    where there is no sandbox any more."""
    match = _HOSTS.fullmatch(urlsplit(url).hostname or "")
    if match is None:
        return url, ""
    record = json.loads((machines.parent.parent / "sandbox.json").read_text())
    return f"http://{record['parts'][_PARTS[machines.name]]['address']}", f"/{match[1]}"


def leads_to(name: str) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """What is answered over plain HTTP."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        target = str(environ.get("REQUEST_URI", "/"))
        if urlsplit(target).path == "/healthz":
            return Response("ok\n", content_type="text/plain")(environ, start_response)
        return Response("", 301, {"Location": f"https://{name}{target}"})(environ, start_response)

    return app


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 65

    def log_request(self, *args: Any, **named: Any) -> None:
        """Nothing for each request."""


def _served(app: Any, address: str, port: int = 0) -> BaseWSGIServer:
    server = make_server(address, port, app, threaded=True, request_handler=_Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _context(chain: str, key: str) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{chain}\n{key}\n")
        file.flush()
        made.load_cert_chain(file.name)
    return made


async def serve(given: Mapping[str, str]) -> None:
    """Until SIGTERM."""
    from rehost.providers.sandbox.machines.doors import Doors, through

    machines, address = Path(given["REHOST_MACHINES"]), given["HOST"]
    proxy = Proxy(lambda: bucket_at(given["BUCKET_URL"], machines), min(ROOM, int(given["CACHE_BYTES"])))
    _served(leads_to(given["NAME"]), address, int(given["PORT_80"]))
    behind = _served(proxy, address)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await through(reader, writer, (address, behind.port))

    doors = Doors()
    tls = _context(given["CERTIFICATE"], given["PRIVATE_KEY"])
    if not await doors.open(address, int(given["PORT_443"]), take, tls):
        raise SystemExit(1)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    doors.close()


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[4])
    asyncio.run(serve(os.environ))
