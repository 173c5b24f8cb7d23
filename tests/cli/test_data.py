"""`rehost data` between folders and a bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer


def rehost(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu-central-1"}
    return subprocess.run(
        [sys.executable, "-m", "rehost", "data", *arguments],
        cwd=cwd,
        env={**os.environ, **keys, "NO_COLOR": "1", **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    for name in ("index.html", "a/b.css", "a-b", "a0", "ü &+.txt"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(name.encode() * 100)
    (site / "large").write_bytes(os.urandom(17 * 1024 * 1024))
    return tmp_path


@pytest.fixture
def bucket() -> Iterator[str]:
    import boto3

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b")
    client.create_bucket(Bucket="data-verbs")
    yield f"s3://data-verbs/some/prefix?endpoint={url}&region=us-east-1"
    server.stop()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_goes_to_a_bucket_and_back(folder: Path, bucket: str) -> None:
    run = rehost("copy", "site", bucket, cwd=folder)
    assert run.returncode == 0, run.stderr
    assert "6 objects copied" in run.stdout
    run = rehost("copy", bucket, "back", "--format", "json", cwd=folder)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert (told["copied"], told["read_back"]) == (6, 6)
    assert told["lost"] == {"Content-Type": 6} or told["lost"] == {}
    assert content(folder / "back") == content(folder / "site")
    assert rehost("verify", "site", bucket, cwd=folder).returncode == 0
    assert "0 objects copied" in rehost("copy", "site", bucket, cwd=folder).stdout


def test_what_differs_is_named_and_repaired_by_the_next_copy(folder: Path) -> None:
    assert rehost("copy", "site", "copy", cwd=folder).returncode == 0
    (folder / "copy" / "a0").write_bytes(b"other")
    (folder / "copy" / "a-b").unlink()
    run = rehost("verify", "site", "copy", cwd=folder)
    assert run.returncode == 5
    assert "a0: the content differs" in run.stderr
    assert "a-b: missing" in run.stderr
    run = rehost("copy", "site", "copy", cwd=folder)
    assert run.returncode == 5
    assert "a-b: missing" in run.stderr
    assert rehost("copy", "site", "copy", cwd=folder).returncode == 0
    assert content(folder / "copy") == content(folder / "site")
    (folder / "copy" / "stranger").write_text("?")
    assert rehost("copy", "site", "copy", cwd=folder).returncode == 5
    assert rehost("copy", "site", "copy", "--allow-foreign", cwd=folder).returncode == 0


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (("nowhere", "copy"), "there is no folder"),
        (("site", "ftp://x"), "no place"),
        (("site", "s3://?region=x"), "names no bucket"),
        (("site", "s3://b/p?colour=red"), "colour"),
        (("site", "site"), "same place"),
        (("site", "s3://b/p?keys=NONE"), "NONE_ACCESS_KEY"),
        (("site", "s3://b/p?profile=none"), "none"),
    ],
)
def test_places_that_are_none_are_answered_with_what_to_write(
    folder: Path, places: tuple[str, str], said: str
) -> None:
    run = rehost("copy", *places, cwd=folder)
    assert run.returncode == 3
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_a_name_that_is_no_text_is_named(folder: Path) -> None:
    (folder / "site" / os.fsdecode(b"caf\xe9")).write_text("x")
    run = rehost("copy", "site", "copy", cwd=folder)
    assert run.returncode == 1
    assert "no UTF-8" in run.stderr
    assert "Traceback" not in run.stderr
