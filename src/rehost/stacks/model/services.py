"""Services: what runs on the servers, in the words of the Compose Specification."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, field_validator, model_validator

from rehost.stacks.model.base import Bytes, Component, Name, as_list, complaint

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6}(?:\.\d{1,6})?)s)?(?:(\d{1,6})ms)?", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def parse_duration(value: object) -> float:
    """Seconds of `1m30s`, `500ms` or a bare number of seconds. Raises a complaint otherwise."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match or not any(match.groups()):
        raise complaint("this is no duration", "", "write a number and a unit, such as 30s or 1m30s")
    hours, minutes, seconds, millis = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


Seconds = Annotated[float, BeforeValidator(parse_duration), Field(ge=0, le=86_400)]
"""A duration, written as `30s` or `1m30s`."""


def _text(value: object) -> object:
    """Numbers as text. Raises a complaint for what YAML may have understood otherwise than it was meant."""
    if isinstance(value, bool | float):
        shown = str(value).lower()
        raise complaint(f"{shown} is no text", "YAML reads it as something else", f'write "{shown}", in quotes')
    return str(value) if isinstance(value, int) else value


def _words(value: object) -> object:
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError:
            fix = "close the quotes, or write a list of words"
            raise complaint("this is no command", "a quote in it is not closed", fix) from None
    return [_text(word) for word in value] if isinstance(value, list | tuple) else value


Command = Annotated[tuple[str, ...], BeforeValidator(_words)]
"""A list of words, or one text that is split as a shell splits it."""

PortMapping = Annotated[str, BeforeValidator(_text), StringConstraints(pattern=r"^(\d{1,5}:)?\d{1,5}(/tcp)?$")]
"""`8080`, or `80:8080`: a port of the server, and the port inside the container."""

Mount = Annotated[
    str,
    StringConstraints(
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]*|/[^:\\\"\s]*):/[^:\\\"\s]*(:ro|:rw)?$", max_length=512
    ),
]
"""`data:/var/lib/app`, or `/srv/app:/var/lib/app:ro`."""


class ServiceCheck(Component):
    """How it is told that a service works: `path` over http, or `test`, a command that ends with 0."""

    path: str | None = Field(None, pattern=r"^/\S*$", max_length=1024, examples=["/healthz"])
    """Asked for over http; a status below 400 means health."""
    port: int | None = Field(None, ge=1, le=65535, examples=[8080])
    """The published port that `path` is asked for at; without it the first."""
    test: Command = Field((), examples=["pg_isready -q"])
    """A command; Compose's `[CMD, ...]` and `[CMD-SHELL, ...]` are understood."""
    interval: Seconds = Field(2.0, examples=["2s"])
    """Time between two checks."""
    timeout: Seconds = Field(3.0, examples=["3s"])
    """So long a check may take."""
    retries: int = Field(5, ge=1, le=100)
    """So many failures in a row make a service a failed one."""
    start_period: Seconds = Field(10.0, examples=["10s"])
    """So long after its start a failing service is only starting."""

    @field_validator("test", mode="before")
    @classmethod
    def _compose_forms(cls, value: object) -> object:
        if value in ("NONE", ["NONE"]):
            why, fix = (
                "NONE is Compose's word for no health check",
                "remove `healthcheck:`: none is made by itself",
            )
            raise complaint("a health check checks nothing", why, fix)
        if isinstance(value, list) and value[:1] == ["CMD"]:
            return value[1:]
        if isinstance(value, list) and value[:1] == ["CMD-SHELL"]:
            return ["/bin/sh", "-c", *value[1:]]
        return value

    @model_validator(mode="after")
    def _one_question(self) -> ServiceCheck:
        if self.path is not None and self.test:
            raise complaint("a health check has a path and a test", "it asks one thing", "remove one of the two")
        if self.path is None and not self.test:
            fix = "add `path:` or `test:`, or remove the health check"
            raise complaint("a health check asks nothing", "it would never fail", fix)
        if self.test and self.port is not None:
            raise complaint("a test has a port", "it is a command of its own", "remove port", "port")
        return self


