"""A host on this machine: units are groups of processes below one folder, which live on when rehost ends.

Every version has a supervisor (`programs/supervise.py`) that starts it again and keeps its log. Nothing here is
for production servers: limits and users are not enforced, images run only where `images` says what stands for
them, and nothing starts by itself when the machine boots. Needs /proc (Linux).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.backend import FileFact, Layout, Placed, ServiceState
from rehost.stacks.hosts.port import Active, Completed, HostError, HostFile, LogLine
from rehost.stacks.hosts.programs import agent
from rehost.stacks.hosts.programs.supervise import MARK, birth
from rehost.stacks.hosts.streams import LocalStreams
from rehost.stacks.hosts.unithost import UnitHost
from rehost.stacks.hosts.units import HealthCheck, UnitSpec

LOG_SIZE, LOG_KEEP = 1024 * 1024, 3


class ProcessBackend:
    """Files and process groups below `folder`; units listen at `address` (any of 127.0.0.0/8 on Linux).

    `images` turns a unit with an image into one with a command, `adapt` any unit into one that fits this machine.
    Units end once nobody holds the lock of the file `tied`. Where a slot's supervisor was killed, what it
    started is still found: by its number and birth, and by a mark in its environment.
    """

    def __init__(
        self,
        folder: Path,
        *,
        address: str = "127.0.0.1",
        images: Callable[[UnitSpec], UnitSpec] | None = None,
        adapt: Callable[[UnitSpec], UnitSpec] | None = None,
        tied: str = "",
    ) -> None:
        self.layout = Layout(str(folder.absolute()))
        self.address = self.inner = address
        self.python = sys.executable
        self._images, self._adapt, self._tied = images, adapt, tied

    # -- files -------------------------------------------------------------------------------------------------

    def render(self, placed: Placed) -> Sequence[HostFile]:
        """The source, and all that the supervisor needs to know."""
        if self._adapt is not None:
            placed = replace(placed, spec=self._adapt(placed.spec))
        spec = placed.spec
        if spec.image:
            if self._images is None:
                raise InvalidInput(
                    f"unit {spec.name}: image {spec.image} can't run on this host",
                    why="units are plain processes here",
                    fix="give it a command and files",
                )
            placed = replace(placed, spec=self._images(spec))
        defaults = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        service = {
            "command": placed.program(self.layout),
            "environment": {**defaults, **placed.environment(self.layout)},
            "folder": placed.folder(self.layout),
            "restart": spec.restart.value,
            "schedule": spec.schedule and [spec.schedule.cron, spec.schedule.timezone],
            "grace": spec.stop_grace,
            "held": self.layout.held(spec.name),
            "tied": self._tied,
            "log": {"path": f"{self.layout.unit(spec.name)}/log", "size": LOG_SIZE, "keep": LOG_KEEP},
        }
        folder = self.layout.slot(spec.name, placed.slot)
        content = json.dumps(service, sort_keys=True).encode()
        return [*placed.source_files(self.layout), HostFile(f"{folder}/service.json", content, 0o600)]

    def prepare(self, placed: Placed) -> None:
        """Folders of volumes."""
        for volume in placed.spec.volumes:
            if volume.named:
                agent.folder(f"{self.layout.volumes(placed.spec.name)}/{volume.source}", 0o750, "")

    def keeper(self, spec: UnitSpec) -> str:
        """All units run as whoever started them."""
        del spec
        return ""

    def hand(self, function: str, *, timeout: float = 60.0, repeat: bool = True, **arguments: Any) -> Any:
        """What the agent answers in this process."""
        del timeout, repeat
        try:
            return agent.FUNCTIONS[function](**arguments)
        except (OSError, LookupError) as error:
            raise HostError(str(error), why=type(error).__name__) from error

    def describe(self, paths: Iterable[str]) -> Mapping[str, FileFact]:
        """Files that are there."""
        with _doing("look at files"):
            return {path: FileFact(*fact) for path, fact in agent.describe(list(paths)).items()}

    def tree(self, folder: str) -> Sequence[str]:
        """Paths of all files below a folder."""
        with _doing(f"list {folder}"):
            return agent.tree(folder)

    def write(self, files: Sequence[HostFile]) -> None:
        """Write files, each atomically."""
        with _doing("write files"):
            agent.write([(file.path, file.content, file.mode, file.owner) for file in files])

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Content of the files that are there."""
        with _doing("read files"):
            return agent.read(list(paths))

    def delete(self, paths: Sequence[str]) -> None:
        """Remove files and folders, and what gets empty above them."""
        with _doing("remove files"):
            agent.delete(paths, self.layout.prefix)

    def leave(self) -> None:
        """Remove the shared programs."""
        self.delete([self.layout.library])

    # -- services ----------------------------------------------------------------------------------------------

    def start(self, service: str, *, scheduled: bool, again: bool) -> None:
        """Leave a supervisor behind."""
        del scheduled
        if not again and self.states([service])[service].active is Active.RUNNING:
            return
        self.stop(service)
        supervisor = Path(__file__).parent / "programs" / "supervise.py"
        run = subprocess.run(
            [sys.executable, "-I", str(supervisor), str(self._folder(service))],
            env={"PATH": os.environ.get("PATH", os.defpath), MARK: str(self._folder(service))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if run.returncode and run.stdout != "held":
            raise HostError(f"{service} can't be started", why=(run.stdout or run.stderr).strip()[-500:])

    def stop(self, service: str) -> None:
        """End the supervisor and all that it started."""
        folder = self._folder(service)
        state = self._state(folder)
        if state:
            grace = self._described(folder).get("grace", 0.0)
            _signal(state["supervisor"], signal.SIGTERM, grace + 10)
        self._kill(folder, state)

    def trigger(self, service: str) -> None:
        """Let the supervisor run its command now."""
        state = self._state(self._folder(service))
        if not state or not _signal(state["supervisor"], signal.SIGUSR1, 0):
            raise HostError(f"{service} does not run", fix="start the unit first")

    def forget(self, service: str) -> Sequence[str]:
        """Nothing is outside the slot's folder."""
        del service
        return ()

    def states(self, services: Sequence[str]) -> Mapping[str, ServiceState]:
        """The services as their supervisors tell, if they live."""
        return {service: self._look(self._folder(service)) for service in services}

    def _look(self, folder: Path) -> ServiceState:
        state = self._state(folder)
        if not state:
            return ServiceState(Active.STOPPED)
        pid, born = state["child"]
        supervised = _lives(state["supervisor"])
        runs = bool(pid) and birth(pid) == born != ""
        ended = state["exit_code"]
        if supervised and (runs or state["waiting"]):
            active = Active.RUNNING
        elif supervised or runs or ended not in (None, 0, -signal.SIGTERM):
            active = Active.FAILED
        else:
            active = Active.STOPPED
        return ServiceState(active, pid if runs else 0, ended, state["restarts"])

    def _folder(self, service: str) -> Path:
        name, _, slot = service.rpartition(".")
        return Path(self.layout.slot(name, slot))

    def _state(self, folder: Path) -> dict[str, Any] | None:
        return self._json(folder / "state.json")

    def _described(self, folder: Path) -> dict[str, Any]:
        return self._json(folder / "service.json") or {}

    def _json(self, path: Path) -> dict[str, Any] | None:
        """What a file of ours says; None where somebody removed or spoiled it."""
        with contextlib.suppress(ValueError):
            for content in self.read([str(path)]).values():
                found = json.loads(content)
                return found if isinstance(found, dict) else None
        return None

    def _kill(self, folder: Path, state: object) -> None:
        """End what is left of a service: what its file names, and whatever carries its mark."""
        if isinstance(state, dict):
            for known in (state.get("supervisor"), state.get("child")):
                if known:
                    _signal(known, signal.SIGKILL, 5)
        mark = f"{MARK}={folder}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and mark in _environ(entry):
                _signal([int(entry.name), birth(int(entry.name))], signal.SIGKILL, 5)

    # -- looks and commands ------------------------------------------------------------------------------------

    def logs(self, name: str, tail: int, since: float | None) -> Sequence[LogLine]:
        """The last lines of the log and of the older ones."""
        base = f"{self.layout.unit(name)}/log"
        lines: list[LogLine] = []
        for path in [base, *(f"{base}.{number}" for number in range(1, LOG_KEEP + 1))]:
            content = self.read([path]).get(path, b"").decode("utf-8", "replace")
            lines = [_line(text) for text in content.split("\n") if text] + lines
            if len(lines) >= tail:
                break
        lines = [line for line in lines if since is None or line.time >= since]
        return lines[-tail:] if tail else []

    def clear_logs(self, name: str) -> None:
        """Logs are in the unit's folder."""

    def probe(self, service: str, check: HealthCheck, address: str, port: int) -> bool:
        """Whether a health check succeeds now."""
        if not check.command:
            if check.path:
                return agent.http_ok(address, port, check.path, check.timeout)
            return agent.tcp_ok(address, port, check.timeout)
        described = self._described(self._folder(service))
        try:
            run = subprocess.run(
                check.command,
                cwd=described.get("folder", "/"),
                env=described.get("environment", {}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=check.timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return run.returncode == 0

    def connections(self, ports: Iterable[int]) -> int:
        """Established connections to these ports of this machine."""
        return agent.connections(list(ports))

    def free_ports(self, count: int) -> Sequence[int]:
        """Ports that nobody listens at."""
        return agent.free(count)

    def run(
        self, command: Sequence[str], *, input: bytes, environment: Mapping[str, str], timeout: float
    ) -> Completed:
        """Run a command to its end, in a group of its own that ends with it."""
        try:
            ended = agent.run(command, input, dict(environment), timeout)
        except TimeoutError as error:
            raise HostError(str(error)) from error
        except OSError as error:
            raise HostError(f"{command[0]} can't be run", why=str(error)) from error
        return Completed(ended["code"], ended["out"], ended["err"])

    def close(self) -> None:
        """Nothing is held."""


class ProcessHost(UnitHost, LocalStreams):
    """A Host and StreamHost of processes on this machine; see `ProcessBackend`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        address: str = "127.0.0.1",
        images: Callable[[UnitSpec], UnitSpec] | None = None,
        wait: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name, ProcessBackend(folder, address=address, images=images), wait=wait, now=now)
        self.address = address


@contextlib.contextmanager
def _doing(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, LookupError) as error:
        raise HostError(f"this machine did not {what}", why=str(error)) from error


def _lives(known: object) -> bool:
    assert isinstance(known, list)
    return bool(known[0]) and birth(known[0]) == known[1] != ""


def _signal(known: object, number: int, wait_s: float) -> bool:
    """Send a signal to a process if it is still the one that is meant, and wait for its end, at most so long."""
    assert isinstance(known, list)
    if not known[0]:
        return False
    try:
        handle = os.pidfd_open(known[0])
    except OSError:
        return False
    try:
        if birth(known[0]) != known[1] or not known[1]:
            return False
        signal.pidfd_send_signal(handle, number)
        if wait_s:
            select.select([handle], [], [], wait_s)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _environ(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _line(text: str) -> LogLine:
    stamp, _, rest = text.partition(" ")
    try:
        return LogLine(float(stamp), rest)
    except ValueError:
        return LogLine(0.0, text)
