"""The file store: a folder beside the stack file, one writer at a time, nothing lost at any instant."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rehost.stacks.errors import Refused, RehostError
from rehost.stacks.state import pulumi
from rehost.stacks.state.crypt import Crypter, Passphrase
from rehost.stacks.state.journal import Journal, replay
from rehost.stacks.state.model import State
from rehost.stacks.state.session import Session

_BACKUPS = 20


@dataclass(frozen=True, slots=True)
class LockInfo:
    """Who holds a lock, and since when (RFC 3339 in UTC)."""

    user: str
    host: str
    pid: int
    command: str
    since: str

    @classmethod
    def here(cls, command: str) -> LockInfo:
        """This process."""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(getpass.getuser(), socket.gethostname(), os.getpid(), command, since)

    def refusal(self, what: str) -> Refused:
        """The error for whoever comes second."""
        return Refused(
            f"{what} is locked by {self.user} on {self.host} (process {self.pid}, `rehost {self.command}`)",
            why=f"it has been working there since {self.since}; two at once would undo each other's work",
            fix="wait for it; if it can't be running any more, `rehost state unlock`",
        )


class FileStore:
    """States under one folder: `<stack>/<target>.json` with journal, lock and backups beside it."""

    def __init__(self, folder: Path, passphrase: Passphrase) -> None:
        self._folder = folder
        self._passphrase = passphrase
        self.url = str(folder)

    def _path(self, stack: str, target: str, ending: str) -> Path:
        return self._folder / stack / f"{target}{ending}"

    def targets(self, stack: str) -> list[str]:
        """Targets that have a state or a journal."""
        found = [*self._folder.glob(f"{stack}/*.json"), *self._folder.glob(f"{stack}/*.journal")]
        return sorted({path.stem for path in found})

    def read(self, stack: str, target: str) -> State:
        """The state as it is, without the lock; secrets are UNKNOWN without a passphrase."""
        return self._load(stack, target, Crypter(self._passphrase), strict=False)[0]

    def _load(self, stack: str, target: str, crypter: Crypter, *, strict: bool) -> tuple[State, int]:
        path, journal = self._path(stack, target, ".json"), self._path(stack, target, ".journal")
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            entries = journal.read_bytes().decode("utf-8", "replace") if journal.exists() else ""
        except OSError as error:
            raise RehostError(f"the state in {path} can't be read", why=str(error)) from error
        if text:
            state = pulumi.parse(text, stack, target, crypter, strict=strict, where=str(path))
        else:
            state = State(stack, target)
        return state, replay(entries, state, crypter, strict=strict, where=str(journal))

    @contextmanager
    def open(self, stack: str, target: str, *, command: str) -> Iterator[Session]:
        """The state for one writer. Raises Refused, naming the holder, while somebody else writes."""
        self._make_folder(stack)
        with self._lock(stack, target, command) as taken_over:
            crypter = Crypter(self._passphrase)
            state, whole = self._load(stack, target, crypter, strict=True)
            path = self._path(stack, target, ".journal")
            if path.exists():
                _cut(path, whole)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                _sync_folder(path.parent)
                session = Session(
                    state,
                    Journal(state, crypter, lambda text: _append(handle, text), started=whole > 0),
                    recovered=whole > 0,
                    taken_over=taken_over.command if taken_over else "",
                    store=lambda: self._checkpoint(state, crypter),
                )
                try:
                    yield session
                finally:
                    session.close()
            finally:
                os.close(handle)

    def unlock(self, stack: str, target: str) -> LockInfo | None:
        """Forget a holder on another machine; answers who it was. Raises Refused if it lives on this one."""
        path = self._path(stack, target, ".lock")
        if not path.exists():
            return None
        holder = _holder(path)
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise (holder or LockInfo.here("?")).refusal(f"{stack} on {target}") from None
            file.truncate(0)
        return holder

    def _make_folder(self, stack: str) -> None:
        try:
            if not self._folder.exists():
                self._folder.mkdir(mode=0o700, parents=True)
                (self._folder / ".gitignore").write_text("*\n")
            (self._folder / stack / "backups").mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RehostError(f"the state folder {self._folder} can't be made", why=str(error)) from error

    @contextmanager
    def _lock(self, stack: str, target: str, command: str) -> Iterator[LockInfo | None]:
        path = self._path(stack, target, ".lock")
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise (_holder(path) or LockInfo.here("?")).refusal(f"{stack} on {target}") from None
            # The kernel freed the lock of a process that died here. A holder on another machine (a shared
            # folder) is not known to be dead.
            holder = _holder(path)
            if holder is not None and holder.host != socket.gethostname():
                raise holder.refusal(f"{stack} on {target}")
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(asdict(LockInfo.here(command))).encode(), 0)
            try:
                yield holder
            finally:
                os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def _checkpoint(self, state: State, crypter: Crypter) -> None:
        path = self._path(state.stack, state.target, ".json")
        text = pulumi.dump(state, crypter)
        fresh = path.with_suffix(".json.new")
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _append(handle, text)
            finally:
                os.close(handle)
            if path.exists():
                backups = path.parent / "backups"
                shutil.copy2(path, backups / f"{state.target}.{state.serial - 1:08d}.json")
                for old in sorted(backups.glob(f"{state.target}.*.json"))[:-_BACKUPS]:
                    old.unlink()
            fresh.replace(path)
            _sync_folder(path.parent)
            self._path(state.stack, state.target, ".journal").unlink(missing_ok=True)
            _sync_folder(path.parent)
        except OSError as error:
            raise RehostError(
                f"the state can't be written to {path}",
                why=str(error),
                fix="nothing is lost: it is in the journal",
            ) from error


def _holder(path: Path) -> LockInfo | None:
    try:
        text = path.read_text()
        return LockInfo(**json.loads(text)) if text else None
    except (OSError, ValueError, TypeError):
        return None


def _append(handle: int, text: str) -> None:
    data = memoryview(text.encode())
    try:
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    except OSError as error:
        raise RehostError("the journal can't be written", why=str(error), fix="make room on the disk") from error


def _cut(path: Path, characters: int) -> None:
    """Leave the first `characters` of a journal: what follows is torn, or was written into a checkpoint."""
    text = path.read_bytes().decode("utf-8", "replace")
    size = len(text[:characters].encode())
    if size != path.stat().st_size:
        with path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
