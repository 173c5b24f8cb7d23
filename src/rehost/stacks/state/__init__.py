"""What a deployment owns: Pulumi deployment JSON, stores, lock, journal, secrets."""

from __future__ import annotations

from pathlib import Path

from rehost.stacks.state import folders
from rehost.stacks.state.crypt import Crypter, Passphrase
from rehost.stacks.state.files import FileStore
from rehost.stacks.state.journal import Journal
from rehost.stacks.state.lock import LockInfo
from rehost.stacks.state.model import Binding, Fact, Intent, ResourceState, State
from rehost.stacks.state.session import Session
from rehost.stacks.state.shared import SharedStore
from rehost.stacks.state.store import Backup, Store, refuse_two_places

__all__ = [
    "Backup",
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
    "SharedStore",
    "State",
    "Store",
    "file_store",
    "refuse_two_places",
]


def file_store(folder: Path, passphrase: Passphrase, *, sandbox: bool = False) -> FileStore:
    """The store beside a stack file. States of a sandbox are kept apart."""
    return FileStore(folder / folders.NAME, passphrase, sandbox=sandbox)
