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
    run = diff("--size", "buckets.media=1GiB", "--bandwidth", "80", "--format", "json", cwd=folder)
    data = json.loads(run.stdout)["data"]
    assert (data["bytes"], round(data["seconds"], 2), data["egress"]) == (1024**3, 107.37, 0.09)
    assert data["egress_origin"]["date"]


def test_egress_gets_cheaper_with_its_amount_and_is_at_most_what_is_not_included(folder: Path) -> None:
    run = diff("--size", "buckets.media=60TiB", "--format", "json", cwd=folder)
    # The first 10 TiB at 0.09, the next 40 at 0.085, the rest at 0.07.
    assert json.loads(run.stdout)["data"]["egress"] == round(10240 * 0.09 + 40960 * 0.085 + 10240 * 0.07, 2)
    back = diff("--size", "buckets.media=1TB", "--format", "json", "--from", "hetzner", "--to", "aws", cwd=folder)
    data = json.loads(back.stdout)["data"]
    assert (data["egress"], data["egress_at_most"], data["currency"]) == (1.0, True, "EUR")


def test_the_cost_says_what_it_lacks_and_of_which_day_it_is(folder: Path) -> None:
    told = json.loads(diff("--format", "json", cwd=folder).stdout)["cost"]
    lines = {line["component"]: line for line in told["to"]["components"]}
    assert lines["servers.app-1"] == {"component": "servers.app-1", "monthly": 5.99, "unknown": []}
    assert lines["servers.db-1"]["monthly"] == 5.49  # without an address of its own
    assert lines["buckets"]["unknown"] == ["content of buckets.media, whose size is not known"]
    assert told["to"]["unknown"] == 1
    assert all(origin["date"] and origin["source"] for side in told.values() for origin in side["origins"])
    text = diff(cwd=folder).stdout
    assert "at least 11.48 EUR, 1 unknown" in text
    assert "not in it: buckets: content of buckets.media" in " ".join(text.split())


def test_what_no_source_has_is_unknown_and_never_free(folder: Path) -> None:
    text = (
        STACK.replace("eu-central-1", "eu-west-3").replace("fsn1", "sin, object_storage_location: fsn1")
        + "databases: {main: {version: '16'}}\n"
    )
    (folder / "stack.yaml").write_text(text)
    told = json.loads(diff("--format", "json", cwd=folder).stdout)["cost"]
    lines = {line["component"]: line for line in told["from"]["components"]}
    assert lines["databases.main"] == {
        "component": "databases.main",
        "monthly": 0.0,
        "unknown": ["database db.t4g.small", "database storage"],
    }
    assert lines["servers.db-1"]["unknown"] == ["root disk"]
    assert lines["servers.db-1"]["monthly"] > 0
    everything = [line for line in told["to"]["components"] if line["component"].startswith("servers.")]
    assert everything and all(line["unknown"] and not line["monthly"] for line in everything)


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
