"""The proxy in front of a bucket: nginx with the configuration that servers are given, and its stand-in, alike."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rehost.providers.sandbox.machines import bucketproxy as standin
from rehost.providers.sandbox.machines.authority import Authority
from rehost.providers.sandbox.machines.bucketproxy import Cache, Kept, bucket_at
from rehost.stacks.bucketproxy import command, environment

NAME = "media.plaza.example"
PICTURE = bytes(range(256)) * 40
OBJECTS = {
    "/kept.png": (PICTURE, {"Cache-Control": "public, max-age=600", "ETag": '"k1"'}),
    "/brief.png": (PICTURE, {"Cache-Control": "max-age=1", "ETag": '"b1"'}),
    "/plain.txt": (b"plain", {"ETag": '"p1"'}),
    "/secret.txt": (b"secret", {"Cache-Control": "no-store", "ETag": '"s1"'}),
    "/a%20b%2Fc%C3%BC.txt?x=1%2F2": (b"odd", {}),
}


@dataclass
class Bucket:
    """A bucket that answers as S3 does, and counts."""

    seen: Counter[str] = field(default_factory=Counter)
    told: dict[str, Any] = field(default_factory=dict)
    down: bool = False
    port: int = 0


class Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        bucket = self.bucket
        bucket.seen[f"{self.command} {self.path}"] += 1
        bucket.told = {name.lower(): value for name, value in self.headers.items()}
        if bucket.down:
            return self._send(503, b"<Error/>", {})
        if self.path == "/closed":
            return self._send(403, b"<Error><Code>AccessDenied</Code></Error>", {})
        # Tests ask for the same objects, each by a key of its own.
        path = self.path.partition("?only=")[0]
        if path not in OBJECTS:
            return self._send(404, b"<Error><Code>NoSuchKey</Code></Error>", {})
        body, headers = OBJECTS[path]
        if self.headers.get("If-None-Match") == headers.get("ETag", "-"):
            return self._send(304, b"", headers)
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if part:
            first, last = int(part[1]), int(part[2])
            span = {"Content-Range": f"bytes {first}-{last}/{len(body)}"}
            return self._send(206, body[first : last + 1], {**headers, **span})
        return self._send(200, body, headers)

    do_HEAD = do_PUT = do_DELETE = do_GET

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Accept-Ranges": "bytes", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing for each request."""


@dataclass
class Front:
    """A proxy that runs, and the bucket behind it."""

    bucket: Bucket
    https: int
    http: int
    trust: ssl.SSLContext

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        client = http.client.HTTPSConnection("127.0.0.1", self.https, timeout=10)
        client.sock = self.trust.wrap_socket(
            socket.create_connection(("127.0.0.1", self.https), 10), server_hostname=NAME
        )
        return _asked(client, path, method, {"Host": NAME, **headers})

    def plain(self, path: str) -> tuple[int, dict[str, str], bytes]:
        return _asked(http.client.HTTPConnection("127.0.0.1", self.http, timeout=10), path, "GET", {"Host": NAME})


def _asked(
    client: http.client.HTTPConnection, path: str, method: str, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = client.getresponse()
    body = answer.read()
    client.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, ssl.SSLContext]:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.make()
    return *authority.issue((NAME,)), ssl.create_default_context(cafile=str(authority.certificate))


@pytest.fixture(scope="module", params=["nginx", "stand-in"])
def front(
    request: pytest.FixtureRequest,
    issued: tuple[str, str, ssl.SSLContext],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Front]:
    bucket, folder = Bucket(), tmp_path_factory.mktemp("proxy")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"bucket": bucket}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chain, key, trust = issued
    https, plain = _free(), _free()
    variables = {
        **os.environ,
        **environment(NAME, f"http://127.0.0.1:{server.server_port}", chain, key),
        "PORT_443": str(https),
        "PORT_80": str(plain),
        "HOST": "127.0.0.1",
        "REHOST_MACHINES": str(folder),
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
    }
    arguments = [sys.executable, standin.__file__]
    if request.param == "nginx":
        arguments = list(_as_here(folder))
    process = subprocess.Popen(arguments, env=variables, start_new_session=True)
    made = Front(bucket, https, plain, trust)
    try:
        _await(made, process)
        yield made
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)
        server.shutdown()
        server.server_close()


