"""The file store: a folder beside the stack file, one writer at a time, nothing lost at any instant."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rehost.stacks.errors import InvalidInput, RehostError
from rehost.stacks.state import folders, pulumi
from rehost.stacks.state.crypt import Crypter, Opening, Passphrase
from rehost.stacks.state.folders import ignore_in_git, make_private
from rehost.stacks.state.journal import Journal, replay
from rehost.stacks.state.lock import LockInfo
from rehost.stacks.state.model import State
from rehost.stacks.state.session import Session
from rehost.stacks.state.store import Backup

KEPT_BACKUPS = 20


class FileStore:
    """States under one folder: `<stack>/<target>.json` with journal, lock and backups beside it.

    States of a sandbox are kept apart, in the folder `sandbox` within.
    """

    def __init__(self, folder: Path, passphrase: Passphrase, *, sandbox: bool = False) -> None:
        folder = folder.resolve()
        self._top = folder
        self.folder = folder / "sandbox" if sandbox else folder
        self._passphrase = passphrase
        self.url = str(folder)

    def _path(self, stack: str, target: str, ending: str) -> Path:
        return self.folder / stack / f"{target}{ending}"

    # -- questions -----------------------------------------------------------------------------------------

    def targets(self, stack: str) -> list[str]:
        """Targets that have a state or a journal."""
        names = _names(self.folder / stack)
        found = [name.removesuffix(".json") for name in names if name.endswith(".json")]
        for name in names:
            if name.endswith(".journal") and _size(self.folder / stack / name):
                found.append(name.removesuffix(".journal"))
        return sorted(set(found))

    def read(self, stack: str, target: str) -> State:
        """The state as it is, without the lock; secrets are UNKNOWN without a passphrase."""
        return self._load(stack, target, Crypter(self._passphrase), Opening.POSSIBLE)[0]

    def export(self, stack: str, target: str, *, show_secrets: bool = False) -> str:
        """The state as Pulumi deployment JSON; secrets stay sealed unless they are asked for."""
        crypter = Crypter(self._passphrase, shown=show_secrets)
        opening = Opening.REQUIRED if show_secrets else Opening.NEVER
        return pulumi.dump(self._load(stack, target, crypter, opening)[0], crypter)

    def _load(self, stack: str, target: str, crypter: Crypter, opening: Opening) -> tuple[State, int]:
        """The state, and how many bytes of the journal belong to it.

        The journal is read before the checkpoint: if a writer folds it in between, it builds on a number that is
        past, and the checkpoint says all that it said.
        """
        path, journal = self._path(stack, target, ".json"), self._path(stack, target, ".journal")
        try:
            entries = _contents(journal)
            text = _contents(path).decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{path} is not a state that can be read",
                why="it is not UTF-8",
                fix="a backup of it is in the folder backups beside it",
            ) from error
        except OSError as error:
            raise _unreadable(path, error) from error
        if text:
            state = pulumi.parse(text, stack, target, crypter, opening, where=str(path))
        else:
            state = State(stack, target)
        return state, replay(entries, state, crypter, opening, where=str(journal))

    def moved_to(self, stack: str, target: str) -> str:
        """Where the state that was here is now; empty if it was not moved."""
        try:
            return self._path(stack, target, ".moved").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(self._path(stack, target, ".moved"), error) from error

    # -- the one writer ------------------------------------------------------------------------------------

    @contextmanager
    def open(self, stack: str, target: str, *, command: str) -> Iterator[Session]:
        """The state for one writer. Raises Refused, naming the holder, while somebody else writes."""
        self._make_folder(stack)
        with self._lock(stack, target, command) as taken_over:
            crypter = Crypter(self._passphrase)
            state, whole = self._load(stack, target, crypter, Opening.REQUIRED)
            path = self._path(stack, target, ".journal")
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            except OSError as error:
                raise _unwritable(path, error) from error
            try:
                if os.fstat(handle).st_size != whole:
                    # What follows is torn, or was folded into the state already.
                    os.ftruncate(handle, whole)
                    os.fsync(handle)
                _sync_folder(path.parent)
                session = Session(
                    state,
                    Journal(state, crypter, lambda data: _append(handle, data), started=whole > 0),
                    recovered=whole > 0,
                    taken_over=taken_over.command if taken_over else "",
                    store=lambda: self._checkpoint(state, crypter),
                    prepare_secrets=crypter.prepare,
                )
                try:
                    yield session
                finally:
                    session.close()
            finally:
                os.close(handle)

    def _make_folder(self, stack: str) -> None:
        """Folders that only their owner reads, and that git leaves alone."""
        try:
            make_private(self.folder / stack / "backups")
            if self._top.name != folders.NAME:
                ignore_in_git(self.folder / stack)  # what else is in a folder of the operator's is not ours
            for folder in (self.folder, self.folder / stack, self.folder / stack / "backups"):
                if folder.stat().st_mode & 0o077 and folder != self._top:
                    folder.chmod(0o700)
        except OSError as error:
            raise RehostError(
                f"the state folder {self.folder} can't be made",
                why=error.strerror or str(error),
                fix="give --state a folder that can be written to",
            ) from error

    @contextmanager
    def _lock(self, stack: str, target: str, command: str) -> Iterator[LockInfo | None]:
        path = self._path(stack, target, ".lock")
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise (_holder(path) or LockInfo.here("?")).refusal(stack, target) from None
            # The kernel freed the lock of a process that died here. A holder on another machine (a shared
            # folder) is not known to be dead.
            holder = _holder(path)
            if holder is not None and holder.host != socket.gethostname():
                raise holder.refusal(stack, target)
            _write_holder(handle, path, LockInfo.here(command))
            try:
                yield holder
            finally:
                os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def holder(self, stack: str, target: str) -> LockInfo | None:
        """Who holds the lock, as far as anybody does."""
        return _holder(self._path(stack, target, ".lock"))

    def unlock(self, stack: str, target: str) -> LockInfo | None:
        """Forget a holder on another machine; answers who it was. Raises Refused if it lives on this one."""
        path = self._path(stack, target, ".lock")
        holder = _holder(path)
        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise (holder or LockInfo.here("?")).refusal(stack, target) from None
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)
        return holder

    # -- checkpoints ---------------------------------------------------------------------------------------

    def _checkpoint(self, state: State, crypter: Crypter) -> None:
        path = self._path(state.stack, state.target, ".json")
        data = pulumi.dump(state, crypter).encode()
        fresh = path.with_suffix(".json.new")
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _append(handle, data)
            finally:
                os.close(handle)
            self._back_up(state.stack, state.target, state.serial - 1)
            fresh.replace(path)
            self._path(state.stack, state.target, ".moved").unlink(missing_ok=True)
            _sync_folder(path.parent)
            self._path(state.stack, state.target, ".journal").unlink(missing_ok=True)
            _sync_folder(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from error

    def _back_up(self, stack: str, target: str, serial: int) -> None:
        path = self._path(stack, target, ".json")
        if not path.exists():
            return
        kept = self._backup_path(stack, target, serial)
        kept.unlink(missing_ok=True)
        try:
            os.link(path, kept)  # a state is replaced, never written again: both names may share it
        except OSError:
            shutil.copy2(path, kept)
        for old in self._backup_paths(stack, target)[:-KEPT_BACKUPS]:
            old.unlink()

    def _backup_path(self, stack: str, target: str, serial: int) -> Path:
        return self.folder / stack / "backups" / f"{target}.{serial:08d}.json"

    def _backup_paths(self, stack: str, target: str) -> list[Path]:
        folder = self.folder / stack / "backups"
        pattern = re.compile(rf"{re.escape(target)}\.\d+\.json")
        return sorted(folder / name for name in _names(folder) if pattern.fullmatch(name))

    def backups(self, stack: str, target: str) -> Sequence[Backup]:
        """Earlier checkpoints, the oldest first."""
        paths = self._backup_paths(stack, target)
        return [Backup(int(path.name.split(".")[-2]), _size(path)) for path in paths]

    def backup(self, stack: str, target: str, serial: int) -> str:
        """The text of an earlier checkpoint. Raises InvalidInput for one that is not kept."""
        try:
            return self._backup_path(stack, target, serial).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"there is no backup {serial} of {stack} on {target}", fix="see `rehost state backups`"
            ) from error

    def retire(self, stack: str, target: str, moved_to: str) -> None:
        """Leave a pointer instead of a state that was moved; the state stays as a backup."""
        path = self._path(stack, target, ".json")
        pointer = self._path(stack, target, ".moved")
        crypter = Crypter(self._passphrase)
        state, _ = self._load(stack, target, crypter, Opening.NEVER)
        try:
            fresh = pointer.with_suffix(".moved.new")
            with fresh.open("w", encoding="utf-8") as file:
                file.write(moved_to + "\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(pointer)
            self._back_up(stack, target, state.serial)
            path.unlink(missing_ok=True)
            _sync_folder(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from error


def _names(folder: Path) -> list[str]:
    """What is in a folder; nothing if there is none. Raises RehostError where that can't be told."""
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _holder(path: Path) -> LockInfo | None:
    try:
        return LockInfo.parse(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


def _write_holder(handle: int, path: Path, holder: LockInfo) -> None:
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder.as_dict()).encode(), 0)
    except OSError as error:
        raise _unwritable(path, error) from error


def _append(handle: int, data: bytes) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    except OSError as error:
        raise RehostError(
            "the state can't be written",
            why=error.strerror or str(error),
            fix="make room on the disk and run the same command again: nothing is lost",
        ) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unreadable(path: Path, error: Exception) -> RehostError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return RehostError(f"the state in {path} can't be read", why=why, fix="check whose it is, and its mode")


def _unwritable(path: Path, error: OSError) -> RehostError:
    return RehostError(
        f"the state can't be written to {path}",
        why=error.strerror or str(error),
        fix="make the folder writable and leave room on the disk; what was journaled is not lost",
    )
