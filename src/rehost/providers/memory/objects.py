"""The content of a bucket in memory."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import ObjectInfo, ObjectMeta, Span

_numbers = itertools.count(1)


class MemoryObjects:
    """An ObjectStore over a dictionary."""

    keeps = frozenset({"headers", "user", "tags"})

    def __init__(self, content: dict[str, tuple[bytes, dict[str, Any]]], name: str = "memory") -> None:
        self._content = content
        self._uploads: dict[str, tuple[str, ObjectMeta, dict[int, bytes]]] = {}
        self.name = name

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects in key order."""
        for key in sorted(self._content):
            if key.startswith(prefix) and key in self._content:
                yield self._info(key)

    def _known(self, key: str) -> tuple[bytes, ObjectMeta]:
        if key not in self._content:
            raise ProviderError(f"{key} is not there", reason=Reason.NOT_FOUND, code="NoSuchKey", status=404)
        data, fields = self._content[key]
        meta: ObjectMeta = fields["meta"]
        return data, meta

    def about(self, key: str) -> tuple[ObjectInfo, ObjectMeta]:
        """An object's metadata."""
        return self._info(key), self._known(key)[1]

    def open(
        self, key: str, *, span: Span | None = None, pin: ObjectInfo | None = None
    ) -> tuple[ObjectInfo, ObjectMeta, Iterator[bytes]]:
        """An object as a stream of one piece."""
        data, meta = self._known(key)
        info = self._info(key)
        if pin is not None and pin.etag != info.etag:
            raise ProviderError(f"{key} has changed", reason=Reason.CHANGED, code="PreconditionFailed", status=412)
        if span is not None:
            data = data[span.start : span.start + span.size]
        return info, meta, iter([data] if data else [])

    def put(
        self, key: str, meta: ObjectMeta, size: int, content: Iterable[bytes], *, sha256: str = ""
    ) -> ObjectInfo:
        """Write an object."""
        data = b"".join(content)
        if len(data) != size or (sha256 and hashlib.sha256(data).hexdigest() != sha256):
            raise ProviderError(f"{key}: not the content that was announced", reason=Reason.UNAVAILABLE)
        self._content[key] = (data, {"meta": meta, "modified": time.time()})
        return self._info(key)

    def begin(self, key: str, meta: ObjectMeta) -> str:
        """Start an upload in parts."""
        upload = f"upload-{next(_numbers)}"
        self._uploads[upload] = (key, meta, {})
        return upload

    def put_part(self, key: str, upload: str, number: int, span: Span, content: Iterable[bytes]) -> str:
        """Write a part."""
        data = b"".join(content)
        if upload not in self._uploads:
            raise ProviderError(f"{upload} is not there", reason=Reason.NOT_FOUND, code="NoSuchUpload", status=404)
        if len(data) != span.size:
            raise ProviderError(f"{key}: {len(data)} bytes instead of {span.size}", reason=Reason.UNAVAILABLE)
        self._uploads[upload][2][number] = data
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    def finish(self, key: str, upload: str, parts: Sequence[str]) -> ObjectInfo:
        """Make the object of its parts."""
        if upload not in self._uploads:
            raise ProviderError(f"{upload} is not there", reason=Reason.NOT_FOUND, code="NoSuchUpload", status=404)
        _, meta, stored = self._uploads.pop(upload)
        data = b"".join(stored[number] for number in range(1, len(parts) + 1))
        return self.put(key, meta, len(data), [data])

    def abort(self, key: str, upload: str) -> None:
        """Forget an upload."""
        self._uploads.pop(upload, None)

    def unfinished(self, key: str) -> Sequence[str]:
        """Uploads of this key that are open."""
        return [upload for upload, (of, _, _) in self._uploads.items() if of == key]

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        for key in keys:
            self._content.pop(key, None)

    def versions(self) -> int:
        """There are no versions here."""
        return 0

    def purge(self) -> None:
        """Remove everything."""
        self._content.clear()
        self._uploads.clear()

    def _info(self, key: str) -> ObjectInfo:
        data, _ = self._known(key)
        modified = self._content[key][1]["modified"]
        return ObjectInfo(key, len(data), hashlib.md5(data, usedforsecurity=False).hexdigest(), modified)
