"""Which calls may be made at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import Faults, MemoryCloud
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.engine.embedded import Outcome
from rehost.stacks.engine.events import Event, StepBegan, StepDone
from rehost.stacks.model import Stack
from rehost.stacks.state import Passphrase, file_store

STACK = {
    "stack": "plaza",
    "targets": {"here": {"provider": "memory"}},
    "network": {"cidr": "10.0.0.0/16", "zones": 3},
    "buckets": {"a": {}, "b": {}, "c": {}},
}


@dataclass
class Watch:
    """How many steps of a kind were under way at once, at most."""

    running: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepBegan | StepDone):
            kind = event.urn.split("::")[2]
            self.running[kind] = self.running.get(kind, 0) + (1 if isinstance(event, StepBegan) else -1)
            self.most[kind] = max(self.most.get(kind, 0), self.running[kind])


def test_calls_that_lock_the_same_thing_are_not_made_at_once_and_others_are(tmp_path: Path) -> None:
    stack, watch = Stack.model_validate(STACK), Watch()
    adapter = MemoryAdapter(cloud=MemoryCloud(Faults(latency=0.05)))
    store = file_store(tmp_path, Passphrase(None))

    def deployment() -> Deployment:
        return Deployment(stack, stack.targets["here"], adapter, store, {}, clock=Clock(pace=200), emit=watch)

    _, outcome = deployment().deploy()
    assert outcome.word == "done"
    assert watch.most["memory:index/subnet:Subnet"] == 1
    assert watch.most["memory:index/bucket:Bucket"] == 3


def resized(tmp_path: Path, cloud: MemoryCloud, cpu: int, watch: Watch) -> Outcome:
    fields = {"stack": "plaza", "targets": {"here": {"provider": "memory"}}}
    stack = Stack.model_validate({**fields, "servers": {"app": {"count": 3, "size": {"cpu": cpu}}}})
    store, adapter = file_store(tmp_path, Passphrase(None)), MemoryAdapter(cloud=cloud)
    clock = Clock(pace=200)
    return Deployment(stack, stack.targets["here"], adapter, store, {}, clock=clock, emit=watch).deploy()[1]


def test_servers_of_a_group_are_restarted_one_after_the_other(tmp_path: Path) -> None:
    cloud, watch = MemoryCloud(Faults(latency=0.03)), Watch()
    resized(tmp_path, cloud, 1, Watch())
    assert resized(tmp_path, cloud, 4, watch).done == {"update": 3}
    assert watch.most == {"memory:index/server:Server": 1}


def test_a_restart_that_fails_leaves_the_rest_of_the_group_running_as_it_was(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    resized(tmp_path, cloud, 1, Watch())
    cloud.faults = Faults(refusals={"update memory:index/server:Server": 1})
    outcome = resized(tmp_path, cloud, 4, Watch())
    assert (outcome.word, len(outcome.failed), len(outcome.skipped)) == ("failed", 1, 2)
    assert resized(tmp_path, cloud, 4, Watch()).done == {"update": 3}
