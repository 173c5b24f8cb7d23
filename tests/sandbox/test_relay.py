"""Load balancers of the sandbox as clients over HTTP see them: connections stay, every request is spread."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rehost.providers.sandbox.machines.balancer import Balanced
from rehost.providers.sandbox.machines.doors import Doors
from rehost.providers.sandbox.machines.world import Listener, Target


class Handler(BaseHTTPRequestHandler):
    """Says who it is, and what it was told."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/broken":
            self.connection.close()
            return
        if self.path == "/unbounded":
            self.protocol_version = "HTTP/1.0"
            self._send(200, b"to the end", length=False)
            return
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Upgrade", "echo")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(self.rfile.readline())
            self.close_connection = True
            return
        told = f"{self.server.server_port} {self.headers.get('X-Forwarded-For')} {self.headers.get('Connection')}"
        self._send(200, told.encode())

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(201, body)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1234")
        self.end_headers()

    def _send(self, status: int, body: bytes, *, length: bool = True) -> None:
        self.send_response(status)
        if length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing for each request."""


@dataclass
class Front:
    """A listener in front of two targets."""

    listener: Listener
    port: int = 0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)


def _run(front: Front) -> tuple[Doors, Balanced]:
    doors, balanced = Doors(), Balanced(front.listener, lambda machine: "127.0.0.1")

    async def begin() -> None:
        await balanced.check()
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            front.port = one.getsockname()[1]
        assert await doors.open("127.0.0.1", front.port, balanced)

    threading.Thread(target=front.loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(begin(), front.loop).result(10)
    return doors, balanced


def _end(front: Front, doors: Doors) -> None:
    async def shut() -> None:
        doors.close()

    asyncio.run_coroutine_threadsafe(shut(), front.loop).result(10)
    front.loop.call_soon_threadsafe(front.loop.stop)


@pytest.fixture
def front() -> Iterator[Front]:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    targets = tuple(Target(str(n), s.server_port, s.server_port) for n, s in enumerate(servers))
    made = Front(Listener(8080, http=True, targets=targets))
    doors, _ = _run(made)
    yield made
    _end(made, doors)
    for server in servers:
        server.shutdown()
        server.server_close()


def asked(client: http.client.HTTPConnection, method: str, path: str, **more: Any) -> tuple[int, bytes]:
    client.request(method, path, **more)
    answer = client.getresponse()
    return answer.status, answer.read()


def test_one_connection_reaches_all_targets_and_stays(front: Front) -> None:
    client = front.client()
    client.connect()
    kept = client.sock
    told = [asked(client, "GET", "/")[1].decode().split() for _ in range(4)]
    assert client.sock is kept
    assert len({who for who, _, _ in told}) == 2
    assert {(for_, connection) for _, for_, connection in told} == {("127.0.0.1", "close")}


def test_bodies_of_every_form_pass(front: Front) -> None:
    client, whole = front.client(), bytes(range(256)) * 4096
    assert asked(client, "POST", "/", body=whole) == (201, whole)
    chunks = (whole[n : n + 70_000] for n in range(0, len(whole), 70_000))
    assert asked(client, "POST", "/", body=chunks, encode_chunked=True) == (201, whole)
    assert asked(client, "GET", "/unbounded") == (200, b"to the end")
    assert asked(client, "HEAD", "/")[0] == 200
    assert asked(client, "GET", "/")[0] == 200


def test_a_target_that_breaks_off_is_said_and_the_next_request_is_answered(front: Front) -> None:
    assert asked(front.client(), "GET", "/broken")[0] == 502
    assert asked(front.client(), "GET", "/")[0] == 200


def test_what_becomes_another_protocol_is_passed_on(front: Front) -> None:
    with socket.create_connection(("127.0.0.1", front.port), 10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello\n")
        said = b""
        while piece := plain.recv(4096):
            said += piece
    assert said.startswith(b"HTTP/1.1 101") and said.endswith(b"\r\n\r\nhello\n")


def test_no_target_and_no_request_are_answered_too() -> None:
    front = Front(Listener(8080, http=True))
    doors, _ = _run(front)
    client = front.client()
    assert asked(client, "POST", "/", body=b"x" * 100_000)[0] == 503
    assert asked(client, "GET", "/")[0] == 503
    with socket.create_connection(("127.0.0.1", front.port), 10) as plain:
        plain.sendall(b"nonsense\r\n\r\n")
        assert plain.recv(100).startswith(b"HTTP/1.1 400")
    _end(front, doors)


def test_a_redirect_says_where_to_and_keeps_the_connection() -> None:
    front = Front(Listener(80, http=True, redirect=(443, 301)))
    doors, _ = _run(front)
    client = front.client()
    for path in ("/a?b=c", "/d"):
        client.request("GET", path, headers={"Host": "plaza.example:80"})
        answer = client.getresponse()
        answer.read()
        assert (answer.status, answer.headers["Location"]) == (301, f"https://plaza.example{path}")
    _end(front, doors)
