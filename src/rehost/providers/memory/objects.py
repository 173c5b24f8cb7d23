"""The content of a bucket in memory."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import ObjectInfo, ObjectMeta


class MemoryObjects:
    """An ObjectStore over a dictionary."""

    def __init__(self, content: dict[str, tuple[bytes, dict[str, Any]]]) -> None:
        self._content = content

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects in key order."""
        for key in sorted(self._content):
            if key.startswith(prefix):
                yield self._info(key)

    def open(self, key: str) -> tuple[ObjectInfo, ObjectMeta, Iterator[bytes]]:
        """An object as a stream of one piece."""
        if key not in self._content:
            raise ProviderError(f"{key} is not there", reason=Reason.NOT_FOUND, code="NoSuchKey", status=404)
        data, fields = self._content[key]
        return self._info(key), fields["meta"], iter([data] if data else [])

    def put(self, key: str, meta: ObjectMeta, size: int, content: Iterable[bytes]) -> ObjectInfo:
        """Write an object."""
        data = b"".join(content)
        if len(data) != size:
            raise ProviderError(f"{key}: {len(data)} bytes instead of {size}", reason=Reason.INVALID)
        self._content[key] = (data, {"meta": meta, "modified": time.time()})
        return self._info(key)

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

    def _info(self, key: str) -> ObjectInfo:
        data, fields = self._content[key]
        return ObjectInfo(key, len(data), hashlib.md5(data, usedforsecurity=False).hexdigest(), fields["modified"])
