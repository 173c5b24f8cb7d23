"""How near the apply of an example comes to the latencies on its critical path, on each stand-in.

    python benchmarks/plaza.py [--stack examples/plaza/stack.yaml] [--realism latency]

For each target: deploys to a fresh sandbox from the command line, takes from its events how long each step was
under way, and prints the time of the whole apply against the longest chain of steps that need one another.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehost.stacks.graph import order
from rehost.stacks.load import load

REHOST = [sys.executable, "-m", "rehost"]
EXAMPLE = Path(__file__).parents[1] / "examples" / "plaza"
WAITING = 6
"""Exit code where a step of the example needs a person."""


def longest(seconds: Mapping[str, float], needs: Mapping[str, list[str]]) -> float:
    """The longest chain of steps, in seconds."""
    ends: dict[str, float] = {}
    for urn in order(seconds, needs):
        ends[urn] = seconds[urn] + max((ends[other] for other in needs[urn]), default=0.0)
    return max(ends.values())


def measure(folder: Path, target: str, realism: str) -> dict[str, Any]:
    """Deploy to one target; seconds of the apply and of its critical path. Raises SystemExit if it fails."""
    environment = {**os.environ, "REHOST_SANDBOX_DIR": str(folder / "sandbox")}
    environment["PULUMI_CONFIG_PASSPHRASE"] = "benchmark"

    def run(*arguments: str, fine: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [*REHOST, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in fine:
            raise SystemExit(f"rehost {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout

    run("sandbox", "up", *(["--realism", realism] if realism else []))
    try:
        on = ["--on", target, "--sandbox"]
        lines = run("deploy", *on, "--yes", "--format", "json", fine=(0, WAITING)).splitlines()
        exported = json.loads(run("state", "export", *on))
    finally:
        run("sandbox", "down")
    events = [json.loads(line) for line in lines]
    seconds = {event["urn"]: event["seconds"] for event in events if event["event"] == "step_done"}
    rows = exported["deployment"]["resources"]
    needs = {
        row["urn"]: [other for other in row.get("dependencies", ()) if other in seconds]
        for row in rows
        if row["urn"] in seconds
    }
    ended = next(event["seconds"] for event in events if event["event"] == "ended")
    path = longest(seconds, needs)
    return {
        "target": target,
        "steps": len(seconds),
        "apply_s": ended,
        "critical_path_s": round(path, 3),
        "ratio": round(ended / path, 3),
    }


def main() -> None:
    """A JSON line for each target of the stack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", type=Path, default=EXAMPLE / "stack.yaml")
    parser.add_argument("--realism", default="latency")
    options = parser.parse_args()
    stack = load([options.stack]).stack
    assert stack is not None
    for target in stack.targets:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shutil.copytree(options.stack.parent, folder, dirs_exist_ok=True)
            print(json.dumps(measure(folder, target, options.realism)), flush=True)


if __name__ == "__main__":
    main()
