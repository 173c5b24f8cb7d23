"""The web program: pages for people, a JSON API for programs."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from plaza import VERSION, pages, store
from plaza.config import Config
from plaza.media import LARGEST, TYPES, Media, MediaUnavailable
from plaza.store import Answer, Store, Unavailable

DRAIN_S = 5.0
"""So long requests that are under way have when the program is asked to end."""
_POST = re.compile(r"/api/posts/(\d{1,18})")
_PICTURE = re.compile(r"/api/pictures/(\d{1,18})")


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class Server(ThreadingHTTPServer):
    """Counts the requests under way, so that none is cut off at the end."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, config: Config) -> None:
        self.store, self.media = Store(config), Media(config)
        self.busy = 0
        self.calm = threading.Condition()
        self.ending = False
        super().__init__((config.host, config.port), Handler)

    def drain(self) -> None:
        """Wait for the requests under way."""
        with self.calm:
            self.calm.wait_for(lambda: self.busy == 0, DRAIN_S)


class Handler(BaseHTTPRequestHandler):
    """One connection; several requests may come over it."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = f"plaza/{VERSION}"
    timeout = 30
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Pages, posts, signs of life."""
        self._answered(self._read)

    def do_POST(self) -> None:
        """New posts and pictures."""
        self._answered(self._write)

    do_PATCH = do_DELETE = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing for each request."""

    def _answered(self, work: Callable[[], None]) -> None:
        with self.server.calm:
            self.server.busy += 1
        try:
            work()
        except Refused as error:
            self._json(error.status, {"error": str(error)})
        except Unavailable as error:
            self._json(503, {"error": str(error), "outcome": "unknown" if error.unknown else "nothing was done"})
        except MediaUnavailable as error:
            self._json(503, {"error": str(error), "outcome": "nothing was done"})
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            with self.server.calm:
                self.server.busy -= 1
                self.server.calm.notify_all()

    def _read(self) -> None:
        url = urlsplit(self.path)
        match = _POST.fullmatch(url.path)
        if url.path == "/healthz":
            self.server.store.ready()
            self._json(200, {"status": "ok"})
        elif url.path == "/version":
            self._json(200, {"version": VERSION})
        elif url.path in ("/", "/api/posts"):
            before = parse_qs(url.query).get("before", [""])[0]
            if before and not before.isdecimal():
                raise Refused(400, "before is the id of a post")
            posts = self.server.store.timeline(int(before) if before else None)
            if url.path == "/":
                self._send(200, "text/html; charset=utf-8", pages.timeline(posts).encode())
            else:
                self._json(200, {"posts": posts})
        elif match:
            post = self.server.store.post(int(match[1]))
            if post is None:
                raise Refused(404, "there is no such post")
            self._json(200, post)
        elif picture := _PICTURE.fullmatch(url.path):
            found = self.server.store.picture(int(picture[1]))
            if found is None:
                raise Refused(404, "there is no such picture")
            self._send(200, found[1], self.server.media.get(found[0]))
        else:
            raise Refused(404, "there is nothing here")

    def _write(self) -> None:
        path, key = urlsplit(self.path).path, self.headers.get("Idempotency-Key", "")
        if len(key) > 200:
            raise Refused(400, "an Idempotency-Key has at most 200 characters")
        content = self._content()
        match = _POST.fullmatch(path)
        if self.command == "POST" and path == "/api/pictures":
            self._json(*self._picture(key, content))
        elif self.command == "POST" and path == "/api/posts":
            given = _object(content)
            account, body = _text(given, "account", 40), _text(given, "body", 300)
            picture = given.get("picture")
            if picture is not None and (not isinstance(picture, int) or isinstance(picture, bool)):
                raise Refused(422, "picture is the id of a picture")
            self._json(*self.server.store.once(key, lambda c: store.create(c, account, body, picture)))
        elif self.command == "PATCH" and match:
            body = _text(_object(content), "body", 300)
            self._json(*self.server.store.once(key, lambda c: store.edit(c, int(match[1]), body)))
        elif self.command == "DELETE" and match:
            self._json(*self.server.store.once(key, lambda c: store.delete(c, int(match[1]))))
        else:
            raise Refused(404 if self.command == "POST" else 405, "there is nothing here to write to")

    def _picture(self, key: str, content: bytes) -> Answer:
        type_ = self.headers.get("Content-Type", "")
        if type_ not in TYPES:
            raise Refused(415, f"a picture is one of {', '.join(TYPES)}")
        account = self.headers.get("X-Account", "")
        if not 1 <= len(account) <= 40:
            raise Refused(422, "X-Account names who uploads")
        name, sha256 = self.server.media.put(content, type_)
        size = len(content)

        def record(connection: store.Connection) -> Answer:
            id_ = store.add_picture(connection, account, name, type_, size, sha256)
            return 201, {"id": id_, "key": name, "sha256": sha256}

        return self.server.store.once(key, record)

    def _content(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            raise Refused(411, "a length is needed")
        if int(length) > LARGEST:
            self.close_connection = True
            raise Refused(413, f"at most {LARGEST} bytes")
        return self.rfile.read(int(length))

    def _json(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, type_: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", type_)
        self.send_header("Content-Length", str(len(content)))
        if status == 503:
            self.send_header("Retry-After", "1")
        if self.server.ending or self.close_connection:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(content)


def _object(content: bytes) -> dict[str, Any]:
    try:
        given = json.loads(content)
    except ValueError as error:
        raise Refused(400, "this is no JSON") from error
    if not isinstance(given, dict):
        raise Refused(400, "an object is expected")
    return given


def _text(given: dict[str, Any], name: str, longest: int) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= longest or "\0" in value:
        raise Refused(422, f"{name} is a text of 1 to {longest} characters")
    return value


def serve(config: Config) -> None:
    """Serve until SIGTERM, then finish what is under way."""
    store.await_tables(config)
    server = Server(config)

    def end(*_: object) -> None:
        server.ending = True
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    sys.stderr.write(f"plaza {VERSION} at {config.host}:{config.port}\n")
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    server.drain()
    server.store.close()
