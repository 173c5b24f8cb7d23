"""Servers: what can be made of what, states, locks, addresses, images."""

from __future__ import annotations

from typing import Any

import pytest

BODY = {"name": "app", "server_type": "cx23", "image": "debian-12", "location": "fsn1"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQwNcWnJqHqYz0zjC7aVf8V3nJr5b8sY7mT1l2k3j4h ops@example"


def status(api: Any, id_: int) -> str:
    return str(api.get(f"/servers/{id_}")["server"]["status"])


def test_a_server_goes_through_its_states_and_is_locked_meanwhile(api: Any) -> None:
    answer = api.post("/servers", BODY)
    id_, path = answer["server"]["id"], f"/servers/{answer['server']['id']}"
    assert answer["root_password"]
    assert [row["command"] for row in answer["next_actions"]] == ["start_server"]
    seen = []
    for _ in range(3):
        shown = api.get(path)["server"]
        seen.append((shown["status"], shown["locked"]))
        api.clock.pass_by(1.0)
    assert seen == [("initializing", True), ("starting", True), ("running", False)]
    for command, meanwhile, after in (("poweroff", "stopping", "off"), ("poweron", "starting", "running")):
        api.post(f"{path}/actions/{command}")
        assert status(api, id_) == meanwhile
        assert api.refused("POST", f"{path}/actions/reboot") == (423, "locked")
        assert api.refused("DELETE", path) == (423, "locked")
        api.settle()
        assert status(api, id_) == after
    api.ok("DELETE", path)
    assert status(api, id_) == "deleting"
    api.settle()
    assert api.refused("GET", path) == (404, "not_found")


def test_a_key_takes_the_place_of_the_password(api: Any) -> None:
    api.post("/ssh_keys", {"name": "ops", "public_key": KEY})
    assert api.refused("POST", "/ssh_keys", {"name": "again", "public_key": KEY}) == (409, "uniqueness_error")
    assert api.fields("POST", "/ssh_keys", {"name": "x", "public_key": "ssh-rsa AAAA"}) == {"public_key"}
    assert api.post("/servers", {**BODY, "ssh_keys": ["ops"]})["root_password"] is None
    assert api.fields("POST", "/servers", {**BODY, "name": "b", "ssh_keys": ["unknown"]}) == {"ssh_keys"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "a_b"}, "name"),
        ({"name": "-a"}, "name"),
        ({"server_type": "cx99"}, "server_type"),
        ({"image": "plan9"}, "image"),
        ({"location": "mars"}, "location"),
        ({"location": "ash"}, "location"),
        ({"datacenter": "fsn1-dc14"}, "datacenter"),
        ({"user_data": "x" * 32769}, "user_data"),
        ({"public_net": {"enable_ipv4": False, "enable_ipv6": False}}, "public_net"),
        ({"labels": {"a": "b c"}}, "labels"),
    ],
)
def test_orders_that_are_refused_leave_nothing_behind(api: Any, change: Any, field: str) -> None:
    assert api.fields("POST", "/servers", {**BODY, **change}) == {field}
    assert api.get("/servers")["servers"] == api.get("/primary_ips")["primary_ips"] == []


def test_what_is_sold_out_can_not_be_had(api: Any) -> None:
    api.app.behaviour.capacity = [{"server_type": "cx23", "location": "fsn1", "times": 1}, {"location": "hel1"}]
    types = {row["name"]: row for row in api.get("/server_types")["server_types"]}
    available = {row["name"]: row["available"] for row in types["cx33"]["locations"]}
    assert available == {"fsn1": True, "nbg1": True, "hel1": False}
    assert api.refused("POST", "/servers", BODY) == (412, "resource_unavailable")
    assert api.refused("POST", "/servers", {**BODY, "location": "hel1"}) == (412, "resource_unavailable")
    api.app.behaviour.capacity.append({"server_type": "cx33", "code": "placement_error"})
    assert api.refused("POST", "/servers", {**BODY, "server_type": "cx33"}) == (412, "placement_error")
    api.post("/servers", BODY)


