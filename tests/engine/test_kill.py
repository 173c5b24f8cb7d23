"""kill -9 at any moment of a deploy, then the same again: nothing twice, nothing lost."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import pytest

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import Faults, MemoryCloud
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.model import Stack
from rehost.stacks.plan import Wishes
from rehost.stacks.state import Passphrase, file_store

STACK = {
    "stack": "plaza",
    "targets": {"here": {"provider": "memory"}},
    "network": {"cidr": "10.0.0.0/16", "zones": 2},
    "servers": {"app": {"count": 4, "public": True}},
    "volumes": {"data": {"size": "10GiB", "on": "app"}},
    "buckets": {"media": {}},
    "dns": {"plaza.example": [{"name": "@", "to": "servers.app"}]},
}


class _Manager(BaseManager):
    pass


class _Shared:
    """The cloud in a process of its own, which outlives the one that is killed."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self.account = "memory"
        self.buckets: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._proxy, name)


def _run(folder: Path, cloud: Any, destroy: bool) -> None:
    stack = Stack.model_validate(STACK)
    adapter = MemoryAdapter(cloud=_Shared(cloud))  # type: ignore[arg-type]
    store = file_store(folder, Passphrase(None))
    deployment = Deployment(stack, stack.targets["here"], adapter, store, {}, clock=Clock(pace=200))
    if destroy:
        _, outcome = deployment.destroy(Wishes(delete_data=("*",)))
    else:
        _, outcome = deployment.deploy()
    os._exit(outcome.exit_code)


def _killed(folder: Path, cloud: Any, destroy: bool, seconds: float) -> None:
    child = multiprocessing.get_context("fork").Process(target=_run, args=(folder, cloud, destroy))
    child.start()
    child.join(seconds)
    if child.is_alive():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
    child.join()


def _finished(folder: Path, cloud: Any, destroy: bool) -> None:
    child = multiprocessing.get_context("fork").Process(target=_run, args=(folder, cloud, destroy))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def _rounds(tmp_path: Path, count: int, seed: int) -> None:
    _Manager.register("cloud", MemoryCloud)
    chance = random.Random(seed)
    with _Manager(ctx=multiprocessing.get_context("fork")) as manager:
        for number in range(count):
            cloud = manager.cloud(Faults(latency=0.004, stale=0.02), seed=number)  # type: ignore[attr-defined]
            folder = tmp_path / str(number)
            for destroy in (False, True):
                for _ in range(chance.randint(1, 3)):
                    _killed(folder, cloud, destroy, chance.uniform(0.0, 0.25))
                _finished(folder, cloud, destroy)
                tokens = sorted(record["token"].rsplit(":")[-1] for record in cloud.inventory())
                if destroy:
                    assert tokens == []
                else:
                    expected = ["Bucket", "Network", "RecordSet", *["Server"] * 4, *["Subnet"] * 2]
                    assert tokens == sorted([*expected, *["Volume"] * 4, *["VolumeAttachment"] * 4, "Zone"])


def test_killed_runs_end_the_same(tmp_path: Path) -> None:
    _rounds(tmp_path, 15, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_runs_end_the_same_a_thousand_times(tmp_path: Path) -> None:
    _rounds(tmp_path, 250, seed=2)
