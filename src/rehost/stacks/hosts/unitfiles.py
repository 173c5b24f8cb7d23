"""Units as systemd reads them: pure text. Quoting follows systemd.service(5) and systemd.exec(5)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rehost.stacks.hosts.backend import Layout, Placed
from rehost.stacks.hosts.cron import on_calendar
from rehost.stacks.hosts.port import HostFile
from rehost.stacks.hosts.units import Restart, UnitSpec

PREFIX = "rehost-"
"""Of the names of all unit files."""
USER = "rehost"
"""Whom processes run as where the unit names nobody."""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "%": "%%", "$": "$$"}
_SANDBOX = (
    "NoNewPrivileges=yes",
    "PrivateTmp=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
)
_ASSIGNMENT = re.compile(r'^(\w+)="((?:[^"\\]|\\.)*)"$', re.DOTALL | re.MULTILINE)
_SPECIAL = re.compile(r'[\\"`$]')


def quote(word: str) -> str:
    """One argument of an Exec line, taken as it is: no variable, no specifier, no escape."""
    return (
        '"'
        + "".join(_ESCAPES.get(c) or (f"\\x{ord(c):02x}" if ord(c) < 32 or c == "\x7f" else c) for c in word)
        + '"'
    )


def environment_file(environment: dict[str, str]) -> bytes:
    """Variables for EnvironmentFile=, one assignment each; values may have several lines."""
    lines = [f'{name}="{_SPECIAL.sub(_escaped, value)}"\n' for name, value in sorted(environment.items())]
    return "".join(lines).encode()


def environment_of(content: bytes) -> dict[str, str]:
    """The variables that `environment_file` wrote."""
    found = _ASSIGNMENT.findall(content.decode())
    return {name: re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for name, value in found}


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[0]}"


def unit_name(service: str, kind: str = "service") -> str:
    """The name of a service's unit file."""
    return f"{PREFIX}{service}.{kind}"


def identifier(name: str) -> str:
    """What a unit's lines are found by in the journal."""
    return f"{PREFIX}{name}"


def unit_files(placed: Placed, layout: Layout, folder: str, engine: str) -> list[HostFile]:
    """All files of a version; `folder` is where systemd looks for units, `engine` the container program.

    As with containers, what is never started again does not start at boot either. A unit that may come to its end
    is kept by systemd after it, so that its exit code can be asked for.
    """
    spec, slot = placed.spec, layout.slot(placed.spec.name, placed.slot)
    environment = f"{slot}/env"
    files = placed.source_files(layout)
    files.append(HostFile(environment, environment_file(placed.environment(layout)), 0o600))
    lines = [
        "[Unit]",
        f"Description=rehost {placed.service}",
        f"ConditionPathExists=!{layout.held(spec.name)}",
        "Wants=network-online.target",
        "After=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        f"Type={'oneshot' if spec.schedule else 'simple'}",
        f"EnvironmentFile={environment}",
        f"SyslogIdentifier={identifier(spec.name)}{'.front' if placed.slot == 'front' else ''}",
        f"Restart={'no' if spec.schedule else spec.restart.value}",
        *([] if spec.schedule or spec.restart is Restart.NEVER else ["RestartSec=1"]),
        f"TimeoutStopSec={spec.stop_grace:g}",
        *(_container(placed, layout, engine) if spec.image else _process(placed, layout)),
    ]
    if not spec.schedule and spec.restart is not Restart.ALWAYS:
        lines.append("RemainAfterExit=yes")
    if not spec.schedule and spec.restart is not Restart.NEVER:
        lines += ["", "[Install]", "WantedBy=multi-user.target"]
    files.append(_file(folder, unit_name(placed.service), lines))
    if spec.schedule:
        timer = ["[Unit]", f"Description=rehost {placed.service}", "", "[Timer]"]
        timer += [f"OnCalendar={text}" for text in on_calendar(spec.schedule)]
        timer += ["AccuracySec=1s", "", "[Install]", "WantedBy=timers.target"]
        files.append(_file(folder, unit_name(placed.service, "timer"), timer))
    return files


def volume_folders(spec: UnitSpec, layout: Layout) -> list[str]:
    """Folders of named volumes."""
    return [f"{layout.volumes(spec.name)}/{volume.source}" for volume in spec.volumes if volume.named]


def _process(placed: Placed, layout: Layout) -> list[str]:
    spec = placed.spec
    writable = [
        f"{layout.volumes(spec.name)}/{v.source}" if v.named else v.source for v in spec.volumes if not v.read_only
    ]
    limits = spec.limits
    low = any(port < 1024 for port in placed.ports.values())
    return [
        f"User={spec.user or USER}",
        f"WorkingDirectory={placed.folder(layout)}",
        f"ExecStart={' '.join(quote(word) for word in placed.program(layout))}",
        *_SANDBOX,
        *(f'ReadWritePaths="{path.replace("%", "%%")}"' for path in writable),
        *(["AmbientCapabilities=CAP_NET_BIND_SERVICE"] if low and spec.user != "root" else []),
        *([f"MemoryMax={limits.memory}"] if limits.memory is not None else []),
        *([f"CPUQuota={limits.cpus * 100:g}%"] if limits.cpus is not None else []),
        *([f"TasksMax={limits.processes}"] if limits.processes is not None else []),
    ]


def _container(placed: Placed, layout: Layout, engine: str) -> list[str]:
    """A container in the foreground, so that systemd sees its end and the journal what it says. Values of
    variables come from the environment of the program, never from its command line."""
    spec, limits, name = placed.spec, placed.spec.limits, identifier(placed.service)
    options = ["--rm", "--name", name, "--pull", "missing", "--log-driver", "none"]
    options += [word for variable in sorted(placed.environment(layout)) for word in ("--env", variable)]
    for port in spec.ports:
        options += ["--publish", f"{placed.address}:{placed.ports[port.port]}:{port.target or port.port}"]
    for volume in spec.volumes:
        source = f"{layout.volumes(spec.name)}/{volume.source}" if volume.named else volume.source
        options += ["--volume", f"{source}:{volume.target}{':ro' if volume.read_only else ''}"]
    options += ["--user", spec.user] if spec.user else []
    options += ["--memory", str(limits.memory)] if limits.memory is not None else []
    options += ["--cpus", f"{limits.cpus:g}"] if limits.cpus is not None else []
    options += ["--pids-limit", str(limits.processes)] if limits.processes is not None else []
    run = [engine, "run", *options, spec.image, *spec.command]
    remove = f"-{quote(engine)} rm --force {quote(name)}"
    return [
        f"ExecStartPre={remove}",
        f"ExecStart={' '.join(quote(word) for word in run)}",
        f"ExecStop=-{quote(engine)} stop --time {spec.stop_grace:.0f} {quote(name)}",
        f"ExecStopPost={remove}",
        f"TimeoutStopSec={spec.stop_grace + 15:g}",
        f"X-Container={name}",
    ]


def _file(folder: str, name: str, lines: Sequence[str]) -> HostFile:
    return HostFile(f"{folder}/{name}", ("\n".join(lines) + "\n").encode())
