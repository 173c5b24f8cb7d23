"""State that outlives its process: written a moment after it changed, whole or not at all, and at the end.

What a killed process loses is what it changed since the last writing, a tenth of a second of a small sandbox.
Nothing is forced onto the disk: a power cut can lose more.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rehost.providers.sandbox.wire import Answer, App, Environ, body, run

SHARE = 10
"""Between two writings passes so many times as long as one takes: they cost a tenth of the time at most."""
LEAST_SECONDS = 0.1


class Memory(Protocol):
    """What a stand-in knows, as bytes."""

    def dump(self) -> bytes:
        """All of it. No call is being answered meanwhile."""
        ...

    def load(self, kept: bytes) -> None:
        """Go on where `dump` was. Raises ValueError for bytes that it can't use."""
        ...

    def kept(self) -> None:
        """Told once the bytes of the last dump are in their place."""
        ...


class Keeping:
    """A middleware that writes to a file what calls change."""

    def __init__(self, app: App, memory: Memory, file: Path, writes: Callable[[Environ], bool]) -> None:
        self._app, self._memory, self._file, self._writes = app, memory, file, writes
        self._gate = Gate()
        self._changed = threading.Event()
        self._saving = threading.Lock()

    def restore(self) -> bool:
        """Take up what is kept; answers whether anything was. Raises ValueError for a file that can't be used."""
        try:
            kept = self._file.read_bytes()
        except FileNotFoundError:
            return False
        self._memory.load(kept)
        return True

    def start(self) -> None:
        """Write changes in the background from now on."""
        threading.Thread(target=self._follow, daemon=True).start()

    def save(self) -> None:
        """Write what is known now."""
        with self._saving:
            with self._gate.closed():
                self._changed.clear()
                content = self._memory.dump()
            fresh = self._file.with_name(self._file.name + ".new")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
            fresh.replace(self._file)
            self._memory.kept()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        # A client that sends slowly does not hold up the gate.
        body(environ)
        with self._gate.open():
            answer: Answer = run(self._app, environ)
            if self._writes(environ):
                self._changed.set()
        return answer.send(start_response)

    def _follow(self) -> None:
        while True:
            self._changed.wait()
            began = time.monotonic()
            try:
                self.save()
            except Exception as error:  # noqa: BLE001 - the stand-in works on; the log says what is not kept
                sys.stderr.write(f"state can't be kept: {type(error).__name__}: {error}\n")
                sys.stderr.flush()
            time.sleep(max(LEAST_SECONDS, SHARE * (time.monotonic() - began)))


class Gate:
    """Many may be inside while it is open; closing waits until all have left."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def open(self) -> Iterator[None]:
        """Be inside."""
        with self._condition:
            self._condition.wait_for(lambda: not self._closed)
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Be alone."""
        with self._condition:
            self._condition.wait_for(lambda: not self._closed)
            self._closed = True
            self._condition.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._condition:
                self._closed = False
                self._condition.notify_all()
