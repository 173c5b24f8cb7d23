"""A local folder as a store of objects: a key is a path below it. It keeps content only, no metadata."""

from __future__ import annotations

import contextlib
import mimetypes
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import ObjectInfo, ObjectMeta, Span

_CHUNK = 256 * 1024
_TEMPORARY = ".rehost-part-"
"""Beginning of the names of files that are being written."""


class FolderObjects:
    """An ObjectStore over the files of a folder. Files appear whole, by renaming."""

    keeps: frozenset[str] = frozenset()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = str(folder)

    def _path(self, key: str) -> Path:
        steps = key.split("/")
        if not key or any(step in ("", ".", "..") for step in steps) or "\0" in key:
            raise ProviderError(
                f"{key!r} can't be the name of a file",
                reason=Reason.INVALID,
                why="a folder has no empty names, no `.` and no `..`",
                fix="leave it out with a narrower prefix, or copy to a bucket",
            )
        return self._folder.joinpath(*steps)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All files, in key order."""
        if not self._folder.is_dir():
            return
        for key, entry in self._walk(self._folder, ""):
            if key.startswith(prefix):
                yield _info(key, entry.stat(follow_symlinks=True))

    def _walk(self, folder: Path, before: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        try:
            entries = [
                (e.name + "/" if e.is_dir(follow_symlinks=False) else e.name, e) for e in os.scandir(folder)
            ]
        except OSError as error:
            raise _translated(error, str(folder)) from error
        for name, entry in sorted(entries, key=lambda pair: os.fsencode(pair[0])):
            if any("\ud800" <= character <= "\udfff" for character in name):
                raise ProviderError(
                    f"{folder / entry.name!r} has a name that is no UTF-8",
                    reason=Reason.INVALID,
                    why="keys of objects are text",
                    fix="rename it",
                )
            if name.endswith("/"):
                yield from self._walk(folder / entry.name, before + name)
            elif not name.startswith(_TEMPORARY) and entry.is_file():
                yield before + name, entry

    def about(self, key: str) -> tuple[ObjectInfo, ObjectMeta]:
        """What is known of a file: its type by its name."""
        try:
            info = _info(key, self._path(key).stat())
        except OSError as error:
            raise _translated(error, key) from error
        return info, _meta(key)

    def open(
        self, key: str, *, span: Span | None = None, pin: ObjectInfo | None = None
    ) -> tuple[ObjectInfo, ObjectMeta, Iterator[bytes]]:
        """A file as a stream."""
        try:
            file = self._path(key).open("rb")
        except OSError as error:
            raise _translated(error, key) from error
        info = _info(key, os.fstat(file.fileno()))
        if pin is not None and pin.etag != info.etag:
            file.close()
            raise ProviderError(f"{key} has changed", reason=Reason.CHANGED)

        def stream() -> Iterator[bytes]:
            with file:
                file.seek(span.start if span else 0)
                left = span.size if span else info.size
                while left > 0:
                    piece = file.read(min(_CHUNK, left))
                    if not piece:
                        raise ProviderError(f"{key} became shorter while it was read", reason=Reason.CHANGED)
                    left -= len(piece)
                    yield piece

        return info, _meta(key), stream()

    def put(
        self, key: str, meta: ObjectMeta, size: int, content: Iterable[bytes], *, sha256: str = ""
    ) -> ObjectInfo:
        """Write a file."""
        upload = self.begin(key, meta)
        try:
            self.put_part(key, upload, 1, Span(0, size), content)
        except BaseException:
            self.abort(key, upload)
            raise
        return self.finish(key, upload, [""])

    def _temporary(self, key: str, upload: str) -> Path:
        return self._path(key).parent / f"{_TEMPORARY}{upload}"

    def begin(self, key: str, meta: ObjectMeta) -> str:
        """Start a file in parts."""
        upload = secrets.token_hex(8)
        path = self._temporary(key, upload)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise _translated(error, key) from error
        return upload

    def put_part(self, key: str, upload: str, number: int, span: Span, content: Iterable[bytes]) -> str:
        """Write a part to its place."""
        sent = 0
        try:
            with self._temporary(key, upload).open("r+b") as file:
                file.seek(span.start)
                for piece in content:
                    file.write(piece)
                    sent += len(piece)
        except OSError as error:
            raise _translated(error, key) from error
        if sent != span.size:
            raise ProviderError(f"{key}: {sent} bytes instead of {span.size}", reason=Reason.UNAVAILABLE)
        return str(number)

    def finish(self, key: str, upload: str, parts: Sequence[str]) -> ObjectInfo:
        """Give the file its name."""
        path = self._path(key)
        try:
            with self._temporary(key, upload).open("r+b") as file:
                os.fsync(file.fileno())
            self._temporary(key, upload).replace(path)
            return _info(key, path.stat())
        except OSError as error:
            raise _translated(error, key) from error

    def abort(self, key: str, upload: str) -> None:
        """Forget a file that was begun."""
        with contextlib.suppress(OSError):
            self._temporary(key, upload).unlink()

    def unfinished(self, key: str) -> Sequence[str]:
        """What was begun in the file's folder cannot be told apart by key."""
        return ()

    def delete(self, keys: Sequence[str]) -> None:
        """Remove files, and folders that are empty then."""
        for key in keys:
            path = self._path(key)
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            for folder in path.parents:
                if folder == self._folder or not _removed(folder):
                    break

    def versions(self) -> int:
        """There are no versions here."""
        return 0

    def purge(self) -> None:
        """Remove everything in the folder."""
        for entry in list(self._folder.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _meta(key: str) -> ObjectMeta:
    type_, encoding = mimetypes.guess_type(key, strict=False)
    headers = {"Content-Type": (type_ if not encoding else None) or "application/octet-stream"}
    return ObjectMeta(headers)


def _info(key: str, stat: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, stat.st_size, f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}", stat.st_mtime)


def _translated(error: OSError, what: str) -> ProviderError:
    if isinstance(error, FileNotFoundError):
        reason = Reason.NOT_FOUND
    elif isinstance(error, PermissionError):
        reason = Reason.DENIED
    else:
        reason = Reason.FAILED
    return ProviderError(f"{what}: {error.strerror or error}", reason=reason)
