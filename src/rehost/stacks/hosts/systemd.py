"""A host with systemd, reached over SSH: Debian or Ubuntu.

Units become systemd services below the prefix and in the folder of unit files, containers run by podman or docker.
What is left on purpose when a unit is removed: its named volumes unless told otherwise, the images that were
pulled, and what the journal keeps.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rehost.stacks.hosts.backend import FileFact, Layout, Placed, ServiceState
from rehost.stacks.hosts.firewall import TABLE, HostFirewall, nftables
from rehost.stacks.hosts.port import Active, Completed, HostError, HostFile, HostUnreachable, LogLine
from rehost.stacks.hosts.ssh import Ssh, SshAddress
from rehost.stacks.hosts.sshstreams import SshStreams
from rehost.stacks.hosts.unitfiles import USER, environment_of, identifier, unit_files, unit_name, volume_folders
from rehost.stacks.hosts.unithost import UnitHost
from rehost.stacks.hosts.units import HealthCheck, UnitSpec

_GECOS = "rehost units"
"""Marks the users that were made for units, so that only those are removed."""
_PULL_S = 900.0
_SHOWN = "Id,ActiveState,SubState,MainPID,ExecMainCode,ExecMainStatus,NRestarts,UnitFileState,NeedDaemonReload"


class SystemdBackend:
    """Files and systemd services of the machine at the other end of `ssh`."""

    def __init__(
        self,
        ssh: Ssh,
        *,
        prefix: str = "/opt/rehost",
        unit_folder: str = "/etc/systemd/system",
        address: str = "0.0.0.0",
    ) -> None:
        self.ssh = ssh
        self.layout = Layout(prefix)
        self.unit_folder = unit_folder
        self.address = address
        self.inner = "127.0.0.1"
        self.python = "/usr/bin/python3"
        self._engine = ""

    # -- files -------------------------------------------------------------------------------------------------

    def render(self, placed: Placed) -> Sequence[HostFile]:
        """Unit files, variables and source."""
        return unit_files(
            placed, self.layout, self.unit_folder, self._container_engine() if placed.spec.image else ""
        )

    def prepare(self, placed: Placed) -> None:
        """Users, folders of volumes, and the image, so that a start does not wait for a download."""
        spec = placed.spec
        user = self.keeper(spec)
        if user and user != "root" and not spec.image and self._run(["id", "-u", user]).code:
            self._must(
                ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "-c", _GECOS, user]
            )
        for folder in volume_folders(spec, self.layout):
            self.ssh.ask("folder", path=folder, mode=0o750, owner="" if spec.image or user == "root" else user)
        if spec.image:
            engine = self._container_engine()
            if self._run([engine, "image", "inspect", spec.image]).code:
                self._must([engine, "pull", "--quiet", spec.image], timeout=_PULL_S)

    def keeper(self, spec: UnitSpec) -> str:
        """The named user, or the one that is made for processes."""
        return spec.user or ("" if spec.image else USER)

    def hand(self, function: str, *, timeout: float = 60.0, repeat: bool = True, **arguments: Any) -> Any:
        """What the agent on the server answers."""
        return self.ssh.ask(function, timeout=timeout, repeat=repeat, **arguments)

    def _container_engine(self) -> str:
        if not self._engine:
            found: Mapping[str, str] = self.ssh.ask("which", names=["podman", "docker"])
            if not found:
                raise HostError(
                    f"{self.ssh.address} can't run images",
                    why="it has neither podman nor docker",
                    fix="apt-get install podman, or make the server with rehost's cloud-init",
                )
            self._engine = next(iter(found.values()))
        return self._engine

    def describe(self, paths: Iterable[str]) -> Mapping[str, FileFact]:
        """Files that are there."""
        wanted = list(paths)
        return (
            {path: FileFact(*fact) for path, fact in self.ssh.ask("describe", paths=wanted).items()}
            if wanted
            else {}
        )

    def tree(self, folder: str) -> Sequence[str]:
        """Paths of all files below a folder."""
        return list(self.ssh.ask("tree", folder=folder))

    def write(self, files: Sequence[HostFile]) -> None:
        """Write files, each atomically."""
        self.ssh.ask("write", files=[(file.path, file.content, file.mode, file.owner) for file in files])

    def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Content of the files that are there."""
        wanted = list(paths)
        found: Mapping[str, bytes] = self.ssh.ask("read", paths=wanted) if wanted else {}
        return found

    def delete(self, paths: Sequence[str]) -> None:
        """Remove files and folders, and what gets empty above them."""
        self.ssh.ask("delete", paths=list(paths), keep=self.layout.prefix)
        if any(path.startswith(self.unit_folder) for path in paths):
            self._must(["systemctl", "daemon-reload"])

    def leave(self) -> None:
        """Remove the shared programs, and the user that was made for units."""
        self.delete([self.layout.library])
        known = self._run(["getent", "passwd", USER])
        if known.code == 0 and known.text.split(":")[4] == _GECOS:
            self._must(["userdel", USER])

    # -- services ----------------------------------------------------------------------------------------------

    def start(self, service: str, *, scheduled: bool, again: bool) -> None:
        """Enable and start a service or its timer."""
        unit = unit_name(service, "timer" if scheduled else "service")
        shown = self._show([unit])[unit]
        if shown.get("UnitFileState") == "disabled":
            self._must(["systemctl", "enable", "--no-reload", "--quiet", unit])
        if shown.get("NeedDaemonReload") == "yes":
            self._must(["systemctl", "daemon-reload"])
        if again or shown.get("ActiveState") != "active" or shown.get("SubState") == "exited":
            self._must(["systemctl", "restart", unit], timeout=120.0)

    def stop(self, service: str) -> None:
        """Stop and disable a service and its timer."""
        units = [unit_name(service, "timer"), unit_name(service)]
        shown = self._show(units)
        active = [unit for unit in units if shown[unit].get("ActiveState") not in ("inactive", "failed")]
        enabled = [unit for unit in units if shown[unit].get("UnitFileState") == "enabled"]
        failed = [unit for unit in units if shown[unit].get("ActiveState") == "failed"]
        if active:
            self._must(["systemctl", "stop", *active], timeout=600.0)
        if enabled:
            self._must(["systemctl", "disable", "--no-reload", "--quiet", *enabled])
        if failed:
            self._must(["systemctl", "reset-failed", *failed])

    def trigger(self, service: str) -> None:
        """Start the scheduled service without waiting."""
        self._must(["systemctl", "start", "--no-block", unit_name(service)])

    def forget(self, service: str) -> Sequence[str]:
        """The unit files."""
        return [f"{self.unit_folder}/{unit_name(service, kind)}" for kind in ("service", "timer")]

    def states(self, services: Sequence[str]) -> Mapping[str, ServiceState]:
        """What `systemctl show` tells of the services and their timers."""
        told = self._show([unit_name(service, kind) for service in services for kind in ("service", "timer")])
        return {
            service: _state(told[unit_name(service)], told[unit_name(service, "timer")]) for service in services
        }

    def _show(self, units: Sequence[str]) -> dict[str, dict[str, str]]:
        """Properties by unit; `systemctl show` answers for unknown ones too."""
        if not units:
            return {}
        shown = self._must(["systemctl", "show", "--property", _SHOWN, *units])
        blocks = [dict(line.split("=", 1) for line in text.splitlines()) for text in shown.text.split("\n\n")]
        return {unit: {} for unit in units} | {fields["Id"]: fields for fields in blocks}

    def logs(self, name: str, tail: int, since: float | None) -> Sequence[LogLine]:
        """The journal's lines of a unit."""
        command = [
            "journalctl",
            "--output",
            "json",
            "--no-pager",
            "--quiet",
            "-t",
            identifier(name),
            "-n",
            str(tail),
        ]
        if since is not None:
            command += ["--since", f"@{since:.6f}"]
        lines = [json.loads(line) for line in self._must(command).stdout.splitlines()]
        return [LogLine(int(line["__REALTIME_TIMESTAMP"]) / 1e6, _message(line.get("MESSAGE"))) for line in lines]

    def clear_logs(self, name: str) -> None:
        """The journal keeps what it has for as long as it is set to."""

    # -- looks and commands ------------------------------------------------------------------------------------

    def probe(self, service: str, check: HealthCheck, address: str, port: int) -> bool:
        """Whether a health check succeeds now, seen from the host itself."""
        address = "127.0.0.1" if address in ("", "0.0.0.0") else address
        if check.path:
            return bool(self.ssh.ask("http_ok", address=address, port=port, path=check.path, limit=check.timeout))
        if not check.command:
            return bool(self.ssh.ask("tcp_ok", address=address, port=port, limit=check.timeout))
        path = f"{self.unit_folder}/{unit_name(service)}"
        text = self.read([path]).get(path, b"").decode()
        fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        try:
            if "X-Container" in fields:
                command = [self._container_engine(), "exec", fields["X-Container"], *check.command]
                return self._run(command, timeout=check.timeout).code == 0
            variables = environment_of(self.read([fields["EnvironmentFile"]])[fields["EnvironmentFile"]])
            where = {"user": fields["User"], "folder": fields["WorkingDirectory"]}
            return self._run(check.command, check.timeout, variables, **where).code == 0
        except HostUnreachable:
            raise
        except (HostError, KeyError):
            return False

    def connections(self, ports: Iterable[int]) -> int:
        """Established connections to these ports of the host."""
        return int(self.ssh.ask("connections", ports=list(ports)))

    def free_ports(self, count: int) -> Sequence[int]:
        """Ports of the host that nobody listens at."""
        return list(self.ssh.ask("free", count=count))

    def run(
        self, command: Sequence[str], *, input: bytes, environment: Mapping[str, str], timeout: float
    ) -> Completed:
        """Run a command to its end; a lost connection is not followed by a second try."""
        return self._completed(
            self.ssh.ask(
                "run",
                timeout=timeout,
                repeat=False,
                command=list(command),
                content=input,
                environment=dict(environment),
                limit=timeout,
            )
        )

    def close(self) -> None:
        """Close the connection."""
        self.ssh.close()

    def _run(
        self,
        command: Sequence[str],
        timeout: float = 60.0,
        environment: Mapping[str, str] | None = None,
        **where: str,
    ) -> Completed:
        what: dict[str, Any] = {"command": list(command), "content": b"", "limit": timeout, **where}
        return self._completed(self.ssh.ask("run", timeout=timeout, environment=dict(environment or {}), **what))

    def _must(self, command: Sequence[str], timeout: float = 60.0) -> Completed:
        done = self._run(command, timeout)
        if done.code:
            raise HostError(f"{self.ssh.address}: {' '.join(command[:3])} failed", why=_last(done))
        return done

    @staticmethod
    def _completed(answer: Mapping[str, Any]) -> Completed:
        return Completed(answer["code"], answer["out"], answer["err"])


