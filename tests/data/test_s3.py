"""The S3 store against a real server of the protocol: names, metadata, parts, pins, refusals."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer
from movers import Turned

from rehost.providers.s3 import S3Objects
from rehost.providers.s3wire import Wire
from rehost.stacks.data.buckets import copy_pass, verify_pass
from rehost.stacks.data.evidence import Evidence
from rehost.stacks.data.report import Report
from rehost.stacks.data.transfer import Tools
from rehost.stacks.data.work import Crew, Patience
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import ObjectMeta, Span

KEYS = Credentials("AKIA", "secret")
NAMES = ["/lead", "dir/", "a//b", "../up/..", "ü+%20 &=?#.css", "tab\there", "emoji 😀", "~tilde", "a" * 900]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(endpoint: str) -> Any:
    make: Any = boto3.client
    return make(
        "s3",
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="AKIA",
        aws_secret_access_key="secret",
        config=Config(s3={"addressing_style": "path"}),
    )


@pytest.fixture
def bucket(client: Any, request: pytest.FixtureRequest) -> S3Objects:
    return make_bucket(client, hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16])


def make_bucket(client: Any, name: str) -> S3Objects:
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return S3Objects(Wire.of(client, KEYS), name)


def name_of(store: S3Objects) -> str:
    return store.name.removeprefix("s3://")


def put(store: S3Objects, key: str, data: bytes, meta: ObjectMeta | None = None) -> None:
    store.put(key, meta or ObjectMeta(), len(data), [data], sha256=hashlib.sha256(data).hexdigest())


def read(store: S3Objects, key: str, **how: Any) -> bytes:
    return b"".join(store.open(key, **how)[2])


@pytest.mark.parametrize("key", NAMES)
def test_any_name_goes_there_and_back(bucket: S3Objects, client: Any, key: str) -> None:
    put(bucket, key, b"content")
    assert client.get_object(Bucket=name_of(bucket), Key=key)["Body"].read() == b"content"
    assert read(bucket, key) == b"content"
    assert [info.key for info in bucket.list()] == [key]
    bucket.delete([key])
    assert list(bucket.list()) == []


def test_metadata_of_every_kind_travels(bucket: S3Objects, client: Any) -> None:
    client.put_object(
        Bucket=name_of(bucket),
        Key="page",
        Body=b"x",
        ContentType="text/html; charset=utf-8",
        ContentEncoding="gzip",
        ContentDisposition='attachment; filename="a b.html"',
        ContentLanguage="de",
        CacheControl="max-age=60",
        Expires="Wed, 21 Oct 2026 07:28:00 GMT",
        Metadata={"plain": "1", "spaced": "a  b"},
        Tagging="kind=page&name=a%20b%3D%2F%2B",
    )
    info, meta, stream = bucket.open("page")
    assert b"".join(stream) == b"x"
    assert meta.headers == {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Encoding": "gzip",
        "Content-Disposition": 'attachment; filename="a b.html"',
        "Content-Language": "de",
        "Cache-Control": "max-age=60",
        "Expires": "Wed, 21 Oct 2026 07:28:00 GMT",
    }
    assert meta.user == {"plain": "1", "spaced": "a  b"}
    assert meta.tags == {"kind": "page", "name": "a b=/+"}
    put(bucket, "copy", b"x", meta)
    assert bucket.about("copy")[1] == meta
    assert info.size == 1


def test_user_metadata_beyond_ascii_keeps_its_bytes(bucket: S3Objects) -> None:
    wire = "Grüße 😀".encode().decode("latin-1")
    put(bucket, "page", b"x", ObjectMeta({}, {"title": wire}))
    assert bucket.about("page")[1].user["title"] == wire


def test_parts_make_an_object_and_can_be_read_one_by_one(bucket: S3Objects) -> None:
    data = os.urandom(5 * MIB + 1234)
    upload = bucket.begin("large", ObjectMeta({"Content-Type": "video/mp4"}, {"a": "b"}))
    assert list(bucket.unfinished("large")) == [upload]
    spans = [Span(0, 5 * MIB), Span(5 * MIB, 1234)]
    parts = [
        bucket.put_part("large", upload, n, span, iter([data[span.start : span.start + span.size]]))
        for n, span in enumerate(spans, 1)
    ]
    bucket.finish("large", upload, parts)
    assert not bucket.unfinished("large")
    info, meta = bucket.about("large")
    assert (info.size, meta.headers["Content-Type"], meta.user) == (len(data), "video/mp4", {"a": "b"})
    assert read(bucket, "large", span=Span(5 * MIB - 10, 20), pin=info) == data[5 * MIB - 10 : 5 * MIB + 10]
    upload = bucket.begin("large", ObjectMeta())
    bucket.abort("large", upload)
    bucket.abort("large", upload)


def test_a_pinned_read_never_mixes_two_contents(bucket: S3Objects, client: Any) -> None:
    put(bucket, "page", b"before")
    pin, _ = bucket.about("page")
    put(bucket, "page", b"after!")
    with pytest.raises(ProviderError) as caught:
        read(bucket, "page", pin=pin)
    assert caught.value.reason is Reason.CHANGED
    client.put_bucket_versioning(Bucket=name_of(bucket), VersioningConfiguration={"Status": "Enabled"})
    put(bucket, "page", b"first")
    pin, _ = bucket.about("page")
    put(bucket, "page", b"second")
    assert pin.version
    assert read(bucket, "page", pin=pin) == b"first"
    assert bucket.versions() >= 1
    bucket.purge()
    assert (list(bucket.list()), bucket.versions()) == ([], 0)


def test_errors_say_what_they_mean(bucket: S3Objects, client: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        bucket.open("nothing")
    assert (caught.value.reason, caught.value.code) == (Reason.NOT_FOUND, "NoSuchKey")
    with pytest.raises(ProviderError) as caught:
        S3Objects(Wire.of(client, KEYS), "no-such-bucket-here").open("x")
    assert caught.value.reason is Reason.NOT_FOUND


class Scripted:
    """A server that answers connections with bytes as written."""

    def __init__(self, answers: list[bytes]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.requests: list[bytes] = []
        self._answers = answers
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        for answer in self._answers:
            link, _ = self._socket.accept()
            with link:
                self.requests.append(link.recv(65536))
                link.sendall(answer)

    def ask(self, **how: Any) -> Any:
        wire = Wire(self.address, "eu-central-1", Credentials("AKIA", "secret", "token"))
        return wire.call("GET", "/bucket/key", operation="get_object", **how)


def test_a_server_that_wants_fewer_calls_says_for_how_long() -> None:
    body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    head = b"HTTP/1.1 503 Slow Down\r\nRetry-After: 3\r\nContent-Length: %d\r\n\r\n" % len(body)
    with pytest.raises(ProviderError) as caught:
        Scripted([head + body]).ask()
    assert (caught.value.reason, caught.value.retry_after) == (Reason.THROTTLED, 3.0)
    assert caught.value.retryable


def test_a_download_that_breaks_off_is_an_error_that_passes() -> None:
    answer = Scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"]).ask()
    with pytest.raises(ProviderError, match="broke off") as caught:
        answer.read()
    assert caught.value.retryable


def test_a_connection_without_an_answer_is_an_error_that_passes() -> None:
    with pytest.raises(ProviderError) as caught:
        Scripted([b""]).ask()
    assert caught.value.retryable


def test_an_endpoint_that_nobody_serves_is_an_error_that_passes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ProviderError) as caught:
        Wire(f"http://127.0.0.1:{port}", "x", KEYS).call("GET", "/b/k", operation="get_object")
    assert caught.value.retryable


def test_bodies_in_chunks_and_early_hints_are_understood() -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = Scripted([early + head + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"]).ask()
    assert answer.read() == b"abcde"
    assert Scripted([b"HTTP/1.0 200 OK\r\n\r\nuntil it closes"]).ask().read() == b"until it closes"
    with pytest.raises(ProviderError, match="broke off"):
        Scripted([head + b"zz\r\n"]).ask().read()
    with pytest.raises(ProviderError, match="BadStatusLine"):
        Scripted([b"SSH-2.0-OpenSSH\r\n"]).ask()


def test_a_line_break_in_a_header_is_refused() -> None:
    with pytest.raises(ProviderError, match="line break"):
        Scripted([]).ask(headers={"x-amz-meta-a": "b\r\nHost: c"})


def test_requests_are_signed_as_the_sdk_signs_them() -> None:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest

    server = Scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
    keys = Credentials("AKIA", "secret", "token")
    wire = Wire(server.address, "eu-central-1", keys)
    query = {"partNumber": "1", "uploadId": "a/b+c=="}
    user = {"x-amz-meta-title": "a  b ", "Content-Type": "text/html"}
    wire.call(
        "PUT", "/bucket/ü &+%/..//x", operation="put", query=query, headers=user, body=b"content"
    ).read()  # fmt: skip
    head, *lines = server.requests[0].decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
    sent = dict(line.split(": ", 1) for line in lines)
    signed = {name: value for name, value in sent.items() if name not in ("Authorization", "x-amz-date")}
    request = AWSRequest("PUT", server.address + head.split(" ")[1], headers=signed, data=b"content")
    auth = S3SigV4Auth(keys, "s3", "eu-central-1")
    request.context["timestamp"] = sent["x-amz-date"]
    request.headers["X-Amz-Date"] = sent["x-amz-date"]
    names = sent["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    kept = {name.lower(): value for name, value in signed.items() if name.lower() in names}
    request.headers["X-Amz-Content-SHA256"] = kept["x-amz-content-sha256"]
    text = auth.canonical_request(request).split("\n")
    assert text[1] == head.split(" ")[1].split("?")[0]
    assert text[2] == head.split(" ")[1].split("?")[1]
    whole = "\n".join(
        [
            *text[:3],
            *(f"{name}:{' '.join({**kept, 'x-amz-date': sent['x-amz-date']}[name].split())}" for name in names),
            "",
            ";".join(names),
            kept["x-amz-content-sha256"],
        ]
    )
    assert auth.signature(auth.string_to_sign(request, whole), request) in sent["Authorization"]


def test_buckets_are_moved_with_all_they_hold(client: Any, bucket: S3Objects, tmp_path: Path) -> None:
    copy = make_bucket(client, name_of(bucket) + "-copy")
    for n, key in enumerate(NAMES):
        put(bucket, key, key.encode() * n, ObjectMeta({"Content-Type": "text/css"}, {"n": str(n)}, {"t": "ü"}))
    large = os.urandom(11 * MIB)
    put(bucket, "large", large)
    evidence = Evidence(tmp_path / "evidence.jsonl", {})
    with Crew(4) as crew:
        tools = Tools(
            bucket, copy, evidence, Report(), Patience(Turned(), threading.Event()), crew, "m", part=5 * MIB
        )
        copy_pass(tools)
        assert not tools.report.problems
        verify_pass(tools, trust=False)
        assert not tools.report.problems
        assert not tools.report.lost
    evidence.close()
    for key in (*NAMES, "large"):
        assert read(copy, key) == read(bucket, key)
        assert copy.about(key)[1] == bucket.about(key)[1]
