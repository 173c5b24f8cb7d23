"""The command line as a user types it."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
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


def test_the_deploy_that_a_plan_proposes_does_what_the_plan_shows(folder: Path) -> None:
    (folder / "stack.yaml").rename(folder / "my stack.yaml")
    asked = ("-f", "my stack.yaml", "--set", "servers.app.count=3", "--state", "else where")
    plan = rehost("plan", "--on", "here", *asked, "--only", "servers.app", cwd=folder, COLUMNS="200")
    [proposed] = [line.split("Next", 1)[1] for line in plan.stdout.splitlines() if line.startswith("Next ")]
    program, *arguments = shlex.split(proposed)
    assert program == "rehost"
    run = rehost(*arguments, "--yes", "--format", "json", cwd=folder)
    assert json.loads(run.stdout.splitlines()[-1])["counts"] == {"create": 3}, run.stderr
    assert (folder / "else where" / "plaza" / "here.json").exists()


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


@pytest.fixture
def saved(folder: Path) -> Path:
    stack = "secrets:\n  key: {from_env: PLAZA_KEY}\n"
    (folder / "stack.yaml").write_text(STACK + stack)
    run = rehost("plan", "--on", "here", "--out", "plan.json", cwd=folder, **KEYS)
    assert run.returncode == 0, run.stderr
    return folder / "plan.json"


KEYS = {"PLAZA_KEY": "hunter22-in-the-open", "PULUMI_CONFIG_PASSPHRASE": "correct horse"}


def test_a_saved_plan_is_deployed_as_it_was_shown_and_only_once(saved: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    assert KEYS["PLAZA_KEY"] not in saved.read_text()
    # What the stack file says since then does not count: the plan holds its stack.
    (saved.parent / "stack.yaml").write_text(STACK.replace("count: 2", "count: 3"))
    run = rehost("deploy", "--on", "here", "--format", "json", str(saved), cwd=saved.parent, **KEYS)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1])["counts"] == {"create": 3}
    again = rehost("deploy", "--on", "here", str(saved), cwd=saved.parent, **KEYS)
    assert again.returncode == 4
    assert "make a new plan" in again.stderr


def test_a_saved_plan_is_refused_once_the_world_has_moved(saved: Path) -> None:
    run = rehost("deploy", "--on", "here", "--yes", "--set", "servers.app.count=1", cwd=saved.parent, **KEYS)
    assert run.returncode == 0, run.stderr
    run = rehost("deploy", "--on", "here", str(saved), cwd=saved.parent, **KEYS)
    assert run.returncode == 4, run.stderr


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"count": 2', '"count": 20'),
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "\0\N{SNOWMAN}",
        lambda text: text.replace('"format_version": 1', '"format_version": 99'),
    ],
)
def test_a_damaged_plan_is_refused_before_anything_is_done(saved: Path, damage: Callable[[str], str]) -> None:
    whole = saved.read_text()
    saved.write_text(damage(whole))
    assert saved.read_text() != whole
    run = rehost("deploy", "--on", "here", str(saved), cwd=saved.parent, **KEYS)
    assert run.returncode == 3, run.stderr
    assert "Traceback" not in run.stderr
    assert not list(saved.parent.glob(".rehost/plaza/here.json"))


def test_a_saved_plan_takes_no_other_wishes(saved: Path) -> None:
    run = rehost("deploy", "--on", "here", "-f", "stack.yaml", str(saved), cwd=saved.parent, **KEYS)
    assert run.returncode == 3
    assert "name only the plan" in run.stderr
