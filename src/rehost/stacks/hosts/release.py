"""A new version of a unit: start, health check, switch, drain, stop; and back when it does not get healthy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rehost.stacks.hosts.backend import other
from rehost.stacks.hosts.front import front_files
from rehost.stacks.hosts.port import Active, HostError, HostUnreachable, Released, ReleaseFailed
from rehost.stacks.hosts.record import Record
from rehost.stacks.hosts.setup import masked
from rehost.stacks.hosts.units import HealthCheck, Order, UnitSpec

if TYPE_CHECKING:
    from rehost.stacks.hosts.unithost import UnitHost

_SETTLE = HealthCheck(interval=0.5, retries=3)
"""A unit without a health check has to run through this many looks without a restart."""


def release(host: UnitHost, spec: UnitSpec) -> Released:
    """Bring in a version. A crash at any point leaves the recorded version in charge: what the unfinished release
    left behind is removed by the next apply or release."""
    record = host.record(spec.name)
    held = record is not None and host.is_held(spec.name)
    if record is None or held or spec.schedule or not _runs(host, spec.name, record):
        applied = host.apply(spec)
        if applied and not held and not spec.schedule:
            now = host.record(spec.name)
            assert now is not None
            problem = _trouble(host, spec.name, now, now.slot)
            if problem:
                raise _failed(host, spec, problem, "there is no version before it that ran")
        return Released(applied.changes, interrupted=record is not None)
    changes = host.preview(spec).changes
    if not changes:
        return Released()
    if record.fingerprint == record.of(spec):
        return Released(host.apply(spec).changes, interrupted=True)
    return _exchange(host, spec, record, changes)


def _runs(host: UnitHost, name: str, record: Record) -> bool:
    service = f"{name}.{record.slot}"
    return host.backend.states([service])[service].active is Active.RUNNING


def _exchange(host: UnitHost, spec: UnitSpec, record: Record, changes: tuple[str, ...]) -> Released:
    old, slot = record.slot, other(record.slot)
    host.discard(spec.name, record)
    placed = host.place(spec, slot, record)
    host.backend.prepare(placed)
    made = host.made(placed, record)
    if made is not None:
        made.run()
    host.backend.write(list(host.backend.render(placed)))
    if made is not None:
        made.link()
    coming = replace(
        record,
        health=spec.health,
        restart=spec.restart.value,
        fronted=spec.fronted,
        ports={slot: dict(placed.ports)},
    )
    together = spec.order is Order.START_FIRST and spec.fronted == record.fronted
    if not together:
        if record.fronted and not spec.fronted:
            host.backend.stop(f"{spec.name}.front")
        host.backend.stop(f"{spec.name}.{old}")
    problem = _begin(host, placed.service) or _trouble(host, spec.name, coming, slot)
    if problem:
        failure = _failed(host, spec, problem, "the version before it serves on")
        host.drop(spec.name, slot)
        if not together:
            host.start(spec.name)
            again = _trouble(host, spec.name, record, old)
            if again:
                failure.why = f"the version before it was started again, but {again}; {failure.why}"
        raise failure
    written = host.put_files(front_files(host.backend, placed)) if spec.fronted else []
    host.set_front(placed, written, run=True)
    host.commit(placed, record)
    drained = _drain(host, spec, record) if together else True
    host.drop(spec.name, old)
    host.tidy(placed, record)
    return Released(changes, interrupted=not together, drained=drained)


def _begin(host: UnitHost, service: str) -> str:
    """Start a version; answers why the host would not."""
    try:
        host.backend.start(service, scheduled=False, again=True)
    except HostUnreachable:
        raise
    except HostError as error:
        return f"it can't be started: {error.why or error.summary}"
    return ""


def _trouble(host: UnitHost, name: str, record: Record, slot: str) -> str:
    """Why a started version does not count as healthy, empty when it does."""
    check = record.health
    service = f"{name}.{slot}"
    started = host.now()
    seen = failures = 0
    while True:
        state = host.backend.states([service])[service]
        if state.active is not Active.RUNNING:
            if record.restart != "always" and state.exit_code == 0 and check is None:
                return ""
            return f"it ended with exit code {state.exit_code}"
        if check is None:
            if state.restarts:
                return f"it ended and was started again {state.restarts} times"
            seen += 1
            if seen >= _SETTLE.retries:
                return ""
        elif host.probe(name, record, slot):
            return ""
        elif host.now() - started >= check.start_period:
            failures += 1
            if failures >= check.retries:
                what = f"GET {check.path}" if check.path else " ".join(check.command) or "its port"
                return f"its health check ({what}) failed {failures} times in a row"
        host.wait((check or _SETTLE).interval)


def _drain(host: UnitHost, spec: UnitSpec, record: Record) -> bool:
    """Wait until nobody is connected to the old version any more."""
    ports = record.ports.get(record.slot, {}).values()
    until = host.now() + spec.drain
    while ports and host.backend.connections(ports):
        if host.now() >= until:
            return False
        host.wait(0.2)
    return True


def _failed(host: UnitHost, spec: UnitSpec, problem: str, rest: str) -> ReleaseFailed:
    said = masked("\n".join(line.text for line in host.backend.logs(spec.name, 5, None)), spec)
    return ReleaseFailed(
        f"the new version of {spec.name} on {host.name} did not get healthy: {problem}",
        why=f"{rest}; its last words: {said}" if said else rest,
        fix="look at its log, mend it and release it again",
        address=spec.name,
    )
