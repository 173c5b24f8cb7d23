"""The lock of a shared store: one object, written on conditions only.

Its epoch grows with every holder. A holder renews it as a sign of life; after each of its writes it looks whether
the lock is still its own, and what it wrote counts only then. So a holder that lost the lock (it slept, and was
unlocked) can't do harm, whenever it wakes up.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from datetime import UTC, datetime
from typing import Any, ClassVar

from rehost.stacks.errors import Refused, RehostError
from rehost.stacks.state.blobs import Blob, Blobs, Conflict, put_once
from rehost.stacks.state.lock import LockInfo

RENEW_SECONDS = 20.0


class SharedLock:
    """The lock of a stack at a target, in the object `key`, renewed every `renew_s` seconds."""

    _held: ClassVar[set[str]] = set()
    """Nonces of the locks that this process has in use."""

    def __init__(self, blobs: Blobs, key: str, stack: str, target: str, *, renew_s: float = RENEW_SECONDS) -> None:
        self._blobs = blobs
        self._key = key
        self._of = (stack, target)
        self._what = f"{stack} on {target}"
        self._renew_s = renew_s
        self._holder: LockInfo | None = None
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.epoch = 0

    def look(self) -> tuple[LockInfo | None, int, str]:
        """The holder, the epoch and the last sign of life, as they are written now."""
        holder, epoch, renewed, _ = self._read()
        return holder, epoch, renewed

    def _read(self) -> tuple[LockInfo | None, int, str, Blob | None]:
        blob = self._blobs.get(self._key)
        if blob is None:
            return None, 0, "", None
        try:
            found: dict[str, Any] = json.loads(blob.data)
            return LockInfo.parse(found["holder"]), int(found["epoch"]), str(found.get("renewed", "")), blob
        except (ValueError, KeyError, TypeError) as error:
            raise RehostError(
                f"the lock of {self._what} is damaged",
                why=f"the object {self._key} in {self._blobs.url} was not written by rehost",
                fix="remove that object once nobody works on the deployment",
            ) from error

    def _put(self, holder: LockInfo | None, epoch: int, old: Blob | None) -> str:
        renewed = datetime.now(UTC).isoformat(timespec="seconds")
        told = {"epoch": epoch, "holder": holder.as_dict() if holder else None, "renewed": renewed}
        data = json.dumps(told).encode()
        return put_once(self._blobs, self._key, data, absent=old is None, match=old.tag if old else "")

    def acquire(self, command: str) -> LockInfo | None:
        """Take the lock; answers the dead process of this machine that held it, if one did. Raises Refused,
        naming the holder, while somebody else has it."""
        holder, epoch, renewed, blob = self._read()
        if holder is not None and not holder.dead and not self._left_over(holder):
            raise holder.refusal(*self._of, renewed=renewed)
        mine = LockInfo.here(command)
        try:
            self._put(mine, epoch + 1, blob)
        except Conflict:
            first, _, renewed = self.look()
            raise (first or LockInfo.here("?")).refusal(*self._of, renewed=renewed) from None
        self._holder, self.epoch = mine, epoch + 1
        self._held.add(mine.nonce)
        self._ended.clear()
        self._thread = threading.Thread(target=self._renew, name="lock", daemon=True)
        self._thread.start()
        return holder

    def _left_over(self, holder: LockInfo) -> bool:
        """Whether it is a lock of this process that it could not give back, or does not know to have got."""
        return holder.runs_here and holder.pid == os.getpid() and holder.nonce not in self._held

    def _renew(self) -> None:
        while not self._ended.wait(self._renew_s):
            # What goes wrong here is found out by `confirm`, at the next write.
            with contextlib.suppress(RehostError):
                self.renew()

    def renew(self) -> None:
        """Give a sign of life. Raises Refused if the lock is not ours any more."""
        with self._writing:
            if self._holder is None:
                return
            blob = self._mine()
            with contextlib.suppress(Conflict):
                self._put(self._holder, self.epoch, blob)

    def confirm(self) -> None:
        """Return if the lock is ours. Raises Refused if it was taken away."""
        self._mine()

    def _mine(self) -> Blob:
        holder, epoch, _, blob = self._read()
        if blob is None or epoch != self.epoch or holder is None or holder.nonce != (self._holder or holder).nonce:
            taker = f" {holder.told()} works on it now." if holder is not None else ""
            raise Refused(
                f"the lock of {self._what} was taken away",
                why=f"somebody removed it while this process did not answer.{taker}",
                fix="see `rehost status`, then run the same command again: what was done is known or is found",
            )
        return blob

    def release(self) -> None:
        """Give the lock back; one that is not ours any more is left alone, and one that can't be given back is
        taken over from this process once it is dead."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with self._writing:
            with contextlib.suppress(RehostError):
                blob = self._mine()
                self._put(None, self.epoch, blob)
            if self._holder is not None:
                self._held.discard(self._holder.nonce)
            self._holder = None

    def break_(self) -> LockInfo | None:
        """Take the lock away from whoever holds it; answers who it was. Raises Refused if it is a process of this
        machine that runs."""
        holder, epoch, renewed, blob = self._read()
        if holder is None or blob is None:
            return None
        if holder.runs_here:
            raise holder.refusal(*self._of, renewed=renewed)
        try:
            # A higher epoch, so that a holder that lives on after all finds out.
            self._put(None, epoch + 1, blob)
        except Conflict:
            raise Refused(
                f"the lock of {self._what} has just changed",
                why="its holder gave a sign of life, or somebody else took it",
                fix="look again with `rehost status`",
            ) from None
        return holder
