"""Networks, private addresses, firewalls and floating IPs."""

from __future__ import annotations

from typing import Any

import pytest

BODY = {"name": "app", "server_type": "cx23", "image": "debian-12", "location": "fsn1"}
SUBNET = {"type": "cloud", "network_zone": "eu-central"}
RULE = {"direction": "in", "protocol": "tcp", "port": "80", "source_ips": ["0.0.0.0/0", "::/0"]}


@pytest.mark.parametrize("range_", ["10.0.0.0", "10.0.0.1/16", "8.8.8.0/24", "10.0.0.0/25", "fd00::/64", "x"])
def test_ranges_that_no_network_can_have(api: Any, range_: str) -> None:
    assert api.fields("POST", "/networks", {"name": "net", "ip_range": range_}) == {"ip_range"}


def test_subnets_lie_in_the_network_beside_each_other(api: Any) -> None:
    network = api.post("/networks", {"name": "net", "ip_range": "10.0.0.0/16"})["network"]
    add = f"/networks/{network['id']}/actions/add_subnet"
    api.done(add, SUBNET)
    api.done(add, {**SUBNET, "ip_range": "10.0.2.0/24"})
    api.done(add, SUBNET)
    shown = api.get(f"/networks/{network['id']}")["network"]["subnets"]
    assert [row["ip_range"] for row in shown] == ["10.0.0.0/24", "10.0.2.0/24", "10.0.1.0/24"]
    assert {row["gateway"] for row in shown} == {"10.0.0.1"}
    for range_ in ("10.0.2.128/25", "10.1.0.0/24", "10.0.9.0/31"):
        assert api.fields("POST", add, {**SUBNET, "ip_range": range_}) == {"ip_range"}
    assert api.fields("POST", add, {"type": "cloud", "network_zone": "moon"}) == {"network_zone"}
    assert api.fields("POST", add, {**SUBNET, "type": "vswitch"}) == {"vswitch_id"}
    coupled = {"type": "vswitch", "network_zone": "eu-central", "vswitch_id": 7}
    api.done(add, coupled)
    assert api.refused("POST", add, coupled) == (422, "vswitch_id_already_used")
    assert (
        api.refused("POST", f"/networks/{network['id']}/actions/delete_subnet", {"ip_range": "10.0.7.0/24"})[0]
        == 404
    )


def test_one_change_of_a_network_at_a_time(api: Any) -> None:
    path = f"/networks/{api.network()['id']}"
    api.post(f"{path}/actions/add_subnet", {**SUBNET, "ip_range": "10.0.9.0/24"})
    assert api.refused("POST", f"{path}/actions/add_subnet", SUBNET) == (409, "conflict")
    assert api.refused("PUT", path, {"name": "b"}) == (409, "conflict")
    assert api.refused("DELETE", path) == (409, "conflict")
    api.settle()
    api.ok("DELETE", path)


@pytest.mark.parametrize(
    ("destination", "gateway", "field"),
    [
        ("10.0.1.0/25", "10.0.1.2", "destination"),
        ("10.0.0.0/24", "10.0.1.2", "destination"),
        ("172.31.0.0/16", "10.0.1.2", "destination"),
        ("8.8.8.0/24", "10.0.1.2", "destination"),
        ("192.168.7.0/24", "10.0.1.2", "destination"),
        ("192.168.0.0/24", "10.0.0.1", "gateway"),
        ("192.168.0.0/24", "192.168.1.1", "gateway"),
        ("192.168.0.0/24", "x", "gateway"),
    ],
)
def test_routes_that_can_not_be(api: Any, destination: str, gateway: str, field: str) -> None:
    path = f"/networks/{api.network()['id']}/actions/add_route"
    api.done(path, {"destination": "192.168.7.0/24", "gateway": "10.0.1.2"})
    assert api.fields("POST", path, {"destination": destination, "gateway": gateway}) == {field}


def test_a_range_only_grows_at_its_end(api: Any) -> None:
    path = f"/networks/{api.network()['id']}/actions/change_ip_range"
    for range_ in ("10.0.0.0/17", "10.1.0.0/16"):
        assert api.fields("POST", path, {"ip_range": range_}) == {"ip_range"}
    api.done(path, {"ip_range": "10.0.0.0/12"})


