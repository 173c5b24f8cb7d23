"""Who signed a request: Signature Version 4 in headers and in presigned URLs.

Source: IAM User Guide, "Create a signed AWS API request"; S3 API reference, "Authenticating Requests".
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote, unquote_to_bytes

from rehost.providers.sandbox.aws_api.dialect import refusal
from rehost.providers.sandbox.wire import Answer, Call, Environ, body

SKEW_SECONDS = 900
"""A request may be so old or so far ahead."""

_HEADER = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]+)")
_CODES = {
    # protocol or service: unknown key, wrong signature, no signature
    "ec2": (("AuthFailure", 401), ("AuthFailure", 401), ("MissingAuthenticationToken", 403)),
    "s3": (("InvalidAccessKeyId", 403), ("SignatureDoesNotMatch", 403), ("AccessDenied", 403)),
    "json": (
        ("UnrecognizedClientException", 400),
        ("InvalidSignatureException", 400),
        ("MissingAuthenticationTokenException", 400),
    ),
}
_USUAL = (("InvalidClientTokenId", 403), ("SignatureDoesNotMatch", 403), ("MissingAuthenticationToken", 403))
_TEXTS = {
    "ec2": ("AWS was not able to validate the provided access credentials",) * 2,
    "s3": (
        "The AWS Access Key Id you provided does not exist in our records.",
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
    ),
}
_TEXT = (
    "The security token included in the request is invalid.",
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
)


@dataclass(frozen=True)
class _Signed:
    key_id: str
    scope: str
    headers: tuple[str, ...]
    signature: str
    moment: str
    payload: str
    presigned: bool


class Signatures:
    """Checks requests against known keys. `secret` answers the secret of a key id, or None."""

    def __init__(self, secret: Callable[[str], str | None], clock: Callable[[], float] = time.time) -> None:
        self._secret, self._clock = secret, clock

    def refuse(self, call: Call, environ: Environ) -> Answer | None:
        """The refusal of a request that is not signed well; None for one that is."""
        signed = _parse(call, environ)
        if signed is None:
            return _answer(call, 2, "Request is missing Authentication Token")
        secret = self._secret(signed.key_id)
        if secret is None:
            return _answer(call, 0)
        parts = signed.scope.split("/")
        if len(parts) != 4 or parts[3] != "aws4_request":
            return _answer(call, 1, "Credential should be scoped to a valid region and service")
        expected = hmac.new(
            _key(secret, *parts[:3]), _to_sign(call, environ, signed).encode(), hashlib.sha256
        ).hexdigest()
        if not hmac.compare_digest(expected, signed.signature):
            return _answer(call, 1)
        return self._late(call, environ, signed)

    def _late(self, call: Call, environ: Environ, signed: _Signed) -> Answer | None:
        try:
            then = datetime.strptime(signed.moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            return _answer(call, 1, "The date of the request is not valid")
        now = self._clock()
        if signed.presigned:
            life = int(_query(environ).get("X-Amz-Expires", "0") or 0)
            return refusal(call, "AccessDenied", 403, "Request has expired") if now > then + life else None
        if abs(now - then) > SKEW_SECONDS:
            if call.protocol == "s3":
                text = "The difference between the request time and the current time is too large."
                return refusal(call, "RequestTimeTooSkewed", 403, text)
            return _answer(call, 1, f"Signature expired: {signed.moment} is now earlier or later than is allowed")
        return None


def signed_by(call: Call, environ: Environ) -> str:
    """The id of the key that a request was signed with, empty for one that was not."""
    signed = _parse(call, environ)
    return signed.key_id if signed else ""


def is_signed(environ: Environ) -> bool:
    """Whether a request carries any kind of credentials."""
    return bool(environ.get("HTTP_AUTHORIZATION")) or "X-Amz-Credential" in _query(environ)


def _answer(call: Call, which: int, text: str = "") -> Answer:
    code, status = _CODES.get(call.protocol, _USUAL)[which]
    return refusal(call, code, status, text or _TEXTS.get(call.protocol, _TEXT)[which])


def _query(environ: Environ) -> dict[str, str]:
    pairs = [item.partition("=") for item in environ.get("QUERY_STRING", "").split("&") if item]
    return {unquote(name): unquote(value) for name, _, value in pairs}


def _parse(call: Call, environ: Environ) -> _Signed | None:
    match = _HEADER.match(environ.get("HTTP_AUTHORIZATION", ""))
    query = _query(environ)
    if match:
        key_id, _, scope = match[1].partition("/")
        payload = environ.get("HTTP_X_AMZ_CONTENT_SHA256") or hashlib.sha256(body(environ)).hexdigest()
        moment = environ.get("HTTP_X_AMZ_DATE", "")
        return _Signed(key_id, scope, tuple(match[2].split(";")), match[3], moment, payload, False)
    if "X-Amz-Signature" in query and "X-Amz-Credential" in query:
        key_id, _, scope = query["X-Amz-Credential"].partition("/")
        headers = tuple(query.get("X-Amz-SignedHeaders", "host").split(";"))
        payload = "UNSIGNED-PAYLOAD" if call.protocol == "s3" else hashlib.sha256(body(environ)).hexdigest()
        return _Signed(
            key_id, scope, headers, query["X-Amz-Signature"], query.get("X-Amz-Date", ""), payload, True
        )
    return None


def _to_sign(call: Call, environ: Environ, signed: _Signed) -> str:
    path = str(environ.get("RAW_URI") or environ.get("PATH_INFO", "/")).partition("?")[0]
    # S3 encodes a path once, everybody else encodes it twice.
    path = quote(unquote_to_bytes(path) if call.protocol == "s3" else path, safe="/-_.~")
    pairs = []
    for item in environ.get("QUERY_STRING", "").split("&"):
        name, _, value = item.partition("=")
        if item and unquote(name) != "X-Amz-Signature":
            pairs.append((_encoded(name), _encoded(value)))
    query = "&".join(f"{name}={value}" for name, value in sorted(pairs))
    headers = "".join(f"{name}:{_header(environ, name)}\n" for name in signed.headers)
    canonical = "\n".join(
        (environ["REQUEST_METHOD"], path, query, headers, ";".join(signed.headers), signed.payload)
    )
    # WSGI hands bytes over as Latin-1 text.
    digest = hashlib.sha256(canonical.encode("latin-1", "replace")).hexdigest()
    return "\n".join(("AWS4-HMAC-SHA256", signed.moment, signed.scope, digest))


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="-_.~")


def _header(environ: Mapping[str, str], name: str) -> str:
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", "")
    return " ".join(value.split())


@lru_cache(64)
def _key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
