"""The byte path of S3: signed HTTP/1.1 over kept connections, bodies streamed both ways.

boto3 is not used for objects: it can't stream a body that it can't rewind, normalises metadata, and takes several
times the processor time per request and per listed key, which is what limits the move of small objects.
Signatures: AWS Signature Version 4 with the path encoded once, as S3 wants it.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from rehost.providers.botoerrors import reason_of
from rehost.providers.waits import retry_after
from rehost.stacks.errors import ProviderError, Reason

CHUNK = 256 * 1024
"""Bytes read at a time."""
TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as lost."""
UNSIGNED = "UNSIGNED-PAYLOAD"
_LONGEST_LINE = 65536
_TOGETHER = 16384
_EMPTY = hashlib.sha256(b"").hexdigest()
_LOST = (OSError, http.client.HTTPException)


class Link:
    """A connection: sends requests and reads answers of HTTP/1.1. Raises what is in _LOST."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        connection.connect()
        self._connection = connection
        self._socket = connection.sock
        self._file = self._socket.makefile("rb", CHUNK)

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers, their names in lower case, of the next answer that is final."""
        while True:
            line = self._line()
            if not line:
                raise http.client.RemoteDisconnected("closed without an answer")
            version, _, rest = line.partition(b" ")
            if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
                raise http.client.BadStatusLine(line[:100].decode("latin-1"))
            status, headers = int(rest[:3]), {}
            while line := self._line().rstrip(b"\r\n"):
                name, _, value = line.partition(b":")
                headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
            if status >= 200:
                return status, headers

    def _line(self) -> bytes:
        line = self._file.readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise http.client.LineTooLong("header line")
        return line

    def body(self, headers: Mapping[str, str]) -> Iterator[bytes]:
        """The body that follows, in pieces. Raises IncompleteRead where it is shorter than announced."""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._line().split(b";")[0].strip() or b"0", 16):
                yield from self._exactly(size)
                self._line()
            while self._line().rstrip(b"\r\n"):
                pass
        elif "content-length" in headers:
            yield from self._exactly(int(headers["content-length"]))
        else:
            while piece := self._file.read(CHUNK):
                yield piece

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._file.read(min(size, CHUNK))
            if not piece:
                raise http.client.IncompleteRead(b"", size)
            size -= len(piece)
            yield piece

    def close(self) -> None:
        """Close it."""
        self._file.close()
        self._connection.close()


class Answer:
    """A response whose head is read; `body` streams the rest and hands the connection back at its end."""

    def __init__(self, wire: Wire, link: Link, headers: Mapping[str, str], *, bare: bool, reusable: bool) -> None:
        self._wire, self._link, self._bare = wire, link, bare
        ends = "content-length" in headers or "transfer-encoding" in headers or bare
        self._reusable = reusable and ends and headers.get("connection", "").lower() != "close"
        self.headers = headers

    def read(self) -> bytes:
        """The whole body. Raises ProviderError."""
        return b"".join(self.body())

    def body(self) -> Iterator[bytes]:
        """The body in pieces. Raises ProviderError where it breaks off."""
        whole = False
        try:
            if not self._bare:
                yield from self._link.body(self.headers)
            whole = True
        except (*_LOST, ValueError) as error:
            raise ProviderError(
                f"a download broke off ({type(error).__name__})",
                reason=Reason.UNAVAILABLE,
                operation="get_object",
            ) from error
        finally:
            if whole and self._reusable:
                self._wire.give_back(self._link)
            else:
                self._link.close()


