"""Servers of the sandbox as hosts: units are processes below the server's folder, which end with the sandbox."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rehost.providers.sandbox.environment import TIED
from rehost.providers.sandbox.machines import places, specs
from rehost.stacks.graph import Value
from rehost.stacks.hosts.pool import HostPool
from rehost.stacks.hosts.port import Completed, Host, HostGone, HostUnreachable
from rehost.stacks.hosts.processes import ProcessBackend, ProcessHost


class SandboxBackend(ProcessBackend):
    """Files and processes of one server, as long as that is there and switched on."""

    def __init__(self, folder: Path, place: places.Place, tied: str, watched: bool, endpoint: str) -> None:
        units = places.units(folder, place.id)
        super().__init__(units, address=place.address, adapt=specs.adapter(folder, place, endpoint), tied=tied)
        self._place, self._machines, self._watched = place, folder, watched

    def run(
        self, command: Sequence[str], *, input: bytes, environment: Mapping[str, str], timeout: float
    ) -> Completed:
        """Run a command to its end."""
        self.here()
        return super().run(command, input=input, environment=environment, timeout=timeout)

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Content of the files that are there: what every question to a host begins with."""
        self.here()
        return super().read(paths)

    def here(self) -> None:
        """Raise HostGone or HostUnreachable for a server that could not answer."""
        if not self._watched:
            return
        now = places.read(self._machines, self._place.id)
        if now is None:
            raise HostGone(f"server {self._place.name} is not there any more")
        if not now.on:
            raise HostUnreachable(f"server {self._place.name} does not answer", why="it is switched off")


class SandboxHost(ProcessHost):
    """One server of the sandbox. What it connects to it knows by the provider's names."""

    def __init__(self, folder: Path, place: places.Place, watched: bool, endpoint: str) -> None:
        super().__init__(place.name, places.units(folder, place.id), address=place.address)
        self.backend = SandboxBackend(folder, place, str(folder.parent.parent / TIED), watched, endpoint)
        self._machines, self._place = folder, place

    @contextmanager
    def tunnel(self, address: str, port: int) -> Iterator[tuple[str, int]]:
        """A way through it, from its own address."""
        known = places.names(self._machines, self._place.networks)
        with super().tunnel(specs.renamed(address, known), port) as near:
            yield near


def host(folder: Path, place: places.Place, *, watched: bool = True, endpoint: str = "") -> ProcessHost:
    """A server that is there, or (not `watched`) was a moment ago. Its processes end with the
    sandbox."""
    return SandboxHost(folder, place, watched, endpoint)


def in_sandbox(folder: Path, endpoint: str = "") -> HostPool:
    """The servers of one provider, by their ids. `connection` is not needed; `endpoint` is where the stand-in for
    the provider's object storage is."""

    def connect(server: str, connection: Mapping[str, Value]) -> Host:
        del connection
        place = places.read(folder, server)
        if place is None:
            raise HostGone(f"the sandbox has no server {server}")
        return host(folder, place, endpoint=endpoint)

    return HostPool(connect)
