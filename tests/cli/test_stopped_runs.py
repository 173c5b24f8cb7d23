"""Runs that are killed, stopped and disturbed, as processes on stand-ins that are as unfriendly as the clouds:
the same command again ends the same, with nothing twice and nothing left over."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from plaza import PROVIDERS, Sandbox, sandbox, until

from rehost.providers.sandbox.realism import LEVELS

DEPLOY = ("deploy", "--sandbox", "--yes", "--on")
DESTROY = ("destroy", "--sandbox", "--yes", "--delete-data", "*", "--on")
MIGRATE = ("migrate", "--sandbox", "--from", "aws", "--to", "hetzner")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Stand-ins whose reads lag behind writes, with the limits of a new account, no room for the first server and
    time to answer, and what a calm deploy makes of them."""
    with sandbox(tmp_path_factory.mktemp("plaza"), ",".join(LEVELS)) as here:
        yield here


@pytest.fixture
def here(served: Sandbox) -> Iterator[Sandbox]:
    """The stand-ins, empty and without faults, before and after."""
    yield served
    served.calm()
    for provider in PROVIDERS:
        if served.inventory(provider):
            # A test that failed has left something: the next one is not to suffer for it.
            served.run("sandbox", "down")
            served.run("sandbox", "up", "--realism", served.realism)
            break


def reference(here: Sandbox, provider: str) -> None:
    """What a calm deploy makes, and how many calls that and its end take. Done once."""
    if provider in here.expected:
        return
    folder = here.folder(f"calm/{provider}")
    assert here.inventory(provider) == []
    here.forget(provider)
    done(here, folder, *DEPLOY, provider)
    deploying = here.count(provider)
    expected = here.at_rest(provider)
    here.forget(provider)
    done(here, folder, *DESTROY, provider)
    here.total[provider] = deploying, here.count(provider)
    here.settled(provider, [])
    here.expected[provider] = expected