def test_private_addresses_are_given_from_the_last_subnet_of_the_zone(api: Any) -> None:
    network = api.network(zones=2)["id"]
    far = {"type": "cloud", "network_zone": "us-east", "ip_range": "10.0.9.0/24"}
    api.done(f"/networks/{network}/actions/add_subnet", far)
    first, second = api.server("a", networks=[network]), api.server("b", networks=[network])
    assert [row["private_net"][0]["ip"] for row in (first, second)] == ["10.0.2.1", "10.0.2.2"]
    third = api.server("c")["id"]
    attach = f"/servers/{third}/actions/attach_to_network"
    for ip, expected in (
        ("10.0.2.1", "ip_not_available"),
        ("10.0.2.0", "ip_not_available"),
        ("10.0.2.255", "ip_not_available"),
        ("10.0.9.4", "invalid_input"),
        ("10.0.8.4", "invalid_input"),
    ):
        assert api.refused("POST", attach, {"network": network, "ip": ip}) == (422, expected)
    taken = {"network": network, "alias_ips": ["10.0.2.2"]}
    assert api.refused("POST", attach, taken) == (422, "ip_not_available")
    many = {"network": network, "alias_ips": [f"10.0.1.{n}" for n in range(10, 16)]}
    assert api.refused("POST", attach, many) == (403, "resource_limit_exceeded")
    api.done(attach, {"network": network, "ip_range": "10.0.1.0/24", "alias_ips": ["10.0.1.50"]})
    shown = api.get(f"/servers/{third}")["server"]["private_net"][0]
    assert (shown["ip"], shown["alias_ips"]) == ("10.0.1.1", ["10.0.1.50"])
    assert api.refused("POST", attach, {"network": network}) == (422, "server_already_attached")
    subnet = {"ip_range": "10.0.1.0/24"}
    delete = f"/networks/{network}/actions/delete_subnet"
    assert api.refused("POST", delete, subnet) == (422, "service_error")
    api.done(f"/servers/{third}/actions/detach_from_network", {"network": network})
    api.done(delete, subnet)


def test_the_gateway_of_a_network_is_nobody_s_address(api: Any) -> None:
    subnet = {**SUBNET, "ip_range": "10.0.0.0/30"}
    network = api.post("/networks", {"name": "tiny", "ip_range": "10.0.0.0/24", "subnets": [subnet]})["network"][
        "id"
    ]
    server = api.server(networks=[network])
    assert server["private_net"][0]["ip"] == "10.0.0.2"
    order = {**BODY, "name": "b", "networks": [network]}
    assert api.refused("POST", "/servers", order) == (422, "no_subnet_available")
    other = api.post("/networks", {"name": "other", "ip_range": "10.0.0.0/16", "subnets": [SUBNET]})["network"][
        "id"
    ]
    attach = f"/servers/{server['id']}/actions/attach_to_network"
    assert api.refused("POST", attach, {"network": other}) == (422, "networks_overlap")
    empty = api.post("/networks", {"name": "empty", "ip_range": "10.9.0.0/16"})["network"]["id"]
    assert api.refused("POST", attach, {"network": empty}) == (422, "no_subnet_available")


def test_a_failed_attachment_gives_its_address_back(api: Any) -> None:
    network, server = api.network()["id"], api.server()["id"]
    attach = f"/servers/{server}/actions/attach_to_network"
    api.app.behaviour.fail.append({"command": "attach_to_network"})
    assert api.failed(attach, {"network": network, "ip": "10.0.1.5"}) == "action_failed"
    assert api.get(f"/servers/{server}")["server"]["private_net"] == []
    api.post(attach, {"network": network, "ip": "10.0.1.5"})
    assert api.get(f"/networks/{network}/members")["members"] == [
        {
            "type": "server",
            "id": server,
            "ip": "10.0.1.5",
            "status": "attaching",
            "alias_ips": [],
            "subnet": "10.0.1.0/24",
        }
    ]
    api.settle()
    assert api.get(f"/networks/{network}/members", status="ok")["members"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"direction": "both"}, "rules[0].direction"),
        ({"protocol": "http"}, "rules[0].protocol"),
        ({"port": None}, "rules[0].port"),
        ({"port": "0"}, "rules[0].port"),
        ({"port": "90-80"}, "rules[0].port"),
        ({"protocol": "icmp"}, "rules[0].port"),
        ({"source_ips": ["10.0.0.1/8"]}, "rules[0].source_ips"),
        ({"source_ips": []}, "rules[0].source_ips"),
        ({"destination_ips": ["0.0.0.0/0"]}, "rules[0].destination_ips"),
        ({"source_ips": ["0.0.0.0/0"] * 101}, "rules[0].source_ips"),
        ({"description": "x" * 256}, "rules[0].description"),
    ],
)
def test_rules_that_no_firewall_takes(api: Any, change: Any, field: str) -> None:
    assert api.fields("POST", "/firewalls", {"name": "web", "rules": [{**RULE, **change}]}) == {field}


