"""A service as the Compose Specification writes it -> UnitSpec. Pure.

Taken: image, command, environment (mapping or list), ports (`"8080"`, `"80:8080"`, `{target, published}`), volumes
(short form), healthcheck (`test`, or rehost's `path` and `port`, and the times), user, restart, stop_grace_period,
mem_limit, cpus, pids_limit, deploy.resources.limits, deploy.update_config.order, and rehost's `x-schedule`,
`x-timezone`, `x-singleton`. Anything else is an InvalidInput that names it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.units import HealthCheck, Limits, Order, Port, Restart, Schedule, UnitSpec, Volume

_KEYS = {
    "image",
    "command",
    "environment",
    "ports",
    "volumes",
    "healthcheck",
    "user",
    "restart",
    "stop_grace_period",
    "mem_limit",
    "cpus",
    "pids_limit",
    "deploy",
    "x-schedule",
    "x-timezone",
    "x-singleton",
}
_LIMITS = ("memory mem_limit", "cpus cpus", "pids pids_limit")
"""Keys of `deploy.resources.limits`, and of the service itself."""
_TIME = re.compile(r"(\d+(?:\.\d+)?)(us|ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_SIZE = re.compile(r"(\d+)\s*([bkmg]?)b?", re.IGNORECASE)
_FACTOR = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def from_compose(name: str, service: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> UnitSpec:
    """The unit of a service; `files` is the source of one that has no image. Raises InvalidInput.

    A new version is started before the old one ends where that is asked for (`deploy.update_config.order`), and by
    default for images with ports and a health check, without volumes: there it can't do harm.
    """
    try:
        _known(name, service, _KEYS)
        deploy = _mapping(name, service, "deploy")
        _known(f"{name}.deploy", deploy, {"resources", "update_config"})
        asked = _mapping(f"{name}.deploy", deploy, "update_config").get("order")
        limits = _mapping(f"{name}.deploy.resources", _mapping(f"{name}.deploy", deploy, "resources"), "limits")
        ports = tuple(_port(name, port) for port in _list(name, service, "ports"))
        volumes = tuple(_volume(name, volume) for volume in _list(name, service, "volumes"))
        singleton = bool(service.get("x-singleton", False))
        health = _health(name, _mapping(name, service, "healthcheck"))
        harmless = (
            bool(service.get("image")) and bool(ports) and health is not None and not volumes and not singleton
        )
        order = asked or (Order.START_FIRST if harmless else Order.STOP_FIRST)
        schedule = service.get("x-schedule")
        return UnitSpec(
            name=name,
            image=str(service.get("image") or ""),
            command=_words(service.get("command")),
            files=dict(files or {}),
            environment=_environment(name, service),
            ports=ports,
            volumes=volumes,
            health=health,
            schedule=Schedule(str(schedule), str(service.get("x-timezone", "UTC"))) if schedule else None,
            user=str(service.get("user") or ""),
            restart=_restart(service.get("restart", "no" if schedule else "always")),
            limits=_limits(service, limits),
            singleton=singleton,
            order=Order(order),
            stop_grace=_seconds(service.get("stop_grace_period", "10s")),
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"service {name}: {error}") from None


def _known(where: str, given: Mapping[str, Any], known: set[str]) -> None:
    for key in given:
        if key not in known:
            raise InvalidInput(
                f"service {where}: {key} is not supported", fix=f"known: {', '.join(sorted(known))}"
            )


def _mapping(where: str, given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = given.get(key)
    if found is None:
        return {}
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise InvalidInput(f"service {where}: {key} is no mapping")
    return found


def _list(where: str, given: Mapping[str, Any], key: str) -> list[Any]:
    found = given.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise InvalidInput(f"service {where}: {key} is no list")
    return found


def _words(command: object) -> tuple[str, ...]:
    if isinstance(command, str):
        return tuple(shlex.split(command))
    if command is not None and not isinstance(command, list):
        raise ValueError(f"{command!r} is no command")
    return tuple(str(word) for word in command or ())


def _environment(name: str, service: Mapping[str, Any]) -> dict[str, str]:
    if isinstance(service.get("environment"), list):
        pairs = [str(item).partition("=") for item in service["environment"]]
        if not all(separator for _, separator, _ in pairs):
            raise InvalidInput(f"service {name}: a variable without a value", fix="write NAME=value")
        return {key: value for key, _, value in pairs}
    found = {}
    for key, value in _mapping(name, service, "environment").items():
        if value is None:
            raise InvalidInput(f"service {name}: variable {key} has no value")
        found[str(key)] = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return found


def _port(name: str, given: Any) -> Port:
    if isinstance(given, Mapping):
        target, published = given.get("target"), given.get("published", given.get("target"))
        if re.fullmatch(r"\d+ \d+", f"{published} {target}"):
            return Port(int(str(published)), int(str(target)))
        raise InvalidInput(f"service {name}: port {given!r}", fix="write target and published")
    published, _, target = str(given).partition(":")
    if not re.fullmatch(r"\d+(:\d+)?", str(given)):
        raise InvalidInput(f"service {name}: port {given!r}", fix='write "8080" or "80:8080"')
    return Port(int(published), int(target) if target else 0)


def _volume(name: str, given: Any) -> Volume:
    parts = given.split(":") if isinstance(given, str) else []
    if len(parts) not in (2, 3) or parts[2:] not in ([], ["ro"], ["rw"]):
        raise InvalidInput(f"service {name}: volume {given!r}", fix="write source:/target or source:/target:ro")
    return Volume(parts[0], parts[1], parts[2:] == ["ro"])


def _health(name: str, given: Mapping[str, Any]) -> HealthCheck | None:
    keys = {"test", "path", "port", "interval", "timeout", "retries", "start_period", "disable"}
    _known(f"{name}.healthcheck", given, keys)
    test = given.get("test")
    if not given or given.get("disable") or test in ("NONE", ["NONE"]):
        return None
    command: tuple[str, ...] = ()
    if isinstance(test, str):
        command = ("/bin/sh", "-c", test)
    elif isinstance(test, list) and test:
        command = (
            ("/bin/sh", "-c", " ".join(map(str, test[1:])))
            if test[0] == "CMD-SHELL"
            else tuple(str(w) for w in test[1:])
        )
    plain = HealthCheck()
    return HealthCheck(
        path=str(given.get("path", "")),
        command=command,
        port=int(given.get("port", 0)),
        interval=_seconds(given.get("interval", plain.interval)),
        timeout=_seconds(given.get("timeout", plain.timeout)),
        retries=int(given.get("retries", plain.retries)),
        start_period=_seconds(given.get("start_period", plain.start_period)),
    )


def _restart(given: Any) -> Restart:
    word = "no" if given is False else str(given)
    return Restart("always" if word == "unless-stopped" else word.partition(":")[0])


def _limits(service: Mapping[str, Any], limits: Mapping[str, Any]) -> Limits:
    size, cpus, processes = (
        limits.get(inner, service.get(outer)) for inner, outer in (pair.split() for pair in _LIMITS)
    )
    return Limits(
        _size(size) if size is not None else None,
        float(cpus) if cpus is not None else None,
        int(processes) if processes is not None else None,
    )


def _size(given: Any) -> int:
    match = _SIZE.fullmatch(str(given).strip())
    if not match:
        raise ValueError(f"{given!r} is no size: write 512m or 2g")
    return int(match[1]) * _FACTOR[match[2].lower()]


def _seconds(given: Any) -> float:
    if isinstance(given, int | float):
        return float(given)
    text = str(given)
    if not text or _TIME.sub("", text):
        raise ValueError(f"{given!r} is no duration: write 10s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _TIME.findall(text))
