"""The main job on the sandbox: what runs on one provider, its bucket's content included, goes to the other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "plaza" / "stack.yaml"
KEYS = ["index.html", "a b/ü+%.css", "/lead", "dir/", "empty", *(f"posts/{n}.html" for n in range(120))]


def rehost(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "REHOST_SANDBOX_DIR": str(cwd / "sandbox")}
    command = [sys.executable, "-m", "rehost", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    shutil.copy(EXAMPLE, tmp_path)
    assert rehost("sandbox", "up", cwd=tmp_path).returncode == 0
    assert rehost("deploy", "--on", "aws", "--sandbox", "--yes", cwd=tmp_path).returncode == 0
    client, name = bucket(tmp_path, "aws")
    for number, key in enumerate(KEYS):
        client.put_object(
            Bucket=name,
            Key=key,
            Body=b"" if key in ("empty", "dir/") else f"<p>{number}</p>".encode() * (number + 1),
            ContentType="text/html",
            CacheControl="max-age=60",
            Metadata={"number": str(number)},
        )
    client.put_object(Bucket=name, Key="large.bin", Body=os.urandom(9 * 1024 * 1024))
    yield tmp_path
    rehost("sandbox", "down", cwd=tmp_path)


def bucket(folder: Path, target: str) -> tuple[Any, str]:
    env = json.loads((folder / "sandbox" / "sandbox.json").read_text())["environment"]
    state = json.loads((folder / ".rehost" / "sandbox" / "plaza" / f"{target}.json").read_text())
    rows = state["deployment"]["resources"]
    name = next(r["id"] for r in rows if r["type"].endswith((":Bucket", ":S3Bucket")))
    make: Any = boto3.client
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    if target == "hetzner":
        names = ("HETZNER_S3_ENDPOINT", "HETZNER_S3_ACCESS_KEY", "HETZNER_S3_SECRET_KEY")
    url, key, secret = (env[variable] for variable in names)
    client = make("s3", endpoint_url=url, region_name="fsn1", aws_access_key_id=key, aws_secret_access_key=secret)
    return client, name


MOVE = ("migrate", "--from", "aws", "--to", "hetzner", "--sandbox")


def test_everything_arrives_with_its_metadata_and_a_second_pass_copies_only_changes(folder: Path) -> None:
    dry = rehost(*MOVE, "--dry-run", cwd=folder)
    assert dry.returncode == 0, dry.stderr
    assert f"copy bucket site: {len(KEYS) + 1} objects" in dry.stdout
    run = rehost(*MOVE, cwd=folder)
    assert run.returncode == 0, run.stderr
    source, name = bucket(folder, "aws")
    destination, copy = bucket(folder, "hetzner")
    for key in (*KEYS, "large.bin"):
        was, now = source.get_object(Bucket=name, Key=key), destination.get_object(Bucket=copy, Key=key)
        assert was["Body"].read() == now["Body"].read()
        assert (was["ContentType"], was["Metadata"]) == (now["ContentType"], now["Metadata"])
        assert was.get("CacheControl") == now.get("CacheControl")
    source.put_object(Bucket=name, Key="new", Body=b"new")
    source.delete_object(Bucket=name, Key="empty")
    again = rehost(*MOVE, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert f"1 copied, {len(KEYS)} there already, 1 removed" in again.stdout
    record = json.loads((folder / ".rehost/sandbox/plaza/aws-hetzner/migration.json").read_text())
    assert [e["phase"] for e in record["phases"]] == [
        "preflight", "provision", "replicate", "verify", "cutover", "prove",
    ]  # fmt: skip
    report = record["phases"][3]["buckets"]["site"]
    assert report["source_digest"] == report["destination_digest"]


def test_a_foreign_object_at_the_destination_is_found(folder: Path) -> None:
    assert rehost(*MOVE, cwd=folder).returncode == 0
    destination, copy = bucket(folder, "hetzner")
    destination.put_object(Bucket=copy, Key="stranger", Body=b"x")
    run = rehost(*MOVE, cwd=folder)
    assert run.returncode == 5
    assert "stranger" in run.stderr


def test_killed_in_the_middle_the_same_command_goes_on(folder: Path) -> None:
    environment = {**os.environ, "REHOST_SANDBOX_DIR": str(folder / "sandbox")}
    process = subprocess.Popen(
        [sys.executable, "-m", "rehost", *MOVE, "--format", "json"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for number, _ in enumerate(process.stdout):
        if number == 20:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run = rehost(*MOVE, cwd=folder)
    assert run.returncode == 0, run.stderr
    assert rehost("plan", "--on", "hetzner", "--sandbox", "--detailed-exitcode", cwd=folder).returncode == 0
    environment = json.loads((folder / "sandbox" / "sandbox.json").read_text())["environment"]
    from hcloud import Client

    client = Client(token=environment["HCLOUD_TOKEN"], api_endpoint=environment["HCLOUD_ENDPOINT"])
    assert len(client.servers.get_all()) == 3
    assert len(client.volumes.get_all()) == 1