class ServiceSetup(Component):
    """What makes a version ready before it starts: a shell's script, or a mapping with it."""

    run: str = Field(min_length=1, max_length=8192, examples=["pip3 install --target lib -r requirements.txt"])
    """The script; what it makes is beside the service's files. It is run once for the same script and files."""
    reads: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field((), examples=[["requirements.txt"]])
    """The files that it needs, and sees; without it those that the script names, or all."""
    timeout: Seconds = Field(600.0, gt=0, le=1800, examples=["10m"])
    """So long it may take."""

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, value: object) -> object:
        return {"run": value} if isinstance(value, str) else value

    @field_validator("run")
    @classmethod
    def _does_something(cls, value: str) -> str:
        if not value.strip():
            raise complaint(
                "a setup does nothing", "it is a shell's script", "write what is to be run, or remove it"
            )
        return value


class UpdateConfig(Component):
    """How a new version of a service comes in."""

    order: Literal["start-first", "stop-first"] = "stop-first"
    """Which of both is done first: the start of the new version, or the stop of the old one."""


class ResourceLimits(Component):
    """What a service may use at most, in Compose's newer words."""

    cpus: float | None = Field(None, gt=0, le=1024, examples=[0.5])
    """CPUs."""
    memory: Bytes | None = Field(None, examples=["512MiB"])
    """Memory, such as 512MiB."""
    pids: int | None = Field(None, ge=1, examples=[200])
    """Processes."""


class Resources(Component):
    """Compose's `resources`, as far as rehost takes it."""

    limits: ResourceLimits = ResourceLimits()
    """What a service may use at most."""


class Deploy(Component):
    """Compose's `deploy`, as far as rehost takes it."""

    resources: Resources = Resources()
    """What a service may use."""

    update_config: UpdateConfig = UpdateConfig()
    """How a new version comes in."""


_CONDITIONS = ("service_started", "service_healthy")


def _needed(value: object) -> object:
    """Names of services; Compose's mapping of them says what rehost does by itself."""
    if not isinstance(value, dict):
        return as_list(value)
    for name, about in value.items():
        asked = about or {}
        condition = asked.get("condition", _CONDITIONS[0]) if isinstance(asked, dict) else asked
        more = isinstance(asked, dict) and asked.keys() - {"condition"}
        if condition not in _CONDITIONS or more:
            said = ", ".join(map(str, sorted(more))) if more else f"the condition {condition!s:.40}"
            why = "a service is started after those that it needs, which are healthy then where they have a check"
            raise complaint(f"{said} of {name} can't be had", why, f"write depends_on: [{name}]")
    return list(value)


DependsOn = Annotated[tuple[str, ...], BeforeValidator(_needed)]
"""Names of services: a list, or a mapping with a `condition` of each."""


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        why = "a variable's name has letters, digits and _, and does not start with a digit"
        raise complaint(f"{name[:40]!r} is no name of a variable", why, "rename it")
    return name


def _value(value: object) -> object:
    if value is None:
        fix = 'write "${env.NAME}" for its value on your machine, or "" for an empty one'
        raise complaint("a variable has no value", "nobody could tell which is meant", fix)
    return _text(value)


def _environment(value: object) -> object:
    if not isinstance(value, list | tuple):
        return value
    pairs = [str(item).partition("=") for item in value]
    return {name: text if sign else None for name, sign, text in pairs}


Environment = Annotated[
    dict[Annotated[str, AfterValidator(_variable)], Annotated[str, BeforeValidator(_value)]],
    BeforeValidator(_environment),
]
"""Variables by name, or a list of `NAME=value`."""


