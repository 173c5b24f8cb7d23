"""The portability diff as a user asks for it: offline, without credentials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STACK = """\
stack: plaza
targets:
  aws: {provider: aws, region: eu-central-1}
  hetzner: {provider: hetzner, region: fsn1}
network: {cidr: 10.0.0.0/16, zones: 2}
firewalls:
  inside: {ingress: [{ports: [5432], from: servers.app}]}
servers:
  app:
    public: true
    override: {aws: {monitoring: true}}
  db: {firewalls: [inside]}
buckets:
  media: {}
dns:
  plaza.example: [{name: "@", to: servers.app}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stack.yaml").write_text(STACK)
    return tmp_path


def diff(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "HCLOUD_", "HETZNER_"))}
    command = [sys.executable, "-m", "rehost", "diff", "--from", "aws", "--to", "hetzner", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**kept, "NO_COLOR": "1"}, capture_output=True, text=True, timeout=60, check=False
    )


def test_each_component_has_its_fit_and_what_a_person_has_to_do(folder: Path) -> None:
    run = diff("--format", "json", cwd=folder)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    fits = {row["component"]: row["to"] for row in told["components"]}
    assert fits == {
        "network": "lost",
        "firewalls.inside": "lost",
        "servers.app": "lost",
        "servers.db": "lost",
        "buckets.media": "needs an operator",
        "dns.plaza.example": "needs an operator",
    }
    steps = [f["step"] for row in told["components"] for f in row["findings"] if row["to"] == "needs an operator"]
    assert all(steps)
    assert [row["component"] for row in told["lock_in"]] == ["servers.app"]
    assert told["cost"]["from"]["currency"] == "USD"
    assert told["data"]["bytes"] is None


def test_sizes_and_bandwidth_give_time_and_egress(folder: Path) -> None:
    run = diff("--size", "buckets.media=1GB", "--bandwidth", "80", "--format", "json", cwd=folder)
    data = json.loads(run.stdout)["data"]
    assert (data["bytes"], data["seconds"], data["egress"]) == (10**9, 100.0, 0.09)


def test_a_pipeline_can_stop_on_what_is_lost(folder: Path) -> None:
    assert diff("--fail-on", "lost", cwd=folder).returncode == 1
    text = STACK.split("network:")[0] + "buckets: {media: {}}\n"
    (folder / "stack.yaml").write_text(text)
    assert diff("--fail-on", "lost", cwd=folder).returncode == 0
    assert diff("--fail-on", "operator", cwd=folder).returncode == 1


def test_findings_point_into_the_file_for_code_scanning_and_rows_into_pull_requests(folder: Path) -> None:
    sarif = json.loads(diff("--format", "sarif", cwd=folder).stdout)
    lines = STACK.splitlines()
    for result in sarif["runs"][0]["results"]:
        region = result["locations"][0]["physicalLocation"]["region"]
        name = result["message"]["text"].split(" ")[0].lower().partition(".")
        assert (name[2] or name[0]) in lines[region["startLine"] - 1]
    markdown = diff("--format", "markdown", cwd=folder).stdout
    assert "| `servers.app` | lost |" in markdown


@pytest.mark.parametrize("bad", [["--size", "buckets.medai=1GB"], ["--size", "buckets.media=lots"]])
def test_sizes_of_nothing_are_refused(folder: Path, bad: list[str]) -> None:
    run = diff(*bad, cwd=folder)
    assert run.returncode == 3
    assert "Traceback" not in run.stderr
