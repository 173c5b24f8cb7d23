"""The part of a store below a prefix, as a store of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import ObjectInfo, ObjectMeta, ObjectStore, Span


class Under:
    """An ObjectStore whose keys are those of another one below `prefix`, without it."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self.name = f"{store.name}/{prefix}"
        self.keeps = store.keeps

    def _bare(self, info: ObjectInfo) -> ObjectInfo:
        return replace(info, key=info.key.removeprefix(self._prefix))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects below the prefix; a marker that is the prefix itself is none of them."""
        for info in self._store.list(self._prefix + prefix):
            if info.key != self._prefix:
                yield self._bare(info)

    def about(self, key: str) -> tuple[ObjectInfo, ObjectMeta]:
        """An object's metadata."""
        info, meta = self._store.about(self._prefix + key)
        return self._bare(info), meta

    def open(
        self, key: str, *, span: Span | None = None, pin: ObjectInfo | None = None
    ) -> tuple[ObjectInfo, ObjectMeta, Iterator[bytes]]:
        """An object as a stream."""
        info, meta, stream = self._store.open(self._prefix + key, span=span, pin=pin)
        return self._bare(info), meta, stream

    def put(
        self, key: str, meta: ObjectMeta, size: int, content: Iterable[bytes], *, sha256: str = ""
    ) -> ObjectInfo:
        """Write an object."""
        return self._bare(self._store.put(self._prefix + key, meta, size, content, sha256=sha256))

    def begin(self, key: str, meta: ObjectMeta) -> str:
        """Start an upload in parts."""
        return self._store.begin(self._prefix + key, meta)

    def put_part(self, key: str, upload: str, number: int, span: Span, content: Iterable[bytes]) -> str:
        """Write a part."""
        return self._store.put_part(self._prefix + key, upload, number, span, content)

    def finish(self, key: str, upload: str, parts: Sequence[str]) -> ObjectInfo:
        """Make the object of its parts."""
        return self._bare(self._store.finish(self._prefix + key, upload, parts))

    def abort(self, key: str, upload: str) -> None:
        """Forget an upload."""
        self._store.abort(self._prefix + key, upload)

    def unfinished(self, key: str) -> Sequence[str]:
        """Uploads of this key that are open."""
        return self._store.unfinished(self._prefix + key)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        self._store.delete([self._prefix + key for key in keys])

    def versions(self) -> int:
        """Versions can't be told apart by prefix."""
        return 0

    def purge(self) -> None:
        """Not offered for a part of a store: other content would go with it."""
        raise ProviderError(f"{self.name} is a part of a bucket and can't be purged", reason=Reason.INVALID)
