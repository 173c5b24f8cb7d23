"""Roles of databases from stack to database, on the in-memory provider; lowered for the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.providers.registry import adapter
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.graph import Secret
from rehost.stacks.legalize import legalize
from rehost.stacks.lower import Lowering, lower
from rehost.stacks.model import Stack
from rehost.stacks.plan import Action, Plan, Wishes
from rehost.stacks.resolve import resolve_facts
from rehost.stacks.sql.memory import MemorySql
from rehost.stacks.sql.role import TOKEN
from rehost.stacks.state import Passphrase, file_store

ROLES: dict[str, Any] = {
    "report": {"password": "${secrets.report_key}", "privileges": "read", "connection_limit": 3},
    "worker": {"privileges": "write", "settings": {"statement_timeout": "30s"}},
    "migrator": {"privileges": "owner"},
    "team": {"login": False},
}


def stack(roles: dict[str, Any], **changes: Any) -> Stack:
    data: dict[str, Any] = {
        "stack": "plaza",
        "targets": {"here": {"provider": "memory"}, "far": {"provider": "hetzner", "region": "fsn1"}},
        "network": {},
        "servers": {"app": {"public": True}},
        "secrets": {"report_key": {"from_env": "REPORT"}},
        "databases": {"main": {"version": "16", "roles": roles}},
        "services": {"web": {"image": "plaza:1", "environment": {"URL": "${databases.main.roles.worker.url}"}}},
    }
    return Stack.model_validate({**data, **changes})


class World:
    def __init__(self, folder: Path) -> None:
        self.cloud, self.folder, self.report = MemoryCloud(), folder, "horse-battery"

    def deployment(self, made: Stack) -> Deployment:
        store = file_store(self.folder, Passphrase("horse"))
        where = made.targets["here"]
        given = {"REPORT": self.report}
        return Deployment(made, where, MemoryAdapter(cloud=self.cloud), store, given, clock=Clock(pace=200))

    def deploy(self, roles: dict[str, Any], word: str = "done", **changes: Any) -> Plan:
        plan, outcome = self.deployment(stack(roles, **changes)).deploy()
        assert outcome.word == word, outcome.failed
        return plan

    @property
    def sql(self) -> MemorySql:
        (record,) = [r for r in self.cloud.inventory() if r["token"].endswith(":Database")]
        return self.cloud.database(record["id"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_roles_are_made_after_their_database_and_before_those_who_use_them(world: World) -> None:
    world.deploy(ROLES)
    assert world.deployment(stack(ROLES)).plan().empty
    made = world.sql.roles
    assert set(made) == set(ROLES)
    assert (made["report"].password, made["report"].connection_limit) == ("horse-battery", 3)
    assert made["worker"].settings == {"statement_timeout": "30s"}
    assert made["team"].login is False
    assert "migrator" in made["report"].creators
    drawn = world.deployment(stack(ROLES)).store.read("plaza", "here").secrets
    assert made["worker"].password == drawn["databases_main_roles_worker_password"].value
    steps = [f"{step.component} {step.name}" for step in world.deployment(stack(ROLES)).plan().steps]
    order = [steps.index(f"databases.main {name}") for name in ("main", "main/migrator", "main/worker")]
    assert order == sorted(order) and steps.index("services.web-1 web/app-1") > order[-1]


def test_secrets_are_in_no_plan(world: World) -> None:
    plan = world.deploy(ROLES)
    passwords = [role.password for role in world.sql.roles.values() if role.password]
    assert len(passwords) == 3
    told = repr([(c.path, c.new) for step in plan.steps for c in step.changes])
    assert not any(password in told for password in passwords)
    state = "".join(p.read_text() for p in world.folder.rglob("*") if p.is_file())
    assert not any(password in state for password in passwords)


def test_a_role_that_was_changed_or_removed_by_others_is_put_right(world: World) -> None:
    world.deploy(ROLES)
    world.sql.rights["report"].clear()
    del world.sql.roles["worker"]
    plan = world.deployment(stack(ROLES)).plan()
    shown = {step.name: (step.action, step.reason) for step in plan.changing}
    assert shown["main/report"] == (Action.UPDATE, "changed outside rehost")
    assert shown["main/worker"] == (Action.CREATE, "deleted outside rehost")
    (change,) = next(step.changes for step in plan.changing if step.name == "main/report")
    assert change.path == "drift" and "is missing CONNECT on database app" in change.old
    world.deploy(ROLES)
    assert world.deployment(stack(ROLES)).plan().empty


def test_a_password_is_rotated_and_a_role_removed(world: World) -> None:
    world.deploy(ROLES)
    world.report = "staple"
    plan = world.deploy({name: role for name, role in ROLES.items() if name != "team"})
    assert {(step.name, step.action) for step in plan.changing} == {
        ("main/report", Action.UPDATE),
        ("main/team", Action.DELETE),
    }
    assert world.sql.roles["report"].password == "staple"
    assert "team" not in world.sql.roles


def test_a_role_of_somebody_else_is_left_alone(world: World) -> None:
    world.deploy({})
    from rehost.stacks.sql.port import RoleSpec

    with world.sql.open(None) as session:  # type: ignore[arg-type]
        session.put(RoleSpec("team", password="theirs"))
    _, outcome = world.deployment(stack({"team": {}})).deploy()
    assert outcome.exit_code == 1
    assert "did not make" in outcome.failed[0][1].summary
    assert world.sql.roles["team"].password == "theirs"


def test_out_of_reach_the_steps_wait_and_the_rest_goes_on(world: World) -> None:
    world.deploy({"worker": ROLES["worker"]})
    world.sql.away = True
    deployment = world.deployment(stack(ROLES, servers={"app": {"public": True, "count": 2}}))
    plan, outcome = deployment.deploy()
    assert outcome.exit_code == 6
    assert any("main/worker is taken to be as it was" in note for note in plan.notes)
    assert all("waits: " in error.summary for _, error in outcome.waiting)
    assert {step.name for step, _ in outcome.waiting} == {"main/migrator", "main/team"}
    assert any(record["inputs"].get("name") == "plaza-app-2" for record in world.cloud.inventory())
    world.sql.away = False
    world.deploy(ROLES, servers={"app": {"public": True, "count": 2}})
    assert set(world.sql.roles) == set(ROLES)


def test_a_database_that_goes_takes_its_roles_along_reachable_or_not(world: World) -> None:
    world.deploy(ROLES)
    world.sql.away = True
    _, outcome = world.deployment(stack(ROLES)).destroy(Wishes(delete_data=("databases.main",)))
    assert outcome.word == "done", outcome.failed
    assert world.cloud.inventory() == []


def test_in_place_of_a_database_a_server_holds_the_roles() -> None:
    made = stack(ROLES)
    provider = adapter("hetzner")
    legal = legalize(made, provider.native)
    facts = resolve_facts(provider, legal.stack, made.targets["far"], {}).values()
    secrets = dict.fromkeys(legal.stack.secrets, Secret("s"))
    context = Lowering(legal.stack, made.targets["far"], facts, "d" * 32, secrets, legal.texts, legal.roles)
    graph = lower(provider, context)
    roles = [resource for resource in graph.resources.values() if resource.type == TOKEN]
    assert len(roles) == 4
    for role in roles:
        names = {urn.split("::", 2)[2] for urn in role.dependencies()}
        assert "hcloud:index/volume:Volume::db-main-1" in names
        assert "rehost:host/unit:Unit::db-main/db-main-1" in names
        assert role.inputs["via"]["name"] == "db-main-1"
