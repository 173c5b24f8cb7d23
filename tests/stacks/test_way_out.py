"""Servers without public addresses reach the Internet: what is made, refused and lost, and that packets pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from email import message_from_string
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, cloud, loaded
from test_random_stacks import cycle, deployed, told

from rehost.providers import registry
from rehost.stacks.load import load
from rehost.stacks.plan import Action
from rehost.stacks.portability import compare
from rehost.stacks.userdata import combined
from rehost.stacks.validate import validate
from rehost.stacks.wayout import NATIVE, client, findings, gateway

TARGETS = {
    "aws": {"provider": "aws", "region": "eu-central-1"},
    "hetzner": {"provider": "hetzner", "region": "fsn1"},
}


def platform(provider: str, network: Any, **servers: Any) -> dict[str, Any]:
    groups = servers or {
        "app": {"public": True, "count": 2},
        "db": {"count": 2, "user_data": "#!/bin/sh\necho hi\n"},
    }
    return {"stack": "plaza", "targets": {"here": TARGETS[provider]}, "network": network, "servers": groups}


WAYS = {
    "shared": {"way_out": "shared", "zones": 2},
    "zonal": {"way_out": "zonal", "zones": 2},
    "a server": {"way_out": "servers.app-2"},
    "listed subnets": {
        "way_out": "shared",
        "subnets": {"front": {"cidr": "10.0.0.0/20"}, "back": {"cidr": "10.0.16.0/20", "zone": 2}},
    },
    "a full network": {"way_out": "shared", "cidr": "10.0.0.0/24", "subnets": {"all": {"cidr": "10.0.0.0/25"}}},
}


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
@pytest.mark.parametrize("way", WAYS)
def test_a_way_out_goes_up_stays_and_leaves_nothing(provider: str, way: str, tmp_path: Path) -> None:
    with cloud(provider) as here:
        cycle(here, tmp_path, platform(provider, WAYS[way]))


def _routed(here: Cloud) -> dict[str, str]:
    """For each server at Amazon what its subnet's default route leads to."""
    ec2 = here.client("ec2")
    tables = {
        a["SubnetId"]: next(r for r in table["Routes"] if r["DestinationCidrBlock"] == "0.0.0.0/0")
        for table in ec2.describe_route_tables()["RouteTables"]
        for a in table["Associations"]
        if a.get("SubnetId")
    }
    found = {}
    for reservation in ec2.describe_instances()["Reservations"]:
        for row in reservation["Instances"]:
            if row["State"]["Name"] == "running":
                name = next(tag["Value"] for tag in row["Tags"] if tag["Key"] == "Name").removeprefix("plaza-")
                route = tables[row["SubnetId"]]
                found[name] = next(
                    route[key] for key in ("NatGatewayId", "NetworkInterfaceId", "GatewayId") if route.get(key)
                )
    return found


@pytest.mark.parametrize(("way", "gateways"), [("shared", 1), ("zonal", 2), ("listed subnets", 1)])
def test_amazon_leads_private_servers_to_gateways_and_public_ones_to_the_internet(
    way: str, gateways: int, tmp_path: Path
) -> None:
    with cloud("aws") as here:
        deployed(here, tmp_path, loaded(platform("aws", WAYS[way]), tmp_path))
        routes = _routed(here)
        assert all(routes[name].startswith("igw-") for name in ("app-1", "app-2"))
        assert all(routes[name].startswith("nat-") for name in ("db-1", "db-2"))
        nats = here.client("ec2").describe_nat_gateways()["NatGateways"]
        assert len(nats) == gateways
        assert {nat["NatGatewayId"] for nat in nats} == {routes["db-1"], routes["db-2"]}
        addresses = here.client("ec2").describe_addresses()["Addresses"]
        assert {row["AllocationId"] for row in addresses} == {
            nat["NatGatewayAddresses"][0]["AllocationId"] for nat in nats
        }


def test_amazon_leads_private_servers_through_a_server_that_may_forward(tmp_path: Path) -> None:
    with cloud("aws") as here:
        deployed(here, tmp_path, loaded(platform("aws", WAYS["a server"]), tmp_path))
        routes, ec2 = _routed(here), here.client("ec2")
        rows = [row for r in ec2.describe_instances()["Reservations"] for row in r["Instances"]]
        (door,) = [row for row in rows if row["NetworkInterfaces"][0]["NetworkInterfaceId"] == routes["db-1"]]
        assert next(tag["Value"] for tag in door["Tags"] if tag["Key"] == "Name") == "plaza-app-2"
        assert door["SourceDestCheck"] is False
        assert routes["app-1"].startswith("igw-")


