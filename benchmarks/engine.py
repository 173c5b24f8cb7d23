"""Plan, apply and no-op of many resources on the in-memory provider, with the journal on disk.

Usage: python benchmarks/engine.py [COUNT ...]; prints one JSON line for each count (seconds, MB), measured in a
process of its own, as a command would.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.stacks.deployment import Deployment
from rehost.stacks.graph import Ref, Resource
from rehost.stacks.lower import Lowering
from rehost.stacks.model import Stack
from rehost.stacks.state import Passphrase, file_store

TOKEN = "memory:index/thing:Thing"


class Many(MemoryAdapter):
    """Lowers any stack to `count` resources, each depending on one ten places before it."""

    count = 0

    def lower(self, lowering: Lowering) -> Iterable[Resource]:
        for n in range(self.count):
            after = Ref(lowering.urn(TOKEN, str(n - 10))) if n >= 10 else None
            inputs = {"name": str(n), "ref": after, "tags": lowering.marks(TOKEN, str(n))}
            yield lowering.resource(TOKEN, str(n), inputs, component=f"things.{n}")


def run(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        adapter = Many(cloud=MemoryCloud())
        adapter.count = count
        stack = Stack.model_validate({"stack": "many", "targets": {"here": {"provider": "memory"}}})
        store = file_store(Path(folder), Passphrase(None))
        deployment = Deployment(stack, stack.targets["here"], adapter, store, {})
        times: dict[str, float] = {"resources": count}
        for name, action in (
            ("plan", deployment.plan),
            ("apply", deployment.deploy),
            ("no_op", deployment.deploy),
        ):
            began = time.perf_counter()
            action()
            times[name] = round(time.perf_counter() - began, 3)
        times["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
        return times


if sys.argv[1:2] == ["--here"]:
    print(json.dumps(run(int(sys.argv[2]))))
else:
    for count in sys.argv[1:] or ["1000", "10000"]:
        subprocess.run([sys.executable, __file__, "--here", count], check=True)
