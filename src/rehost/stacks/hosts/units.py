"""What runs on a host: one instance of a service, said without naming how the host runs it."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from rehost.stacks.errors import InvalidInput

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


class Restart(StrEnum):
    """When a service that ended is started again."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "no"


class Order(StrEnum):
    """How a new version takes over: Compose's `deploy.update_config.order`."""

    START_FIRST = "start-first"
    """Old and new run side by side. Each instance listens on the port that `PORT` names, not on the published
    one; a forwarder listens there and is switched."""
    STOP_FIRST = "stop-first"
    """The old one ends before the new one starts: a short interruption, never two at once."""


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port that the unit is reached at. `target` is the port inside a container, 0 for the same."""

    port: int
    target: int = 0


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder that outlives versions. `source` is a name (kept under the host's prefix) or an absolute path of
    the host, which is never created or removed. Containers see it at `target`; processes see the host's paths, and
    find a named one through the variable `VOLUME_<NAME>`."""

    source: str
    target: str
    read_only: bool = False

    @property
    def named(self) -> bool:
        """Whether the host keeps it under its prefix."""
        return not self.source.startswith("/")

    @property
    def variable(self) -> str:
        """The environment variable that holds a named volume's path on the host."""
        return "VOLUME_" + re.sub(r"[^A-Z0-9]", "_", self.source.upper())


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How it is seen that a unit works: an HTTP path, a command, or else that its port accepts connections.

    Times are seconds. `port` is a published port, 0 for the first. A unit is healthy at the first success, and
    failed after `retries` failures in a row that came after `start_period`.
    """

    path: str = ""
    command: tuple[str, ...] = ()
    port: int = 0
    interval: float = 2.0
    timeout: float = 3.0
    retries: int = 5
    start_period: float = 10.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Five-field cron in a time zone; the unit then runs to its end at those times instead of all the time."""

    cron: str
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Limits:
    """At most so much; None is no limit. `memory` is bytes, `cpus` a number of them."""

    memory: int | None = None
    cpus: float | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """What makes a version ready before it starts: a shell's script, the paths of the files that it reads (all of
    the unit's where there are none), and the seconds that it may take.

    It runs in a folder of its own with just those files, as the unit's user, with those of the unit's variables
    that it names. What it makes there is linked into the working directory, and made once for the same script,
    files and variables.
    """

    run: str
    reads: tuple[str, ...] = ()
    timeout: float = 600.0

    def named(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables that the script names."""
        found = set(re.findall(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)", self.run))
        return {name: value for name, value in environment.items() if name in found}


@dataclass(frozen=True, slots=True)
class UnitSpec:
    """One instance of a service. Raises InvalidInput for what no host could run.

    Either `image` (with an optional `command`) or `command` with the `files` it needs, by path relative to its
    working directory; files that begin with `#!` are executable. `environment` may hold secrets, so it is never
    shown. The variables `PORT` (where to listen, of the first port), `PORT_<published>` and `HOST` (address to
    listen at) are added where the environment does not set them. `stop_grace` and `drain` are seconds, `owner` is
    the mark of who made it.
    """

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    setup: Setup | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    health: HealthCheck | None = None
    schedule: Schedule | None = None
    user: str = ""
    restart: Restart = Restart.ALWAYS
    limits: Limits = Limits()
    singleton: bool = False
    order: Order = Order.STOP_FIRST
    stop_grace: float = 10.0
    drain: float = 10.0
    owner: str = ""

    def __post_init__(self) -> None:
        problem = next(iter(self._problems()), None)
        if problem:
            raise InvalidInput(f"unit {self.name!r}: {problem}")

    @property
    def fronted(self) -> bool:
        """Whether a forwarder listens at its ports, so that versions can be switched."""
        return self.order is Order.START_FIRST and bool(self.ports)

    def check(self) -> None:
        """Raises InvalidInput for a schedule that is none. Cron is loaded only where there is one."""
        if self.schedule:
            from rehost.stacks.hosts.cron import parse

            parse(self.schedule)

    def canonical(self) -> str:
        """The same text for specs that mean the same; it holds secrets."""
        plain = _plain(self)
        if self.setup is None:
            # As it was written before there were setups: nothing is released anew for a newer rehost.
            del plain["setup"]
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def fingerprint(self, salt: bytes) -> str:
        """What tells two specs apart without telling what is in them: the salt stays on the host, so that a
        secret can't be guessed from the fingerprint."""
        return hmac.new(salt, self.canonical().encode(), hashlib.sha256).hexdigest()

    def _problems(self) -> list[str]:
        found = []
        if not _NAME.fullmatch(self.name):
            found.append("a name is 1 to 40 of a-z, 0-9 and - (not at either end)")
        if not self.image and not self.command:
            found.append("needs an image or a command")
        if self.image and self.files:
            found.append("files belong to a command, not to an image")
        if self.image.startswith("-"):
            found.append(f"{self.image!r} is no image")
        if not bearable("".join(self.command)) or (self.command and not self.command[0]):
            found.append("a command is not empty, and holds no NUL and nothing that is no text")
        if self.command and not self.image and self.command[0][:1] in tuple("@-:+!|"):
            found.append(f"{self.command[0]!r} is no program")
        found += [f"{key!r} is no name of a variable" for key in self.environment if not _VARIABLE.fullmatch(key)]
        found += [
            f"the value of {key} can't be put into an environment: it holds NUL or what is no text"
            for key, value in self.environment.items()
            if not bearable(value)
        ]
        for path in self.files:
            parts = PurePosixPath(path).parts
            if not parts or path.startswith("/") or ".." in parts or "\n" in path or not bearable(path):
                found.append(f"{path!r} is no relative path of a file")
        if self.setup is not None:
            found += self._unready(self.setup)
        found += [f"{port.port} is no port" for port in self.ports if not 0 < port.port < 65536]
        if len({port.port for port in self.ports}) < len(self.ports):
            found.append("a port is named twice")
        for volume in self.volumes:
            if not volume.target.startswith("/") or set(volume.target + volume.source) & set(':"\\\n\0'):
                found.append(f"volume {volume.source!r} needs an absolute target, without colons and quotes")
            if volume.named and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", volume.source):
                found.append(f"{volume.source!r} is no name of a volume")
        if self.user and not _USER.fullmatch(self.user):
            found.append(f"{self.user!r} is no name of a user")
        if self.schedule and (self.ports or self.health):
            found.append("what runs on a schedule has no ports and no health check")
        if self.singleton and self.order is Order.START_FIRST:
            found.append("a singleton can't start its next version first")
        if self.health and not self.health.command and not self.ports:
            found.append("a health check without a command needs a port")
        if self.health and self.health.port and self.health.port not in {port.port for port in self.ports}:
            found.append(f"the health check names port {self.health.port}, which the unit does not have")
        return found

    def _unready(self, setup: Setup) -> list[str]:
        """What is wrong with its setup."""
        found = [] if self.files else ["a setup needs files: an image is ready as it is"]
        if not setup.run.strip() or not bearable(setup.run):
            found.append("a setup is a script, without NUL and what is no text")
        found += [
            f"its setup reads {path!r}, which it does not have" for path in setup.reads if path not in self.files
        ]
        return found


def bearable(text: str) -> bool:
    """Whether every host can take a text: no NUL, which ends it, and nothing that systemd does not count as UTF-8
    (surrogates and the code points that Unicode calls noncharacters)."""
    return not any(
        c == "\0" or "\ud800" <= c <= "\udfff" or "\ufdd0" <= c <= "\ufdef" or ord(c) & 0xFFFE == 0xFFFE
        for c in text
    )


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    if hasattr(value, "__dataclass_fields__"):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value