def test_what_is_retired_is_shown_but_can_not_be_had(api: Any) -> None:
    types = {row["name"]: row for row in api.get("/server_types")["server_types"]}
    assert types["cx22"]["deprecated"]
    assert not any(place["available"] for place in types["cx22"]["locations"])
    assert api.refused("POST", "/servers", {**BODY, "server_type": "cx22"}) == (412, "resource_unavailable")
    assert api.get("/images", name="centos-stream-8")["images"] == []
    retired = api.get("/images", name="centos-stream-8", include_deprecated="true")["images"]
    assert retired[0]["deprecation"]["announced"] == retired[0]["deprecated"]
    assert api.refused("POST", "/servers", {**BODY, "image": "centos-stream-8"}) == (412, "resource_unavailable")
    path = f"/servers/{api.server()['id']}/actions"
    api.done(f"{path}/poweroff")
    change = {"server_type": "cx22", "upgrade_disk": False}
    assert api.refused("POST", f"{path}/change_type", change) == (422, "invalid_server_type")


def test_a_shutdown_takes_longer_than_its_action(api: Any) -> None:
    server = api.server()["id"]
    action = api.post(f"/servers/{server}/actions/shutdown")["action"]["id"]
    api.clock.pass_by(1.0)
    assert api.get(f"/actions/{action}")["action"]["status"] == "success"
    assert status(api, server) == "running"
    api.clock.pass_by(1.0)
    assert status(api, server) == "off"
    assert api.refused("GET", f"/actions/{action + 1}") == (404, "not_found")


def test_rescue_ends_after_an_hour_or_a_boot(api: Any) -> None:
    path = f"/servers/{api.server()['id']}"
    api.done(f"{path}/actions/enable_rescue", {"type": "linux64"})
    api.clock.pass_by(1800)
    api.done(f"{path}/actions/enable_rescue", {"type": "linux64"})
    api.clock.pass_by(1900)
    assert api.get(path)["server"]["rescue_enabled"] is True
    api.clock.pass_by(3601)
    assert api.get(path)["server"]["rescue_enabled"] is False
    api.done(f"{path}/actions/enable_rescue", {"type": "linux64"})
    api.done(f"{path}/actions/reset")
    assert api.get(path)["server"]["rescue_enabled"] is False


def test_a_change_of_type_wants_the_server_off_and_never_shrinks_its_disk(api: Any) -> None:
    path = f"/servers/{api.server(server_type='cx33')['id']}"
    change = f"{path}/actions/change_type"
    body = {"server_type": "cx43", "upgrade_disk": False}
    assert api.refused("POST", change, body) == (422, "server_not_stopped")
    api.done(f"{path}/actions/poweroff")
    smaller = {"server_type": "cx23", "upgrade_disk": False}
    assert api.refused("POST", change, smaller) == (422, "invalid_server_type")
    arm = {"server_type": "cax31", "upgrade_disk": False}
    assert api.refused("POST", change, arm) == (422, "invalid_server_type")
    api.post(change, body)
    assert api.get(path)["server"]["status"] == "migrating"
    api.settle()
    shown = api.get(path)["server"]
    assert (shown["server_type"]["name"], shown["primary_disk_size"], shown["status"]) == ("cx43", 80, "running")
    api.done(f"{path}/actions/poweroff")
    api.done(change, {"server_type": "cx33", "upgrade_disk": True})


def test_a_failed_change_leaves_the_server_as_it_was(api: Any) -> None:
    path = f"/servers/{api.server()['id']}"
    api.done(f"{path}/actions/poweroff")
    api.app.behaviour.fail.append({"command": "change_server_type", "code": "server_error"})
    assert (
        api.failed(f"{path}/actions/change_type", {"server_type": "cx33", "upgrade_disk": True}) == "server_error"
    )
    shown = api.get(path)["server"]
    assert (shown["server_type"]["name"], shown["status"], shown["locked"]) == ("cx23", "off", False)


