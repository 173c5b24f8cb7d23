"""Static addresses that nobody has yet, that go from server to server, and the names that they lead back to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, cloud, loaded
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from test_hetzner_subnets import rows
from test_random_stacks import cycle, deployed, destroyed, told

from rehost.providers import registry
from rehost.stacks.load import load
from rehost.stacks.status import addresses
from rehost.stacks.validate import validate

BOTH = pytest.mark.parametrize("provider", ["aws", "hetzner"])
REGIONS = {"aws": "eu-central-1", "hetzner": "fsn1"}


def platform(provider: str, on: str | None, **more: Any) -> dict[str, Any]:
    door = {"on": on} if on else {}
    return {
        "stack": "plaza",
        "targets": {"here": {"provider": provider, "region": REGIONS[provider]}},
        "servers": {"app": {"public": True, "count": 2}},
        "static_addresses": {"door": door},
        "dns": {"plaza.example": [{"name": "door", "to": "static_addresses.door"}]},
        **more,
    }


def held(here: Cloud) -> dict[str, str]:
    """The address, and the server that has it."""
    if here.provider == "hetzner":
        (row,) = [row for row in rows(here, "primary_ips") if not row["auto_delete"]]
        names = {server["id"]: server["name"] for server in rows(here, "servers")}
        return {row["ip"]: names.get(row["assignee_id"], "").removeprefix("plaza-")}
    ec2 = here.client("ec2")
    (row,) = ec2.describe_addresses()["Addresses"]
    found = {}
    for reservation in ec2.describe_instances()["Reservations"]:
        for server in reservation["Instances"]:
            name = next(tag["Value"] for tag in server["Tags"] if tag["Key"] == "Name")
            found[server["InstanceId"]] = name.removeprefix("plaza-")
    return {row["PublicIp"]: found.get(row.get("InstanceId", ""), "")}


@BOTH
def test_an_address_is_reserved_given_moved_and_given_back_without_being_lost(
    provider: str, tmp_path: Path
) -> None:
    with cloud(provider) as here:
        deployed(here, tmp_path, loaded(platform(provider, None), tmp_path))
        ((address, holder),) = held(here).items()
        assert holder == ""
        for on, name in (("servers.app-1", "app-1"), ("servers.app-2", "app-2"), ("servers.app-1", "app-1")):
            stack = loaded(platform(provider, on), tmp_path)
            plan = deployed(here, tmp_path, stack)
            assert held(here) == {address: name}
            assert not [
                step
                for step in plan.changing
                if step.title in ("server", "static address", "record")
                and step.action.value in ("replace", "delete")
            ], told(plan)
            again = here.deployment(tmp_path, stack).plan()
            assert again.empty, told(again)
        if provider == "hetzner":
            assert all(row["status"] == "running" and row["public_net"]["ipv4"] for row in rows(here, "servers"))
        deployed(here, tmp_path, loaded(platform(provider, None), tmp_path))
        assert held(here) == {address: ""}
        destroyed(here, tmp_path, loaded(platform(provider, None), tmp_path))


@BOTH
def test_records_of_servers_follow_an_address_that_moves(provider: str, tmp_path: Path) -> None:
    records = {"plaza.example": [{"name": "app", "to": "servers.app"}]}
    with cloud(provider) as here:
        deployed(here, tmp_path, loaded(platform(provider, "servers.app-1", dns=records), tmp_path))
        moved = loaded(platform(provider, "servers.app-2", dns=records), tmp_path)
        deployed(here, tmp_path, moved)
        if provider == "aws":
            # Amazon gives another passing address to the server that lost the static one: a refresh tells.
            deployed(here, tmp_path, moved)
        plan = here.deployment(tmp_path, moved).plan()
        assert plan.empty, told(plan)


def reverse(here: Cloud) -> set[str]:
    """Every name that an address leads back to, besides the provider's own."""
    if here.provider == "aws":
        found = here.client("ec2").describe_addresses_attribute(Attribute="domain-name")["Addresses"]
        return {row["PtrRecord"].rstrip(".") for row in found}
    pointers = [pointer["dns_ptr"] for row in rows(here, "primary_ips") for pointer in row["dns_ptr"]]
    return {name for name in pointers if not name.endswith("your-server.de")}


