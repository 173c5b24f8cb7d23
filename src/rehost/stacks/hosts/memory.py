"""A host in memory: for plans, rehearsals and tests of everything above the port."""

from __future__ import annotations

import json
import posixpath
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rehost.stacks.hosts.backend import FileFact, Layout, Placed, ServiceState, fact_of
from rehost.stacks.hosts.firewall import HostFirewall
from rehost.stacks.hosts.port import Active, Completed, HostError, HostFile, LogLine
from rehost.stacks.hosts.unithost import UnitHost
from rehost.stacks.hosts.units import HealthCheck, UnitSpec


@dataclass
class MemoryBackend:
    """Files in a dictionary and services that only say that they run. `verdict` is given the environment of a
    version and decides whether it is healthy; `runner` carries out commands."""

    verdict: Callable[[Mapping[str, str]], bool] = lambda environment: True
    runner: Callable[[Sequence[str], bytes, Mapping[str, str]], Completed] | None = None
    address: str = "127.0.0.1"
    inner: str = "127.0.0.1"
    python: str = "/usr/bin/python3"

    def __post_init__(self) -> None:
        self.layout = Layout("/opt/rehost")
        self.contents: dict[str, HostFile] = {}
        self.running: dict[str, ServiceState] = {}
        self.lines: dict[str, list[LogLine]] = {}
        self.filter: HostFirewall | None = None
        self._next = 20000
        self._lock = threading.RLock()

    def render(self, placed: Placed) -> Sequence[HostFile]:
        """The service with all its variables, and its source."""
        told = {
            "image": placed.spec.image,
            "command": placed.program(self.layout),
            "environment": placed.environment(self.layout),
            "schedule": placed.spec.schedule and [placed.spec.schedule.cron, placed.spec.schedule.timezone],
        }
        folder = self.layout.slot(placed.spec.name, placed.slot)
        service = HostFile(f"{folder}/service.json", json.dumps(told, sort_keys=True).encode(), 0o600)
        return [*placed.source_files(self.layout), service]

    def prepare(self, placed: Placed) -> None:
        """Volumes are files that mark their folder."""
        for volume in placed.spec.volumes:
            path = f"{self.layout.volumes(placed.spec.name)}/{volume.source}/.volume"
            if volume.named and path not in self.contents:
                self.write([HostFile(path, b"")])

    def keeper(self, spec: UnitSpec) -> str:
        """There is one user."""
        del spec
        return ""

    def hand(self, function: str, *, timeout: float = 60.0, repeat: bool = True, **arguments: Any) -> Any:
        """Setups end well, or as the runner says, and leave nothing."""
        del timeout, repeat
        if function == "run":
            done = Completed(0, b"", b"")
            if self.runner is not None:
                done = self.runner(arguments["command"], arguments["content"], arguments["environment"])
            return {"code": done.code, "out": done.stdout, "err": done.stderr}
        if function == "made":
            return {"links": {}, "wrong": []} if self.tree(arguments["stage"]) else None
        if function == "prune":
            folder, keep = arguments["folder"], arguments["keep"]
            self.delete([path for path in self.tree(folder) if not path.startswith(f"{folder}/{keep}/")])
        return None

    def describe(self, paths: Iterable[str]) -> Mapping[str, FileFact]:
        """Files that are there."""
        with self._lock:
            return {path: fact_of(self.contents[path]) for path in paths if path in self.contents}

    def tree(self, folder: str) -> Sequence[str]:
        """Paths of all files below a folder."""
        with self._lock:
            return sorted(path for path in self.contents if path.startswith(folder + "/"))

    def write(self, files: Sequence[HostFile]) -> None:
        """Write files."""
        with self._lock:
            self.contents.update((posixpath.normpath(file.path), file) for file in files)

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Content of the files that are there."""
        with self._lock:
            return {path: self.contents[path].content for path in paths if path in self.contents}

    def delete(self, paths: Sequence[str]) -> None:
        """Remove files and folders."""
        with self._lock:
            for path in paths:
                for found in [*self.tree(path), path]:
                    self.contents.pop(found, None)

    def leave(self) -> None:
        """Remove the shared programs."""
        self.delete([self.layout.library])

    def start(self, service: str, *, scheduled: bool, again: bool) -> None:
        """Let a service say that it runs."""
        del scheduled
        with self._lock:
            if again or self.states([service])[service].active is not Active.RUNNING:
                self._next += 1
                self.running[service] = ServiceState(Active.RUNNING, pid=self._next)
                name = service.split(".")[0]
                self.lines.setdefault(name, []).append(LogLine(time.time(), f"{service} started"))

    def stop(self, service: str) -> None:
        """Let a service say that it does not run."""
        with self._lock:
            self.running.pop(service, None)

    def crash(self, service: str, code: int = 1) -> None:
        """Let a service end by itself."""
        with self._lock:
            self.running[service] = replace(self.running[service], active=Active.FAILED, pid=0, exit_code=code)

    def trigger(self, service: str) -> None:
        """Write that a scheduled service ran."""
        with self._lock:
            self.lines.setdefault(service.split(".")[0], []).append(LogLine(time.time(), f"{service} ran"))

    def forget(self, service: str) -> Sequence[str]:
        """Nothing is outside the slot's folder."""
        del service
        return ()

    def states(self, services: Sequence[str]) -> Mapping[str, ServiceState]:
        """The services as they are."""
        with self._lock:
            return {service: self.running.get(service, ServiceState(Active.STOPPED)) for service in services}

    def logs(self, name: str, tail: int, since: float | None) -> Sequence[LogLine]:
        """The last lines of a unit."""
        with self._lock:
            lines = [line for line in self.lines.get(name, ()) if since is None or line.time >= since]
            return lines[-tail:] if tail else []

    def clear_logs(self, name: str) -> None:
        """Forget what a unit wrote."""
        self.lines.pop(name, None)

    def probe(self, service: str, check: HealthCheck, address: str, port: int) -> bool:
        """What the verdict says of the service's variables."""
        del check, address, port
        name, _, slot = service.rpartition(".")
        content = self.read([f"{self.layout.slot(name, slot)}/service.json"])
        running = self.states([service])[service].active is Active.RUNNING
        return running and all(self.verdict(json.loads(text)["environment"]) for text in content.values())

    def connections(self, ports: Iterable[int]) -> int:
        """Nobody connects to what is not there."""
        del ports
        return 0

    def free_ports(self, count: int) -> Sequence[int]:
        """The next numbers."""
        with self._lock:
            self._next += count
            return list(range(self._next - count, self._next))

    def run(
        self, command: Sequence[str], *, input: bytes, environment: Mapping[str, str], timeout: float
    ) -> Completed:
        """What the runner answers."""
        del timeout
        if self.runner is None:
            raise HostError("a host in memory runs no commands", fix="give it a runner")
        return self.runner(command, input, environment)

    def close(self) -> None:
        """Nothing is held."""


class MemoryHost(UnitHost):
    """A Host and a FirewallHost in memory; it waits for nothing."""

    backend: MemoryBackend

    def __init__(self, name: str = "in-memory", backend: MemoryBackend | None = None) -> None:
        ticks = [0.0]
        super().__init__(
            name,
            backend or MemoryBackend(),
            wait=lambda seconds: ticks.append(ticks.pop() + seconds),
            now=lambda: ticks[0],
        )

    def firewall(self, rules: HostFirewall | None) -> bool:
        """Keep the rules."""
        changed = not self.filtered(rules)
        self.backend.filter = rules
        return changed

    def filtered(self, rules: HostFirewall | None) -> bool:
        """Whether these are the rules."""
        return self.backend.filter == rules
