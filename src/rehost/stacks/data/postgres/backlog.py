"""Changes of a range that wait until its copy is there: in memory, and in a file once they are many."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from typing import IO, Any

_IN_MEMORY = 20_000


class Backlog:
    """First in, first out. Not shared between threads without a lock."""

    def __init__(self) -> None:
        self._changes: list[Any] = []
        self._file: IO[bytes] | None = None
        self._chunks = 0
        self.count = 0

    def add(self, change: Any) -> None:
        """One more."""
        self._changes.append(change)
        self.count += 1
        if len(self._changes) >= _IN_MEMORY:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - ends with the backlog
            pickle.dump(self._changes, self._file, pickle.HIGHEST_PROTOCOL)
            self._chunks += 1
            self._changes = []

    def chunks(self) -> Iterator[list[Any]]:
        """Lists of changes, in order; as often as it is asked."""
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self._chunks):
                yield pickle.load(self._file)
        yield self._changes
