"""A unit as a resource in graph and state: `rehost:host/unit:Unit`.

Inputs: `serverId` and `connection` (where it runs, how to get there), `name`, `image`, `command`, `files` (text,
or `{"base64": ...}`, by path), `setup`, `environment`, `ports`, `volumes`, `health`, `schedule`, `user`,
`restart`, `limits`, `singleton`, `order`, `stopGrace`, `drain`, `held` (left out: stays as it is) and `tags`; they
mean what the fields of UnitSpec do.
`buckets` says which ones the service uses; hosts know nothing of them.
What was edited or stopped on the host shows as a `drift` that nobody asked for. Rules are in `data/kinds.json`.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from rehost.stacks.errors import InvalidInput, ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.hosts.port import Host, HostDenied, HostError, HostGone, HostUnreachable
from rehost.stacks.hosts.units import (
    HealthCheck,
    Limits,
    Order,
    Port,
    Restart,
    Schedule,
    Setup,
    UnitSpec,
    Volume,
)
from rehost.stacks.ports import Call, Known, Live

TOKEN = "rehost:host/unit:Unit"
HOST = "rehost:host/host:Host"
RULES = Path(__file__).parent / "data" / "kinds.json"

_AT_ONCE = 16
"""Servers that are looked at at the same time."""

Exists = Callable[[str], bool]
"""Whether a provider still has a server, by its id."""

FindHost = Callable[[str, Mapping[str, Value]], Host]
"""The host of a server: given `serverId` and `connection`. Raises HostError (HostGone where there is no
such server) and InvalidInput."""


class UnitKind:
    """Create, read, find, update and delete over the host port, as providers do it over their APIs."""

    def __init__(self, host_of: FindHost, exists: Exists = lambda server: True) -> None:
        self.host_of, self._exists = host_of, exists

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        """Put the unit and wait until it is healthy; a held one is put only."""
        with translated(inputs):
            spec, host = spec_of(inputs), self._host(inputs)
            there = host.status(spec.name)
            if there is not None and there.owner != spec.owner:
                raise ProviderError(
                    f"{host.name} has a unit {spec.name} that this deployment did not make",
                    reason=Reason.EXISTS,
                    fix="rename or remove it, or put the service on another server",
                )
            call.made(_id(inputs))
            self._bring(host, spec, inputs)
            return self._live(host, inputs)

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        """The units as they are, several servers at once. Raises ValueError for one to be imported: no host tells
        what it was given."""
        by_server: dict[str, list[int]] = {}
        for position, item in enumerate(known):
            if not item.inputs:
                raise ValueError(f"{item.id}: a unit can't be imported")
            by_server.setdefault(str(item.inputs.get("serverId", "")), []).append(position)
        found: list[Live | None] = [None] * len(known)

        def look(positions: Sequence[int]) -> None:
            for position in positions:
                inputs = known[position].inputs
                found[position] = seen(inputs, self._exists, partial(self._look, inputs))

        with ThreadPoolExecutor(max(1, min(_AT_ONCE, len(by_server)))) as pool:
            list(pool.map(look, by_server.values()))
        return found

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        """A unit of this name that carries our mark."""
        with translated(inputs):
            try:
                status = self._host(inputs).status(str(inputs["name"]))
                mine = status is not None and status.owner == spec_of(inputs).owner
                return self._look(inputs) if mine else None
            except HostGone:
                return None

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Release the new version, or repair what was changed on the host."""
        del call, known
        with translated(inputs):
            host = self._host(inputs)
            self._bring(host, spec_of(inputs), inputs)
            return self._live(host, inputs)

    def delete(self, call: Call, known: Known) -> None:
        """Stop and remove the unit; named volumes stay with the server."""
        del call
        with translated(known.inputs):
            try:
                self._host(known.inputs).remove(str(known.inputs["name"]))
            except HostGone:
                return
            except HostUnreachable:
                if self._exists(str(known.inputs.get("serverId", ""))):
                    raise

    def _host(self, inputs: Mapping[str, Value]) -> Host:
        return self.host_of(str(inputs.get("serverId", "")), inputs.get("connection") or {})

    def _look(self, inputs: Mapping[str, Value]) -> Live | None:
        """A unit as it is, None where there is none."""
        host = self._host(inputs)
        return self._live(host, inputs) if host.status(str(inputs["name"])) is not None else None

    def _bring(self, host: Host, spec: UnitSpec, inputs: Mapping[str, Value]) -> None:
        held = inputs.get("held")
        if held is not None:
            host.apply(spec, held=held)
        if not held:
            host.release(spec)

    def _live(self, host: Host, inputs: Mapping[str, Value]) -> Live:
        spec = spec_of(inputs)
        drift = host.preview(spec, held=inputs.get("held")).changes
        status = host.status(spec.name)
        assert status is not None
        asked = {key: value for key, value in inputs.items() if key != "drift"}
        outputs = {
            **asked,
            "active": status.active.value,
            "fingerprint": status.fingerprint,
            "servedPorts": {str(port): real for port, real in sorted(status.ports.items())},
        }
        return Live(_id(inputs), {**asked, **({"drift": list(drift)} if drift else {})}, outputs)


def spec_of(inputs: Mapping[str, Value]) -> UnitSpec:
    """The unit that inputs describe. Raises InvalidInput."""
    try:
        return UnitSpec(**_fields(inputs))
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"unit {inputs.get('name', '')!r}: {error}") from None