def test_addresses_come_and_go_with_their_server_unless_they_are_kept(api: Any) -> None:
    kept = api.post("/primary_ips", {"name": "kept", "type": "ipv4", "location": "fsn1"})["primary_ip"]
    six = api.post("/primary_ips", {"name": "six", "type": "ipv6", "location": "fsn1"})["primary_ip"]
    far = api.post("/primary_ips", {"name": "far", "type": "ipv4", "location": "hel1"})["primary_ip"]
    order = {**BODY, "public_net": {"ipv4": six["id"]}}
    assert api.refused("POST", "/servers", order)[1] == "primary_ip_version_mismatch"
    order = {**BODY, "public_net": {"ipv4": far["id"]}}
    assert api.refused("POST", "/servers", order)[1] == "primary_ip_datacenter_mismatch"
    server = api.server(public_net={"ipv4": kept["id"]})
    assert server["public_net"]["ipv4"]["ip"] == kept["ip"]
    order = {**BODY, "name": "b", "public_net": {"ipv4": kept["id"]}}
    assert api.refused("POST", "/servers", order)[1] == "primary_ip_assigned"
    rows = {row["id"]: row for row in api.get("/primary_ips")["primary_ips"]}
    own = rows[server["public_net"]["ipv6"]["id"]]
    assert (own["auto_delete"], own["assignee_id"], own["assignee_type"]) == (True, server["id"], "server")
    assert api.refused("DELETE", f"/primary_ips/{kept['id']}") == (422, "must_be_unassigned")
    assert api.refused("POST", f"/primary_ips/{kept['id']}/actions/unassign") == (422, "server_not_stopped")
    api.done(f"/servers/{server['id']}", None, "DELETE")
    left = {row["name"]: row["assignee_type"] for row in api.get("/primary_ips")["primary_ips"]}
    assert left == {"kept": "unassigned", "six": "unassigned", "far": "unassigned"}
    assert api.fields("POST", f"/primary_ips/{six['id']}/actions/change_protection", {}) == {"delete"}
    api.ok("PUT", f"/primary_ips/{six['id']}", {"auto_delete": True})
    assert api.fields("POST", f"/primary_ips/{six['id']}/actions/change_protection", {"delete": True}) == {
        "delete"
    }


def test_addresses_that_come_with_a_server_find_a_name(api: Any) -> None:
    first = api.app.project("t" * 64).next_id
    for number in range(first, first + 20):
        api.post("/primary_ips", {"name": f"primary_ip-{number + 15}", "type": "ipv4", "location": "fsn1"})
    server = api.server()
    assert server["public_net"]["ipv4"]["ip"]
    assert api.get(f"/primary_ips/{server['public_net']['ipv6']['id']}")["primary_ip"]["auto_delete"]


def test_an_address_is_given_to_a_server_that_is_off(api: Any) -> None:
    server = api.server(public_net={"enable_ipv4": False}, start_after_create=False)
    assert server["public_net"]["ipv4"] is None
    body = {"name": "late", "type": "ipv4", "assignee_id": server["id"], "assignee_type": "server"}
    made = api.done("/primary_ips", body)["primary_ip"]
    assert api.get(f"/servers/{server['id']}")["server"]["public_net"]["ipv4"]["id"] == made["id"]
    assert api.refused("POST", "/primary_ips", {**body, "name": "b"}) == (422, "server_has_ipv4")
    with_both = {**body, "name": "c", "location": "fsn1"}
    assert api.fields("POST", "/primary_ips", with_both) == {"location"}
    api.done(f"/servers/{server['id']}/actions/poweron")
    six = {**body, "name": "d", "type": "ipv6"}
    assert api.refused("POST", "/primary_ips", six)[1] == "server_not_stopped"


def test_a_server_without_any_interface_can_not_be_started(api: Any) -> None:
    nothing = {"enable_ipv4": False, "enable_ipv6": False}
    server = api.server(public_net=nothing, start_after_create=False)
    path = f"/servers/{server['id']}"
    assert api.fields("POST", f"{path}/actions/poweron", {}) == {"public_net"}
    firewall = api.post("/firewalls", {"name": "web"})["firewall"]["id"]
    row = {"apply_to": [{"type": "server", "server": {"id": server["id"]}}]}
    assert (
        api.refused("POST", f"/firewalls/{firewall}/actions/apply_to_resources", row)[1]
        == "private_net_only_server"
    )
    api.done(f"{path}/actions/attach_to_network", {"network": api.network()["id"]})
    api.done(f"{path}/actions/poweron")


