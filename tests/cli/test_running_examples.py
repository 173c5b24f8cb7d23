"""Examples with services, from the command line on served stand-ins: they run, stay as they are, leave nothing."""

from __future__ import annotations

import hashlib
import http.client
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


def ask(address: str, path: str, content: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, 8080, timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if content is None else "POST", path, content, names)
    answer = connection.getresponse()
    return answer.status, answer.read()


def pictures_come_back(machines: Path) -> None:
    """A picture that one server took is in the bucket, and another server has it from there."""
    known = [json.loads(path.read_text()) for path in machines.glob("*/machine.json")]
    first, second = (machine["address"] for machine in known if "-app-" in machine["name"])
    picture = b"\x89PNG\r\n\x1a\n" + bytes(64)
    status, said = ask(first, "/api/pictures", picture, Content_Type="image/png", X_Account="ada")
    assert status == 201, said
    made = json.loads(said)
    assert made["sha256"] == hashlib.sha256(picture).hexdigest()
    assert ask(second, f"/api/pictures/{made['id']}") == (200, picture)
    assert ask(second, "/api/pictures/999999")[0] == 404


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
    if example.name == "plaza":
        pictures_come_back(sandbox.folder / ".rehost-sandbox" / "machines" / provider)
    sandbox.rehost("destroy", *on, "--yes", "--delete-data", "*")
    machines = sandbox.folder / ".rehost-sandbox" / "machines" / provider
    assert [path.name for path in machines.iterdir() if path.is_dir() and any(path.iterdir())] == []