class SystemdHost(UnitHost, SshStreams):
    """A Host, StreamHost and FirewallHost over SSH; see `SystemdBackend`."""

    backend: SystemdBackend

    def __init__(
        self,
        name: str,
        address: SshAddress,
        *,
        wait: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        ssh = Ssh(address)
        UnitHost.__init__(self, name, SystemdBackend(ssh), wait=wait, now=now)
        SshStreams.__init__(self, ssh)

    def firewall(self, rules: HostFirewall | None) -> bool:
        """Set or remove the packet filter, now and at boot. Rules that would keep the next connection of ours out
        are taken back, with HostError."""
        backend = self.backend
        path = f"{backend.layout.prefix}/firewall.nft"
        unit = f"{backend.unit_folder}/{unit_name('firewall')}"
        before = backend.read([path]).get(path)
        loaded = backend._run(["nft", "list", "table", "inet", TABLE]).code == 0
        if rules is None:
            if before is None and not loaded:
                return False
            backend._run(["systemctl", "disable", "--quiet", unit_name("firewall")])
            if loaded:
                backend._must(["nft", "delete", "table", "inet", TABLE])
            backend.delete([path, unit])
            backend._must(["systemctl", "daemon-reload"])
            return True
        if self.filtered(rules):
            return False
        text, files = nftables(rules).encode(), self._filter_files(rules)
        for check in (["nft", "-c", "-f", "-"], ["nft", "-f", "-"]):
            done = backend.run(check, input=text, environment={}, timeout=60.0)
            if done.code:
                raise HostError(f"{self.name}: the packet filter was not set", why=_last(done))
        try:
            backend.ssh.check()
        except HostError as error:
            previous = before if loaded and before else b""
            again = ["nft", "-f", "-"] if previous else ["nft", "delete", "table", "inet", TABLE]
            backend.run(again, input=previous, environment={}, timeout=60.0)
            raise HostError(
                f"{self.name}: the packet filter was taken back",
                why=f"a new connection did not get in: {error.summary}",
                fix="let the operator's address and this SSH port in",
            ) from error
        backend.write(files)
        backend._must(["systemctl", "daemon-reload"])
        backend._must(["systemctl", "enable", "--quiet", unit_name("firewall")])
        return True

    def _filter_files(self, rules: HostFirewall) -> list[HostFile]:
        path = f"{self.backend.layout.prefix}/firewall.nft"
        unit = f"{self.backend.unit_folder}/{unit_name('firewall')}"
        return [HostFile(path, nftables(rules).encode(), 0o600), HostFile(unit, _firewall_unit(path))]

    def filtered(self, rules: HostFirewall | None) -> bool:
        """Whether the filter is in force and in the files that put it in force at boot."""
        loaded = self.backend._run(["nft", "list", "table", "inet", TABLE]).code == 0
        if rules is None:
            return not loaded
        return loaded and all(self.fetch(file.path) == file.content for file in self._filter_files(rules))


def _firewall_unit(path: str) -> bytes:
    lines = [
        "[Unit]",
        "Description=rehost firewall",
        "DefaultDependencies=no",
        "Before=network-pre.target",
        "Wants=network-pre.target",
        "After=local-fs.target",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart=/usr/sbin/nft -f {path}",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return ("\n".join(lines) + "\n").encode()


def _state(service: Mapping[str, str], timer: Mapping[str, str]) -> ServiceState:
    code = int(service.get("ExecMainStatus") or 0)
    how = int(service.get("ExecMainCode") or 0)
    ended = None if how == 0 else code if how == 1 else -code
    active = {
        "active": Active.RUNNING,
        "reloading": Active.RUNNING,
        "deactivating": Active.RUNNING,
        "failed": Active.FAILED,
    }.get(service.get("ActiveState", ""), Active.STOPPED)
    if service.get("ActiveState") == "activating":
        active = Active.FAILED if service.get("SubState") == "auto-restart" else Active.RUNNING
    if service.get("SubState") == "exited":
        active = Active.STOPPED
    if timer.get("ActiveState") == "active":
        active = Active.RUNNING
    restarts = int(service.get("NRestarts") or 0)
    return ServiceState(active, int(service.get("MainPID") or 0), ended, restarts)


def _message(message: object) -> str:
    if isinstance(message, list):
        return bytes(message).decode("utf-8", "replace")
    return str(message or "")


def _last(done: Completed) -> str:
    return (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-500:]
