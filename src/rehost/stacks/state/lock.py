"""Who holds a state: written where others see it, and judged by whether that process can still be running."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from rehost.stacks.errors import Refused


@dataclass(frozen=True, slots=True)
class LockInfo:
    """Who holds a lock, and since when (RFC 3339 in UTC).

    `machine` tells machines and their boots apart, `started` a process from a later one with the same number;
    both are empty where the system does not say. `nonce` makes every holder another one.
    """

    user: str
    host: str
    pid: int
    command: str
    since: str
    machine: str = ""
    started: str = ""
    nonce: str = ""

    @classmethod
    def here(cls, command: str) -> LockInfo:
        """This process."""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        pid = os.getpid()
        return cls(_user(), socket.gethostname(), pid, command, since, machine(), _started(pid), uuid.uuid4().hex)

    @classmethod
    def parse(cls, found: Any) -> LockInfo | None:
        """The holder in what was read; None for anything that is none."""
        if not isinstance(found, Mapping):
            return None
        known = {field.name for field in fields(cls)}
        try:
            return cls(**{key: value for key, value in found.items() if key in known})
        except TypeError:
            return None

    def as_dict(self) -> dict[str, Any]:
        """For a file or an object."""
        return asdict(self)

    @property
    def dead(self) -> bool:
        """Whether it is known to be over: it was a process of this machine that is not there any more."""
        if not self.machine or self.machine != machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return bool(self.started) and self.started != _started(self.pid)

    @property
    def runs_here(self) -> bool:
        """Whether it is known to run: a living process of this machine."""
        return bool(self.machine) and self.machine == machine() and not self.dead

    def told(self) -> str:
        """For people: who, where, what."""
        return f"{self.user} on {self.host} (process {self.pid}, `rehost {self.command}`)"

    def refusal(self, stack: str, target: str, *, renewed: str = "") -> Refused:
        """The error for whoever comes second. `renewed` is its last sign of life."""
        last = f", last heard of at {renewed}" if renewed and renewed != self.since else ""
        return Refused(
            f"{stack} on {target} is locked by {self.told()}",
            why=f"it has been working there since {self.since}{last}; two at once would undo each other's work",
            fix=f"wait for it; if it can't be running any more, `rehost state unlock --on {target}`",
        )


@cache
def machine() -> str:
    """This machine, where the system says so since its last start and with containers told apart; empty where it
    does not say anything."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        node = uuid.getnode()
        drawn = node >> 40 & 1  # no network card has this bit: the number was made up for this process
        return "" if drawn else f"{socket.gethostname()}/{node:012x}"


def _started(pid: int) -> str:
    """When a process started, in ticks since the boot (proc(5), field 22)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        return str(os.getuid())
