"""The journal: entries made durable in groups, each with a checksum, readable after any crash."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from rehost.stacks.errors import RehostError
from rehost.stacks.state.crypt import Crypter, decode, encode
from rehost.stacks.state.model import State

Write = Callable[[str], None]
"""Makes text durable behind what was written before; raises RehostError."""


def line(entry: Mapping[str, Any], crypter: Crypter) -> str:
    """An entry as one line: checksum, a blank, compact JSON."""
    text = encode(entry, crypter)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def replay(text: str, state: State, crypter: Crypter, *, strict: bool, where: str) -> int:
    """Apply the entries in `text` that build on the state's serial; answers how many characters are whole.

    A torn end is left out. Raises RehostError for damage before the end.
    """
    position = 0
    for number, row in enumerate(text.splitlines(keepends=True), 1):
        body = row[9:-1]
        if not row.endswith("\n") or row[:8] != f"{zlib.crc32(body.encode()):08x}":
            if position + len(row) < len(text):
                raise RehostError(
                    f"{where} is damaged in line {number}",
                    why="its checksum does not fit, and it is not the last line",
                    fix="restore the file from a copy; what it says is needed to find what was made",
                )
            break
        bare = json.loads(body)
        if bare["kind"] == "base":
            if bare["serial"] != state.serial:
                return 0
        elif bare["kind"] == "salt":
            crypter.adopt(bare["salt"])
        else:
            state.apply(decode(body, crypter, strict=strict))
        position += len(row)
    state.locked = state.locked or crypter.locked
    return position


class Journal:
    """Appends from many threads; whoever waits first writes for all who wait (group commit)."""

    def __init__(self, state: State, crypter: Crypter, write: Write, *, started: bool) -> None:
        self._state = state
        self._crypter = crypter
        self._write = write
        self._salt = crypter.salt_state
        self._changed = threading.Condition()
        self._buffer: list[str] = [] if started else [line({"kind": "base", "serial": state.serial}, crypter)]
        self._queued = 0
        self._durable = 0
        self._writing = False
        self._broken: BaseException | None = None
        self.used = started

    def append(self, entry: Mapping[str, Any], *, wait: bool = True) -> None:
        """Apply an entry to the state and write it. Returns when it is durable, unless `wait` is off: then the
        next one that waits covers it. Raises RehostError when it can't be written."""
        text = line(entry, self._crypter)
        with self._changed:
            if self._broken is not None:
                raise self._broken
            if self._crypter.salt_state != self._salt:
                self._salt = self._crypter.salt_state
                self._buffer.append(line({"kind": "salt", "salt": self._salt}, self._crypter))
            self._state.apply(entry)
            self._buffer.append(text)
            self._queued += 1
            self.used = True
            number = self._queued
        if wait:
            self._commit(number)

    def flush(self) -> None:
        """Return when everything appended so far is durable."""
        with self._changed:
            number = self._queued
        self._commit(number)

    def _commit(self, number: int) -> None:
        while True:
            with self._changed:
                while self._durable < number and self._writing and self._broken is None:
                    self._changed.wait()
                if self._broken is not None:
                    raise self._broken
                if self._durable >= number:
                    return
                self._writing = True
                batch, self._buffer = self._buffer, []
                top = self._queued
            problem: BaseException | None = None
            try:
                self._write("".join(batch))
            except BaseException as error:  # noqa: BLE001 - no later entry may be taken for written
                problem = error
            with self._changed:
                self._writing = False
                if problem is None:
                    self._durable = top
                else:
                    self._broken = problem
                self._changed.notify_all()
