"""One bench for each implementation of the host port; the suite in test_hosts.py runs on all of them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine
import pytest

from rehost.stacks.hosts.memory import MemoryBackend, MemoryHost
from rehost.stacks.hosts.processes import ProcessHost
from rehost.stacks.hosts.programs import agent
from rehost.stacks.hosts.ssh import SshAddress
from rehost.stacks.hosts.systemd import SystemdHost
from rehost.stacks.hosts.unithost import UnitHost
from rehost.stacks.hosts.units import HealthCheck, Order, Port, UnitSpec

QUICK = HealthCheck(path="/healthz", interval=0.05, timeout=2, retries=3, start_period=5)

ODD = "two\nlines \"quoted\" 'single' $HOME ${X} $$ %n %% \\ back\\n tab\t `tick` # no comment; ünï 漢 😀 \r end "
"""A value with everything in it that somebody might take for something else."""


@dataclass
class Bench:
    """A host with what tests need around it. `real` says that units are processes one can talk to."""

    host: UnitHost
    port: Callable[[], int]
    real: bool = True
    extra: dict[str, Any] = field(default_factory=dict)

    def web(self, name: str = "web", version: str = "1", **changes: Any) -> UnitSpec:
        """A small web service that tells its version; BROKEN=1 keeps it from getting healthy."""
        environment = {"VERSION": version, **changes.pop("environment", {})}
        given: dict[str, Any] = {
            "command": (self.host.backend.python, "app.py"),
            "files": {"app.py": APP},
            "ports": (Port(self.extra.setdefault(f"port {name}", self.port())),),
            "health": QUICK,
            "drain": 5.0,
            **changes,
        }
        return UnitSpec(name=name, environment=environment, **given)

    def connect(self, name: str = "web") -> http.client.HTTPConnection:
        """A connection that is kept open, and was used once."""
        connection = http.client.HTTPConnection(self.host.backend.address, self.extra[f"port {name}"], timeout=10)
        connection.request("GET", "/")
        connection.getresponse().read()
        return connection

    def get(self, path: str = "/", name: str = "web") -> bytes:
        """What the service answers to a new client."""
        url = f"http://{self.host.backend.address}:{self.extra[f'port {name}']}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bytes(answer.read())

    def until(self, done: Callable[[], object], seconds: float = 20.0) -> None:
        """Look again and again until something holds."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                if done():
                    return
            assert time.monotonic() < end, "it did not come to be"
            threading.Event().wait(0.02)

    def swapped(self, version: str = "1", **changes: Any) -> UnitSpec:
        """The same with versions that are switched."""
        return self.web(version=version, order=Order.START_FIRST, **changes)


APP = b"""
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        broken = os.environ.get("BROKEN") == "1"
        body = (os.environ["VERSION"] if self.path != "/env" else os.environ.get("ODD", "")).encode()
        self.send_response(503 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass
print("version", os.environ["VERSION"], "token", os.environ.get("TOKEN"), flush=True)
server = http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler)
server.serve_forever()
"""


def memory() -> Iterator[Bench]:
    backend = MemoryBackend(verdict=lambda environment: environment.get("BROKEN") != "1")
    ports = iter(range(8000, 9000))
    yield Bench(MemoryHost("memory", backend), lambda: next(ports), real=False)


def processes() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="rehost-hosts-") as folder:
        host = ProcessHost("local", Path(folder), address="127.77.3.1")
        try:
            yield Bench(host, lambda: agent.free(1)[0])
        finally:
            for name in host.units():
                host.remove(name, data=True)


@functools.cache
def the_machine() -> machine.Machine:
    """One for all tests of a run."""
    started = machine.boot()
    atexit.register(started.stop)
    return started


def ssh() -> Iterator[Bench]:
    if machine.missing():
        pytest.skip(f"a machine with SSH and systemd {machine.missing()}")
    there = the_machine()
    address = SshAddress("127.0.0.1", (there.host_key,), port=there.port, private_key=there.private_key)
    host = SystemdHost("far", address)
    host.backend.address = host.backend.inner = "127.0.0.1"
    try:
        yield Bench(host, lambda: agent.free(1)[0])
    finally:
        for name in host.units():
            host.remove(name, data=True)
        host.run(["rm", "-rf", host.backend.layout.prefix])
        host.close()


BENCHES: dict[str, Callable[[], Iterator[Bench]]] = {"memory": memory, "processes": processes, "ssh": ssh}