def done(here: Sandbox, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    run = here.run(*arguments, cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    return run


def killed(here: Sandbox, folder: Path, provider: str, at: int, *arguments: str) -> bool:
    """Start a run and kill it when the stand-ins have had so many calls; answers whether it was before its end."""
    here.forget(provider)
    with here.started(*arguments, "--format", "json", cwd=folder) as process:
        until(lambda: here.count(provider) >= at or process.poll() is not None)
        os.kill(process.pid, signal.SIGKILL)
        return process.wait() == -signal.SIGKILL


def life_with_kills(here: Sandbox, folder: Path, provider: str, chance: random.Random) -> int:
    """Two kills of a deploy and two of a destroy, and what comes of them; answers how many came in time."""
    kills = 0
    for command, total, expected in zip(
        (DEPLOY, DESTROY), here.total[provider], (here.expected[provider], []), strict=True
    ):
        for _ in range(2):
            kills += killed(here, folder, provider, chance.randint(1, total), *command, provider)
        done(here, folder, *command, provider)
        here.settled(provider, expected)
        if command is DEPLOY:
            done(here, folder, "plan", "--sandbox", "--detailed-exitcode", "--on", provider)
    return kills


@pytest.mark.parametrize("provider", PROVIDERS)
def test_killed_at_random_moments_the_same_command_ends_the_same(
    here: Sandbox, tmp_path: Path, provider: str
) -> None:
    reference(here, provider)
    folder = here.folder(f"{tmp_path.name}/killed")
    assert life_with_kills(here, folder, provider, random.Random(2)) >= 2


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_killed_at_random_moments_a_hundred_times(here: Sandbox, tmp_path: Path, provider: str) -> None:
    reference(here, provider)
    chance = random.Random(7)
    kills = 0
    for number in range(25):
        folder = here.folder(f"{tmp_path.name}/{number}")
        kills += life_with_kills(here, folder, provider, chance)
    assert kills >= 50


@pytest.mark.parametrize("provider", PROVIDERS)
def test_ten_percent_of_calls_failing_ends_the_same(here: Sandbox, tmp_path: Path, provider: str) -> None:
    reference(here, provider)
    folder = here.folder(f"{tmp_path.name}/failing")
    for part in {"aws": ("aws",), "hetzner": ("hetzner", "objects")}[provider]:
        for do in ("throttle", "error", "timeout_before", "timeout_after"):
            here.fault("--provider", part, "--call", "*", "--do", do, "--share", "0.025")
    done(here, folder, *DEPLOY, provider)
    here.calm()
    here.settled(provider, here.expected[provider])
    done(here, folder, "plan", "--sandbox", "--detailed-exitcode", "--on", provider)
    for do in ("throttle", "error", "timeout_before", "timeout_after"):
        here.fault("--provider", provider, "--call", "*", "--do", do, "--share", "0.025", "--seed", "5")
    done(here, folder, *DESTROY, provider)
    here.calm()
    here.settled(provider, [])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_second_deploy_is_refused_and_names_the_first(here: Sandbox, tmp_path: Path, provider: str) -> None:
    reference(here, provider)
    folder = here.folder(f"{tmp_path.name}/two")
    with here.started(*DEPLOY, provider, cwd=folder) as first:
        lock = folder / ".rehost" / "sandbox" / "plaza" / f"{provider}.lock"
        assert until(lambda: lock.exists() and str(first.pid) in lock.read_text())
        os.kill(first.pid, signal.SIGSTOP)
        try:
            here.forget(provider)
            for command in (DEPLOY, DESTROY):
                second = here.run(*command, provider, cwd=folder)
                assert second.returncode == 4, second.stderr
                assert f"process {first.pid}, `rehost deploy`" in second.stderr
            assert not here.writes(provider)
        finally:
            os.kill(first.pid, signal.SIGCONT)
        assert first.wait(120) == 0
    here.settled(provider, here.expected[provider])
    with (
        here.started(*DESTROY, provider, cwd=folder) as one,
        here.started(*DESTROY, provider, cwd=folder) as other,
    ):
        ends = sorted([one.wait(120), other.wait(120)])
    assert ends in ([0, 0], [0, 4])
    here.settled(provider, [])


@pytest.mark.parametrize(("provider", "number"), [("aws", signal.SIGINT), ("hetzner", signal.SIGTERM)])
def test_stopped_in_the_middle_it_says_how_to_go_on_and_does(
    here: Sandbox, tmp_path: Path, provider: str, number: signal.Signals
) -> None:
    reference(here, provider)
    folder = here.folder(f"{tmp_path.name}/stopped")
    slow = {"aws": ("ec2:Create*", "ec2:Delete*"), "hetzner": ("POST *", "DELETE *")}[provider]
    for command, call, expected in ((DEPLOY, slow[0], here.expected[provider]), (DESTROY, slow[1], [])):
        # Slow enough to be in the middle for a while.
        here.fault("--provider", provider, "--call", call, "--do", "latency", "--seconds", "0.3")
        here.forget(provider)
        with here.started(*command, provider, cwd=folder) as process:
            assert until(lambda: here.writes(provider))
            process.send_signal(number)
            told, _ = process.communicate(timeout=120)
        assert process.returncode == 130
        assert f"{command[0]} interrupted: " in told
        assert "the same command goes on from here" in told
        errors = (folder / "stderr").read_text()
        assert "stopping: calls under way are finished" in errors
        assert "Traceback" not in errors
        here.calm()
        assert here.run("status", "--sandbox", "--on", provider, cwd=folder).returncode == 0
        done(here, folder, *command, provider)
        here.settled(provider, expected)


WAITS = {"aws": "ec2:DescribeInstances", "hetzner": "GET /actions*"}
"""What is asked while a server is being made."""


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_second_signal_leaves_at_once(here: Sandbox, tmp_path: Path, provider: str) -> None:
    reference(here, provider)
    folder = here.folder(f"{tmp_path.name}/twice")
    here.forget(provider)
    here.fault("--provider", provider, "--call", WAITS[provider], "--do", "latency", "--seconds", "100")
    with here.started(*DEPLOY, provider, cwd=folder) as process:
        assert until(lambda: any(name.startswith(WAITS[provider].rstrip("*")) for name in here.calls(provider)))
        process.send_signal(signal.SIGINT)
        assert until(lambda: "once more leaves at once" in (folder / "stderr").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    here.calm()
    done(here, folder, *DEPLOY, provider)
    here.settled(provider, here.expected[provider])
    done(here, folder, *DESTROY, provider)
    here.settled(provider, [])


def test_a_stopped_migration_goes_on(here: Sandbox, tmp_path: Path) -> None:
    for provider in PROVIDERS:
        reference(here, provider)
    folder = here.folder(f"{tmp_path.name}/move")
    done(here, folder, *DEPLOY, "aws")
    s3 = here.client("s3")
    bucket = s3.list_buckets()["Buckets"][0]["Name"]
    pages = {f"{number:02}": b"page %d" % number for number in range(30)}
    for key, body in pages.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    before = here.at_rest("aws")
    # Once while the target is being made, once while content is on its way.
    for part, call in (("hetzner", "POST *"), ("objects", "s3:PutObject")):
        here.forget("hetzner")
        here.fault("--provider", part, "--call", call, "--do", "latency", "--seconds", "0.3")
        with here.started(*MIGRATE, "--parallel", "2", cwd=folder) as process:
            prefix = call.rstrip("*")
            assert until(lambda p=prefix: any(name.startswith(p) for name in here.calls("hetzner")))
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=120)
        errors = (folder / "stderr").read_text()
        assert process.returncode == 130, errors
        assert "run the same command again to go on" in errors
        here.calm()
    done(here, folder, *MIGRATE)
    here.settled("hetzner", here.expected["hetzner"])
    copy = here.client("s3", "hetzner")
    name = copy.list_buckets()["Buckets"][0]["Name"]
    rows = copy.list_objects_v2(Bucket=name)["Contents"]
    assert {row["Key"]: copy.get_object(Bucket=name, Key=row["Key"])["Body"].read() for row in rows} == pages
    here.settled("aws", before)
    for provider in PROVIDERS:
        done(here, folder, *DESTROY, provider)
        here.settled(provider, [])
