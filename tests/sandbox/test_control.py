"""Starting and ending the stand-ins, and what happens when processes die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from control_tools import aws_client, lives, until
from rehost.providers import registry
from rehost.providers.sandbox import control
from rehost.stacks.errors import ProviderError, Reason, Refused, RehostError
from rehost.stacks.model import Target


def pids(record: dict[str, Any]) -> list[int]:
    return [record["pid"], *(part["pid"] for part in record["parts"].values())]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "sandbox"
    control.down(tmp_path / "sandbox")


def rehost(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "REHOST_SANDBOX_DIR": str(folder), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "rehost", "sandbox", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_two_ups_at_once_start_one_sandbox_and_down_leaves_no_process(folder: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: rehost(folder, "up"), range(3)))
    assert [run.returncode for run in runs] == [0, 0, 0], runs[0].stderr
    record = control.record(folder)
    assert record is not None
    assert sum(f"sandbox is up (process {record['pid']}" in run.stdout for run in runs) >= 1
    assert {run.stdout.split("process ")[1].split(",")[0] for run in runs} == {str(record["pid"])}
    assert rehost(folder, "down").returncode == 0
    assert not [pid for pid in pids(record) if lives(pid)]
    assert rehost(folder, "status").returncode == 1
    assert (folder / "logs" / "aws.log").exists()


def test_a_killed_supervisor_takes_its_parts_along(folder: Path) -> None:
    record = control.up(folder)
    os.kill(record["pid"], signal.SIGKILL)
    until(lambda: not [pid for pid in pids(record) if lives(pid)])
    until(lambda: control.record(folder) is None)
    with pytest.raises(RehostError, match="no sandbox is running"):
        control.connection(folder)
    again = control.up(folder)
    assert again["environment"]["REHOST_SANDBOX"] != record["environment"]["REHOST_SANDBOX"]


def test_a_part_that_dies_is_told_and_its_callers_are_refused(folder: Path) -> None:
    record = control.up(folder)
    os.kill(record["parts"]["hcloud"]["pid"], signal.SIGKILL)
    until(lambda: (control.record(folder) or record)["parts"]["hcloud"]["ended"])
    status = rehost(folder, "status")
    assert status.returncode == 1
    assert "Hetzner Cloud API       ended (killed by signal 9)" in status.stdout
    document = json.loads(rehost(folder, "status", "--format", "json").stdout)
    assert (document["up"], document["parts"]["aws"]["ended"]) == (False, "")
    with pytest.raises(RehostError, match="has died"):
        control.connection(folder)
    with pytest.raises(requests.ConnectionError):
        requests.get(record["environment"]["HCLOUD_ENDPOINT"], timeout=5)
    assert rehost(folder, "down").returncode == 0
    assert not [pid for pid in pids(record) if lives(pid)]


def test_another_manner_is_refused_while_one_runs(folder: Path) -> None:
    control.up(folder)
    with pytest.raises(Refused, match="runs here already, without --keep"):
        control.up(folder, keep=True)


def test_the_printed_variables_point_other_tools_at_it(folder: Path) -> None:
    control.up(folder)
    shell = rehost(folder, "env").stdout
    script = f"export AWS_SESSION_TOKEN=old; {shell}\nenv"
    lines = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    seen = dict(line.partition("=")[::2] for line in lines if "=" in line)
    env = json.loads(rehost(folder, "env", "--format", "json").stdout)
    assert {key: seen.get(key, "") for key in env} == env
    assert "AWS_SESSION_TOKEN" not in seen
    dotenv = dict(
        line.partition("=")[::2] for line in rehost(folder, "env", "--format", "dotenv").stdout.splitlines()
    )
    assert dotenv == env
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True)
    assert run.stdout.strip() == "123456789012", run.stderr
    answer = requests.get(
        env["HCLOUD_ENDPOINT"] + "/locations",
        headers={"Authorization": f"Bearer {env['HCLOUD_TOKEN']}"},
        timeout=10,
    )
    assert answer.status_code == 200


def test_faults_are_set_listed_and_cleared_on_the_command_line(folder: Path) -> None:
    control.up(folder)
    rule = ("--provider", "aws", "--call", "CreateBucket", "--do", "error", "--times", "1", "--code", "SlowDown")
    made = rehost(folder, "fault", *rule, "--http-status", "503")
    assert made.returncode == 0, made.stderr
    s3 = aws_client(control.connection(folder), "s3")
    with pytest.raises(ClientError, match="SlowDown"):
        s3.create_bucket(Bucket="b-123", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert (
        "aws: 1. error CreateBucket, 1 times, SlowDown (1 of 1 calls hit)"
        in rehost(folder, "fault", "--list").stdout
    )
    assert "aws: 1 rules dropped" in rehost(folder, "fault", "--clear", "--provider", "aws").stdout
    assert "error" not in rehost(folder, "fault", "--list").stdout
    assert rehost(folder, "fault", "--provider", "aws").returncode == 3
    assert rehost(folder, "fault", "--provider", "aws", "--call", "x", "--do", "latency").returncode == 1


def test_actions_of_hetzner_fail_on_demand(folder: Path) -> None:
    env = control.up(folder)["environment"]
    rule = ("--provider", "hetzner", "--call", "create_volume", "--do", "fail_action", "--times", "1")
    assert rehost(folder, "fault", *rule).returncode == 0
    assert rehost(folder, "fault", "--provider", "aws", "--call", "x", "--do", "fail_action").returncode == 3
    assert rehost(folder, "fault", "--provider", "hetzner", "--call", "x", "--do", "slow_action").returncode == 3
    headers = {"Authorization": f"Bearer {env['HCLOUD_TOKEN']}"}
    body = {"name": "v", "size": 10, "location": "fsn1"}
    made = requests.post(f"{env['HCLOUD_ENDPOINT']}/volumes", json=body, headers=headers, timeout=20).json()
    action = made["action"]["id"]

    def over() -> str:
        answer = requests.get(f"{env['HCLOUD_ENDPOINT']}/actions/{action}", headers=headers, timeout=20).json()
        return "" if answer["action"]["status"] == "running" else str(answer["action"]["status"])

    assert until(over) == "error"


def test_the_providers_see_that_foreign_credentials_are_denied(folder: Path) -> None:
    env = {**control.up(folder)["environment"]}
    aws = registry.adapter("aws").connect(Target(name="aws", provider="aws", region="eu-central-1"), env)
    assert aws.identify("d").account == "123456789012"
    for name, key in (("aws", "AWS_SECRET_ACCESS_KEY"), ("aws", "AWS_ACCESS_KEY_ID"), ("hetzner", "HCLOUD_TOKEN")):
        region = "eu-central-1" if name == "aws" else "fsn1"
        target = Target(name=name, provider=name, region=region)
        connection = registry.adapter(name).connect(target, {**env, key: "x" * 64})
        with pytest.raises(ProviderError) as caught:
            connection.identify("d")
        assert caught.value.reason is Reason.DENIED


def test_a_start_that_fails_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "aws.log").mkdir()
    with pytest.raises(RehostError, match="did not start") as caught:
        control.up(folder)
    assert "aws.log" in caught.value.why
    assert control.record(folder) is None


def test_kept_state_of_no_use_is_told_with_the_way_out(folder: Path) -> None:
    kept = folder / "kept" / "hcloud"
    kept.mkdir(parents=True)
    (kept / "state").write_text("{")
    with pytest.raises(RehostError, match="did not start") as caught:
        control.up(folder, keep=True)
    assert f"to begin anew, remove {kept}" in caught.value.why
