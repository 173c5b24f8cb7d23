"""Objects: names, checksums, and conditions that hold while they are checked.

Sources: S3 user guide, "Bucket naming rules", "Checking object integrity", "Conditional writes".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
import zlib
from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree

from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, before, settle


def _castagnoli(content: bytes) -> bytes:
    from awscrt.checksums import crc32c

    return int(crc32c(content)).to_bytes(4, "big")


def _nvme(content: bytes) -> bytes:
    from awscrt.checksums import crc64nvme

    return int(crc64nvme(content)).to_bytes(8, "big")


METADATA_BYTES = 2048
_LOCKS = tuple(threading.Lock() for _ in range(64))
_BUCKET = re.compile(r"(?=.{3,63}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])")
_SUMS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda content: zlib.crc32(content).to_bytes(4, "big"),
    "crc32c": lambda content: _castagnoli(content),
    "crc64nvme": lambda content: _nvme(content),
    "sha1": lambda content: hashlib.sha1(content, usedforsecurity=False).digest(),
    "sha256": lambda content: hashlib.sha256(content).digest(),
}


@before("s3:CreateBucket")
def _bucket_name(request: Request) -> None:
    name = request.path[0]
    bad = (
        not _BUCKET.fullmatch(name)
        or ".." in name
        or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name)
        or name.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
        or name.endswith(("-s3alias", "--ol-s3", ".mrap", "--x-s3"))
    )
    if bad:
        raise Refusal("InvalidBucketName", "The specified bucket is not valid.")


@settle("s3")
def _key_length(request: Request) -> None:
    if len(request.path[1].encode()) > 1024:
        raise Refusal("KeyTooLongError", "Your key is too long")


def content(request: Request) -> tuple[bytes, dict[str, str]]:
    """The body without the framing of a chunked upload, and the trailers of one. Raises Refusal."""
    raw = request.body
    if not request.header("x-amz-content-sha256").startswith("STREAMING-"):
        return raw, {}
    found, trailers, position = bytearray(), {}, 0
    while True:
        end = raw.find(b"\r\n", position)
        if end < 0:
            raise Refusal("IncompleteBody", "The request body terminated unexpectedly")
        size = int(raw[position:end].partition(b";")[0], 16)
        position = end + 2
        if size == 0:
            break
        found += raw[position : position + size]
        position += size + 2
    for line in raw[position:].decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name:
            trailers[name.strip().lower()] = value.strip()
    length = request.header("x-amz-decoded-content-length")
    if length and int(length) != len(found):
        raise Refusal("IncompleteBody", "You did not provide the number of bytes specified by Content-Length")
    return bytes(found), trailers


@before("s3:PutObject", "s3:UploadPart")
def _checksums(request: Request) -> None:
    data, trailers = content(request)
    signed = request.header("x-amz-content-sha256")
    if re.fullmatch(r"[0-9a-f]{64}", signed) and hashlib.sha256(data).hexdigest() != signed:
        text = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise Refusal("XAmzContentSHA256Mismatch", text)
    given = request.header("content-md5")
    if given:
        try:
            digest = base64.b64decode(given, validate=True)
        except binascii.Error:
            digest = b""
        if len(digest) != 16:
            raise Refusal("InvalidDigest", "The Content-MD5 you specified is not valid.")
        if hashlib.md5(data, usedforsecurity=False).digest() != digest:
            raise Refusal("BadDigest", "The Content-MD5 you specified did not match what we received.")
    for name, compute in _SUMS.items():
        header = f"x-amz-checksum-{name}"
        given = request.header(header) or trailers.get(header, "")
        if given and len(given) != len(base64.b64encode(compute(b""))):
            raise Refusal("InvalidRequest", f"Value for {header} header is invalid.")
        if given and base64.b64encode(compute(data)).decode() != given:
            raise Refusal("BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.")


@before("s3:PutObject", "s3:CompleteMultipartUpload", "s3:CopyObject", "s3:DeleteObject")
def _conditions(request: Request) -> None:
    """One conditional write of an object at a time: moto looks, and writes later."""
    match, none = request.header("if-match"), request.header("if-none-match")
    if not match and not none:
        return
    name, key = request.path
    lock = _LOCKS[hash((name, key)) % len(_LOCKS)]
    lock.acquire()
    request.locks.append(lock)
    bucket = request.backend("s3").buckets.get(name)
    if bucket is None or request.call.operation != "CompleteMultipartUpload":
        return
    now = bucket.keys.get(key)
    etag = getattr(now, "etag", None)
    if none and etag is not None:
        raise _failed()
    if match and etag is None:
        raise Refusal("NoSuchKey", "The specified key does not exist.", 404)
    if match and match.strip('"') != str(etag).strip('"'):
        raise _failed()


def _failed() -> Refusal:
    return Refusal("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)


@before("s3:UploadPart", "s3:CompleteMultipartUpload", "s3:AbortMultipartUpload", "s3:ListParts")
def _upload(request: Request) -> None:
    bucket = request.backend("s3").buckets.get(request.path[0])
    if bucket is not None and request.get("uploadId") not in bucket.multiparts:
        raise Refusal(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
            "aborted or completed.",
            404,
        )


@before("s3:CompleteMultipartUpload")
def _order(request: Request) -> None:
    try:
        root = ElementTree.fromstring(request.body)
        numbers = [int(row.text or "") for row in root.iter() if row.tag.rpartition("}")[2] == "PartNumber"]
    except (ElementTree.ParseError, ValueError):
        return
    if any(left >= right for left, right in pairwise(numbers)):
        raise Refusal(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. The parts list must be specified in order by part "
            "number.",
        )


@before("s3:PutObject", "s3:CopyObject", "s3:CreateMultipartUpload")
def _metadata(request: Request) -> None:
    prefix = "HTTP_X_AMZ_META_"
    size = sum(
        len(name) - len(prefix) + len(str(value).encode())
        for name, value in request.environ.items()
        if name.startswith(prefix)
    )
    if size > METADATA_BYTES:
        text = f"Your metadata headers exceed the maximum allowed metadata size of {METADATA_BYTES} bytes"
        raise Refusal("MetadataTooLarge", text)
