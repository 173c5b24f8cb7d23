"""The host port over any backend: idempotent apply, hold, drift and removal are decided here, once for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rehost.stacks.errors import InvalidInput, Refused
from rehost.stacks.hosts import release
from rehost.stacks.hosts.backend import SLOTS, Backend, Placed, fact_of, other
from rehost.stacks.hosts.front import front_files, route_to
from rehost.stacks.hosts.port import Active, Applied, Completed, HostFile, LogLine, Released, Status
from rehost.stacks.hosts.record import Record
from rehost.stacks.hosts.setup import Made
from rehost.stacks.hosts.units import UnitSpec


class UnitHost:
    """A Host. `wait` and `now` are the clock of health checks and drains, in seconds."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        *,
        wait: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self.backend = backend
        self.wait = wait
        self.now = now
        self._guard = threading.Lock()
        self._locks: dict[str, threading.RLock] = {}

    @property
    def name(self) -> str:
        """What people call it."""
        return self._name

    def lock(self, name: str) -> threading.RLock:
        """What keeps two threads from changing the same unit."""
        with self._guard:
            return self._locks.setdefault(name, threading.RLock())

    def record(self, name: str) -> Record | None:
        """What was applied, None for an unknown unit."""
        path = self.backend.layout.record(name)
        content = self.backend.read([path]).get(path)
        return None if content is None else Record.decode(content, name)

    def save(self, name: str, record: Record) -> None:
        """Remember what was applied."""
        self.backend.write([HostFile(self.backend.layout.record(name), record.encode(), 0o600)])

    def is_held(self, name: str) -> bool:
        """Whether the unit's mark is there."""
        return bool(self.backend.describe([self.backend.layout.held(name)]))

    def status(self, name: str) -> Status | None:
        """A unit as it is, its health included."""
        found = self._statuses([name]).get(name)
        record = self.record(name) if found else None
        if found is None or record is None or record.health is None or found.active is not Active.RUNNING:
            return found
        return replace(found, healthy=self.probe(name, record))

    def units(self) -> Mapping[str, Status]:
        """All units by name."""
        layout = self.backend.layout
        suffix = "/unit.json"
        names = [
            path[len(layout.units) + 1 : -len(suffix)]
            for path in self.backend.tree(layout.units)
            if path.endswith(suffix) and path.count("/") == layout.units.count("/") + 2
        ]
        return self._statuses(sorted(names))

    def _statuses(self, names: Sequence[str]) -> dict[str, Status]:
        layout = self.backend.layout
        contents = self.backend.read([layout.record(name) for name in names])
        records = {
            name: Record.decode(contents[layout.record(name)], name)
            for name in names
            if layout.record(name) in contents
        }
        states = self.backend.states([f"{name}.{record.slot}" for name, record in records.items()])
        paths = [path for record in records.values() for path in record.files]
        facts = self.backend.describe([*paths, *(layout.held(name) for name in records)])
        answer = {}
        for name, record in records.items():
            state = states[f"{name}.{record.slot}"]
            folder = layout.unit(name) + "/"
            drift = sorted(
                path.removeprefix(folder) for path, fact in record.files.items() if facts.get(path) != fact
            )
            answer[name] = Status(
                name=name,
                active=state.active,
                held=layout.held(name) in facts,
                fingerprint=record.fingerprint,
                drift=tuple(drift),
                pid=state.pid,
                exit_code=state.exit_code,
                restarts=state.restarts,
                slot=record.slot,
                owner=record.owner,
                ports=dict(record.ports.get(record.slot, {})),
            )
        return answer

    def probe(self, name: str, record: Record, slot: str = "") -> bool:
        """Whether the health check of a version succeeds now."""
        assert record.health is not None
        slot = slot or record.slot
        ports = record.ports.get(slot, {})
        port = ports[record.health.port or next(iter(ports))] if ports else 0
        address = self.backend.inner if record.fronted else self.backend.address
        return self.backend.probe(f"{name}.{slot}", record.health, address, port)

    def preview(self, spec: UnitSpec, *, held: bool | None = None) -> Applied:
        """What `apply` would do."""
        spec.check()
        return Applied(tuple(self._pending(spec, held, self.record(spec.name))))

    def apply(self, spec: UnitSpec, *, held: bool | None = None) -> Applied:
        """Make a unit what the spec says; nothing is touched where it is so already."""
        spec.check()
        with self.lock(spec.name):
            record = self.record(spec.name)
            changes = self._pending(spec, held, record)
            if not changes:
                return Applied()
            hold = self.is_held(spec.name) if held is None else held
            if hold:
                self._mark(spec.name, True)
                for slot in SLOTS:
                    self.backend.stop(f"{spec.name}.{slot}")
            record = record or Record.new()
            placed = self.place(spec, record.slot, record)
            self.discard(spec.name, record)
            renewed = record.dirty or record.fingerprint != record.of(spec)
            self.save(spec.name, replace(record, owner=spec.owner, dirty=True))
            written = self.put_version(placed, record)
            if not hold:
                self._mark(spec.name, False)
                front = {file.path for file in front_files(self.backend, placed)} if spec.fronted else set()
                again = renewed or not front.issuperset(written)
                self.backend.start(placed.service, scheduled=spec.schedule is not None, again=again)
            self.set_front(placed, written, run=not hold)
            self.commit(placed, record)
            self.tidy(placed, record)
            return Applied(tuple(changes))

    def _pending(self, spec: UnitSpec, held: bool | None, record: Record | None) -> list[str]:
        if record is None or (record.dirty and not record.fingerprint):
            return ["create"]
        changes = []
        is_held = self.is_held(spec.name)
        hold = is_held if held is None else held
        if record.fingerprint != record.of(spec):
            changes.append("definition")
        else:
            placed = self.place(spec, record.slot, record)
            folder = self.backend.layout.unit(spec.name) + "/"
            made = self.made(placed, record)
            wrong, extra = self.differences(placed, made)
            changes += ["setup"] if made is not None and (made.links is None or made.wrong) else []
            changes += [f"file {file.path.removeprefix(folder)}" for file in wrong]
            changes += [f"extra file {path.removeprefix(folder)}" for path in extra]
        if record.dirty:
            changes.append("unfinished change")
        if self.backend.tree(self.backend.layout.slot(spec.name, other(record.slot))):
            changes.append("unfinished release")
        if hold != is_held:
            changes.append("hold" if hold else "enable")
        services = [f"{spec.name}.{record.slot}"] + ([f"{spec.name}.front"] if spec.fronted else [])
        states = self.backend.states(services)
        running = [states[service].active is Active.RUNNING for service in services]
        if hold and any(running):
            changes.append("stop")
        elif not hold and not all(running) and not self._done(spec, states[services[0]].exit_code):
            changes.append("start")
        return changes

    def _done(self, spec: UnitSpec, exit_code: int | None) -> bool:
        """Whether a unit that is not restarted has come to its proper end."""
        return spec.restart.value != "always" and spec.schedule is None and exit_code == 0

    def place(self, spec: UnitSpec, slot: str, record: Record) -> Placed:
        """Where a version listens: real ports that are chosen stay chosen."""
        known = record.ports.get(slot, {}) if record.fronted else {}
        if not spec.fronted:
            return Placed(spec, slot, {port.port: port.port for port in spec.ports}, self.backend.address)
        missing = [port.port for port in spec.ports if port.port not in known]
        fresh = dict(zip(missing, self.backend.free_ports(len(missing)), strict=True)) if missing else {}
        return Placed(
            spec, slot, {p.port: known.get(p.port) or fresh[p.port] for p in spec.ports}, self.backend.inner
        )

    def files(self, placed: Placed) -> list[HostFile]:
        """All files of a version and of its forwarder."""
        files = list(self.backend.render(placed))
        if placed.spec.fronted:
            files += front_files(self.backend, placed)
        return files

    def made(self, placed: Placed, record: Record) -> Made | None:
        """What a version's setup made, None for one without."""
        return Made(self, placed, record) if placed.spec.setup is not None else None

    def tidy(self, placed: Placed, record: Record) -> None:
        """Remove what setups made that no version needs any more."""
        made = self.made(placed, record)
        if made is not None:
            made.prune()
        else:
            self.backend.hand("prune", folder=self.backend.layout.made(placed.spec.name), keep="")

    def differences(self, placed: Placed, made: Made | None) -> tuple[list[HostFile], list[str]]:
        """Files that are not as they should be, and files that should not be there."""
        files = self.files(placed)
        facts = self.backend.describe(file.path for file in files)
        wrong = [file for file in files if facts.get(file.path) != fact_of(file)]
        wanted = {file.path for file in files} | set((made and made.links) or ())
        source = self.backend.layout.source(placed.spec.name, placed.slot)
        extra = [] if not placed.spec.files else [path for path in self.backend.tree(source) if path not in wanted]
        return wrong, [path for path in extra if "/__pycache__/" not in path]

    def put_files(self, files: Sequence[HostFile]) -> list[str]:
        """Write those that differ; answers their paths."""
        facts = self.backend.describe(file.path for file in files)
        wrong = [file for file in files if facts.get(file.path) != fact_of(file)]
        if wrong:
            self.backend.write(wrong)
        return [file.path for file in wrong]

    def put_version(self, placed: Placed, record: Record) -> list[str]:
        """Make and write what differs and delete what is too much; answers the paths."""
        self.backend.prepare(placed)
        made = self.made(placed, record)
        if made is not None:
            made.run()
        _, extra = self.differences(placed, made)
        if extra:
            self.backend.delete(extra)
        return self.put_files(self.files(placed)) + extra + (made.link() if made is not None else [])

    def set_front(self, placed: Placed, written: Sequence[str], *, run: bool) -> None:
        """Let the forwarder run, or remove the one that is no longer wanted. It is started anew only when its
        own files were written, not for a new route."""
        name = placed.spec.name
        if not placed.spec.fronted:
            self.drop(name, "front")
        elif run:
            program = {file.path for file in front_files(self.backend, placed)[:-1]}
            self.backend.start(f"{name}.front", scheduled=False, again=not program.isdisjoint(written))
        else:
            self.backend.stop(f"{name}.front")

    def commit(self, placed: Placed, record: Record) -> None:
        """Remember a version as the one that is applied."""
        spec = placed.spec
        files = {file.path: fact_of(file) for file in self.files(placed)}
        self.save(
            spec.name,
            replace(
                record,
                fingerprint=record.of(spec),
                owner=spec.owner,
                slot=placed.slot,
                ports={placed.slot: dict(placed.ports)},
                fronted=spec.fronted,
                scheduled=spec.schedule is not None,
                restart=spec.restart.value,
                health=spec.health,
                files=files,
                dirty=False,
            ),
        )

    def discard(self, name: str, record: Record) -> None:
        """Remove what an unfinished release left: connections go to the recorded version before that."""
        if record.fronted and record.fingerprint:
            self.put_files([route_to(self.backend, name, record.ports[record.slot])])
        self.drop(name, other(record.slot))

    def drop(self, name: str, slot: str) -> None:
        """Stop a version and remove its files."""
        layout, service = self.backend.layout, f"{name}.{slot}"
        outside = self.backend.forget(service)
        if self.backend.describe(outside) or self.backend.tree(layout.slot(name, slot)):
            self.backend.stop(service)
            front = [layout.front(name)] if slot == "front" else []
            self.backend.delete([layout.slot(name, slot), *outside, *front])

    def release(self, spec: UnitSpec) -> Released:
        """Bring in a new version; see `release.release`."""
        with self.lock(spec.name):
            return release.release(self, spec)

    def start(self, name: str) -> None:
        """Start a unit. Raises Refused for one that is held."""
        self._run(name, again=False)

    def restart(self, name: str) -> None:
        """Stop and start a unit. Raises Refused for one that is held."""
        self._run(name, again=True)

    def trigger(self, name: str) -> None:
        """Run a scheduled unit now. Raises Refused for one that is held."""
        with self.lock(name):
            record = self._free(name)
            if not record.scheduled:
                raise InvalidInput(f"unit {name} has no schedule", fix="start or restart it")
            self.backend.trigger(f"{name}.{record.slot}")

    def _run(self, name: str, *, again: bool) -> None:
        with self.lock(name):
            record = self._free(name)
            self.backend.start(f"{name}.{record.slot}", scheduled=record.scheduled, again=again)
            if record.fronted:
                self.backend.start(f"{name}.front", scheduled=False, again=False)

    def _free(self, name: str) -> Record:
        record = self._known(name)
        if self.is_held(name):
            raise Refused(
                f"unit {name} on {self.name} is held",
                why="the other side may still accept writes",
                fix="it is enabled when the other side's fence is proven",
            )
        return record

    def _known(self, name: str) -> Record:
        record = self.record(name)
        if record is None:
            raise InvalidInput(
                f"host {self.name} has no unit {name}", fix=f"it has: {', '.join(self.units()) or '-'}"
            )
        return record

    def stop(self, name: str) -> None:
        """Stop a unit."""
        with self.lock(name):
            record = self._known(name)
            if record.fronted:
                self.backend.stop(f"{name}.front")
            for slot in SLOTS:
                self.backend.stop(f"{name}.{slot}")

    def hold(self, name: str) -> None:
        """Stop a unit and keep it from running."""
        with self.lock(name):
            self._known(name)
            self._mark(name, True)
            self.stop(name)

    def enable(self, name: str) -> None:
        """Let a held unit run, and start it."""
        with self.lock(name):
            self._known(name)
            self._mark(name, False)
            self.start(name)

    def _mark(self, name: str, held: bool) -> None:
        path = self.backend.layout.held(name)
        if held and not self.backend.describe([path]):
            self.backend.write([HostFile(path, b"")])
        elif not held and self.backend.describe([path]):
            self.backend.delete([path])

    def logs(self, name: str, *, tail: int = 100, since: float | None = None) -> Sequence[LogLine]:
        """The last lines that a unit wrote."""
        self._known(name)
        return self.backend.logs(name, tail, since)

    def remove(self, name: str, *, data: bool = False) -> bool:
        """Stop a unit and remove all that belongs to it."""
        layout = self.backend.layout
        with self.lock(name):
            there = bool(self.backend.tree(layout.unit(name)))
            for slot in ("front", *SLOTS):
                self.drop(name, slot)
            also = [layout.volumes(name)] if data else []
            self.backend.delete([layout.unit(name), layout.made(name), *also])
            if there:
                self.backend.clear_logs(name)
            if not self.backend.tree(layout.units):
                self.backend.leave()
            return there

    def put(self, file: HostFile) -> bool:
        """Write a file atomically unless it is so already."""
        if self.backend.describe([file.path]).get(file.path) == fact_of(file):
            return False
        self.backend.write([file])
        return True

    def fetch(self, path: str) -> bytes | None:
        """The content of a file."""
        return self.backend.read([path]).get(path)

    def run(
        self,
        command: Sequence[str],
        *,
        input: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Completed:
        """Run a command to its end."""
        return self.backend.run(command, input=input, environment=environment or {}, timeout=timeout)

    def close(self) -> None:
        """Give back what the connection holds."""
        self.backend.close()
