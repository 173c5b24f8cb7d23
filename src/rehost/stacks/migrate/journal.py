"""The journal of the moves between two targets: what happened, appended, on disk before the next thing is done."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehost.stacks.errors import RehostError

Entry = dict[str, Any]


@dataclass
class Progressed:
    """Where the last move stands. `done` holds what each finished phase found, by its name."""

    move: str = ""
    began: float = 0.0
    runs: int = 0
    outcome: str = ""
    over: bool = False
    """Whether the move has ended: it is proven, or data was found to differ. Otherwise the next run goes on."""
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    marks: dict[str, float] = field(default_factory=dict)
    """What was decided, and when in seconds since 1970."""

    @property
    def open(self) -> bool:
        """Whether there is a move to go on with."""
        return bool(self.move) and not self.over


class MoveJournal:
    """Append-only lines `crc32 json`, each synced. The end that a crash tore is cut off. Raises RehostError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        entries, whole = read(path)
        self.progress = Progressed()
        for entry in entries:
            _apply(self.progress, entry)
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.ftruncate(self._handle, whole)
        except OSError as error:
            raise RehostError(f"the journal {path} can't be opened", why=str(error)) from error

    def append(self, entry: Entry) -> None:
        """Write an entry; returns when it is on disk."""
        text = json.dumps(entry, separators=(",", ":"))
        data = f"{zlib.crc32(text.encode()):08x} {text}\n".encode()
        try:
            os.write(self._handle, data)
            os.fsync(self._handle)
        except OSError as error:
            raise RehostError(
                f"the journal {self._path} can't be written", why=str(error), fix="make room on the disk"
            ) from error
        _apply(self.progress, entry)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def read(path: Path) -> tuple[list[Entry], int]:
    """The entries of a journal and how many of its bytes are whole. Raises RehostError for damage in the
    middle."""
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise RehostError(f"the journal {path} can't be read", why=str(error)) from error
    entries: list[Entry] = []
    whole = 0
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        body = line[9:-1]
        if not line.endswith(b"\n") or line[:8] != f"{zlib.crc32(body):08x}".encode():
            if whole + len(line) < len(data):
                raise RehostError(
                    f"{path} is damaged in line {number}",
                    why="its checksum does not fit, and it is not the last line",
                    fix="move the file away: a new move compares what is there and copies what is missing",
                )
            break
        entries.append(json.loads(body))
        whole += len(line)
    return entries, whole


def progress_of(path: Path) -> Progressed:
    """Where the last move stands, without opening its journal for writing."""
    found = Progressed()
    for entry in read(path)[0]:
        _apply(found, entry)
    return found


def _apply(progress: Progressed, entry: Entry) -> None:
    match entry["kind"]:
        case "move":
            progress.move, progress.began = entry["move"], entry["at"]
            progress.runs, progress.outcome, progress.over = 0, "", False
            # What an earlier move has decided about the two sides holds until it is taken back.
            progress.done, progress.marks = {}, dict(entry.get("marks", {}))
        case "run":
            progress.runs += 1
            progress.outcome = ""
        case "mark":
            progress.marks[entry["name"]] = entry["at"]
        case "done":
            progress.done[entry["phase"]] = entry["facts"]
        case "ended":
            progress.outcome, progress.over = entry["outcome"], entry["over"]
