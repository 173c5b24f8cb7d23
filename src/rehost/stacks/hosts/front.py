"""The forwarder of a unit whose versions are switched: a service that listens at the published ports and sends
each new connection to the version that its file names. Connections that are open stay where they are."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping

from rehost.stacks.hosts.backend import Backend, Placed
from rehost.stacks.hosts.port import HostFile
from rehost.stacks.hosts.units import UnitSpec


def program(name: str) -> bytes:
    """A program that runs on hosts by itself, with nothing but Python's standard library."""
    return importlib.resources.files("rehost.stacks.hosts.programs").joinpath(name).read_bytes()


def front_spec(placed: Placed, backend: Backend) -> UnitSpec:
    """The forwarder of a version as a unit."""
    layout = backend.layout
    command = (backend.python, "-I", f"{layout.library}/forward.py", layout.front(placed.spec.name))
    return UnitSpec(name=placed.spec.name, command=command, ports=placed.spec.ports)


def front_files(backend: Backend, placed: Placed) -> list[HostFile]:
    """All files of the forwarder; the one that says where to send connections comes last."""
    spec = front_spec(placed, backend)
    front = Placed(spec, "front", {port.port: port.port for port in spec.ports}, backend.address)
    return [
        HostFile(f"{backend.layout.library}/forward.py", program("forward.py")),
        *backend.render(front),
        route(backend, placed),
    ]


def route(backend: Backend, placed: Placed) -> HostFile:
    """The file whose change switches a unit to a version."""
    return route_to(backend, placed.spec.name, placed.ports)


def route_to(backend: Backend, name: str, served: Mapping[int, int]) -> HostFile:
    """The same, by the real ports of published ones."""
    ports = {str(published): [backend.inner, real] for published, real in sorted(served.items())}
    content = json.dumps({"listen": backend.address, "ports": ports}, sort_keys=True).encode()
    return HostFile(backend.layout.front(name), content)