def test_rules_are_kept_as_the_api_writes_them(api: Any) -> None:
    rules = [{**RULE, "source_ips": ["2001:0DB8::/32", "192.0.2.7"], "port": "8000-9000"}]
    made = api.done("/firewalls", {"name": "web", "rules": rules})
    assert [row["command"] for row in made["actions"]] == ["set_firewall_rules"]
    assert made["firewall"]["rules"] == [
        {
            "direction": "in",
            "protocol": "tcp",
            "port": "8000-9000",
            "source_ips": ["2001:db8::/32", "192.0.2.7/32"],
            "destination_ips": [],
            "description": None,
        }
    ]
    too_many = {"rules": [RULE] * 51}
    assert api.fields("POST", f"/firewalls/{made['firewall']['id']}/actions/set_rules", too_many) == {"rules"}


def test_rules_that_could_not_be_set_are_put_back(api: Any) -> None:
    firewall = api.done("/firewalls", {"name": "web", "rules": [RULE]})["firewall"]
    api.app.behaviour.fail.append({"command": "set_firewall_rules"})
    path = f"/firewalls/{firewall['id']}"
    actions = api.post(f"{path}/actions/set_rules", {"rules": []})["actions"]
    api.settle()
    assert api.get(f"/actions/{actions[0]['id']}")["action"]["status"] == "error"
    assert api.get(path)["firewall"]["rules"] == firewall["rules"]


def test_firewalls_stand_before_servers_by_name_and_by_label(api: Any) -> None:
    server = api.server(labels={"role": "web"})["id"]
    row = {"type": "server", "server": {"id": server}}
    selector = {"type": "label_selector", "label_selector": {"selector": "role=web"}}
    made = api.post("/firewalls", {"name": "web", "rules": [RULE], "apply_to": [row, selector]})
    path = f"/firewalls/{made['firewall']['id']}"
    shown = api.get(f"/servers/{server}")["server"]["public_net"]["firewalls"]
    assert shown == [{"id": made["firewall"]["id"], "status": "pending"}]
    assert api.refused("PUT", path, {"name": "b"}) == (409, "conflict")
    api.settle()
    assert api.get(f"/servers/{server}")["server"]["public_net"]["firewalls"][0]["status"] == "applied"
    applied = api.get(path)["firewall"]["applied_to"]
    assert applied == [row, {**selector, "applied_to_resources": [row]}]
    apply, remove = f"{path}/actions/apply_to_resources", f"{path}/actions/remove_from_resources"
    assert api.refused("POST", apply, {"apply_to": [row]})[1] == "firewall_already_applied"
    assert api.refused("POST", apply, {"apply_to": [{**row, "server": {"id": 1}}]}) == (
        404,
        "firewall_resource_not_found",
    )
    strange = {"name": "x", "apply_to": [{**row, "server": {"id": 1}}]}
    assert api.refused("POST", "/firewalls", strange) == (422, "firewall_resource_not_found")
    assert api.refused("POST", "/firewalls", {"name": "x", "apply_to": [row, row]})[1] == "server_already_added"
    assert [row["name"] for row in api.get("/firewalls")["firewalls"]] == ["web"]
    api.post(remove, {"remove_from": [row]})
    assert api.refused("DELETE", path) == (422, "resource_in_use")
    api.settle()
    assert api.refused("POST", remove, {"remove_from": [row]})[1] == "firewall_managed_by_label_selector"
    api.done(remove, {"remove_from": [selector]})
    api.ok("DELETE", path)


def test_a_server_stands_behind_five_firewalls_at_most(api: Any) -> None:
    server = api.server()["id"]
    row = {"apply_to": [{"type": "server", "server": {"id": server}}]}
    for number in range(6):
        firewall = api.post("/firewalls", {"name": f"web-{number}"})["firewall"]["id"]
        path = f"/firewalls/{firewall}/actions/apply_to_resources"
        if number < 5:
            api.done(path, row)
    assert api.refused("POST", path, row) == (403, "resource_limit_exceeded")


def test_floating_ips_move_between_servers(api: Any) -> None:
    first, second = api.server("a")["id"], api.server("b", location="hel1")["id"]
    made = api.done("/floating_ips", {"type": "ipv4", "server": first, "description": "vip"})["floating_ip"]
    assert made["home_location"]["name"] == "fsn1"
    path = f"/floating_ips/{made['id']}"
    assert api.refused("POST", f"{path}/actions/assign", {"server": first}) == (422, "floating_ip_assigned")
    api.done(f"{path}/actions/assign", {"server": second})
    assert api.get(f"/servers/{first}")["server"]["public_net"]["floating_ips"] == []
    assert api.get(f"/servers/{second}")["server"]["public_net"]["floating_ips"] == [made["id"]]
    api.done(f"{path}/actions/unassign")
    assert api.fields("POST", f"{path}/actions/unassign", {}) == {"server"}
    assert api.fields("POST", "/floating_ips", {"type": "ipv4"}) == {"home_location"}
