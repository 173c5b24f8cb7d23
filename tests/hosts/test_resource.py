"""Units in the graph: planned and applied by the engine, on hosts in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehost.providers.base import KindDispatch, RuleBook
from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.providers.memory.connection import MemoryConnection
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import InvalidInput, ProviderError, Reason
from rehost.stacks.graph import Ref, Resource, Secret, Value
from rehost.stacks.hosts.memory import MemoryHost
from rehost.stacks.hosts.pool import HostPool, over_ssh
from rehost.stacks.hosts.port import Active, HostFile, HostUnreachable
from rehost.stacks.hosts.resource import RULES, TOKEN, UnitKind, inputs_of, spec_of
from rehost.stacks.hosts.units import HealthCheck, Order, Port, Schedule, UnitSpec, Volume
from rehost.stacks.lower import Lowering
from rehost.stacks.model import Stack, Target
from rehost.stacks.plan import Action
from rehost.stacks.ports import Call, Disruption, Known, Live
from rehost.stacks.state import Passphrase, file_store

SERVER = "memory:index/server:Server"


class Connected(MemoryConnection, KindDispatch):
    """The in-memory provider with units on its servers."""

    hosts: HostPool

    def create(self, call: Call, token: str, inputs: Mapping[str, Value]) -> Live:
        return self._of(token).create(call, inputs) if token == TOKEN else super().create(call, token, inputs)

    def read(self, token: str, known: Sequence[Known]) -> Sequence[Live | None]:
        return self._of(token).read(known) if token == TOKEN else super().read(token, known)

    def find(self, token: str, inputs: Mapping[str, Value], besides: frozenset[str] = frozenset()) -> Live | None:
        return self._of(token).find(inputs) if token == TOKEN else super().find(token, inputs, besides)

    def update(self, call: Call, token: str, known: Known, inputs: Mapping[str, Value]) -> Live:
        if token == TOKEN:
            return self._of(token).update(call, known, inputs)
        return super().update(call, token, known, inputs)

    def delete(self, call: Call, token: str, known: Known) -> None:
        if token == TOKEN:
            self._of(token).delete(call, known)
        else:
            super().delete(call, token, known)

    def _of(self, token: str) -> UnitKind:
        assert token == TOKEN
        return UnitKind(self.hosts)


class Adapter(MemoryAdapter):
    """Lowers one unit onto the first server."""

    unit: Mapping[str, Value]
    hosts: HostPool

    def lower(self, lowering: Lowering) -> Iterable[Resource]:
        yield from super().lower(lowering)
        server = Ref(lowering.urn(SERVER, "app-1"))
        inputs = {
            **self.unit,
            "serverId": server,
            "connection": {"address": Ref(server.urn, "privateIp"), "privateKey": Secret("key")},
            "tags": lowering.marks(TOKEN, "web"),
        }
        if self.unit:
            yield lowering.resource(TOKEN, "web", inputs, component="services.web")

    def connect(self, target: Target, environment: Mapping[str, str]) -> MemoryConnection:
        connection = Connected(self.cloud, self.book)
        connection.hosts = self.hosts
        return connection


class World:
    """A stack with one server, its state, and the hosts."""

    def __init__(self, folder: Path) -> None:
        book = folder / "kinds.json"
        own = json.loads((Path(MemoryAdapter().book.path)).read_text())
        book.write_text(json.dumps({**own, **json.loads(RULES.read_text())}))
        self.hosts: dict[str, MemoryHost] = {}
        self.adapter = Adapter(book=RuleBook(book), cloud=MemoryCloud())
        self.adapter.hosts = HostPool(lambda server, _: self.hosts.setdefault(server, MemoryHost(server)))
        self.folder = folder

    def deployment(self, unit: Mapping[str, Value]) -> Deployment:
        self.adapter.unit = unit
        stack = Stack.model_validate(
            {
                "stack": "plaza",
                "targets": {"here": {"provider": "memory"}},
                "servers": {"app": {}},
            }
        )
        store = file_store(self.folder / "state", Passphrase("horse"))
        return Deployment(stack, stack.targets["here"], self.adapter, store, {}, clock=Clock(pace=200))

    @property
    def host(self) -> MemoryHost:
        (host,) = self.hosts.values()
        return host


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def unit(**changes: Value) -> dict[str, Value]:
    return {
        "name": "web",
        "command": ["python3", "app.py"],
        "files": {"app.py": "print(1)\n", "logo": {"base64": "AP8="}},
        "environment": {"TOKEN": Secret("horse-battery"), "MODE": "fast"},
        "ports": [{"port": 8080}],
        "health": {"path": "/healthz", "startPeriod": 1.5},
        **changes,
    }


def steps(deployment: Deployment) -> dict[str, Any]:
    return {step.type: step for step in deployment.plan().changing}


def test_a_unit_is_planned_applied_and_then_there_is_nothing_to_do(world: World) -> None:
    plan, outcome = world.deployment(unit()).deploy()
    assert outcome.word == "done", outcome.failed
    assert {step.type for step in plan.changing} == {SERVER, TOKEN}
    status = world.host.units()["web"]
    assert status.active is Active.RUNNING and not status.held
    assert b"\x00\xff" in [file.content for file in world.host.backend.contents.values()]
    assert world.deployment(unit()).plan().empty
    for path in (world.folder / "state").rglob("*"):
        assert not path.is_file() or b"horse-battery" not in path.read_bytes(), path


def test_a_changed_unit_is_updated_and_one_that_is_gone_made_again(world: World) -> None:
    world.deployment(unit()).deploy()
    changed = unit(environment={"TOKEN": Secret("other"), "MODE": "slow"})
    step = steps(world.deployment(changed))[TOKEN]
    assert step.action is Action.UPDATE and step.disruption is Disruption.RESTART
    assert "other" not in repr(step)
    before = world.host.units()["web"].fingerprint
    world.deployment(changed).deploy()
    assert world.host.units()["web"].fingerprint != before
    world.host.remove("web")
    assert steps(world.deployment(changed))[TOKEN].action is Action.CREATE


def test_drift_is_planned_and_repaired(world: World) -> None:
    world.deployment(unit()).deploy()
    path = world.host.backend.layout.source("web", "a") + "/app.py"
    world.host.put(HostFile(path, b"edited"))
    world.host.stop("web")
    step = steps(world.deployment(unit()))[TOKEN]
    assert step.drifted and step.action is Action.UPDATE
    assert step.changes[0].old == ["file a/source/app.py", "start"]
    world.deployment(unit()).deploy()
    assert world.host.units()["web"].active is Active.RUNNING
    assert world.deployment(unit()).plan().empty


def test_a_held_unit_stays_held_until_it_is_let_go(world: World) -> None:
    world.deployment(unit(held=True)).deploy()
    assert world.host.units()["web"].held
    assert world.deployment(unit(held=True)).plan().empty
    world.deployment(unit(held=False)).deploy()
    assert world.host.units()["web"].active is Active.RUNNING
    world.host.hold("web")
    assert steps(world.deployment(unit(held=False)))[TOKEN].action is Action.UPDATE


def test_a_unit_that_is_no_longer_wanted_is_removed(world: World) -> None:
    world.deployment(unit()).deploy()
    world.deployment({}).deploy()
    assert world.host.units() == {} and world.host.backend.contents == {}


def test_a_version_that_does_not_get_healthy_fails_the_step(world: World) -> None:
    world.deployment(unit()).deploy()
    world.host.backend.verdict = lambda environment: environment["MODE"] != "broken"
    plan, outcome = world.deployment(unit(environment={"MODE": "broken"})).deploy()
    assert outcome.word != "done" and len(plan.changing) == 1
    assert world.host.units()["web"].active is Active.RUNNING
    assert outcome.failed and "did not get healthy" in str(outcome.failed)


def test_a_unit_of_somebody_else_is_left_alone(world: World) -> None:
    world.deployment({}).deploy()
    server = next(record["id"] for record in world.adapter.cloud.inventory() if record["token"] == SERVER)
    world.adapter.hosts(server, {"address": "x"})
    world.host.apply(UnitSpec("web", command=("theirs",), owner="another"))
    _, outcome = world.deployment(unit()).deploy()
    assert outcome.word != "done"
    assert world.host.units()["web"].owner == "another"


def test_errors_of_hosts_are_told_as_the_engine_knows_them() -> None:
    def unreachable(server: str, connection: Mapping[str, Value]) -> MemoryHost:
        raise HostUnreachable("no answer")

    with pytest.raises(ProviderError) as failure:
        UnitKind(unreachable).find({"name": "web", "command": ["x"], "serverId": "1"})
    assert failure.value.reason is Reason.UNCERTAIN and failure.value.retryable


def test_hosts_over_ssh_are_found_by_server_and_connection() -> None:
    pool = over_ssh()
    connection = {
        "address": "192.0.2.1",
        "hostKeys": ["ssh-ed25519 AAAA"],
        "via": {"address": "b", "hostKeys": ["k"]},
    }
    host = pool("7", connection)
    assert host.name == "7" and pool("7", dict(connection)) is host
    pool.close()
    for spoiled in ({}, {"address": "x"}, {"address": "x", "hostKeys": ["k"], "port": "no"}):
        with pytest.raises(InvalidInput):
            pool("8", spoiled)


def test_inputs_that_describe_no_unit_are_said() -> None:
    for inputs in (
        {},
        {"name": "web", "command": ["x"], "ports": [{"nope": 1}]},
        {"name": "w", "restart": "maybe"},
    ):
        with pytest.raises(InvalidInput):
            spec_of(inputs)
    with pytest.raises(InvalidInput, match="neither text nor base64"):
        spec_of({"name": "web", "command": ["x"], "files": {"a": {"base64": "!"}}})


SPECS = st.builds(
    UnitSpec,
    name=st.just("web"),
    command=st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=1).map(tuple),
    files=st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.binary(max_size=9), max_size=3),
    environment=st.dictionaries(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), st.just("ü\n$"), max_size=3),
    ports=st.lists(st.integers(1, 65535), unique=True, min_size=1, max_size=3).map(
        lambda numbers: tuple(Port(number) for number in numbers)
    ),
    volumes=st.lists(st.builds(Volume, st.just("data"), st.just("/d"), st.booleans()), max_size=1).map(tuple),
    health=st.none()
    | st.builds(HealthCheck, path=st.just("/h"), interval=st.floats(0.1, 9), retries=st.integers(1, 9)),
    order=st.sampled_from(Order),
    owner=st.sampled_from(["", "abc"]),
)


@given(SPECS)
def test_inputs_and_spec_are_the_same_thing(spec: UnitSpec) -> None:
    inputs = inputs_of(spec)
    assert spec_of(json.loads(json.dumps(inputs))) == spec
    scheduled = UnitSpec("job", command=("x",), schedule=Schedule("* * * * *", "Europe/Berlin"))
    assert spec_of(inputs_of(scheduled)) == scheduled
