"""What a deployment owns: Pulumi deployment JSON, stores, lock, journal, secrets."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from rehost.stacks.state.crypt import Crypter, Passphrase
from rehost.stacks.state.files import FileStore, LockInfo
from rehost.stacks.state.journal import Journal
from rehost.stacks.state.model import Binding, Fact, Intent, ResourceState, State
from rehost.stacks.state.session import Session

__all__ = [
    "Binding",
    "Crypter",
    "Fact",
    "FileStore",
    "Intent",
    "Journal",
    "LockInfo",
    "Passphrase",
    "ResourceState",
    "Session",
    "State",
    "Store",
    "file_store",
]


class Store(Protocol):
    """Where states are kept."""

    url: str

    def targets(self, stack: str) -> list[str]:
        """Targets that have a state."""

    def read(self, stack: str, target: str) -> State:
        """The state as it is, without the lock."""

    def open(self, stack: str, target: str, *, command: str) -> AbstractContextManager[Session]:
        """The state for one writer. Raises Refused while somebody else writes."""

    def unlock(self, stack: str, target: str) -> LockInfo | None:
        """Forget a holder that can't be running any more; answers who it was."""


def file_store(folder: Path, passphrase: Passphrase, *, sandbox: bool = False) -> FileStore:
    """The store beside a stack file. States of a sandbox are kept apart."""
    base = folder / ".rehost"
    return FileStore(base / "sandbox" if sandbox else base, passphrase)
