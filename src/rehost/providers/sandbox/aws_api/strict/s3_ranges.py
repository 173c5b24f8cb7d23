"""Parts of large objects. moto reads an object whole for every part of it, which makes a download in parts of a
gigabyte read a hundred gigabytes: here only the part is read."""

from __future__ import annotations

import re

from rehost.providers.sandbox.aws_api.strict.rules import Replayed, Request, before
from rehost.providers.sandbox.wire import Answer, run

LARGE = 4 << 20
"""Bytes; smaller objects are left to moto."""

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_LEFT_OUT = ("content-length", "content-range", "x-amz-checksum-")
"""Headers of the whole object that a part does not have."""


@before("s3:GetObject")
def _part(request: Request) -> None:
    wanted = _RANGE.fullmatch(request.header("range"))
    if not wanted or request.get("versionId") or request.get("partNumber"):
        return
    name, key = request.path
    bucket = request.backend("s3").buckets.get(name)
    found = bucket.keys.get(key) if bucket is not None else None
    size = getattr(found, "contentsize", 0)
    first = int(wanted[1])
    last = min(int(wanted[2] or size), size - 1)
    if size < LARGE or first > last:
        return
    asked = {k: v for k, v in request.environ.items() if k != "HTTP_RANGE"}
    answer = run(request.app, {**asked, "REQUEST_METHOD": "HEAD"})
    if answer.status != 200 or found is None:
        return
    with found.lock:
        found._value_buffer.seek(first)
        content = found._value_buffer.read(last - first + 1)
    headers = [(k, v) for k, v in answer.headers if not k.lower().startswith(_LEFT_OUT)]
    raise Replayed(Answer(206, [*headers, ("Content-Range", f"bytes {first}-{last}/{size}")], content))