class Service(Component):
    """Something that runs on the servers of a group: an image, or a command with its source.

    Keys are those of the Compose Specification; `on`, `schedule`, `timezone`, `singleton`, `source`, `setup`,
    `buckets`, and `path` of a health check are rehost's own.
    """

    image: str | None = Field(None, min_length=1, max_length=512, examples=["registry.example/plaza:1.4"])
    """A container image."""
    source: str | None = Field(None, min_length=1, examples=["app"])
    """A folder beside the stack file that is put on the servers; `command` runs in it."""
    setup: ServiceSetup | None = Field(None, examples=["pip3 install --target lib -r requirements.txt"])
    """What makes a version of `source` ready before it starts, such as libraries that it needs."""
    command: Command = Field((), examples=["python3 app.py"])
    """What is run, in place of what an image would run by itself."""
    on: str | None = Field(None, examples=["app"])
    """A server group; without it the only one."""
    environment: Environment = Field(default_factory=dict, examples=["{MODE: fast}"])
    """Variables; values may refer to other components with `${...}`."""
    ports: Annotated[tuple[PortMapping, ...], BeforeValidator(as_list)] = Field((), examples=[["8080"]])
    """Ports of the servers that it answers over TCP: `8080`, or `80:8080` for another one inside the container."""
    volumes: Annotated[tuple[Mount, ...], BeforeValidator(as_list)] = Field((), examples=[["data:/var/lib/app"]])
    """Folders that outlive versions: `name:/path`, kept on the server, or `/path/on/server:/path`."""
    healthcheck: ServiceCheck | None = None
    """How it is told that it works."""
    depends_on: DependsOn = Field((), examples=[["queue"]])
    """Services that are started before."""
    deploy: Deploy = Deploy()
    """How a new version comes in."""
    restart: Literal["no", "always", "on-failure", "unless-stopped"] | None = Field(None, examples=["always"])
    """When it is started again after it ended; without it always, and never for what runs on a schedule."""
    user: str = Field("", pattern=r"^([a-z_][a-z0-9_-]{0,31})?$", examples=["app"])
    """The user that it runs as."""
    stop_grace_period: Seconds = Field(10.0, examples=["10s"])
    """So long it has for ending by itself."""
    mem_limit: Bytes | None = Field(None, examples=["512MiB"])
    """Memory, at most, such as 512MiB."""
    cpus: float | None = Field(None, gt=0, le=1024, examples=[2])
    """CPUs, at most."""
    pids_limit: int | None = Field(None, ge=1, examples=[200])
    """Processes, at most."""
    schedule: str | None = Field(None, min_length=1, examples=["30 3 * * *"])
    """When it runs, as five fields of cron: it then runs to its end, on the first server of the group."""
    timezone: str = Field("UTC", examples=["Europe/Berlin"])
    """The time zone of `schedule`."""
    buckets: dict[Name, Literal["read", "write", "read-write"]] = Field(
        default_factory=dict, examples=["{media: read-write}"]
    )
    """The buckets that it uses, each with `read`, `write` or `read-write`: it is let in by itself."""
    files: dict[str, str | dict[str, str]] = Field(default_factory=dict)
    """The content of `source` by path, filled in by the loader: text, or `{"base64": ...}`."""
    singleton: bool = False
    """It never runs twice at once, not even during a move: on the first server of the group only."""

    @property
    def alone(self) -> bool:
        """Whether it runs on one server of its group only."""
        return self.singleton or self.schedule is not None

    @property
    def published(self) -> tuple[tuple[int, int], ...]:
        """Its ports as pairs: of the server, and inside the container."""
        pairs = [port.removesuffix("/tcp").partition(":") for port in self.ports]
        return tuple((int(outer), int(inner or outer)) for outer, _, inner in pairs)

    @model_validator(mode="after")
    def _runs_something(self) -> Service:
        if self.image is None and not self.command:
            raise complaint("a service runs nothing", "", "add `image:`, or `command:` with what is to run")
        if self.image is not None and self.source is not None:
            why = "what runs comes from one of them"
            raise complaint("a service has an image and a source", why, "remove one of the two", "source")
        if self.setup is not None and self.source is None and not self.files:
            why = "an image is ready as it is; a setup makes the files of a source ready"
            raise complaint("a service without a source has a setup", why, "add `source:`, or remove it", "setup")
        newer = self.deploy.resources.limits
        pairs = {
            "mem_limit": (self.mem_limit, newer.memory),
            "cpus": (self.cpus, newer.cpus),
            "pids_limit": (self.pids_limit, newer.pids),
        }
        for old, sides in pairs.items():
            if None not in sides:
                why = "which of them is meant nobody can tell"
                raise complaint(f"{old} and deploy.resources.limits both say it", why, f"remove {old}", old)
        if self.schedule is not None and self.ports:
            why = "it runs now and then, and nobody would answer in between"
            raise complaint("a service on a schedule has ports", why, "remove ports or schedule", "ports")
        if self.schedule is not None and self.healthcheck is not None:
            why = "it is well when it ends with 0"
            raise complaint("a service on a schedule has a health check", why, "remove it", "healthcheck")
        if self.schedule is None and "timezone" in self.model_fields_set:
            fix = "add `schedule:`, or remove timezone"
            raise complaint("a time zone without a schedule", "nothing would use it", fix, "timezone")
        if self.singleton and self.deploy.update_config.order == "start-first":
            why = "its versions would run side by side"
            raise complaint("a singleton can't start its next version first", why, "write stop-first", "deploy")
        if self.healthcheck is not None and self.healthcheck.path is not None and not self.ports:
            why = "path is asked for at a published port"
            raise complaint("a health check over http needs a port", why, "add `ports:`, or a test", "healthcheck")
        return self
