"""What an implementation of the host port supplies: files, services and a look at both.

`UnitHost` makes a Host of it. A service is one version of a unit, named `<unit>.<slot>`; the slots are `a`, `b`
and `front` (the forwarder of a unit whose versions are switched).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rehost.stacks.hosts.port import Active, Completed, HostFile, LogLine
from rehost.stacks.hosts.units import HealthCheck, UnitSpec

SLOTS = ("a", "b")
"""A new version takes the slot that the old one does not have."""


def other(slot: str) -> str:
    """The other slot."""
    return SLOTS[1 - SLOTS.index(slot)]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are on a host: all below one prefix."""

    prefix: str

    @property
    def units(self) -> str:
        """The folder of all units."""
        return f"{self.prefix}/units"

    @property
    def library(self) -> str:
        """The folder of the programs that units share."""
        return f"{self.prefix}/lib"

    def unit(self, name: str) -> str:
        """The folder of a unit."""
        return f"{self.units}/{name}"

    def record(self, name: str) -> str:
        """What was applied."""
        return f"{self.unit(name)}/unit.json"

    def held(self, name: str) -> str:
        """The mark that keeps a unit from running."""
        return f"{self.unit(name)}/held"

    def front(self, name: str) -> str:
        """Where the forwarder of a unit sends connections."""
        return f"{self.unit(name)}/front.json"

    def slot(self, name: str, slot: str) -> str:
        """The folder of one version."""
        return f"{self.unit(name)}/{slot}"

    def source(self, name: str, slot: str) -> str:
        """The working directory of one version."""
        return f"{self.slot(name, slot)}/source"

    def made(self, name: str) -> str:
        """The folder of what setups of a unit made."""
        return f"{self.prefix}/made/{name}"

    def volumes(self, name: str) -> str:
        """The folder of a unit's named volumes."""
        return f"{self.prefix}/volumes/{name}"


@dataclass(frozen=True, slots=True)
class Placed:
    """One version of a unit with all that the host chose for it. `ports` are the real ones by published port,
    `address` is where it listens."""

    spec: UnitSpec
    slot: str
    ports: Mapping[int, int]
    address: str

    @property
    def service(self) -> str:
        """The name of its service."""
        return f"{self.spec.name}.{self.slot}"

    def environment(self, layout: Layout) -> dict[str, str]:
        """All variables that it is given."""
        given = {"HOST": "0.0.0.0" if self.spec.image else self.address}
        for port in self.spec.ports:
            number = (port.target or port.port) if self.spec.image else self.ports[port.port]
            given.setdefault("PORT", str(number))
            given[f"PORT_{port.port}"] = str(number)
        for volume in self.spec.volumes:
            if volume.named:
                path = f"{layout.volumes(self.spec.name)}/{volume.source}"
                given[volume.variable] = volume.target if self.spec.image else path
        return {**given, **self.spec.environment}

    def source_files(self, layout: Layout) -> list[HostFile]:
        """Its source below its working directory; what begins with `#!` can be run."""
        folder = layout.source(self.spec.name, self.slot)
        return [
            HostFile(f"{folder}/{path}", content, 0o755 if content.startswith(b"#!") else 0o644)
            for path, content in sorted(self.spec.files.items())
        ]

    def folder(self, layout: Layout) -> str:
        """Its working directory: that of its source if it has any."""
        place = layout.source if self.spec.files else layout.slot
        return place(self.spec.name, self.slot)

    def program(self, layout: Layout) -> tuple[str, ...]:
        """Its command; a relative path of a program is one of its own files."""
        command = self.spec.command
        if command and "/" in command[0] and not command[0].startswith("/"):
            return (f"{layout.source(self.spec.name, self.slot)}/{command[0]}", *command[1:])
        return command


@dataclass(frozen=True, slots=True)
class FileFact:
    """A file as it is: SHA-256 in hex, permission bits, owner (empty where it is the one who writes)."""

    digest: str
    mode: int
    owner: str = ""


def fact_of(file: HostFile) -> FileFact:
    """What a file's description is when it is as it should be."""
    return FileFact(hashlib.sha256(file.content).hexdigest(), file.mode, file.owner)


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service as it is. `restarts` counts since it was started."""

    active: Active
    pid: int = 0
    exit_code: int | None = None
    restarts: int = 0


class Backend(Protocol):
    """One way to keep files and services on a machine. Raises HostError; see `port.Host` for the meaning of what
    has the same name there."""

    layout: Layout
    address: str
    """Where published ports are bound."""
    inner: str
    """Where versions behind a forwarder listen."""
    python: str
    """A Python interpreter of the host, 3.9 or later, without packages."""

    def render(self, placed: Placed) -> Sequence[HostFile]:
        """All files of a version."""

    def prepare(self, placed: Placed) -> None:
        """Make what is no file: users, folders of volumes."""

    def describe(self, paths: Iterable[str]) -> Mapping[str, FileFact]:
        """Files that are there."""

    def tree(self, folder: str) -> Sequence[str]:
        """Paths of all files below a folder, none where there is no folder."""

    def write(self, files: Sequence[HostFile]) -> None:
        """Write files, each atomically, with their folders."""

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Content of the files that are there."""

    def delete(self, paths: Sequence[str]) -> None:
        """Remove files, and folders with all below them; folders above that get empty go too, up to the prefix."""

    def leave(self) -> None:
        """Remove what units shared: the last one is gone."""

    def start(self, service: str, *, scheduled: bool, again: bool) -> None:
        """Start a service (its timer) now and at boot; with `again` end what runs and start it anew."""

    def stop(self, service: str) -> None:
        """Stop a service and its timer, also at boot, and wait until all its processes are gone."""

    def trigger(self, service: str) -> None:
        """Run a scheduled service now, without waiting for its end."""

    def forget(self, service: str) -> Sequence[str]:
        """The files of a stopped service outside its slot's folder, which are to be deleted with it."""

    def states(self, services: Sequence[str]) -> Mapping[str, ServiceState]:
        """The services as they are; stopped where there is none."""

    def logs(self, name: str, tail: int, since: float | None) -> Sequence[LogLine]:
        """The last lines of all versions of a unit, the oldest first."""

    def clear_logs(self, name: str) -> None:
        """Remove what a unit wrote, where the host keeps it apart."""

    def probe(self, service: str, check: HealthCheck, address: str, port: int) -> bool:
        """Whether a health check succeeds now."""

    def connections(self, ports: Iterable[int]) -> int:
        """How many connections to these ports are established."""

    def free_ports(self, count: int) -> Sequence[int]:
        """Ports that nobody listens at."""

    def hand(self, function: str, *, timeout: float = 60.0, repeat: bool = True, **arguments: Any) -> Any:
        """What a function of `programs/agent.py` answers on the host. `repeat` says that asking twice does no
        harm."""

    def keeper(self, spec: UnitSpec) -> str:
        """The user that a unit runs as, empty for the one who writes its files."""

    def run(
        self, command: Sequence[str], *, input: bytes, environment: Mapping[str, str], timeout: float
    ) -> Completed:
        """Run a command to its end."""

    def close(self) -> None:
        """Give back what is held."""
