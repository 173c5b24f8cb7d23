"""One migration between two targets at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rehost.stacks.errors import Refused, RehostError
from rehost.stacks.state import LockInfo
from rehost.stacks.state.folders import make_private


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of a migration's folder; the kernel frees it however this process ends. Raises Refused."""
    try:
        make_private(folder)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RehostError(f"the folder {folder} can't be used", why=str(error)) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(
                f"{what} is being migrated already{holder(folder)}",
                why="two at once would undo each other's work",
                fix="wait for it; `rehost migrate status` shows how far it is",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(LockInfo.here("migrate"))).encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def running(folder: Path) -> bool:
    """Whether somebody holds the lock."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def holder(folder: Path) -> str:
    """Who holds it, for people; empty where that is not known."""
    try:
        info = LockInfo(**json.loads((folder / "lock").read_text()))
    except (OSError, ValueError, TypeError):
        return ""
    return f" by {info.user} on {info.host} (process {info.pid}, since {info.since})"
