"""The journal: entries made durable in groups, each with a checksum, readable after any crash."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from rehost.stacks.errors import RehostError
from rehost.stacks.state.crypt import Crypter, Opening, decode, encode
from rehost.stacks.state.model import State

Write = Callable[[bytes], None]
"""Makes bytes durable behind what was written before; raises RehostError."""


def line(entry: Mapping[str, Any], crypter: Crypter) -> bytes:
    """An entry as one line: checksum, a blank, compact JSON."""
    text = encode(entry, crypter).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def replay(data: bytes, state: State, crypter: Crypter, opening: Opening, *, where: str) -> int:
    """Apply the entries in `data` that build on the state's serial; answers how many bytes are whole.

    A torn end, which lacks its newline, is left out. Raises RehostError for damage, and for a journal that builds
    on a later state than this one.
    """
    position = 0
    for number, row in enumerate(data.split(b"\n"), 1):
        end = position + len(row) + 1
        body = row[9:]
        if end > len(data):
            break
        if row[:9] != b"%08x " % zlib.crc32(body):
            raise RehostError(
                f"{where} is damaged in line {number}",
                why="its checksum does not fit, and its end is there",
                fix="restore the file from a copy; what it says is needed to find what was made",
            )
        entry = decode(body.decode(), crypter, opening)
        if entry["kind"] == "base":
            if entry["serial"] > state.serial:
                raise RehostError(
                    f"{where} goes on from a later state than the one that is there",
                    why=f"it builds on number {entry['serial']}, the state is number {state.serial}",
                    fix="put the state back that was there (`rehost state backups`), or remove the journal "
                    "if it is not wanted",
                )
            if entry["serial"] < state.serial:
                return 0
        elif entry["kind"] == "salt":
            crypter.adopt(entry["salt"])
        else:
            try:
                state.apply(entry)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise RehostError(
                    f"{where} does not fit its state in line {number}",
                    why=f"{entry['kind']}: {type(error).__name__} {error}",
                    fix="one of the two was put back without the other: restore both from one time",
                ) from error
        position = end
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
        self._buffer: list[bytes] = [] if started else [line({"kind": "base", "serial": state.serial}, crypter)]
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
                self._write(b"".join(batch))
            except BaseException as error:  # noqa: BLE001 - no later entry may be taken for written
                problem = error
            with self._changed:
                self._writing = False
                if problem is None:
                    self._durable = top
                else:
                    self._broken = problem
                self._changed.notify_all()
