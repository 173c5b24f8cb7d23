"""The host port: what is asked of a machine that runs services, and the values that pass through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from rehost.stacks.errors import RehostError
from rehost.stacks.hosts.firewall import HostFirewall
from rehost.stacks.hosts.units import UnitSpec


class Active(StrEnum):
    """What a unit does at the moment."""

    RUNNING = "running"
    """A scheduled unit runs when its timer does."""
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class HostFile:
    """A file as it should be. `owner` is a user's name, empty for the one who writes."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended. `code` is its exit code, negative for the signal that ended it."""

    code: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Its output as text, without the last line's end."""
        return self.stdout.decode("utf-8", "replace").rstrip("\n")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a unit wrote. `time` is seconds since 1970."""

    time: float
    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """A unit as it is. `fingerprint` is that of the applied spec; `drift` names the files that are no longer as
    they were put; `healthy` is None where there is no health check or the unit does not run; `ports` are where
    its published ports are really served."""

    name: str
    active: Active
    held: bool
    fingerprint: str
    drift: tuple[str, ...] = ()
    healthy: bool | None = None
    pid: int = 0
    exit_code: int | None = None
    restarts: int = 0
    slot: str = ""
    owner: str = ""
    ports: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did, or would do: nothing when `changes` is empty."""

    changes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)


@dataclass(frozen=True, slots=True)
class Released:
    """How a new version came in. `interrupted` says whether there was a moment with neither version running;
    `drained` whether all connections of the old one ended by themselves."""

    changes: tuple[str, ...] = ()
    interrupted: bool = False
    drained: bool = True


class HostError(RehostError):
    """The host did not do what it was asked for, and repeating will not help."""


class HostUnreachable(HostError):
    """No answer from the host: wait and repeat. What was asked may or may not have been done."""


class HostDenied(HostError):
    """The host, or who answers at its address, is not who it should be, or does not let us in."""

    exit_code = 3


class HostGone(HostError):
    """The server is not there any more, and with it all that was on it."""


class ReleaseFailed(HostError):
    """The new version did not get healthy; the one before it serves on."""


class Host(Protocol):
    """A machine that runs units. All methods block and raise HostError; each may run in many threads, one at a
    time for the same unit. What changes something is idempotent: asked again it finds nothing left to do."""

    @property
    def name(self) -> str:
        """What people call it."""

    def apply(self, spec: UnitSpec, *, held: bool | None = None) -> Applied:
        """Make a unit what the spec says and start it; drift is repaired. None for `held` leaves a unit held or
        free as it is; a held unit's files are put, but it does not run until `enable`, not after a reboot
        either."""

    def preview(self, spec: UnitSpec, *, held: bool | None = None) -> Applied:
        """What `apply` would do."""

    def release(self, spec: UnitSpec) -> Released:
        """Bring in a new version: start, health check, switch, drain, stop; back to the version before when the
        new one does not get healthy, which raises ReleaseFailed."""

    def start(self, name: str) -> None:
        """Start a unit. Raises Refused for one that is held."""

    def stop(self, name: str) -> None:
        """Stop a unit; it stays stopped, after a reboot too, until it is started or applied."""

    def restart(self, name: str) -> None:
        """Stop and start a unit. Raises Refused for one that is held."""

    def trigger(self, name: str) -> None:
        """Run a scheduled unit now. Raises Refused for one that is held."""

    def hold(self, name: str) -> None:
        """Stop a unit and keep it from running, whoever asks, until `enable`."""

    def enable(self, name: str) -> None:
        """Let a held unit run, and start it."""

    def status(self, name: str) -> Status | None:
        """A unit as it is, None when the host has none of this name."""

    def units(self) -> Mapping[str, Status]:
        """All units by name. Health is not asked for."""

    def logs(self, name: str, *, tail: int = 100, since: float | None = None) -> Sequence[LogLine]:
        """The last lines that a unit wrote, since a time in seconds since 1970."""

    def remove(self, name: str, *, data: bool = False) -> bool:
        """Stop a unit and remove all that belongs to it; its named volumes only with `data`. Answers whether
        there was one."""

    def put(self, file: HostFile) -> bool:
        """Write a file atomically; answers whether that changed anything."""

    def fetch(self, path: str) -> bytes | None:
        """The content of a file, None when there is none."""

    def run(
        self,
        command: Sequence[str],
        *,
        input: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Completed:
        """Run a command to its end. Raises HostError when it takes longer than `timeout` seconds, and then ends
        it. Secrets belong into `input` or `environment`, which no process list shows."""

    def close(self) -> None:
        """Give back what the connection holds; units run on."""


@runtime_checkable
class FirewallHost(Protocol):
    """A host whose packet filter can be set."""

    def firewall(self, rules: HostFirewall | None) -> bool:
        """Let only the named peers reach the named ports; None removes the filter. Answers whether that changed
        anything."""

    def filtered(self, rules: HostFirewall | None) -> bool:
        """Whether the filter is just so."""
