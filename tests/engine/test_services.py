"""Services on the in-memory provider: from definition to units that run on its servers, and back to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.hosts.memory import MemoryHost
from rehost.stacks.hosts.port import Active
from rehost.stacks.legalize import legalize
from rehost.stacks.load import load
from rehost.stacks.model import Service, Stack
from rehost.stacks.plan import Action, Plan, Wishes
from rehost.stacks.portability import Fit, compare
from rehost.stacks.services import unit_inputs
from rehost.stacks.state import Passphrase, file_store

UNIT = "rehost:host/unit:Unit"
PLAZA: dict[str, Any] = {
    "stack": "plaza",
    "targets": {"here": {"provider": "memory"}},
    "servers": {"app": {"count": 2}, "jobs": {"count": 2}},
    "services": {
        "web": {
            "image": "plaza:1",
            "on": "app",
            "ports": [8080],
            "healthcheck": {"path": "/healthz"},
            "environment": {
                "TOKEN": "${secrets.token}",
                "QUEUE": "redis://:${secrets.token}@${servers.jobs-1.private_ip}",
                "ZONE": "${dns.plaza.example.name_servers}",
                "PRICE": "5$$",
            },
            "depends_on": ["queue"],
        },
        "queue": {"image": "redis", "on": "jobs", "singleton": True},
        "nightly": {"image": "plaza:1", "on": "jobs", "command": "clean up", "schedule": "30 3 * * *"},
    },
    "load_balancers": {"edge": {"to": "web", "listen": [{"port": 80}, {"port": 81, "to_port": 9000}]}},
    "dns": {"plaza.example": []},
    "secrets": {"token": {"generate": 16}},
}


def test_composes_newer_words_mean_the_same() -> None:
    older = Service.model_validate(
        {"image": "a", "cpus": 0.5, "mem_limit": "1GiB", "pids_limit": 9, "depends_on": ["db"]}
    )
    limits = {"cpus": "0.5", "memory": "1GiB", "pids": 9}
    needs = {"db": {"condition": "service_healthy"}}
    newer = Service.model_validate(
        {"image": "a", "deploy": {"resources": {"limits": limits}}, "depends_on": needs}
    )
    assert unit_inputs("web", newer) == unit_inputs("web", older)
    assert newer.depends_on == older.depends_on == ("db",)


class World:
    """One cloud with one state; deployments of the stack with changes."""

    def __init__(self, folder: Path) -> None:
        self.cloud = MemoryCloud()
        self.folder = folder

    def deployment(self, stack: Stack | None = None, **web: Any) -> Deployment:
        services = {**PLAZA["services"], "web": {**PLAZA["services"]["web"], **web}}
        stack = stack or Stack.model_validate({**PLAZA, "services": services})
        store = file_store(self.folder / "state", Passphrase("horse"))
        adapter = MemoryAdapter(cloud=self.cloud)
        return Deployment(stack, stack.targets["here"], adapter, store, {}, clock=Clock(pace=200))

    def deploy(self, stack: Stack | None = None, **web: Any) -> Plan:
        plan, outcome = self.deployment(stack, **web).deploy()
        assert outcome.word == "done", [(s.urn, e.summary, e.why) for s, e in outcome.failed]
        assert self.deployment(stack, **web).plan().empty
        return plan

    def host(self, server: str) -> MemoryHost:
        found = next(r for r in self.cloud.inventory() if r["inputs"].get("name") == f"plaza-{server}")
        host = self.cloud.host(found["id"], {})
        assert isinstance(host, MemoryHost)
        return host

    def running(self) -> dict[str, list[str]]:
        return {name: sorted(self.host(name).units()) for name in ("app-1", "app-2", "jobs-1", "jobs-2")}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def units(plan: Plan) -> dict[str, tuple[str, str]]:
    return {s.component: (s.action.value, s.disruption.label) for s in plan.changing if s.type == UNIT}


def test_a_service_runs_on_every_server_of_its_group_and_what_is_alone_on_the_first(world: World) -> None:
    plan = world.deploy()
    assert world.running() == {"app-1": ["web"], "app-2": ["web"], "jobs-1": ["nightly", "queue"], "jobs-2": []}
    assert set(units(plan)) == {"services.web-1", "services.web-2", "services.queue-1", "services.nightly-1"}
    assert all(status.active is Active.RUNNING for status in world.host("app-1").units().values())


def test_variables_hold_what_they_refer_to_and_no_secret_is_on_the_disk(world: World) -> None:
    world.deploy()
    files = [f.content for f in world.host("app-1").backend.contents.values() if f.path.endswith("service.json")]
    queue = next(r for r in world.cloud.inventory() if r["inputs"].get("name") == "plaza-jobs-1")
    assert f"@10.0.0.{queue['number'] + 1}".encode() in files[0]
    assert b'"PRICE": "5$"' in files[0]
    token = files[0].split(b'"TOKEN": "')[1].split(b'"')[0]
    assert len(token) >= 16 and b"redis://:" + token + b"@" in files[0]
    for path in (world.folder / "state").rglob("*"):
        assert not path.is_file() or token not in path.read_bytes(), path


def test_a_new_version_restarts_and_nothing_else_is_touched(world: World) -> None:
    world.deploy()
    plan = world.deploy(image="plaza:2")
    assert units(plan) == {f"services.web-{n}": ("update", "restart") for n in (1, 2)}
    assert len(plan.changing) == 2
    plan = world.deploy(image="plaza:2", environment={"MODE": "fast"})
    assert {change.path for step in plan.changing for change in step.changes} == {"environment"}


def test_a_unit_that_was_stopped_or_removed_on_the_host_comes_back(world: World) -> None:
    world.deploy()
    world.host("app-1").stop("web")
    world.host("app-2").remove("web")
    plan = world.deploy()
    assert units(plan) == {"services.web-1": ("update", "restart"), "services.web-2": ("create", "none")}
    assert world.running()["app-2"] == ["web"]


def test_a_server_that_is_gone_takes_its_units_along(world: World) -> None:
    world.deploy()
    host = next(r for r in world.cloud.inventory() if r["inputs"].get("name") == "plaza-app-2")
    world.cloud.tamper(host["id"], None)
    plan = world.deploy()
    assert units(plan)["services.web-2"] == ("create", "none")
    assert world.running()["app-2"] == ["web"]


def test_a_unit_is_made_after_those_that_it_depends_on(world: World) -> None:
    plan = world.deployment().plan()
    order = [step.component for step in plan.steps if step.type == UNIT]
    assert order.index("services.queue-1") < min(order.index(f"services.web-{n}") for n in (1, 2))


def test_destroy_stops_everything_and_leaves_nothing(world: World) -> None:
    world.deploy()
    host = world.host("app-1")
    _, outcome = world.deployment().destroy(Wishes(delete_data=("*",)))
    assert outcome.word == "done", outcome.failed
    assert world.cloud.inventory() == [] and not host.units()


def test_a_service_that_is_taken_out_is_removed_from_its_servers(world: World) -> None:
    world.deploy()
    services = {name: PLAZA["services"][name] for name in ("queue", "web")}
    stack = Stack.model_validate({**PLAZA, "services": services})
    plan = world.deploy(stack)
    assert [(step.component, step.action) for step in plan.changing] == [("services.nightly-1", Action.DELETE)]
    assert world.running()["jobs-1"] == ["queue"]


def test_a_load_balancer_before_a_service_stands_before_its_servers_at_its_port() -> None:
    balancer = legalize(Stack.model_validate(PLAZA), frozenset()).stack.load_balancers["edge"]
    assert balancer.to == "servers.app"
    assert [listener.target_port for listener in balancer.listen] == [8080, 9000]


def test_a_source_is_put_on_the_servers(world: World, tmp_path: Path) -> None:
    source = tmp_path / "app"
    (source / "templates").mkdir(parents=True)
    (source / "serve.py").write_text("print(1)\n")
    (source / "templates" / "logo.png").write_bytes(b"\x89PNG\xff\0")
    (source / ".env").write_text("SECRET=1")
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "serve.pyc").write_bytes(b"x")
    file = tmp_path / "stack.yaml"
    text = "stack: plaza\ntargets: {here: {provider: memory}}\nservers: {app: {}, jobs: {}}\n"
    file.write_text(text + "services: {web: {on: app, source: app, command: [python3, serve.py]}}\n")
    stack = load([file], environment={}).stack
    assert stack is not None
    assert set(stack.services["web"].files) == {"serve.py", "templates/logo.png"}
    world.deploy(stack)
    contents = {
        file.path.rpartition("/")[2]: file.content for file in world.host("app-1").backend.contents.values()
    }
    assert contents["serve.py"] == b"print(1)\n" and contents["logo.png"] == b"\x89PNG\xff\0"
    (source / "serve.py").write_text("print(2)\n")
    stack = load([file], environment={}).stack
    assert units(world.deploy(stack)) == {"services.web-1": ("update", "restart")}


@pytest.mark.parametrize(
    ("size", "count", "said"), [(1024**2 + 1, 1, "too large"), (1, 501, "too large"), (0, 0, "is empty")]
)
def test_a_source_that_is_too_large_or_empty_is_refused(tmp_path: Path, size: int, count: int, said: str) -> None:
    source = tmp_path / "app"
    source.mkdir()
    for number in range(count):
        (source / f"{number}").write_bytes(b"x" * size)
    file = tmp_path / "stack.yaml"
    file.write_text("stack: plaza\nservers: {app: {}}\nservices: {web: {source: app, command: run}}\n")
    (found,) = load([file], environment={}).diagnostics
    assert found.code == "source" and said in found.summary and found.span.line == 3


def test_the_portability_diff_says_where_services_are_left_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    from rehost.providers.registry import adapter

    targets = {**PLAZA["targets"], "away": {"provider": "hetzner", "region": "fsn1"}}
    stack = Stack.model_validate({**PLAZA, "targets": targets})
    sides = [(adapter(stack.targets[name].provider), stack.targets[name]) for name in ("here", "away")]
    row = next(row for row in compare(stack, *sides).rows if row.component == "services.web")
    assert (row.here, row.there) == (Fit.NATIVE, Fit.NATIVE)
    # As a provider of somebody else's would be.
    monkeypatch.setattr(type(sides[1][0]), "kinds", lambda self: self.book.tokens())
    row = next(row for row in compare(stack, *sides).rows if row.component == "services.web")
    assert (row.here, row.there) == (Fit.NATIVE, Fit.OPERATOR)
    assert "does not start services" in row.findings[0].reason and row.findings[0].step
