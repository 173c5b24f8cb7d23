"""Databases and caches on the in-memory provider, and what refers to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import Refused
from rehost.stacks.graph import Secret
from rehost.stacks.hosts.memory import MemoryHost
from rehost.stacks.model import Stack
from rehost.stacks.plan import Wishes
from rehost.stacks.state import Passphrase, file_store

PLAZA: dict[str, Any] = {
    "stack": "plaza",
    "targets": {"here": {"provider": "memory"}},
    "servers": {"app": {}},
    "databases": {"main": {"version": "16", "reachable_from": ["servers.app"]}},
    "caches": {"hot": {"version": "8.0"}},
    "services": {
        "web": {
            "image": "plaza:1",
            "environment": {
                "URL": "${databases.main.url}",
                "PARTS": "${databases.main.user} ${databases.main.name} ${databases.main.port}",
                "CACHE": "${caches.hot.url}",
            },
        }
    },
}


def deployment(folder: Path, cloud: MemoryCloud, **changes: Any) -> Deployment:
    stack = Stack.model_validate({**PLAZA, **changes})
    environment = {"OWNER": "horse-battery"}
    store = file_store(folder, Passphrase("horse"))
    return Deployment(
        stack, stack.targets["here"], MemoryAdapter(cloud=cloud), store, environment, clock=Clock(pace=200)
    )


def variables(cloud: MemoryCloud) -> dict[str, str]:
    server = next(r for r in cloud.inventory() if r["token"].endswith(":Server"))
    host = cloud.host(server["id"], {})
    assert isinstance(host, MemoryHost)
    (text,) = [f.content for f in host.backend.contents.values() if f.path.endswith("service.json")]
    found: dict[str, str] = json.loads(text)["environment"]
    return found


def test_services_are_told_where_their_database_is_and_how_to_get_in(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    plan, outcome = deployment(tmp_path, cloud).deploy()
    assert outcome.word == "done", outcome.failed
    assert deployment(tmp_path, cloud).plan().empty
    kept = deployment(tmp_path, cloud).store.read("plaza", "here").secrets
    passwords = {name: secret.value for name, secret in kept.items()}
    assert set(passwords) == {"databases_main_password", "caches_hot_password"}
    number = next(r["number"] for r in cloud.inventory() if r["token"].endswith(":Database"))
    told = variables(cloud)
    assert told["URL"] == f"postgresql://app:{passwords['databases_main_password']}@10.0.0.{number + 1}:5432/app"
    assert told["PARTS"] == "app app 5432"
    assert told["CACHE"].startswith(f"rediss://:{passwords['caches_hot_password']}@10.0.0.")
    shown = [(change.path, change.new) for step in plan.changing for change in step.changes]
    assert not any(password in str(shown) for password in passwords.values())
    order = [step.component for step in plan.steps]
    assert order.index("databases.main") < order.index("services.web-1")


def test_a_password_of_ones_own_is_taken_and_none_is_drawn(tmp_path: Path) -> None:
    database = {**PLAZA["databases"]["main"], "password": "${secrets.owner}"}
    changes = {"databases": {"main": database}, "secrets": {"owner": {"from_env": "OWNER"}}}
    cloud = MemoryCloud()
    _, outcome = deployment(tmp_path, cloud, **changes).deploy()
    assert outcome.word == "done", outcome.failed
    kept = deployment(tmp_path, cloud, **changes).store.read("plaza", "here").secrets
    assert set(kept) == {"owner", "caches_hot_password"} and kept["owner"] == Secret("horse-battery")
    assert ":horse-battery@" in variables(cloud)["URL"]


def test_the_password_stays_when_everything_else_changes(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    deployment(tmp_path, cloud).deploy()
    before = variables(cloud)["URL"]
    databases = {"main": {"version": "17", "storage": "50GiB", "size": {"memory": "8GiB"}}}
    _, outcome = deployment(tmp_path, cloud, databases=databases).deploy()
    assert outcome.word == "done", outcome.failed
    assert variables(cloud)["URL"] == before


def test_a_database_goes_only_when_it_is_named(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    deployment(tmp_path, cloud).deploy()
    with pytest.raises(Refused, match=r"databases\.main would lose data"):
        deployment(tmp_path, cloud).destroy()
    _, outcome = deployment(tmp_path, cloud).destroy(Wishes(delete_data=("databases.main",)))
    assert outcome.word == "done" and cloud.inventory() == []
