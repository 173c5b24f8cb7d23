"""A stack on the in-memory provider, from definition to state and back to nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import Faults, MemoryCloud
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import Refused
from rehost.stacks.model import Stack
from rehost.stacks.plan import Action, Wishes
from rehost.stacks.state import Passphrase, file_store

PLAZA = {
    "stack": "plaza",
    "targets": {"here": {"provider": "memory"}},
    "network": {"cidr": "10.0.0.0/16", "zones": 2},
    "firewalls": {"web": {"ingress": [{"ports": [80, 443]}]}},
    "ssh_keys": {"ops": "ssh-ed25519 AAAA"},
    "servers": {
        "app": {
            "count": 2,
            "public": True,
            "firewalls": ["web"],
            "ssh_keys": ["ops"],
            "user_data": "token=${secrets.token}",
        }
    },
    "volumes": {"data": {"size": "10GiB", "on": "app"}},
    "buckets": {"media": {}},
    "dns": {"plaza.example": [{"name": "@", "to": "servers.app"}]},
    "secrets": {"token": {"generate": 16}},
}


def deployment(tmp_path: Path, cloud: MemoryCloud, **changes: object) -> Deployment:
    stack = Stack.model_validate({**PLAZA, **changes})
    return Deployment(
        stack,
        stack.targets["here"],
        MemoryAdapter(cloud=cloud),
        file_store(tmp_path, Passphrase("horse")),
        {},
        clock=Clock(pace=200),
    )


def test_deploy_then_nothing_to_do_then_destroy(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    plan, outcome = deployment(tmp_path, cloud).deploy()
    assert outcome.word == "done", outcome.failed
    assert {step.action for step in plan.steps} == {Action.CREATE}
    assert len(cloud.inventory()) == len(plan.steps)
    assert deployment(tmp_path, cloud).plan().empty
    with pytest.raises(Refused, match="would lose data"):
        deployment(tmp_path, cloud).destroy()
    _, outcome = deployment(tmp_path, cloud).destroy(Wishes(delete_data=("*",)))
    assert outcome.word == "done", outcome.failed
    assert cloud.inventory() == []


def test_secrets_never_reach_the_disk_in_plain(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    deployment(tmp_path, cloud).deploy()
    server = next(r for r in cloud.inventory() if r["token"].endswith(":Server"))
    secret = server["inputs"]["userData"].removeprefix("token=")
    assert len(secret) > 10
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or secret not in path.read_text()


def test_drift_is_seen_and_repaired_and_the_deleted_comes_back(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    deployment(tmp_path, cloud).deploy()
    firewall = next(r for r in cloud.inventory() if r["token"].endswith(":Firewall"))
    cloud.tamper(firewall["id"], {"ingress": []})
    zone = next(r for r in cloud.inventory() if r["token"].endswith(":RecordSet"))
    cloud.tamper(zone["id"], None)
    plan = deployment(tmp_path, cloud).plan()
    assert {(s.action, s.title, s.drifted) for s in plan.changing} == {
        (Action.UPDATE, "firewall", True),
        (Action.CREATE, "record set", False),
    }
    deployment(tmp_path, cloud).deploy()
    assert deployment(tmp_path, cloud).plan().empty


def test_ten_percent_of_calls_failing_ends_the_same(tmp_path: Path) -> None:
    cloud = MemoryCloud(Faults(before=0.1, after=0.1, throttled=0.1, stale=0.01), seed=7)
    _, outcome = deployment(tmp_path, cloud).deploy()
    assert outcome.word == "done", outcome.failed
    calm = MemoryCloud()
    deployment(tmp_path / "calm", calm).deploy()
    assert sorted(r["token"] for r in cloud.inventory()) == sorted(r["token"] for r in calm.inventory())


def test_changed_size_restarts_and_changed_image_replaces(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    deployment(tmp_path, cloud).deploy()
    bigger = {"app": {**PLAZA["servers"]["app"], "size": {"cpu": 4}}}
    plan = deployment(tmp_path, cloud, servers=bigger).plan()
    servers = [s for s in plan.changing if s.title == "server"]
    assert [(s.action, s.disruption.label) for s in servers] == [(Action.UPDATE, "restart")] * 2
    other = {"app": {**PLAZA["servers"]["app"], "image": "debian-13"}}
    plan, outcome = deployment(tmp_path, cloud, servers=other).deploy()
    assert outcome.word == "done", outcome.failed
    assert sum(s.action is Action.REPLACE for s in plan.changing) == 4
    assert deployment(tmp_path, cloud, servers=other).plan().empty
    assert len(cloud.inventory()) == len(plan.steps)


def test_a_replacement_whose_answer_is_lost_is_not_taken_for_its_predecessor(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    deployment(tmp_path, cloud).deploy()
    cloud.faults = Faults(lost={"create memory:index/server:Server": 2})
    other = {"app": {**PLAZA["servers"]["app"], "image": "debian-13"}}
    _, outcome = deployment(tmp_path, cloud, servers=other).deploy()
    assert outcome.word == "done", outcome.failed
    servers = [record["inputs"]["image"] for record in cloud.inventory() if record["token"].endswith(":Server")]
    assert servers == ["debian-13"] * 2
    assert deployment(tmp_path, cloud, servers=other).plan().empty


def test_deletes_that_have_their_effect_after_the_next_run_looked_are_expected(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    deployment(tmp_path, cloud).deploy()
    going = deployment(tmp_path, cloud)
    with going.store.open("plaza", "here", command="destroy") as session:
        for n, (urn, resource) in enumerate(sorted(session.state.resources.items()), 1000):
            about = {"urn": urn, "type": resource.type, "id": resource.id, "inputs": {}, "dependencies": []}
            session.append({"kind": "intent", "n": n, "action": "delete", "component": "", "time": 1.5, **about})
    everything = Wishes(delete_data=("*",))
    with pytest.raises(Refused, match="nothing was changed"):
        deployment(tmp_path, cloud).destroy(everything, confirm=lambda plan: False)
    for record in cloud.inventory():
        cloud.tamper(record["id"], None)
    _, outcome = deployment(tmp_path, cloud).destroy(everything)
    assert outcome.word == "done"
    state = deployment(tmp_path, cloud).store.read("plaza", "here")
    assert not state.resources
    assert not state.pending
