"""Examples with services, from the command line on served stand-ins: they run, stay as they are, leave nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = [
    path.parent
    for path in sorted((Path(__file__).parents[2] / "examples").glob("*/stack.yaml"))
    if "\nservices:" in path.read_text(encoding="utf-8")
]


class Sandbox:
    """Stand-ins of their own for one example."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "PULUMI_CONFIG_PASSPHRASE": "horse"}
        # The programs of the examples run with the libraries of the tests.
        here = str(Path(sys.executable).parent)
        self._environment["PATH"] = os.pathsep.join([here, os.environ.get("PATH", os.defpath)])
        self._environment.pop("REHOST_SANDBOX_DIR", None)

    def rehost(self, *arguments: str) -> str:
        run = subprocess.run(
            [sys.executable, "-m", "rehost", *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert run.returncode == 0, (arguments, run.stdout[-2000:], run.stderr[-3000:])
        return run.stdout


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path)
    made.rehost("sandbox", "up")
    yield made
    made.rehost("sandbox", "down")


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_stays_as_it_is_and_leaves_nothing(example: Path, provider: str, sandbox: Sandbox) -> None:
    shutil.copytree(example, sandbox.folder, dirs_exist_ok=True)
    on = ("--on", provider, "--sandbox")
    sandbox.rehost("deploy", *on, "--yes")
    assert "no changes" in sandbox.rehost("plan", *on, "--detailed-exitcode")
    units = [
        row["outputs"]["active"]
        for row in json.loads(sandbox.rehost("state", "export", *on))["deployment"]["resources"]
        if row["type"] == "rehost:host/unit:Unit"
    ]
    assert set(units) == {"running"}
    sandbox.rehost("destroy", *on, "--yes", "--delete-data", "*")
    machines = sandbox.folder / ".rehost-sandbox" / "machines" / provider
    assert [path.name for path in machines.iterdir() if path.is_dir() and any(path.iterdir())] == []
