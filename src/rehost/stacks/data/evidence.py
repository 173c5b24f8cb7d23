"""What was sent and what came back when it was read: an append-only manifest, one JSON line for every event.

The last line of a key counts. A SQLite file beside the manifest is an index of it, in key order; it can be
deleted at any time. Lines are on disk within SYNC_S seconds: losing the end of the manifest costs copying or
comparing again, never correctness, since an object without evidence is compared before it is touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rehost.stacks.errors import RehostError

SYNC_S = 2.0
_BATCH = 1000
_FORMAT = 2
Row = dict[str, Any]
"""An event. `state` is `writing` (about to be written), `upload` and `part` (an upload in parts), `copied` (read
back and equal), `spoiled` (found to differ: to be written anew), `gone` (removed with its source)."""


class Evidence:
    """The manifest at `path` of what went from one place to another. Threads share it. Raises RehostError.

    `hash_` says how content is told apart. `of` names both places; a manifest of others is put aside (`.old`)
    and a new one begun.
    """

    def __init__(self, path: Path, of: Mapping[str, str], hash_: str = "sha256") -> None:
        self.path = path
        self._lock = threading.RLock()
        self._waiting: list[tuple[bytes, int, str | None]] = []
        self._synced = time.monotonic()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._begin({"format_version": _FORMAT, "kind": "evidence", "hash": hash_, "of": dict(of)})
            self._index = self._indexed()
        except OSError as error:
            raise RehostError(f"the evidence in {path} can't be kept", why=str(error)) from error

    def _begin(self, head: Row) -> None:
        text = json.dumps(head).encode() + b"\n"
        if self.path.exists():
            with self.path.open("rb") as file:
                if file.readline() != text:
                    self.path.replace(self.path.with_name(f"{self.path.name}.old"))
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        size = os.fstat(handle).st_size
        if not size:
            os.write(handle, text)
        else:
            os.ftruncate(handle, _whole(handle, size))
        self._handle = handle

    def _indexed(self) -> sqlite3.Connection:
        """The index, brought up to date with the manifest; made anew if it is damaged or of another manifest."""
        path = self.path.with_suffix(".index")
        inode, size = os.fstat(self._handle).st_ino, os.fstat(self._handle).st_size
        try:
            index = _opened(path)
            known = index.execute("SELECT inode, covered FROM manifest").fetchone()
            if known is None or known[0] != inode or known[1] > size:
                raise sqlite3.DatabaseError("of another manifest")
            start = known[1]
        except sqlite3.DatabaseError:
            for ending in ("", "-wal", "-shm", "-journal"):
                Path(f"{path}{ending}").unlink(missing_ok=True)
            index, start = _opened(path), 0
            index.execute("INSERT INTO manifest VALUES (?, 0)", (inode,))
        self._index = index
        self._position = start
        with self.path.open("rb") as file:
            file.seek(start)
            for line in file:
                self._position += len(line)
                with contextlib.suppress(ValueError):
                    row = json.loads(line)
                    if isinstance(row, dict) and "key" in row:
                        self._note(row, line.decode())
        self._flush()
        return index

    def add(self, row: Row) -> None:
        """Append an event."""
        text = json.dumps(row) + "\n"
        data = text.encode()
        with self._lock:
            try:
                if os.write(self._handle, data) != len(data):
                    raise OSError("the disk is full")
                if time.monotonic() - self._synced > SYNC_S:
                    os.fsync(self._handle)
                    self._synced = time.monotonic()
            except OSError as error:
                raise RehostError(f"{self.path} can't be written", why=str(error), fix="make room") from error
            self._position += len(data)
            self._note(row, text)

    def _note(self, row: Row, text: str) -> None:
        key = row["key"].encode("utf-8", "surrogatepass")
        match row["state"]:
            case "upload":
                self._waiting.append((key, -1, None))
                self._waiting.append((key, 1, text))
            case "part":
                self._waiting.append((key, row["number"] + 1, text))
            case "gone":
                self._waiting.append((key, -2, None))
            case "writing":
                self._waiting.append((key, 0, text))
            case _:
                self._waiting.append((key, -1, None))
                self._waiting.append((key, 0, text))
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        """Bring what was added into the index. -1 drops a key's upload, -2 all of it."""
        with self._lock, self._index:
            for key, place, text in self._waiting:
                if place < 0:
                    self._index.execute(
                        "DELETE FROM rows WHERE key = ? AND place > ?", (key, -1 if place == -2 else 0)
                    )
                else:
                    self._index.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (key, place, text))
            self._index.execute("UPDATE manifest SET covered = ?", (self._position,))
            self._waiting.clear()

    def rows(self) -> Iterator[Row]:
        """The last event of every key, in key order. What is added behind the current key is not told."""
        after = b""
        first = True
        while True:
            with self._lock:
                self._flush()
                page = self._index.execute(
                    f"SELECT key, text FROM rows WHERE key {'>=' if first else '>'} ? AND place = 0"
                    " ORDER BY key LIMIT ?",
                    (after, _BATCH),
                ).fetchall()
            if not page:
                return
            first, after = False, page[-1][0]
            for _, text in page:
                yield json.loads(text)

    def upload(self, key: str) -> tuple[Row, dict[int, Row]] | None:
        """The upload of a key that was begun, with its parts by number."""
        with self._lock:
            self._flush()
            found = self._index.execute(
                "SELECT text FROM rows WHERE key = ? AND place > 0 ORDER BY place",
                (key.encode("utf-8", "surrogatepass"),),
            ).fetchall()
        rows = [json.loads(text) for (text,) in found]
        if not rows or rows[0]["state"] != "upload":
            return None
        return rows[0], {row["number"]: row for row in rows[1:] if row["upload"] == rows[0]["upload"]}

    def close(self) -> None:
        """Make everything durable."""
        with self._lock:
            self._flush()
            os.fsync(self._handle)
            os.close(self._handle)
            self._index.close()


def _opened(path: Path) -> sqlite3.Connection:
    """The index file. Its commits are not synced: it can be made anew from the manifest."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    index = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    index.execute("PRAGMA synchronous = OFF")
    index.execute("PRAGMA journal_mode = MEMORY")
    index.execute("CREATE TABLE IF NOT EXISTS manifest (inode INTEGER, covered INTEGER)")
    index.execute(
        "CREATE TABLE IF NOT EXISTS rows"
        " (key BLOB, place INTEGER, text TEXT, PRIMARY KEY (key, place)) WITHOUT ROWID"
    )
    return index


def _whole(handle: int, size: int) -> int:
    """How much of a file ends with a line break."""
    position = size
    while position:
        start = max(0, position - 65536)
        found = os.pread(handle, position - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0