def _as_here(folder: Path) -> tuple[str, ...]:
    """The command of the container, below a folder, as far as the nginx of this machine knows all of it."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("there is no nginx on this machine")
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    script = command()[-1].replace("/tmp/proxy", f"{folder}/proxy")
    if tuple(map(int, re.findall(r"\d+", told)[:3])) < (1, 25, 1):
        script = script.replace("    http2 on;\n", "")
    # Workers that give up their rights could not come in here.
    user = "user root;\n" if os.geteuid() == 0 else ""
    return "sh", "-c", script.replace("worker_processes", f"{user}worker_processes")


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _await(front: Front, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert process.poll() is None, "the proxy ended"
        with suppress(OSError):
            front.plain("/healthz")
            return
    raise AssertionError("the proxy does not answer")


def test_it_is_well_and_leads_to_https(front: Front) -> None:
    assert front.plain("/healthz")[0] == 200
    assert front.ask("/healthz")[0] == 200
    status, headers, _ = front.plain("/a/b?c=d%20e")
    assert (status, headers["location"]) == (301, f"https://{NAME}/a/b?c=d%20e")
    assert not any("healthz" in asked for asked in front.bucket.seen)


def test_what_may_be_kept_is_asked_for_once(front: Front) -> None:
    first, second = front.ask("/kept.png?only=once"), front.ask("/kept.png?only=once")
    assert first[0] == second[0] == 200
    assert first[2] == second[2] == PICTURE
    assert (first[1]["x-cache"], second[1]["x-cache"]) == ("MISS", "HIT")
    assert second[1]["cache-control"] == "public, max-age=600"
    assert front.bucket.seen["GET /kept.png?only=once"] == 1
    assert front.ask("/kept.png?only=once", If_None_Match='"k1"')[0] == 304


def test_what_may_not_be_kept_is_asked_for_each_time(front: Front) -> None:
    for path in ("/plain.txt", "/secret.txt"):
        before = front.bucket.seen[f"GET {path}"]
        assert front.ask(path)[2] == front.ask(path)[2] == OBJECTS[path][0]
        assert front.bucket.seen[f"GET {path}"] == before + 2


@pytest.mark.parametrize("path", ["/kept.png", "/plain.txt"])
def test_a_range_is_that_part(front: Front, path: str) -> None:
    status, headers, body = front.ask(f"{path}?only=part", Range="bytes=1-3")
    whole = OBJECTS[path][0]
    assert (status, body) == (206, whole[1:4])
    assert headers["content-range"] == f"bytes 1-3/{len(whole)}"


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/closed", 403)])
def test_errors_of_the_bucket_pass_and_are_not_kept(front: Front, path: str, status: int) -> None:
    before = front.bucket.seen[f"GET {path}"]
    for _ in range(2):
        answered, _, body = front.ask(path)
        assert answered == status
        assert b"<Code>" in body
    assert front.bucket.seen[f"GET {path}"] == before + 2


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_reading_passes(front: Front, method: str) -> None:
    before = front.bucket.seen.copy()
    status, headers, _ = front.ask("/kept.png", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert front.bucket.seen == before


def test_a_head_has_the_length_and_no_body(front: Front) -> None:
    status, headers, body = front.ask("/plain.txt?only=head", "HEAD")
    assert (status, headers["content-length"], body) == (200, "5", b"")
    assert front.bucket.seen["HEAD /plain.txt?only=head"] == 1


def test_the_bucket_is_told_its_own_name_and_no_secrets_of_the_reader(front: Front) -> None:
    front.ask("/secret.txt", Authorization="Bearer x", Cookie="session=x")
    assert front.bucket.told["host"].startswith("127.0.0.1:")
    assert not {"authorization", "cookie"} & front.bucket.told.keys()


def test_keys_pass_as_they_are_written(front: Front) -> None:
    (path,) = (path for path in OBJECTS if "?" in path)
    assert front.ask(path)[2] == b"odd"


def test_what_was_kept_is_shown_while_the_bucket_is_away(front: Front) -> None:
    assert front.ask("/brief.png")[1]["x-cache"] == "MISS"
    front.bucket.down = True
    try:
        until = time.monotonic() + 10
        while (answer := front.ask("/brief.png"))[1]["x-cache"] == "HIT" and time.monotonic() < until:
            threading.Event().wait(0.05)
        assert (answer[0], answer[2]) == (200, PICTURE)
        assert answer[1]["x-cache"] in ("STALE", "UPDATING")
        assert front.ask("/never-seen")[0] in (502, 503)
    finally:
        front.bucket.down = False


def test_the_stand_in_keeps_no_more_than_it_has_room_for() -> None:
    cache = Cache(10)
    for number in range(5):
        cache.put((str(number),), Kept((), b"abcd", 1.0))
    assert [number for number in range(5) if cache.get((str(number),))] == [3, 4]
    cache.put(("3",), Kept((), b"x" * 11, 1.0))
    assert cache.get(("3",)) is None


@pytest.mark.parametrize(
    ("url", "provider", "found"),
    [
        ("https://plaza-media-1.s3.eu-central-1.amazonaws.com", "aws", ("http://127.0.0.1:1", "/plaza-media-1")),
        ("https://a.b.fsn1.your-objectstorage.com", "hetzner", ("http://127.0.0.1:2", "/a.b")),
        ("https://plaza-1.127.0.0.1:4711", "hetzner", ("http://127.0.0.1:2", "/plaza-1")),
        ("http://127.0.0.1:9", "aws", ("http://127.0.0.1:9", "")),
    ],
)
def test_a_bucket_is_found_at_its_sides_stand_in(
    url: str, provider: str, found: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sandbox.json").write_text(
        '{"parts": {"aws": {"address": "127.0.0.1:1"}, "objects": {"address": "127.0.0.1:2"}}}'
    )
    assert bucket_at(url, tmp_path / "machines" / provider) == found
