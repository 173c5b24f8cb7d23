"""How near an apply comes to what its graph allows: simulated latencies on the in-memory provider.

Usage: python benchmarks/makespan.py [COUNT ...]; for each count a random graph, once with a call for everything
that is ready and once with 16 calls at once. Prints JSON lines: the measured time, the critical path (longest sum
of latencies along dependencies), the total work divided by the calls at once, the ratio to the larger of the two.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import Faults, MemoryCloud
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.engine.events import Ended, Event
from rehost.stacks.graph import Graph, Ref, Resource, order
from rehost.stacks.lower import Lowering
from rehost.stacks.model import Stack
from rehost.stacks.state import Passphrase, file_store

SECONDS = {
    "memory:index/thing:Thing": 0.05,
    "memory:index/zone:Zone": 0.1,
    "memory:index/volume:Volume": 0.25,
    "memory:index/server:Server": 1.5,
}
"""Latency of a create by kind; as far apart as with a cloud, thirty times faster."""


class Random(MemoryAdapter):
    """Lowers any stack to a random graph in which each resource needs up to three earlier ones."""

    count = 0
    made: tuple[Resource, ...] = ()

    def lower(self, lowering: Lowering) -> Iterable[Resource]:
        chance = random.Random(self.count)
        tokens, weights = list(SECONDS), [10, 3, 3, 2]
        resources: list[Resource] = []
        for n in range(self.count):
            token = chance.choices(tokens, weights)[0]
            near = resources[max(0, n - 60) :]
            needed = chance.sample(near, min(len(near), chance.randint(0, 3)))
            inputs = {
                "name": str(n),
                "refs": [Ref(other.urn) for other in needed],
                "tags": lowering.marks(token, str(n)),
            }
            resources.append(lowering.resource(token, str(n), inputs, component=f"things.{n}"))
        self.made = tuple(resources)
        return resources


def critical_path(resources: Iterable[Resource]) -> float:
    """The longest sum of latencies along dependencies, in seconds."""
    graph = Graph.of(resources)
    ends: dict[str, float] = {}
    for urn in order(graph.resources, graph.edges):
        began = max((ends[other] for other in graph.edges[urn]), default=0.0)
        ends[urn] = began + SECONDS[graph.resources[urn].type]
    return max(ends.values())


def run(count: int, parallel: int) -> dict[str, float | int]:
    with tempfile.TemporaryDirectory() as folder:
        latencies = {f"create {token}": seconds for token, seconds in SECONDS.items()}
        adapter = Random(cloud=MemoryCloud(Faults(latencies=latencies)), parallel=parallel)
        adapter.count = count
        stack = Stack.model_validate({"stack": "many", "targets": {"here": {"provider": "memory"}}})
        store = file_store(Path(folder), Passphrase(None))
        ended: list[float] = []

        def emit(event: Event) -> None:
            if isinstance(event, Ended):
                ended.append(event.seconds)

        Deployment(stack, stack.targets["here"], adapter, store, {}, clock=Clock(), emit=emit).deploy()
        path = critical_path(adapter.made)
        work = sum(SECONDS[resource.type] for resource in adapter.made) / parallel
        bound = max(path, work)
        return {
            "resources": count,
            "parallel": parallel,
            "seconds": ended[0],
            "critical_path": round(path, 3),
            "work_over_parallel": round(work, 3),
            "ratio": round(ended[0] / bound, 3),
        }


for argument in sys.argv[1:] or ["35", "200", "1000"]:
    for calls in (int(argument), 16):
        print(json.dumps(run(int(argument), calls)), flush=True)
