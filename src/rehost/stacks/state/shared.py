"""The shared store: states in an object storage, for CI and several operators.

    <stack>/<target>.json                    the checkpoint, written only over the one that was read
    <stack>/<target>.lock                    see sharedlock.py
    <stack>/<target>.journal/<epoch>-<n>     what one holder appended, a group of entries in each object
    <stack>/<target>.moved                   where the state went
    <stack>/backups/<target>.<serial>.json   earlier checkpoints

An entry is acknowledged when its object is written and the lock was still the writer's after that. A new holder
folds what it finds of earlier ones into a checkpoint first: from then on their objects build on a number that is
past. What an earlier holder still writes after it lost the lock is not acknowledged, and is not read once the new
one has written anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rehost.stacks.errors import InvalidInput, Refused, RehostError
from rehost.stacks.state import pulumi
from rehost.stacks.state.blobs import Blobs, Conflict, put_once
from rehost.stacks.state.crypt import Crypter, Opening, Passphrase
from rehost.stacks.state.journal import Journal, replay
from rehost.stacks.state.lock import LockInfo
from rehost.stacks.state.model import State
from rehost.stacks.state.session import Session
from rehost.stacks.state.sharedlock import RENEW_SECONDS, SharedLock
from rehost.stacks.state.store import Backup

KEPT_BACKUPS = 20
_TRIES = 10
_SEGMENT = re.compile(r"(\d{8})-(\d{8})$")


@dataclass(slots=True)
class _Loaded:
    """A state, the tag of the checkpoint it was read from (empty if there is none), how much of a journal belongs
    to it and which epoch wrote that, and all journal objects."""

    state: State
    tag: str
    replayed: int
    epoch: int
    segments: list[str]


@dataclass(slots=True)
class _JournalText:
    """What one holder wrote, up to the first missing object."""

    data: bytes = b""
    count: int = 0
    torn: bool = False


class SharedStore:
    """States in `blobs`. `folder` is on this machine, for what goes with them and stays here."""

    def __init__(
        self,
        blobs: Blobs,
        folder: Path,
        passphrase: Passphrase,
        *,
        sandbox: bool = False,
        renew_s: float = RENEW_SECONDS,
    ) -> None:
        self._blobs = blobs
        self._passphrase = passphrase
        self._prefix = "sandbox/" if sandbox else ""
        self._renew_s = renew_s
        self.url = blobs.url
        self.folder = folder

    def _key(self, stack: str, target: str, ending: str) -> str:
        return f"{self._prefix}{stack}/{target}{ending}"

    def _where(self, key: str) -> str:
        return f"{self._blobs.url}: {key}"

    def _lock(self, stack: str, target: str) -> SharedLock:
        return SharedLock(self._blobs, self._key(stack, target, ".lock"), stack, target, renew_s=self._renew_s)

    # -- questions -----------------------------------------------------------------------------------------

    def targets(self, stack: str) -> list[str]:
        """Targets that have a state or a journal."""
        prefix = f"{self._prefix}{stack}/"
        names = [key.removeprefix(prefix) for key, _ in self._blobs.list(prefix)]
        found = {name.removesuffix(".json") for name in names if name.endswith(".json") and "/" not in name}
        return sorted(found | {name.split(".journal/")[0] for name in names if ".journal/" in name})

    def read(self, stack: str, target: str) -> State:
        """The state as it is, without the lock; secrets are UNKNOWN without a passphrase."""
        return self._load(stack, target, Crypter(self._passphrase), Opening.POSSIBLE).state

    def export(self, stack: str, target: str, *, show_secrets: bool = False) -> str:
        """The state as Pulumi deployment JSON; secrets stay sealed unless they are asked for."""
        crypter = Crypter(self._passphrase, shown=show_secrets)
        opening = Opening.REQUIRED if show_secrets else Opening.NEVER
        return pulumi.dump(self._load(stack, target, crypter, opening).state, crypter)

    def _load(self, stack: str, target: str, crypter: Crypter, opening: Opening) -> _Loaded:
        """What is there.

        The journal is read before the checkpoint: if a writer folds it in between, it builds on a number that is
        past, and the checkpoint says all that it said.
        """
        for _ in range(_TRIES):
            journals = self._journals(stack, target)
            if journals is not None:
                break
        else:
            raise RehostError(
                f"the state of {stack} on {target} can't be read as a whole",
                why="objects of its journal vanish while they are read",
                fix="try again once nobody works on it",
            )
        segments, by_epoch = journals
        key = self._key(stack, target, ".json")
        checkpoint = self._blobs.get(key)
        if checkpoint is None:
            state = State(stack, target)
        else:
            text = _text(checkpoint.data, self._where(key))
            state = pulumi.parse(text, stack, target, crypter, opening, where=self._where(key))
        replayed = epoch = 0
        if by_epoch:
            epoch, journal = max(by_epoch.items())
            where = self._where(self._key(stack, target, f".journal/{epoch:08d}"))
            replayed = replay(journal.data, state, crypter, opening, where=where)
            if replayed and journal.torn:
                raise RehostError(
                    f"the journal of {stack} on {target} has a gap",
                    why=f"{where} lacks the object number {journal.count}",
                    fix="put the object back from a version of it, if the bucket keeps versions",
                )
        return _Loaded(state, checkpoint.tag if checkpoint else "", replayed, epoch, segments)

    def _journals(self, stack: str, target: str) -> tuple[list[str], dict[int, _JournalText]] | None:
        """Keys of all journal objects, and their content by epoch; None if one was removed while they were read.

        An epoch whose first object is missing was folded and cleared; what is there was written too late.
        """
        prefix = self._key(stack, target, ".journal/")
        keys = [key for key, _ in self._blobs.list(prefix) if _SEGMENT.search(key)]
        by_epoch: dict[int, _JournalText] = {}
        with ThreadPoolExecutor(16) as pool:
            blobs = list(pool.map(self._blobs.get, keys))
        for key, blob in zip(keys, blobs, strict=True):
            if blob is None:
                return None
            match = _SEGMENT.search(key)
            assert match is not None
            journal = by_epoch.setdefault(int(match[1]), _JournalText())
            if journal.torn or int(match[2]) != journal.count:
                journal.torn = True
            else:
                journal.data += blob.data
                journal.count += 1
        return keys, {epoch: journal for epoch, journal in by_epoch.items() if journal.count}

    # -- the one writer ------------------------------------------------------------------------------------

    @contextmanager
    def open(self, stack: str, target: str, *, command: str) -> Iterator[Session]:
        """The state for one writer. Raises Refused, naming the holder, while somebody else writes."""
        lock = self._lock(stack, target)
        dead = lock.acquire(command)
        try:
            crypter = Crypter(self._passphrase)
            loaded = self._taken_over(stack, target, crypter, lock)
            writer = _Writer(self._blobs, self._key(stack, target, f".journal/{lock.epoch:08d}"), lock)
            state = loaded.state

            def store() -> None:
                self._checkpoint(state, crypter, loaded, lock)
                self._clear([*loaded.segments, *writer.written])

            session = Session(
                state,
                Journal(state, crypter, writer, started=False),
                recovered=loaded.replayed > 0,
                taken_over=dead.command if dead else "",
                store=store,
                prepare_secrets=crypter.prepare,
            )
            try:
                yield session
            finally:
                session.close()
        finally:
            lock.release()

    def _taken_over(self, stack: str, target: str, crypter: Crypter, lock: SharedLock) -> _Loaded:
        """The state, with what earlier holders left in journals folded into the checkpoint: from then on nobody
        reads what they may still write."""
        for _ in range(_TRIES):
            loaded = self._load(stack, target, crypter, Opening.REQUIRED)
            if loaded.epoch > lock.epoch:
                lock.confirm()  # a later holder writes: folding its journal would cut it off
            if not loaded.replayed:
                return loaded
            loaded.state.serial += 1
            try:
                self._checkpoint(loaded.state, crypter, loaded, lock)
            except Conflict:
                continue  # the earlier holder has just written its own
            self._clear(loaded.segments)
            loaded.segments = []
            return loaded
        raise Refused(
            f"somebody else writes the state of {stack} on {target}",
            why="it changed whenever it was read, although the lock is ours",
            fix="find the process that does, and end it",
        )

    def _checkpoint(self, state: State, crypter: Crypter, loaded: _Loaded, lock: SharedLock) -> None:
        key = self._key(state.stack, state.target, ".json")
        old = self._blobs.get(key) if loaded.tag else None
        if old is not None:
            self._blobs.put(self._backup_key(state.stack, state.target, state.serial - 1), old.data)
        data = pulumi.dump(state, crypter).encode()
        try:
            loaded.tag = put_once(self._blobs, key, data, absent=not loaded.tag, match=loaded.tag)
        except Conflict:
            lock.confirm()
            raise
        lock.confirm()
        self._blobs.delete(self._key(state.stack, state.target, ".moved"))
        for kept in self.backups(state.stack, state.target)[:-KEPT_BACKUPS]:
            self._blobs.delete(self._backup_key(state.stack, state.target, kept.serial))

    def _clear(self, segments: Sequence[str]) -> None:
        # The last one first: what is left after a crash still begins with the line that says it is folded.
        for key in reversed(segments):
            self._blobs.delete(key)

    def holder(self, stack: str, target: str) -> LockInfo | None:
        """Who holds the lock, as far as anybody does."""
        return self._lock(stack, target).look()[0]

    def unlock(self, stack: str, target: str) -> LockInfo | None:
        """Take the lock from a holder that can't be running any more; answers who it was. Raises Refused if it
        is known to run."""
        return self._lock(stack, target).break_()

    # -- backups and moves ---------------------------------------------------------------------------------

    def _backup_key(self, stack: str, target: str, serial: int) -> str:
        return f"{self._prefix}{stack}/backups/{target}.{serial:08d}.json"

    def backups(self, stack: str, target: str) -> Sequence[Backup]:
        """Earlier checkpoints, the oldest first."""
        found = self._blobs.list(f"{self._prefix}{stack}/backups/{target}.")
        return [Backup(int(key.split(".")[-2]), size) for key, size in found]

    def backup(self, stack: str, target: str, serial: int) -> str:
        """The text of an earlier checkpoint. Raises InvalidInput for one that is not kept."""
        key = self._backup_key(stack, target, serial)
        blob = self._blobs.get(key)
        if blob is None:
            raise InvalidInput(
                f"there is no backup {serial} of {stack} on {target}", fix="see `rehost state backups`"
            )
        return _text(blob.data, self._where(key))

    def retire(self, stack: str, target: str, moved_to: str) -> None:
        """Leave a pointer instead of a state that was moved; the state stays as a backup. For the writer only."""
        loaded = self._load(stack, target, Crypter(self._passphrase), Opening.NEVER)
        key = self._key(stack, target, ".json")
        old = self._blobs.get(key)
        self._blobs.put(self._key(stack, target, ".moved"), moved_to.encode())
        if old is not None:
            self._blobs.put(self._backup_key(stack, target, loaded.state.serial), old.data)
        self._blobs.delete(key)

    def moved_to(self, stack: str, target: str) -> str:
        """Where the state that was here is now; empty if it was not moved."""
        key = self._key(stack, target, ".moved")
        blob = self._blobs.get(key)
        return "" if blob is None else _text(blob.data, self._where(key)).strip()


class _Writer:
    """Makes groups of entries durable, each as an object of its own; stops when the lock is lost."""

    def __init__(self, blobs: Blobs, prefix: str, lock: SharedLock) -> None:
        self._blobs = blobs
        self._prefix = prefix
        self._lock = lock
        self.written: list[str] = []

    def __call__(self, data: bytes) -> None:
        key = f"{self._prefix}-{len(self.written):08d}"
        put_once(self._blobs, key, data, absent=True)
        self.written.append(key)
        self._lock.confirm()


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{where} is not a state that can be read", why="it is not UTF-8", fix="put a backup back"
        ) from error
