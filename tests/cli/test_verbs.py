"""The command line as a user types it."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rehost.cli.main import SUMMARIES, cli


def rehost(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rehost", *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


STACK = """\
stack: plaza
targets:
  here: {provider: memory}
servers:
  app: {count: 2, public: true}
buckets:
  media: {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stack.yaml").write_text(STACK)
    return tmp_path


def test_plan_without_state_or_credentials_shows_what_would_be_made(folder: Path) -> None:
    run = rehost("plan", "--on", "here", "--no-refresh", "--format", "json", "--detailed-exitcode", cwd=folder)
    assert run.returncode == 2, run.stderr
    plan = json.loads(run.stdout)
    assert plan["format_version"] == 1
    assert plan["counts"]["create"] == 3
    assert not (folder / ".rehost").exists()


def test_deploy_keeps_private_state_and_ends_its_events_with_a_summary(folder: Path) -> None:
    run = rehost("deploy", "--on", "here", "--yes", "--format", "json", cwd=folder)
    assert run.returncode == 0, run.stderr
    last = json.loads(run.stdout.splitlines()[-1])
    assert (last["event"], last["outcome"], last["counts"]) == ("ended", "done", {"create": 3})
    assert (folder / ".rehost").stat().st_mode & 0o777 == 0o700
    state = json.loads((folder / ".rehost" / "plaza" / "here.json").read_text())
    assert state["version"] == 3
    assert len(state["deployment"]["resources"]) == 3 + 2


def test_deploy_without_a_yes_is_refused_and_changes_nothing(folder: Path) -> None:
    run = rehost("deploy", "--on", "here", cwd=folder)
    assert run.returncode == 4
    assert not (folder / ".rehost" / "plaza" / "here.json").exists()


def test_bad_input_leaves_with_3_and_says_where(folder: Path) -> None:
    (folder / "stack.yaml").write_text(STACK + "bukets: {}\n")
    run = rehost("validate", "--format", "json", cwd=folder)
    assert run.returncode == 3
    found = json.loads(run.stdout)["diagnostics"]
    assert [(d["code"], d["line"], d["fix"]) for d in found] == [("unknown-key", 8, "did you mean 'buckets'?")]
    assert rehost("plan", "--on", "nowhere", cwd=folder).returncode == 3
    assert rehost("plan", cwd=folder).returncode == 3


def test_summaries_are_those_of_the_verbs() -> None:
    with cli.make_context("rehost", ["plan"], resilient_parsing=True) as context:
        names = cli.list_commands(context)
    assert names == sorted(SUMMARIES)
    for name in names:
        command = importlib.import_module(f"rehost.cli.commands.{name.replace('-', '_')}").command
        assert command.help == SUMMARIES[name]
