"""Objects in a folder, shared by processes; calls can be watched, and ended before or after their effect."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from rehost.stacks.state.blobs import Blob, Conflict


class FolderBlobs:
    """`watch` is called with the number of each call, before it and once more after its effect."""

    def __init__(self, folder: Path, watch: Callable[[int, str], None] | None = None) -> None:
        self.url = f"folder://{folder}"
        self._folder = folder
        self._watch = watch
        self.calls = 0
        folder.mkdir(exist_ok=True)

    @contextmanager
    def _call(self) -> Iterator[None]:
        self.calls += 1
        number = self.calls
        if self._watch:
            self._watch(number, "before")
        with (self._folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        if self._watch:
            self._watch(number, "after")

    def _path(self, key: str) -> Path:
        return self._folder / ("k" + quote(key, safe=""))

    def _get(self, key: str) -> Blob | None:
        path = self._path(key)
        if not path.exists():
            return None
        data = path.read_bytes()
        return Blob(data, hashlib.sha256(data).hexdigest())

    def get(self, key: str) -> Blob | None:
        with self._call():
            return self._get(key)

    def put(self, key: str, data: bytes, *, absent: bool = False, match: str = "") -> str:
        with self._call():
            old = self._get(key)
            if (absent and old is not None) or (match and (old is None or old.tag != match)):
                raise Conflict(f"{key} was written by somebody else")
            fresh = self._folder / "fresh"
            fresh.write_bytes(data)
            fresh.replace(self._path(key))
            return hashlib.sha256(data).hexdigest()

    def delete(self, key: str) -> None:
        with self._call():
            self._path(key).unlink(missing_ok=True)

    def list(self, prefix: str) -> list[tuple[str, int]]:
        with self._call():
            paths = {unquote(path.name[1:]): path for path in self._folder.glob("k*")}
            return [(key, paths[key].stat().st_size) for key in sorted(paths) if key.startswith(prefix)]