@BOTH
def test_addresses_lead_back_to_names(provider: str, tmp_path: Path) -> None:
    stack = platform(provider, "servers.app-2")
    stack["static_addresses"]["door"]["reverse"] = "door.plaza.example"
    stack["servers"]["app"]["reverse"] = "{server}.plaza.example"
    with cloud(provider) as here:
        deployed(here, tmp_path, loaded(stack, tmp_path))
        own = {"app-1.plaza.example", "app-2.plaza.example"} if provider == "hetzner" else set()
        assert reverse(here) == {"door.plaza.example", *own}
        stack["static_addresses"]["door"]["reverse"] = "mail.plaza.example"
        plan = deployed(here, tmp_path, loaded(stack, tmp_path))
        assert [(s.action.value, s.title) for s in plan.changing] == [("update", "reverse name")]
        del stack["static_addresses"]["door"]["reverse"]
        deployed(here, tmp_path, loaded(stack, tmp_path))
        assert reverse(here) == (own or {"app-2.plaza.example"})
        again = here.deployment(tmp_path, loaded(stack, tmp_path)).plan()
        assert again.empty, told(again)
        destroyed(here, tmp_path, loaded(stack, tmp_path))
        assert not here.inventory()


def test_amazon_is_asked_again_once_a_name_resolves(tmp_path: Path) -> None:
    stack = platform("aws", "servers.app-1")
    stack["static_addresses"]["door"]["reverse"] = "door.plaza.example"

    def refuse(self: Any) -> Any:
        error = EC2ClientError("no forward record")
        error.code = "InvalidParameterValue"
        raise error

    with cloud("aws") as here:
        with pytest.MonkeyPatch.context() as patch:
            deployed(here, tmp_path, loaded(platform("aws", "servers.app-1"), tmp_path))
            patch.setattr(EC2Response, "modify_address_attribute", refuse)
            _, outcome = here.deployment(tmp_path, loaded(stack, tmp_path)).deploy()
            ((step, error),) = outcome.waiting
            assert (outcome.exit_code, step.title) == (6, "reverse name")
            assert "door.plaza.example resolve to the address" in error.fix
        deployed(here, tmp_path, loaded(stack, tmp_path))
        assert reverse(here) == {"door.plaza.example"}


def findings(tmp_path: Path, stack: dict[str, Any]) -> list[tuple[str, str, str]]:
    (tmp_path / "stack.yaml").write_text(str(stack).replace("True", "true").replace("False", "false"))
    found = validate(load([tmp_path / "stack.yaml"]), registry.adapter)
    return [(d.code, d.severity.name, d.summary) for d in found]


def test_what_can_not_lead_back_is_named(tmp_path: Path) -> None:
    stack = platform("aws", "servers.app-1")
    stack["servers"]["app"]["reverse"] = "{server}.plaza.example"
    said = findings(tmp_path, stack)
    assert ("reverse", "WARNING", "app-2 will have no reverse name (target here)") in said
    assert ("reverse", "WARNING", "app-1.plaza.example does not lead to the address that leads back to it") in said
    stack["dns"]["plaza.example"] += [
        {"name": "app-1", "to": "servers.app-1"},
        {"name": "app-2", "a": "192.0.2.1"},
    ]
    assert not [row for row in findings(tmp_path, stack) if "does not lead" in row[2]]
    stack["servers"]["app"]["public"] = False
    assert ("private", "ERROR", "servers.app has no public address") in findings(tmp_path, stack)
    stack["servers"]["app"]["reverse"] = "not a name"
    assert any(code == "value" for code, _, _ in findings(tmp_path, stack))


@BOTH
def test_status_tells_where_everything_is_reached(provider: str, tmp_path: Path) -> None:
    zones = 2 if provider == "aws" else 1
    stack = platform(
        provider,
        "servers.app-1",
        network={"zones": zones, "way_out": "shared"},
        load_balancers={"edge": {"to": "servers.app", "listen": [{"port": 80, "protocol": "http"}]}},
        certificates={"site": {"domains": ["plaza.example"]}},
        buckets={"media": {}},
    )
    if provider == "aws":
        stack["databases"] = {"main": {"engine": "postgres", "version": "16", "storage": "20GiB"}}
        stack["caches"] = {"hot": {"version": "8.0", "memory": "1GiB"}}
    with cloud(provider) as here:
        deployed(here, tmp_path, loaded(stack, tmp_path))
        deployment = here.deployment(tmp_path, loaded(stack, tmp_path))
        told_ = addresses(deployment.store.read("plaza", "here"), deployment.adapter)
        components = {row.component for row in told_ if all(row.values)}
        expected = {"servers.app-1", "static_addresses.door", "load_balancers.edge", "buckets.media"}
        expected |= {"certificates.site", "dns.plaza.example"}
        expected |= {"databases.main", "caches.hot", "network"} if provider == "aws" else {"servers.way-out-1"}
        assert expected <= components, told_
        assert all(row.component != "servers.app-1" or "None" not in row.values for row in told_)


@BOTH
def test_a_reserved_address_alone_is_a_whole_stack(provider: str, tmp_path: Path) -> None:
    stack = platform(provider, None)
    del stack["servers"], stack["dns"]
    with cloud(provider) as here:
        cycle(here, tmp_path, stack)