def test_placement_groups_take_ten_servers_that_are_off(api: Any) -> None:
    group = api.post("/placement_groups", {"name": "spread", "type": "spread"})["placement_group"]["id"]
    for number in range(10):
        api.post("/servers", {**BODY, "name": f"app-{number}", "placement_group": group})
    assert api.refused("POST", "/servers", {**BODY, "placement_group": group}) == (412, "placement_error")
    assert api.refused("DELETE", f"/placement_groups/{group}")[1] == "resource_in_use"
    api.settle()
    other = api.post("/placement_groups", {"name": "other", "type": "spread"})["placement_group"]["id"]
    path = f"/servers/{api.server()['id']}/actions"
    assert (
        api.refused("POST", f"{path}/add_to_placement_group", {"placement_group": other})[1]
        == "server_not_stopped"
    )
    api.done(f"{path}/poweroff")
    api.done(f"{path}/add_to_placement_group", {"placement_group": other})
    assert len(api.get(f"/placement_groups/{other}")["placement_group"]["servers"]) == 1


def test_protection_is_for_deletion_and_rebuild_together(api: Any) -> None:
    path = f"/servers/{api.server()['id']}"
    assert api.fields("POST", f"{path}/actions/change_protection", {"delete": True}) == {"rebuild"}
    api.done(f"{path}/actions/change_protection", {"delete": True, "rebuild": True})
    assert api.refused("POST", f"{path}/actions/rebuild", {"image": "debian-13"}) == (423, "protected")
    assert api.refused("DELETE", path) == (423, "protected")


def test_images_are_bound_to_architecture_disk_and_server(api: Any) -> None:
    large, small = api.server("large", server_type="cx33"), api.server("small")
    path = f"/servers/{large['id']}/actions"
    assert api.refused("POST", f"{path}/create_image", {"type": "backup"})[1] == "service_error"
    snapshot = api.post(f"{path}/create_image", {"type": "snapshot"})["image"]
    order = {**BODY, "image": snapshot["id"], "server_type": "cx33"}
    assert api.refused("POST", "/servers", order) == (412, "resource_unavailable")
    api.settle()
    assert api.fields("POST", "/servers", {**BODY, "image": snapshot["id"]}) == {"image"}
    assert api.fields("POST", "/servers", {**order, "server_type": "cax21"}) == {"image"}
    assert api.fields("POST", f"/servers/{small['id']}/actions/rebuild", {"image": snapshot["id"]}) == {"image"}
    api.done("/servers", order)
    api.done(f"{path}/enable_backup")
    backup = api.done(f"{path}/create_image", {"type": "backup"})["image"]
    assert backup["bound_to"] == large["id"]
    assert [row["id"] for row in api.get("/images", bound_to=large["id"])["images"]] == [backup["id"]]
    api.ok("PUT", f"/images/{backup['id']}", {"type": "snapshot"})
    second = api.done(f"{path}/create_image", {"type": "backup"})["image"]
    api.done(f"/servers/{large['id']}", None, "DELETE")
    assert api.get(f"/images/{backup['id']}")["image"]["bound_to"] is None
    assert api.refused("GET", f"/images/{second['id']}") == (404, "not_found")
    assert api.refused("DELETE", "/images/1000")[0] == 422


def test_deleting_a_server_lets_go_of_what_hung_on_it(api: Any) -> None:
    network = api.network()["id"]
    firewall = api.post("/firewalls", {"name": "web"})["firewall"]["id"]
    server = api.server(networks=[network], firewalls=[{"firewall": firewall}])
    volume = api.done("/volumes", {"name": "data", "size": 10, "server": server["id"]})["volume"]["id"]
    floating = api.done("/floating_ips", {"type": "ipv4", "server": server["id"]})["floating_ip"]["id"]
    assert api.get(f"/floating_ips/{floating}")["floating_ip"]["server"] == server["id"]
    assert api.refused("DELETE", f"/firewalls/{firewall}") == (422, "resource_in_use")
    api.done(f"/servers/{server['id']}", None, "DELETE")
    assert api.get(f"/volumes/{volume}")["volume"]["server"] is None
    assert api.get(f"/floating_ips/{floating}")["floating_ip"]["server"] is None
    assert api.get(f"/networks/{network}")["network"]["servers"] == []
    for path in (
        f"/firewalls/{firewall}",
        f"/volumes/{volume}",
        f"/floating_ips/{floating}",
        f"/networks/{network}",
    ):
        api.ok("DELETE", path)


