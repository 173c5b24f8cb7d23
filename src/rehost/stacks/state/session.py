"""The state in the hands of its one writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
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
        prepare_secrets: Callable[[], None],
    ) -> None:
        self.state = state
        self.prepare_secrets = prepare_secrets
        """Make sure that secrets can be written. Raises InvalidInput for a missing or wrong passphrase."""
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

    def replace(self, state: State) -> None:
        """Put another state in the place of this one, whole, when the session closes."""
        # Journaled, so that whoever takes the lock from this session has something to fold, and the two can't both
        # write their checkpoint.
        self.append({"kind": "replaced"})
        serial = max(self.state.serial, state.serial)
        for field in fields(State):
            setattr(self.state, field.name, getattr(state, field.name))
        self.state.serial = serial

    def close(self) -> None:
        """Write the checkpoint if anything changed. What the journal holds is the truth until then."""
        if self._journal.used:
            self._journal.flush()
            self.state.serial += 1
            self._store()
