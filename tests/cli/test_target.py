"""`rehost target check` as a user types it, against stand-ins with the limits of a new account."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plaza import PROVIDERS, Sandbox, sandbox, until

HEAD = """\
stack: plaza
targets:
  aws: {provider: aws, region: eu-central-1}
  hetzner: {provider: hetzner, region: fsn1}
network: {cidr: 10.20.0.0/16}
"""
SMALL = (
    HEAD
    + "servers: {app: {count: 2, public: true}}\nvolumes: {data: {size: 20GiB, on: app}}\nbuckets: {media: {}}\n"
)


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox(tmp_path_factory.mktemp("ready"), "quotas") as running:
        yield running


@pytest.fixture
def place(clouds: Sandbox, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = clouds.folder(request.node.name.replace("[", "-").rstrip("]"))
    yield folder
    clouds.calm()
    for provider in PROVIDERS:
        assert clouds.inventory(provider) == [], f"something is left at {provider}"


def check(clouds: Sandbox, folder: Path, provider: str, stack: str, *more: str, **changes: str) -> tuple[int, Any]:
    (folder / "stack.yaml").write_text(stack)
    asked = ("target", "check", provider, "--sandbox", "--format", "json", "--yes", *more)
    run = clouds.run(*asked, cwd=folder, **changes)
    assert run.stdout, run.stderr
    return run.returncode, json.loads(run.stdout)


def wrong(told: Any) -> list[tuple[str, str]]:
    assert all(row["fix"] for row in told["checks"] if row["verdict"] == "failed")
    return [(row["check"], row["what"]) for row in told["checks"] if row["verdict"] == "failed"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_account_with_room_is_ready_and_left_as_it_was(clouds: Sandbox, place: Path, provider: str) -> None:
    code, told = check(clouds, place, provider, SMALL)
    assert (code, told["ready"], wrong(told)) == (0, True, [])
    found = {row["check"] for row in told["checks"]}
    assert {"credentials", "rights", "quota", "buckets"} <= found
    assert any("2" in line and ("servers" in line or "instances" in line) for line in told["intended"])


def test_a_project_that_takes_fewer_servers_is_found(clouds: Sandbox, place: Path) -> None:
    code, told = check(clouds, place, "hetzner", SMALL.replace("count: 2", "count: 12"))
    assert code == 5
    assert ("quota", "12 servers") in wrong(told)
    servers = next(row for row in told["checks"] if row["what"] == "12 servers")
    assert "only 10 more" in servers["told"] and "resource_limit_exceeded" not in servers["fix"]


def test_an_account_that_starts_fewer_servers_or_gives_fewer_addresses_is_found(
    clouds: Sandbox, place: Path
) -> None:
    statics = "static_addresses: {" + ", ".join(f"a{n}: {{on: servers.app-{n + 1}}}" for n in range(6)) + "}\n"
    stack = HEAD + "servers: {app: {count: 20, public: true}}\n" + statics
    code, told = check(clouds, place, "aws", stack)
    assert code == 5
    quota = {row["what"]: row["told"] for row in told["checks"] if row["check"] == "quota"}
    assert "only 16 more" in quota["20 servers"]  # of two vCPUs each, where 32 are allowed
    assert "only 5 more" in quota["6 addresses"]
    assert [what for check, what in wrong(told) if check == "addresses"] == [
        f"static_addresses.a{n}" for n in range(6)
    ]


def test_a_right_that_is_missing_is_named(clouds: Sandbox, place: Path) -> None:
    denied = ("--do", "error", "--code", "UnauthorizedOperation", "--http-status", "403")
    clouds.fault("--provider", "aws", "--call", "ec2:CreateVolume", *denied)
    code, told = check(clouds, place, "aws", SMALL)
    assert (code, wrong(told)) == (5, [("rights", "ec2:CreateVolume")])
    (row,) = [row for row in told["checks"] if row["verdict"] == "failed"]
    assert "ec2:CreateVolume" in row["fix"]


def test_a_token_that_may_only_read_is_found_before_anything_else_is_tried(clouds: Sandbox, place: Path) -> None:
    denied = ("--do", "error", "--code", "token_readonly", "--http-status", "403")
    clouds.fault("--provider", "hetzner", "--call", "POST /*", *denied)
    clouds.forget("hetzner")
    code, told = check(clouds, place, "hetzner", SMALL)
    assert code == 5 and wrong(told) == [("rights", "create networks")]
    assert "POST /servers" not in clouds.calls("hetzner")


def test_a_place_without_room_for_the_type_is_found(clouds: Sandbox, place: Path) -> None:
    short = ("--do", "error", "--code", "resource_unavailable", "--http-status", "412")
    clouds.fault("--provider", "hetzner", "--call", "POST /servers", *short)
    code, told = check(clouds, place, "hetzner", SMALL)
    assert code == 5 and wrong(told) == [("capacity", "2 servers")]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_ports_that_the_provider_closes_are_named_until_they_are_open(
    clouds: Sandbox, place: Path, provider: str
) -> None:
    mail = (
        "services: {post: {image: 'r.example/p:1', on: app, "
        "environment: {A: 'smtp://relay.example', B: 'smtp://u@relay.example:587'}}}\n"
    )
    code, told = check(clouds, place, provider, SMALL + mail)
    assert code == 5 and wrong(told) == [("ports", "port 25 to the outside")]
    ports = {row["what"]: row["verdict"] for row in told["checks"] if row["check"] == "ports"}
    assert ports == {"port 25 to the outside": "failed", "port 587 to the outside": "ok"}
    code, told = check(clouds, place, provider, SMALL + mail, "--opened", "25", "--port", "443")
    assert code == 0 and told["ready"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_wrong_credentials_are_the_answer_and_not_a_fault(clouds: Sandbox, place: Path, provider: str) -> None:
    code = {"aws": "InvalidClientTokenId", "hetzner": "unauthorized"}[provider]
    status = {"aws": "403", "hetzner": "401"}[provider]
    clouds.fault("--provider", provider, "--call", "*", "--do", "error", "--code", code, "--http-status", status)
    left, told = check(clouds, place, provider, SMALL)
    assert left == 5 and [check for check, _ in wrong(told)] == ["credentials"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_nothing_is_made_without_a_yes(clouds: Sandbox, place: Path, provider: str) -> None:
    (place / "stack.yaml").write_text(SMALL)
    clouds.forget(provider)
    run = clouds.run("target", "check", provider, "--sandbox", cwd=place)
    assert run.returncode == 4 and "2 " in run.stderr
    assert not clouds.writes(provider)


@pytest.mark.parametrize(
    ("provider", "call", "how"),
    [
        ("hetzner", "POST /servers", signal.SIGKILL),
        ("hetzner", "POST /servers", signal.SIGINT),
        ("aws", "ec2:RunInstances", signal.SIGKILL),
        ("aws", "ec2:RunInstances", signal.SIGINT),
    ],
)
def test_a_check_that_was_stopped_leaves_nothing_for_good(
    clouds: Sandbox, place: Path, provider: str, call: str, how: signal.Signals
) -> None:
    (place / "stack.yaml").write_text(SMALL.replace("count: 2", "count: 4"))
    clouds.forget(provider)
    with clouds.started("target", "check", provider, "--sandbox", "--yes", cwd=place) as process:
        assert until(lambda: clouds.calls(provider).get(call, 0) >= 2), clouds.calls(provider)
        process.send_signal(how)
        process.wait(60)
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert clouds.inventory(provider) == []
        return
    assert clouds.inventory(provider) != []
    code, told = check(clouds, place, provider, SMALL)
    assert code == 0 and told["left_by_an_earlier_check"]


def test_a_provider_without_accounts_has_nothing_to_check(clouds: Sandbox, place: Path) -> None:
    (place / "stack.yaml").write_text("stack: s\ntargets: {here: {provider: memory}}\nservers: {a: {}}\n")
    run = clouds.run("target", "check", "here", cwd=place)
    assert run.returncode == 3 and "Traceback" not in run.stderr