def _fields(inputs: Mapping[str, Value]) -> dict[str, Any]:
    health, schedule, setup = inputs.get("health"), inputs.get("schedule"), inputs.get("setup")
    given: dict[str, Any] = {
        "name": inputs.get("name", ""),
        "image": inputs.get("image", ""),
        "command": tuple(inputs.get("command") or ()),
        "files": {path: _content(path, text) for path, text in (inputs.get("files") or {}).items()},
        "environment": dict(inputs.get("environment") or {}),
        "ports": tuple(Port(**_snake(port)) for port in inputs.get("ports") or ()),
        "volumes": tuple(Volume(**_snake(volume)) for volume in inputs.get("volumes") or ()),
        "schedule": Schedule(**_snake(schedule)) if schedule else None,
        "user": inputs.get("user", ""),
        "restart": Restart(inputs.get("restart", "always")),
        "limits": Limits(**_snake(inputs.get("limits") or {})),
        "singleton": bool(inputs.get("singleton", False)),
        "order": Order(inputs.get("order", "stop-first")),
        "owner": str((inputs.get("tags") or {}).get("rehost-id", "")),
    }
    if setup is not None:
        given["setup"] = Setup(**{**_snake(setup), "reads": tuple(setup.get("reads") or ())})
    if health is not None:
        given["health"] = HealthCheck(**{**_snake(health), "command": tuple(health.get("command") or ())})
    return given | {name: float(inputs[key]) for key, name in _TIMES.items() if key in inputs}


def inputs_of(spec: UnitSpec) -> dict[str, Value]:
    """The inputs that describe a unit, without those that say where it runs."""
    inputs: dict[str, Value] = {
        "name": spec.name,
        "image": spec.image or None,
        "command": list(spec.command) or None,
        "files": {path: _text(content) for path, content in sorted(spec.files.items())} or None,
        "setup": _camel(spec.setup, Setup) if spec.setup is not None else None,
        "environment": dict(spec.environment) or None,
        "ports": [_camel(port, Port) for port in spec.ports] or None,
        "volumes": [_camel(volume, Volume) for volume in spec.volumes] or None,
        "health": _camel(spec.health, HealthCheck) if spec.health is not None else None,
        "schedule": _camel(spec.schedule, Schedule) if spec.schedule else None,
        "user": spec.user or None,
        "restart": spec.restart.value,
        "limits": _camel(spec.limits, Limits) or None,
        "singleton": spec.singleton,
        "order": spec.order.value,
        "stopGrace": spec.stop_grace,
        "drain": spec.drain,
        "tags": {"rehost-id": spec.owner} if spec.owner else None,
    }
    return {key: value for key, value in inputs.items() if value is not None}


_TIMES = {"stopGrace": "stop_grace", "drain": "drain"}


def _snake(given: Mapping[str, Value]) -> dict[str, Any]:
    return {re.sub(r"[A-Z]", lambda m: "_" + m[0].lower(), key): value for key, value in given.items()}


def _camel(value: Any, kind: type) -> dict[str, Value]:
    """The fields of a value that are not as they are by default."""
    given: dict[str, Value] = {}
    for name, described in kind.__dataclass_fields__.items():  # type: ignore[attr-defined]
        item = getattr(value, name)
        if item != described.default:
            key = re.sub(r"_(.)", lambda m: m[1].upper(), name)
            given[key] = list(item) if isinstance(item, tuple) else item
    return given


def _content(path: str, given: Value) -> bytes:
    if isinstance(given, str):
        return given.encode()
    try:
        return base64.b64decode(given["base64"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise InvalidInput(f"file {path!r} is neither text nor base64") from None


def _text(content: bytes) -> Value:
    with contextlib.suppress(UnicodeDecodeError):
        return content.decode()
    return {"base64": base64.b64encode(content).decode()}


def _id(inputs: Mapping[str, Value]) -> str:
    return f"{inputs.get('serverId', '')}/{inputs['name']}"


def seen(inputs: Mapping[str, Value], exists: Exists, look: Callable[[], Live | None]) -> Live | None:
    """What a look at a host answers, None where its server is gone. One that does not answer is not asked again
    and again: that is said, unless its provider knows it no more."""
    try:
        with translated(inputs):
            try:
                return look()
            except HostGone:
                return None
    except ProviderError as error:
        if error.reason is not Reason.UNCERTAIN:
            raise
        if not exists(str(inputs.get("serverId", ""))):
            return None
        raise ProviderError(
            f"{inputs.get('name', '')} can't be looked at: {error.summary}",
            reason=Reason.FAILED,
            why=error.why,
            fix="let the operator's address in over SSH, or start the server; --no-refresh plans without a look",
            address=error.address,
            operation="host",
        ) from error


@contextlib.contextmanager
def translated(inputs: Mapping[str, Value]) -> Iterator[None]:
    """What hosts raise, as the engine knows it."""
    try:
        yield
    except HostError as error:
        reason = Reason.FAILED
        if isinstance(error, HostUnreachable):
            reason = Reason.UNCERTAIN
        elif isinstance(error, HostDenied):
            reason = Reason.DENIED
        raise ProviderError(
            error.summary, reason=reason, why=error.why, fix=error.fix, address=_id(inputs), operation="host"
        ) from error