def test_a_location_can_be_full_of_volumes(api: Any) -> None:
    api.app.behaviour.capacity = [{"kind": "volumes", "location": "fsn1", "times": 1}]
    body = {"name": "data", "size": 10, "location": "fsn1"}
    assert api.refused("POST", "/volumes", body) == (422, "no_space_left_in_location")
    api.post("/servers", BODY)
    api.post("/volumes", body)


def test_volumes_stay_in_their_location_and_hang_on_one_server(api: Any) -> None:
    server, far = api.server(), api.server("far", location="hel1")
    volume = api.done("/volumes", {"name": "data", "size": 10, "location": "fsn1"})["volume"]["id"]
    attach = f"/volumes/{volume}/actions/attach"
    assert api.fields("POST", attach, {"server": far["id"]}) == {"server"}
    api.post(attach, {"server": server["id"]})
    assert api.refused("POST", f"/volumes/{volume}/actions/resize", {"size": 20}) == (423, "locked")
    second = {"name": "more", "size": 10, "server": server["id"]}
    assert api.refused("POST", "/volumes", second) == (423, "locked")
    api.settle()
    assert api.refused("POST", attach, {"server": server["id"]})[1] == "volume_already_attached"
    assert api.refused("DELETE", f"/volumes/{volume}") == (422, "resource_in_use")
    assert api.fields("POST", f"/volumes/{volume}/actions/resize", {"size": 10}) == {"size"}
    both = {"name": "x", "size": 10, "location": "fsn1", "server": server["id"]}
    assert api.fields("POST", "/volumes", both) == {"location"}
    assert api.fields("POST", "/volumes", {"name": "-x", "size": 10, "location": "fsn1"}) == {"name"}
    assert api.fields("POST", "/volumes", {"name": "x", "size": 10, "location": "fsn1", "format": "ntfs"}) == {
        "format"
    }
    api.app.behaviour.fail.append({"command": "attach_volume"})
    other = api.done("/volumes", {"name": "other", "size": 10, "location": "fsn1"})["volume"]["id"]
    assert api.failed(f"/volumes/{other}/actions/attach", {"server": server["id"]}) == "action_failed"
    assert api.get(f"/volumes/{other}")["volume"]["server"] is None


def test_reverse_dns_of_addresses(api: Any) -> None:
    server = api.server()
    path = f"/servers/{server['id']}/actions/change_dns_ptr"
    ip, six = server["public_net"]["ipv4"]["ip"], server["public_net"]["ipv6"]["ip"]
    default = server["public_net"]["ipv4"]["dns_ptr"]
    assert api.fields("POST", path, {"ip": "192.0.2.1", "dns_ptr": "a.example"}) == {"ip"}
    assert api.fields("POST", path, {"ip": ip, "dns_ptr": "no name"}) == {"dns_ptr"}
    api.done(path, {"ip": ip, "dns_ptr": "app.plaza.example"})
    api.done(path, {"ip": six.replace("/64", "2"), "dns_ptr": "six.plaza.example"})
    shown = api.get(f"/servers/{server['id']}")["server"]["public_net"]
    assert shown["ipv4"]["dns_ptr"] == "app.plaza.example"
    assert shown["ipv6"]["dns_ptr"] == [{"ip": six.replace("/64", "2"), "dns_ptr": "six.plaza.example"}]
    api.done(path, {"ip": ip, "dns_ptr": None})
    api.done(path, {"ip": six.replace("/64", "2"), "dns_ptr": None})
    shown = api.get(f"/servers/{server['id']}")["server"]["public_net"]
    assert (shown["ipv4"]["dns_ptr"], shown["ipv6"]["dns_ptr"]) == (default, [])
