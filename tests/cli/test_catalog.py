"""Catalogs as a user looks at them, asked for again, and what plans make of them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner
from plaza import PROVIDERS, Sandbox, sandbox

from rehost.cli.main import cli
from rehost.providers import registry
from rehost.stacks.engine.clock import Clock, StepCall
from rehost.stacks.errors import ProviderError
from rehost.stacks.model import Target

STACK = """\
stack: plaza
targets:
  aws: {provider: aws, region: us-east-1}
  hetzner: {provider: hetzner, region: fsn1}
network: {cidr: 10.20.0.0/16}
servers: {app: {size: {cpu: 2, memory: 4GiB}, public: true}}
"""
CACHE = "REHOST_CACHE_DIR"


def catalog(*arguments: str) -> Any:
    run = CliRunner().invoke(cli, ["catalog", *arguments, "--format", "json"])
    assert run.exit_code in (0, 1), run.output
    return json.loads(run.output)["regions"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_price_has_a_day_and_a_source_and_what_is_not_known_is_no_zero(provider: str) -> None:
    for region in catalog(provider, "--all-regions"):
        assert region["types"]
        for row in region["types"]:
            assert row["monthly"] is None or row["monthly"] > 0
            assert (row["origin"] is not None) == (row["monthly"] is not None)
        for rate in region["rates"]:
            assert rate["amount"] is None or rate["amount"] > 0
        for row in (*region["types"], *region["rates"]):
            assert row["origin"] is None or (row["origin"]["date"][:2] == "20" and row["origin"]["source"])


def test_types_are_filtered_by_what_is_asked_for() -> None:
    asked = ("--cpu", "4", "--memory", "8GiB", "--architecture", "arm64", "--family", "servers")
    (found,) = catalog("hetzner", "--region", "nbg1", *asked)
    assert [row["name"] for row in found["types"]] == ["cax21", "cax31", "cax41"]
    assert all(row["cpu"] >= 4 and row["memory"] >= 8 * 1024**3 for row in found["types"])
    assert {row["region"] for row in catalog("aws", "--region", "eu-west-1", "--region", "sa-east-1")} == {
        "eu-west-1",
        "sa-east-1",
    }


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_price_that_is_unknown_is_shown_as_unknown(form: str) -> None:
    run = CliRunner().invoke(cli, ["catalog", "hetzner", "--region", "sin", "--format", form])
    assert run.exit_code == 0 and "unknown" in run.output and "0.00" not in run.output


def test_a_need_gets_the_cheapest_type_and_a_reason() -> None:
    (found,) = catalog("hetzner", "--cpu", "3", "--memory", "5GiB", "--need")
    choice = found["choice"]
    assert choice["type"] == "cx33" and "cheapest of" in choice["why"] and choice["next"]
    run = CliRunner().invoke(cli, ["catalog", "aws", "--cpu", "500", "--need"])
    assert run.exit_code == 1 and "nothing here meets the need" in run.output


@pytest.mark.parametrize(
    "bad", [["azur"], ["aws", "--region", "eu-centrl-1"], ["aws", "--memory", "lots"], ["memory"]]
)
def test_what_there_is_none_of_is_refused(bad: list[str]) -> None:
    assert CliRunner().invoke(cli, ["catalog", *bad]).exit_code != 0


# -- against stand-ins ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox(tmp_path_factory.mktemp("catalogs")) as running:
        yield running


@pytest.fixture
def place(clouds: Sandbox, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = clouds.folder(request.node.name.replace("[", "-").rstrip("]"))
    (folder / "stack.yaml").write_text(STACK)
    yield folder
    behave(clouds, {"capacity": []})


def behave(clouds: Sandbox, switches: dict[str, Any]) -> None:
    address = clouds.record["parts"]["hcloud"]["address"]
    data = json.dumps(switches).encode()
    request = urllib.request.Request(f"http://{address}/_sandbox/behaviour", data=data, method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()


def run_in(clouds: Sandbox, folder: Path, *arguments: str) -> tuple[int, Any, str]:
    run = clouds.run(*arguments, "--format", "json", cwd=folder, **{CACHE: str(folder / "cache")})
    one = run.stdout.startswith("{\n")
    return run.returncode, json.loads(run.stdout) if one else run.stdout, run.stderr


def priced(told: Any) -> set[str]:
    return {origin["source"] for origin in told["cost"]["origins"]}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_was_asked_for_is_kept_and_used_afterwards_apart_from_the_real_provider(
    clouds: Sandbox, place: Path, provider: str
) -> None:
    region = {"aws": "us-east-1", "hetzner": "fsn1"}[provider]
    clouds.forget(provider)
    code, told, errors = run_in(clouds, place, "catalog", provider, "--refresh", "--sandbox", "--region", region)
    assert code == 0, errors
    assert any("API" in (row["origin"] or {}).get("source", "") for row in told["regions"][0]["types"])
    if provider == "aws":
        assert clouds.calls("aws")["pricing:GetProducts"] > 15  # the servers alone are on several pages
    code, told, errors = run_in(clouds, place, "plan", "--on", provider, "--sandbox", "--no-refresh")
    assert code == 0, errors
    assert any("API" in source for source in priced(told))
    code, told, errors = run_in(clouds, place, "plan", "--on", provider, "--no-refresh")
    assert code == 0 and not any("API" in source for source in priced(told)), errors


def test_a_catalog_that_is_broken_is_named(clouds: Sandbox, place: Path) -> None:
    kept = place / "cache" / "catalogs" / "hetzner.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"format_version": 1, "regions": {"fsn1": {}}}')
    code, _, errors = run_in(clouds, place, "plan", "--on", "hetzner", "--no-refresh")
    assert code == 3 and str(kept) in errors and "Traceback" not in errors


def test_the_next_type_is_named_and_never_taken_silently(clouds: Sandbox, place: Path) -> None:
    behave(clouds, {"capacity": [{"server_type": "cx23", "location": "fsn1"}]})
    code, _, errors = run_in(clouds, place, "deploy", "--on", "hetzner", "--sandbox", "--yes")
    assert code == 4 and "cx23" in errors and "--choose servers.app.type=cx33" in errors
    assert clouds.inventory("hetzner") == []
    chosen = ("--choose", "servers.app.type=cx33")
    code, _, errors = run_in(clouds, place, "deploy", "--on", "hetzner", "--sandbox", "--yes", *chosen)
    assert code == 0, errors
    behave(clouds, {"capacity": []})
    code, told, errors = run_in(clouds, place, "plan", "--on", "hetzner", "--sandbox")
    assert code == 0 and not told["changes"], errors  # what was chosen by hand stays
    assert clouds.run("destroy", "--on", "hetzner", "--sandbox", "--yes", cwd=place).returncode == 0


def test_a_server_that_finds_no_room_says_what_else_would_do(clouds: Sandbox, place: Path) -> None:
    adapter = registry.adapter("hetzner")
    connection = adapter.connect(Target(name="hetzner", provider="hetzner", region="fsn1"), clouds.variables)
    behave(clouds, {"capacity": [{"server_type": "cx33", "location": "fsn1", "times": 1}]})
    inputs = {"serverType": "cx33", "image": "debian-12", "location": "fsn1", "name": "x", "labels": {}}
    with pytest.raises(ProviderError) as told:
        connection.create(StepCall("", Clock(), Event(), 1e12, 0.1, "x"), "hcloud:index/server:Server", inputs)
    connection.close()
    assert "--choose" in told.value.fix and "cx43" in told.value.fix


def test_buckets_can_be_measured_where_they_are(clouds: Sandbox, place: Path) -> None:
    (place / "stack.yaml").write_text(STACK + "buckets: {media: {}}\n")
    asked = ("diff", "--from", "aws", "--to", "hetzner", "--measure", "--sandbox")
    assert run_in(clouds, place, *asked)[1]["data"]["bytes"] is None  # nothing is deployed
    assert run_in(clouds, place, "deploy", "--on", "aws", "--sandbox", "--yes", "--only", "buckets.media")[0] == 0
    s3 = clouds.client("s3")
    (name,) = [row["Name"] for row in s3.list_buckets()["Buckets"]]
    for number in range(3):
        s3.put_object(Bucket=name, Key=f"folder/{number}", Body=b"x" * 1000)
    code, told, errors = run_in(clouds, place, *asked)
    assert code == 0 and told["data"]["sizes"] == {"buckets.media": 3000}, errors
    by_hand = run_in(clouds, place, *asked, "--size", "buckets.media=1GB")[1]
    assert by_hand["data"]["bytes"] == 10**9
    gone = clouds.run("destroy", "--on", "aws", "--sandbox", "--yes", "--delete-data", "buckets.media", cwd=place)
    assert gone.returncode == 0, gone.stderr


@pytest.mark.parametrize("bad", ["servers.app.type=cax11", "servers.ap.type=cx33", "cx33"])
def test_choices_that_do_not_do_are_refused(clouds: Sandbox, place: Path, bad: str) -> None:
    code, _, errors = run_in(clouds, place, "plan", "--on", "hetzner", "--no-refresh", "--choose", bad)
    assert code == 3 and "fix" in errors


def test_what_is_retired_is_listed_when_asked_for_and_never_chosen(clouds: Sandbox, place: Path) -> None:
    asked = ("catalog", "hetzner", "--sandbox", "--refresh", "--cpu", "2", "--memory", "2GiB", "--need")
    code, told, errors = run_in(clouds, place, *asked)
    assert code == 0, errors
    assert told["regions"][0]["choice"]["type"] not in ("cpx11", "cx22")
    _, told, _ = run_in(clouds, place, *asked, "--retired")
    retired = {row["name"] for row in told["regions"][0]["types"] if row["retired"]}
    assert retired >= {"cpx11", "cx22"}
    assert (
        run_in(clouds, place, "plan", "--on", "hetzner", "--sandbox", "--choose", "servers.app.type=cx22")[0] == 3
    )
