"""Subnets of Hetzner's with servers and load balancers in them: chosen, moved, renamed, taken away."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, cloud, loaded
from test_random_stacks import cycle, deployed, destroyed, told
from werkzeug.test import EnvironBuilder, run_wsgi_app

TARGET = {"provider": "hetzner", "region": "fsn1"}
TWO = {"front": {"cidr": "10.0.0.0/24"}, "back": {"cidr": "10.0.1.0/24"}}


def platform(subnets: dict[str, Any], **more: Any) -> dict[str, Any]:
    servers = {"app": {"public": True, "count": 2, "subnet": "front"}, "db": {"count": 2, "subnet": "back"}}
    return {
        "stack": "plaza",
        "targets": {"here": TARGET},
        "network": {"cidr": "10.0.0.0/16", "subnets": subnets},
        "servers": servers,
        **more,
    }


def rows(here: Cloud, kind: str) -> list[dict[str, Any]]:
    environ = EnvironBuilder(path=f"/v1/{kind}", headers={"Authorization": "Bearer token"})
    chunks, _, _ = run_wsgi_app(here.api, environ.get_environ())
    found: list[dict[str, Any]] = json.loads(b"".join(chunks))[kind]
    return found


def inside(here: Cloud, subnet: str, kind: str = "servers") -> set[str]:
    """Names of what has its address in a range."""
    return {
        row["name"].removeprefix("plaza-")
        for row in rows(here, kind)
        for net in row["private_net"]
        if ip_address(net["ip"]) in ip_network(subnet)
    }


@pytest.fixture
def here() -> Any:
    with cloud("hetzner") as made:
        yield made


def test_private_servers_are_in_the_subnet_that_they_name_and_run(here: Cloud, tmp_path: Path) -> None:
    deployed(here, tmp_path, loaded(platform(TWO), tmp_path))
    assert inside(here, "10.0.0.0/24") == {"app-1", "app-2"}
    assert inside(here, "10.0.1.0/24") == {"db-1", "db-2"}
    assert {row["status"] for row in rows(here, "servers")} == {"running"}


def test_a_group_without_a_subnet_is_spread_and_stays_where_it_is(here: Cloud, tmp_path: Path) -> None:
    stack = platform(TWO)
    stack["servers"] = {"db": {"count": 4}}
    deployed(here, tmp_path, loaded(stack, tmp_path))
    assert [len(inside(here, f"10.0.{n}.0/24")) for n in (0, 1)] == [2, 2]
    stack["network"]["subnets"] = {**TWO, "more": {"cidr": "10.0.2.0/24"}}
    plan = deployed(here, tmp_path, loaded(stack, tmp_path))
    assert [(step.action.value, step.title) for step in plan.changing] == [("create", "subnet")]


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "moved": ({"front": TWO["front"], "back": {"cidr": "10.0.7.0/24"}}, "10.0.7.0/24"),
    "grown": ({"front": TWO["front"], "back": {"cidr": "10.0.1.0/25"}}, "10.0.1.0/25"),
    "swapped": ({"front": TWO["back"], "back": TWO["front"]}, "10.0.0.0/24"),
    "joined": ({"front": TWO["front"]}, "10.0.0.0/24"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_servers_follow_a_change_of_their_subnet_and_the_plan_says_so(
    change: str, here: Cloud, tmp_path: Path
) -> None:
    before = platform(TWO)
    deployed(here, tmp_path, loaded(before, tmp_path))
    ids = {row["name"]: row["id"] for row in rows(here, "servers")}
    subnets, expected = CHANGES[change]
    after = platform(subnets)
    after["servers"]["db"]["subnet"] = "front" if change == "joined" else "back"
    plan = deployed(here, tmp_path, loaded(after, tmp_path))
    steps = {step.name: step for step in plan.changing if step.title == "server"}
    assert {"db-1", "db-2"} <= set(steps)
    for step in steps.values():
        assert (step.action.value, step.disruption.label) == ("update", "restart")
        assert "another private address" in step.notice
    assert {"db-1", "db-2"} <= inside(here, expected)
    assert ids == {row["name"]: row["id"] for row in rows(here, "servers")}, "none was replaced"
    assert {row["status"] for row in rows(here, "servers")} == {"running"}
    again = here.deployment(tmp_path, loaded(after, tmp_path)).plan()
    assert again.empty, told(again)
    destroyed(here, tmp_path, loaded(after, tmp_path))
    assert not here.inventory()


def test_another_name_moves_nobody(here: Cloud, tmp_path: Path) -> None:
    deployed(here, tmp_path, loaded(platform(TWO), tmp_path))
    after = platform({"front": TWO["front"], "rear": TWO["back"]})
    after["servers"]["db"]["subnet"] = "rear"
    plan = here.deployment(tmp_path, loaded(after, tmp_path)).plan()
    assert plan.empty, told(plan)


@pytest.mark.parametrize("internal", [False, True])
def test_a_load_balancer_follows_its_subnet(internal: bool, here: Cloud, tmp_path: Path) -> None:
    balancers = {"edge": {"to": "servers.db", "internal": internal, "listen": [{"port": 80}]}}
    stack = platform({"back": TWO["back"]}, load_balancers=balancers)
    del stack["servers"]["app"]
    deployed(here, tmp_path, loaded(stack, tmp_path))
    stack["network"]["subnets"] = {"back": {"cidr": "10.0.3.0/24"}}
    plan = deployed(here, tmp_path, loaded(stack, tmp_path))
    (step,) = [step for step in plan.changing if step.title == "load balancer network"]
    assert (step.action.value, step.disruption.label) == ("update", "restart")
    assert inside(here, "10.0.3.0/24", "load_balancers") == {"edge"}
    (row,) = rows(here, "load_balancers")
    assert row["public_net"]["enabled"] is not internal
    assert [service["listen_port"] for service in row["services"]] == [80]
    assert here.deployment(tmp_path, loaded(stack, tmp_path)).plan().empty


def test_a_subnet_with_somebody_elses_server_in_it_stays(here: Cloud, tmp_path: Path) -> None:
    deployed(here, tmp_path, loaded(platform(TWO), tmp_path))
    network = rows(here, "networks")[0]["id"]
    body = {
        "name": "other",
        "server_type": "cx23",
        "image": "debian-12",
        "location": "fsn1",
        "networks": [network],
    }
    environ = EnvironBuilder("/v1/servers", method="POST", headers={"Authorization": "Bearer token"}, json=body)
    _, status, _ = run_wsgi_app(here.api, environ.get_environ())
    assert status.startswith("201")
    assert "other" in inside(here, "10.0.1.0/24")
    after = platform({"front": TWO["front"]})
    after["servers"]["db"]["subnet"] = "front"
    _, outcome = here.deployment(tmp_path, loaded(after, tmp_path)).deploy()
    ((step, error),) = outcome.failed
    assert step.title == "subnet" and "not of this stack" in error.fix
    assert "other" in inside(here, "10.0.1.0/24") and {"db-1", "db-2"} <= inside(here, "10.0.0.0/24")


def test_zones_are_locations_where_the_target_names_them(here: Cloud, tmp_path: Path) -> None:
    stack: dict[str, Any] = {
        "stack": "plaza",
        "targets": {"here": {**TARGET, "zone_locations": "nbg1, hel1"}},
        "network": {"zones": 3},
        "servers": {"app": {"count": 4, "public": True}},
        "volumes": {"data": {"size": "10GiB", "on": "app"}},
        "static_addresses": {"door": {"on": "servers.app-2"}},
    }
    with cloud("hetzner") as other:
        cycle(other, tmp_path, stack)
    (tmp_path / "again").mkdir()
    deployed(here, tmp_path / "again", loaded(stack, tmp_path))
    places = {row["name"]: row["location"]["name"] for row in rows(here, "servers")}
    assert [places[f"plaza-app-{n}"] for n in (1, 2, 3, 4)] == ["fsn1", "nbg1", "hel1", "fsn1"]
    volumes = {row["name"]: row["location"]["name"] for row in rows(here, "volumes")}
    assert [volumes[f"plaza-data-{n}"] for n in (1, 2, 3, 4)] == ["fsn1", "nbg1", "hel1", "fsn1"]
