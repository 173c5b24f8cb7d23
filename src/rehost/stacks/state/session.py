"""The state in the hands of its one writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rehost.stacks.state.journal import Journal
from rehost.stacks.state.model import State


class Session:
    """Append entries from any thread; the checkpoint is written when the session closes.

    `recovered` says that an earlier run left a journal, `taken_over` names the command of a dead holder.
    """

    def __init__(
        self,
        state: State,
        journal: Journal,
        *,
        recovered: bool = False,
        taken_over: str = "",
        store: Callable[[], None],
    ) -> None:
        self.state = state
        self.recovered = recovered
        self.taken_over = taken_over
        self._journal = journal
        self._store = store

    def append(self, entry: Mapping[str, Any], *, wait: bool = True) -> None:
        """Apply an entry and make it durable; see Journal.append."""
        self._journal.append(entry, wait=wait)

    def flush(self) -> None:
        """Return when everything appended so far is durable."""
        self._journal.flush()

    def close(self) -> None:
        """Write the checkpoint if anything changed. What the journal holds is the truth until then."""
        if self._journal.used:
            self._journal.flush()
            self.state.serial += 1
            self._store()