class Wire:
    """One endpoint with one pair of keys. Threads share it; a connection has one user at a time."""

    def __init__(self, endpoint: str, region: str, credentials: Any) -> None:
        parts = urlsplit(endpoint)
        self._secure = parts.scheme == "https"
        self._address = (parts.hostname or "", parts.port or (443 if self._secure else 80))
        standard = self._address[1] == (443 if self._secure else 80)
        self._host = self._address[0] if standard else f"{self._address[0]}:{self._address[1]}"
        self._base = parts.path.rstrip("/")
        self._region = region
        self._credentials = credentials
        self._idle: list[Link] = []
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        direct = not self._secure or urllib.request.proxy_bypass(self._address[0])
        self._proxy = urlsplit("" if direct else urllib.request.getproxies().get("https", ""))

    @classmethod
    def of(cls, client: Any, credentials: Any) -> Wire:
        """To the endpoint and region of a boto3 client, with credentials as boto3 holds them."""
        return cls(client.meta.endpoint_url, client.meta.region_name, credentials)

    def give_back(self, link: Link) -> None:
        """Keep a connection whose last response was read to its end."""
        with self._lock:
            self._idle.append(link)

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] = b"",
        size: int = 0,
        sha256: str = "",
    ) -> Answer:
        """Make a request to `/bucket/key` (not yet quoted) and read the head of its answer.

        A streamed `body` needs its `size`; `sha256` is the hash of the body where it is known beforehand. Raises
        ProviderError for any answer but 2xx, UNAVAILABLE where there was none.
        """
        target = self._base + quote(path, safe="/-_.~")
        asked = "&".join(
            f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted((query or {}).items())
        )
        if isinstance(body, bytes):
            size = len(body)
            sha256 = sha256 or (hashlib.sha256(body).hexdigest() if body else _EMPTY)
        sent = self._signed(method, target, asked, headers or {}, sha256 or UNSIGNED)
        if size or method in ("PUT", "POST"):
            sent["Content-Length"] = str(size)
        url = f"{target}?{asked}" if asked else target
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        if "\r" in url or lines.count("\n") != len(sent):
            raise ProviderError(f"{operation}: a header holds a line break", reason=Reason.INVALID)
        head = f"{method} {url} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        while True:
            link: Link | None = None
            used = False
            try:
                link, used = self._link()
                status, answered, whole = self._exchange(link, head, body)
                break
            except _LOST as error:
                if link is not None:
                    link.close()
                # A kept connection that the server had closed meanwhile: nothing was done.
                if used and isinstance(body, bytes) and not isinstance(error, TimeoutError):
                    continue
                raise ProviderError(
                    f"{operation}: no answer from {self._host} ({type(error).__name__})",
                    reason=Reason.UNAVAILABLE,
                    operation=operation,
                    why=str(error),
                ) from error
            except BaseException:
                if link is not None:
                    link.close()
                raise
        bare = method == "HEAD" or status in (204, 304)
        answer = Answer(self, link, answered, bare=bare, reusable=whole)
        if 200 <= status < 300:
            return answer
        raise refusal(status, answered, answer.read(), operation)

    def _exchange(
        self, link: Link, head: bytes, body: bytes | Iterable[bytes]
    ) -> tuple[int, dict[str, str], bool]:
        """Status and headers of the answer, and whether the request was sent to its end."""
        if isinstance(body, bytes):
            # One packet for a small object; no second copy of a large one.
            link.send(head + body[:_TOGETHER])
            if len(body) > _TOGETHER:
                link.send(memoryview(body)[_TOGETHER:])
            return (*link.head(), True)
        link.send(head)
        for piece in body:
            try:
                link.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses answers before it has read everything.
                return (*link.head(), False)
        return (*link.head(), True)

    def _link(self) -> tuple[Link, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        if not self._secure:
            return Link(http.client.HTTPConnection(*self._address, timeout=TIMEOUT)), False
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
        host, port = (self._proxy.hostname, self._proxy.port or 80) if self._proxy.hostname else self._address
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=self._tls)
        if self._proxy.hostname:
            connection.set_tunnel(*self._address)
        return Link(connection), False

    def _signed(
        self, method: str, target: str, query: str, headers: Mapping[str, str], payload: str
    ) -> dict[str, str]:
        keys = self._credentials.get_frozen_credentials()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        sent = {"Host": self._host, **headers, "x-amz-content-sha256": payload, "x-amz-date": stamp}
        if keys.token:
            sent["x-amz-security-token"] = keys.token
        covered = sorted(
            (name.lower(), " ".join(value.split()))
            for name, value in sent.items()
            if name == "Host" or name[:6].lower() == "x-amz-"
        )
        names = ";".join(name for name, _ in covered)
        lines = "".join(f"{name}:{value}\n" for name, value in covered)
        request = f"{method}\n{target}\n{query}\n{lines}\n{names}\n{payload}"
        scope = f"{stamp[:8]}/{self._region}/s3/aws4_request"
        digest = hashlib.sha256(request.encode("latin-1")).hexdigest()
        told = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        key = _signing_key(keys.secret_key, stamp[:8], self._region)
        signature = hmac.digest(key, told.encode(), "sha256").hex()
        sent["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return sent


@lru_cache(maxsize=16)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def refusal(status: int, headers: Mapping[str, str], body: bytes, operation: str) -> ProviderError:
    """The error in an answer of S3 (`<Error><Code>..</Code><Message>..</Message></Error>`)."""
    code, message = fields(body, ("Code", "Message"))
    code = code or {404: "NoSuchKey", 412: "PreconditionFailed", 403: "AccessDenied"}.get(status, str(status))
    return ProviderError(
        f"{operation}: {message or code}",
        reason=Reason.CHANGED if status == 412 else reason_of(code, status),
        operation=operation,
        code=code,
        status=status,
        retry_after=retry_after(headers.get("retry-after"), time.time()),
    )


def parsed(body: bytes, operation: str) -> ElementTree.Element:
    """An XML answer, its names without their namespace. Raises ProviderError."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ProviderError(
            f"{operation}: the answer is no XML", reason=Reason.UNAVAILABLE, operation=operation, why=str(error)
        ) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def fields(body: bytes, names: Sequence[str]) -> list[str]:
    """The texts of the first elements with these names in an XML answer; empty where there are none."""
    try:
        root = parsed(body, "")
    except ProviderError:
        return ["" for _ in names]
    return [next((e.text or "" for e in root.iter(name)), "") for name in names]
