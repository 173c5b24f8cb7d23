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
from rehost.stacks.errors import ProviderError, Reason

CHUNK = 256 * 1024
"""Bytes read at a time."""
TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as lost."""
UNSIGNED = "UNSIGNED-PAYLOAD"
_EMPTY = hashlib.sha256(b"").hexdigest()
_LOST = (OSError, http.client.HTTPException)


class Answer:
    """A response whose headers are read; `body` streams the rest and hands the connection back at its end."""

    def __init__(self, wire: Wire, link: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._wire, self._link, self._response = wire, link, response
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.getheaders()}

    def read(self) -> bytes:
        """The whole body. Raises ProviderError."""
        return b"".join(self.body())

    def body(self) -> Iterator[bytes]:
        """The body in pieces. Raises ProviderError where it breaks off."""
        whole = False
        try:
            while piece := self._response.read(CHUNK):
                yield piece
            # A body shorter than announced ends like a whole one when it is read in pieces.
            if self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)
            whole = True
        except _LOST as error:
            raise ProviderError(
                f"a download broke off ({type(error).__name__})", reason=Reason.UNAVAILABLE, operation="get_object"
            ) from error
        finally:
            if whole and not self._response.will_close:
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
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        proxies = {} if urllib.request.proxy_bypass(self._address[0]) else urllib.request.getproxies()
        self._proxy = urlsplit(proxies.get(parts.scheme, ""))

    @classmethod
    def of(cls, client: Any, credentials: Any) -> Wire:
        """To the endpoint and region of a boto3 client, with credentials as boto3 holds them."""
        return cls(client.meta.endpoint_url, client.meta.region_name, credentials)

    def give_back(self, link: http.client.HTTPConnection) -> None:
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
        while True:
            link, used = self._link()
            try:
                response = self._exchange(link, method, url, sent, body)
                break
            except _LOST as error:
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
                link.close()
                raise
        answer = Answer(self, link, response)
        if 200 <= response.status < 300:
            return answer
        raise refusal(response.status, answer.headers, b"" if method == "HEAD" else answer.read(), operation)

    def _exchange(
        self,
        link: http.client.HTTPConnection,
        method: str,
        url: str,
        sent: Mapping[str, str],
        body: bytes | Iterable[bytes],
    ) -> http.client.HTTPResponse:
        link.putrequest(method, url, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            link.putheader(name, value)
        if isinstance(body, bytes):
            link.endheaders(body or None)
        else:
            link.endheaders()
            try:
                for piece in body:
                    link.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses answers before it has read everything.
                return link.getresponse()
        return link.getresponse()

    def _link(self) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        host, port = (self._proxy.hostname, self._proxy.port or 80) if self._proxy.hostname else self._address
        if not self._secure:
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT), False
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
        link = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=self._tls)
        if self._proxy.hostname:
            link.set_tunnel(*self._address)
        return link, False

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
    after = headers.get("retry-after", "")
    return ProviderError(
        f"{operation}: {message or code}",
        reason=Reason.CHANGED if status == 412 else reason_of(code, status),
        operation=operation,
        code=code,
        status=status,
        retry_after=float(after) if after.replace(".", "", 1).isdigit() else None,
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
