"""Where states are kept: the port, and the rule that a deployment has one place."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rehost.stacks.errors import Refused
from rehost.stacks.state.lock import LockInfo
from rehost.stacks.state.model import State
from rehost.stacks.state.session import Session


@dataclass(frozen=True, slots=True)
class Backup:
    """An earlier checkpoint. `serial` names it."""

    serial: int
    size: int


class Store(Protocol):
    """Where states are kept. All methods raise RehostError when the place can't be used."""

    url: str
    """What `--state` takes."""
    folder: Path
    """On this machine, for what goes with a state and stays here (evidence, records of migrations)."""

    def targets(self, stack: str) -> list[str]:
        """Targets that have a state."""

    def read(self, stack: str, target: str) -> State:
        """The state as it is, without the lock; secrets are UNKNOWN without a passphrase."""

    def open(self, stack: str, target: str, *, command: str) -> AbstractContextManager[Session]:
        """The state for one writer. Raises Refused, naming the holder, while somebody else writes."""

    def export(self, stack: str, target: str, *, show_secrets: bool = False) -> str:
        """The state as Pulumi deployment JSON; secrets stay sealed, and need no passphrase, unless they are
        asked for."""

    def holder(self, stack: str, target: str) -> LockInfo | None:
        """Who holds the lock, as far as anybody does."""

    def unlock(self, stack: str, target: str) -> LockInfo | None:
        """Take the lock from a holder that can't be running any more; answers who it was. Raises Refused if it
        is known to run."""

    def backups(self, stack: str, target: str) -> Sequence[Backup]:
        """Earlier checkpoints, the oldest first."""

    def backup(self, stack: str, target: str, serial: int) -> str:
        """The text of an earlier checkpoint. Raises InvalidInput for one that is not kept."""

    def retire(self, stack: str, target: str, moved_to: str) -> None:
        """Leave a pointer instead of a state that was moved; the state stays as a backup. For the writer only."""

    def moved_to(self, stack: str, target: str) -> str:
        """Where the state that was here is now; empty if it was not moved."""


def refuse_two_places(chosen: Store, beside: Store, stack: str, target: str) -> None:
    """Raise Refused where a second state of one deployment would come up: the one here was moved away, or another
    store is asked for than the folder beside the stack file, which has a state of its own."""
    moved = chosen.moved_to(stack, target)
    if moved:
        raise Refused(
            f"the state of {stack} on {target} was moved to {moved}",
            why="a new one here would make everything a second time",
            fix=f"give --state {moved}, or set REHOST_STATE to it",
        )
    if chosen.url != beside.url and target in beside.targets(stack):
        raise Refused(
            f"{stack} on {target} has a state in {beside.url} already",
            why=f"with a second one in {chosen.url} everything would be made twice",
            fix=f"move it with `rehost state move --on {target} --to {chosen.url}`, or leave out --state",
        )