def test_hetzner_leads_the_network_to_a_server_that_is_there_before_the_private_ones(tmp_path: Path) -> None:
    stack = loaded(platform("hetzner", WAYS["shared"]), tmp_path)
    with cloud("hetzner") as here:
        plan = deployed(here, tmp_path, stack)
        order = [f"{step.title} {step.name}" for step in plan.steps]
        assert order.index("server way-out-1") < order.index("route way-out") < order.index("server db-1")
        inventory = here.inventory()
        (network,) = inventory["networks"]
        assert network["routes"] == [{"destination": "0.0.0.0/0", "gateway": "private address of plaza-way-out-1"}]
        given = {s.name: {c.path: c.new for c in s.changes}.get("userData", "") for s in plan.steps}
        assert "masquerade" in given["way-out-1"] and not given["app-1"]
        assert "default via 10.0.0.1" in given["db-1"] and "echo hi" in given["db-1"]


def test_a_route_follows_its_gateway_and_nothing_else_of_the_servers_matters(tmp_path: Path) -> None:
    with cloud("hetzner") as here:
        one = platform("hetzner", WAYS["a server"])
        deployed(here, tmp_path, loaded(one, tmp_path))
        one["servers"]["app"]["labels"] = {"role": "door"}
        plan = here.deployment(tmp_path, loaded(one, tmp_path)).plan()
        assert {(s.action, s.title) for s in plan.changing} == {(Action.UPDATE, "server")}, told(plan)
        one["network"] = {"way_out": "servers.app-1"}
        plan = here.deployment(tmp_path, loaded(one, tmp_path)).plan()
        assert ("network", Action.REPLACE, "route") in {(s.component, s.action, s.title) for s in plan.changing}
        assert any("userData" in note for note in plan.notes), "a server that is there does not begin to forward"
        deployed(here, tmp_path, loaded(one, tmp_path))
        assert here.deployment(tmp_path, loaded(one, tmp_path)).plan().empty


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "no such server": ({"way_out": "servers.door"}, {}, "reference", "there is no server 'door'"),
    "no such member": ({"way_out": "servers.app-3"}, {}, "reference", "there is no server 'app-3'"),
    "a private server": ({"way_out": "servers.db"}, {}, "private", "servers.db has no public address"),
    "a circle": (
        {"way_out": "servers.app"},
        {"app": {"public": True, "user_data": "echo ${servers.db.private_ips}"}},
        "cycle",
        "needs itself",
    ),
    "nobody needs it": (
        {"way_out": "shared"},
        {"app": {"public": True}, "db": {"count": 0}},
        "way-out",
        "nobody needs the way out",
    ),
    "public and private in one": (
        {"way_out": "shared", "subnets": {"all": {"cidr": "10.0.0.0/24"}}},
        {"app": {"public": True, "subnet": "all"}, "db": {"subnet": "all"}},
        "way-out",
        "(target aws)",
    ),
    "no subnet is left": (
        {"way_out": "shared", "subnets": {"all": {"cidr": "10.0.0.0/24"}}},
        {"app": {"public": True, "subnet": "all"}},
        "way-out",
        "there is no subnet for servers.db",
    ),
    "no room": (
        {"way_out": "shared", "cidr": "10.0.0.0/24", "subnets": {"all": {"cidr": "10.0.0.0/24"}}},
        {},
        "way-out",
        "there is no room for public subnets",
    ),
    "a name of ours": (
        {"way_out": "shared"},
        {"way-out": {}},
        "reserved-name",
        "way-out is taken (target hetzner)",
    ),
    "no way at all": ({"way_out": "somehow"}, {}, "value", ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_be_no_way_out_is_named(case: str, tmp_path: Path) -> None:
    network, servers, code, summary = REFUSED[case]
    groups = {"app": {"public": True, "count": 2}, "db": {"count": 2}, **servers}
    text = str({"stack": "plaza", "targets": TARGETS, "network": network, "servers": groups})
    (tmp_path / "stack.yaml").write_text(text.replace("True", "true").replace("None", "null"))
    found = validate(load([tmp_path / "stack.yaml"]), registry.adapter)
    assert [d for d in found if d.code == code and summary in d.summary and (d.fix or code == "cycle")], found


def test_losses_are_named(tmp_path: Path) -> None:
    for way, here, words in (
        ("shared", "aws", ["the gateway is in one zone"]),
        ("zonal", "aws", []),
        ("zonal", "hetzner", ["a server (way-out-1)", "way-out-1 is the only way out", "become one server"]),
    ):
        stack = loaded(platform(here, WAYS[way]), tmp_path)
        target = stack.targets["here"]
        away = registry.adapter("memory"), target.model_copy(update={"provider": "memory", "name": "away"})
        diff = compare(stack, away, (registry.adapter(here), target))
        (row,) = [row for row in diff.rows if row.component == "network"]
        for word in words:
            assert any(word in finding.reason for finding in row.findings), (way, here, word)
        assert words or not row.findings
    stack = loaded(platform("aws", WAYS["a server"]), tmp_path)
    assert any("app-2 is the only way out" in found.reason for found in findings(stack, frozenset({NATIVE})))
    stack = loaded(platform("aws", {"zones": 2}), tmp_path)
    (found,) = findings(stack, frozenset({NATIVE}))
    assert (found.component, found.step) == ("servers.db", "write network: {way_out: shared}")


def test_parts_of_user_data_are_told_apart_by_their_beginning() -> None:
    own = "#cloud-config\npackages: [mtr]\n"
    message = message_from_string(str(combined("#cloud-boothook\n#!/bin/sh\n", own)))
    parts = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
    assert parts == [b"#cloud-boothook\n#!/bin/sh\n", own.encode()]
    nested = str(combined("#!/bin/sh\necho 1\n", combined("#!/bin/sh\necho 2\n", own)))
    kinds = [part.get_content_type() for part in message_from_string(nested).walk()]
    assert kinds == ["multipart/mixed", "text/plain", "multipart/mixed", "text/plain", "text/plain"]
    assert combined(None, own) == own and combined(None, "") is None


WORLD = r"""
set -e
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns
for name in net door inside; do ip netns add $name; ip -n $name link set lo up; done
ip -n door link add out type veth peer name door netns net
ip -n inside link add eth0 type veth peer name in netns door
ip -n net addr add 198.51.100.1/24 dev door; ip -n net link set door up
ip -n door addr add 198.51.100.9/24 dev out; ip -n door link set out up
ip -n door addr add 10.0.0.1/32 dev in; ip -n door link set in up
ip -n door route add 10.0.0.2 dev in
ip -n inside addr add 10.0.0.2/32 dev eth0; ip -n inside link set eth0 up
ip -n inside route add 10.0.0.1 dev eth0; ip -n inside route add 10.0.0.0/16 via 10.0.0.1
touch /run/resolv; mount --bind /run/resolv "$(readlink -f /etc/resolv.conf)"
ip netns exec inside ping -c1 -W1 198.51.100.1 > /dev/null 2>&1 && exit 9
for times in 1 2; do
  ip netns exec door sh -c "$GATEWAY"
  ip netns exec inside sh -c "PATH=$SHIM:\$PATH; $CLIENT"
done
ip netns exec inside ping -c1 -W3 198.51.100.1 > /dev/null
ip -n inside route del default
ip netns exec inside sh -c "PATH=$SHIM:\$PATH; $CLIENT"
ip -n inside route show default
ip netns exec door nft list table ip rehost_way_out | grep -c masquerade
cat /run/resolv
"""


def _program(user_data: str) -> str:
    match = re.search(r"<<'REHOST'\n(.*?)\nREHOST", user_data, re.DOTALL)
    assert match is not None
    return match[1]


@pytest.mark.skipif(
    os.geteuid() != 0 or not all(shutil.which(name) for name in ("unshare", "ip", "nft", "ping")),
    reason="needs root, iproute2, nftables, ping and namespaces",
)
def test_the_programs_lead_packets_out_under_the_gateways_address(tmp_path: Path) -> None:
    shim = tmp_path / "systemctl"
    shim.write_text("#!/bin/sh\nexit 3\n")
    shim.chmod(0o755)
    environment = {
        **os.environ,
        "GATEWAY": _program(gateway(IPv4Network("10.0.0.0/16"))),
        "CLIENT": _program(client("10.0.0.1", ("192.0.2.53",))),
        "SHIM": str(tmp_path),
    }
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", WORLD]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    if "unshare failed" in run.stderr:
        pytest.skip("namespaces can't be made here")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["default via 10.0.0.1 dev eth0 onlink ", "1", "nameserver 192.0.2.53"]
