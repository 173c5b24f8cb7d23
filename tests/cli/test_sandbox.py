"""The example on the sandbox, on both providers, as a user would type it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "servers" / "stack.yaml"


def rehost(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "REHOST_SANDBOX_DIR": str(cwd / "sandbox")}
    return subprocess.run(
        [sys.executable, "-m", "rehost", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("plaza")
    shutil.copy(EXAMPLE, path)
    started = rehost("sandbox", "up", cwd=path)
    assert started.returncode == 0, started.stderr
    yield path
    assert rehost("sandbox", "down", cwd=path).returncode == 0


@pytest.mark.parametrize("target", ["aws", "hetzner"])
def test_the_example_goes_up_stays_as_it_is_and_goes_away(folder: Path, target: str) -> None:
    on = ("--on", target, "--sandbox")
    first = rehost("deploy", *on, "--yes", cwd=folder)
    assert first.returncode == 0, first.stderr
    again = rehost("plan", *on, "--detailed-exitcode", cwd=folder)
    assert again.returncode == 0, again.stdout
    refused = rehost("destroy", *on, "--yes", cwd=folder)
    assert refused.returncode == 4
    assert "--delete-data" in refused.stderr
    gone = rehost("destroy", *on, "--yes", "--delete-data", "*", cwd=folder)
    assert gone.returncode == 0, gone.stderr
    left = json.loads((folder / ".rehost" / "sandbox" / "plaza" / f"{target}.json").read_text())
    assert [r["type"] for r in left["deployment"]["resources"]] == ["pulumi:pulumi:Stack"]


def test_killed_supervisor_leaves_nothing_running_and_the_next_up_works(tmp_path: Path) -> None:
    assert rehost("sandbox", "up", cwd=tmp_path).returncode == 0
    record = json.loads((tmp_path / "sandbox" / "sandbox.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    assert rehost("sandbox", "status", cwd=tmp_path).returncode == 1
    assert rehost("sandbox", "up", cwd=tmp_path).returncode == 0
    assert rehost("sandbox", "status", cwd=tmp_path).returncode == 0
    assert rehost("sandbox", "down", cwd=tmp_path).returncode == 0


def test_without_a_sandbox_the_flag_says_how_to_start_one(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path)
    run = rehost("plan", "--on", "aws", "--sandbox", cwd=tmp_path)
    assert run.returncode == 1
    assert "rehost sandbox up" in run.stderr
