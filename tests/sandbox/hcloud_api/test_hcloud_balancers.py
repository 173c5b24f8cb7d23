"""Load balancers and certificates."""

from __future__ import annotations

from typing import Any

import pytest
from test_hcloud_everything import pair

EDGE = {"name": "edge", "load_balancer_type": "lb11", "location": "fsn1"}


def edge(api: Any, **fields: Any) -> str:
    return f"/load_balancers/{api.done('/load_balancers', {**EDGE, **fields})['load_balancer']['id']}"


def uploaded(api: Any, name: str = "own") -> int:
    return int(api.post("/certificates", {"name": name, **pair("plaza.example")})["certificate"]["id"])


def test_services_get_their_defaults(api: Any) -> None:
    path = edge(api, services=[{"protocol": "http"}])
    shown = api.get(path)["load_balancer"]["services"][0]
    assert (shown["listen_port"], shown["destination_port"], shown["proxyprotocol"]) == (80, 80, False)
    assert shown["http"]["cookie_name"] == "HCLBSTICKY"
    assert shown["health_check"]["http"]["status_codes"] == ["2??", "3??"]
    api.done(f"{path}/actions/update_service", {"listen_port": 80, "http": {"sticky_sessions": True}})
    after = api.get(path)["load_balancer"]["services"][0]
    assert after["http"] == {**shown["http"], "sticky_sessions": True}
    assert after["health_check"] == shown["health_check"]
    api.done(f"{path}/actions/add_service", {"protocol": "tcp", "listen_port": 5432, "destination_port": 5432})
    tcp = api.get(path)["load_balancer"]["services"][1]
    assert "http" not in tcp
    assert tcp["health_check"]["protocol"] == "tcp"


def test_services_that_are_refused(api: Any) -> None:
    path, certificate = edge(api, services=[{"protocol": "http"}]), uploaded(api)
    add = f"{path}/actions/add_service"
    assert api.fields("POST", add, {"protocol": "tcp"}) == {"listen_port"}
    assert api.fields("POST", add, {"protocol": "https"}) == {"http.certificates"}
    assert api.fields("POST", add, {"protocol": "https", "http": {"certificates": [1]}}) == {"http.certificates"}
    redirect = {"protocol": "http", "listen_port": 81, "http": {"redirect_http": True}}
    assert api.fields("POST", add, redirect) == {"http.redirect_http"}
    assert api.fields("POST", add, {"protocol": "http", "listen_port": 0}) == {"listen_port"}
    idle = {"protocol": "http", "listen_port": 81, "http": {"timeout_idle": 10}}
    assert api.fields("POST", add, idle) == {"http.timeout_idle"}
    slow = {"protocol": "http", "listen_port": 81, "health_check": {"interval": 3, "timeout": 10}}
    assert api.fields("POST", add, slow) == {"health_check.timeout"}
    assert api.refused("POST", add, {"protocol": "http"})[1] == "source_port_already_used"
    both = {"protocol": "https", "http": {"certificates": [certificate], "redirect_http": True}}
    assert api.refused("POST", add, both)[1] == "source_port_already_used"
    assert api.refused("POST", f"{path}/actions/delete_service", {"listen_port": 9}) == (404, "not_found")
    for port in range(8001, 8005):
        api.done(add, {"protocol": "http", "listen_port": port})
    assert api.refused("POST", add, {"protocol": "http", "listen_port": 8005})[1] == "resource_limit_exceeded"
    api.done(f"{path}/actions/change_type", {"load_balancer_type": "lb21"})
    api.done(add, {"protocol": "http", "listen_port": 8005})
    smaller = {"load_balancer_type": "lb11"}
    assert api.refused("POST", f"{path}/actions/change_type", smaller)[1] == "invalid_load_balancer_type"


def test_targets_are_reached_over_an_address_that_they_have(api: Any) -> None:
    network = api.network()["id"]
    inside = api.server("inside", networks=[network], public_net={"enable_ipv4": False, "enable_ipv6": False})[
        "id"
    ]
    outside = api.server("outside", labels={"role": "web"})
    path = edge(api, services=[{"protocol": "http"}])
    add, remove = f"{path}/actions/add_target", f"{path}/actions/remove_target"
    to = {"type": "server", "server": {"id": inside}}
    assert api.refused("POST", add, to)[1] == "missing_ipv4"
    private = {**to, "use_private_ip": True}
    assert api.refused("POST", add, private)[1] == "load_balancer_not_attached_to_network"
    api.done(f"{path}/actions/attach_to_network", {"network": network, "ip": "10.0.1.200"})
    again = api.refused("POST", f"{path}/actions/attach_to_network", {"network": network})
    assert again[1] == "load_balancer_already_attached"
    far = {"type": "server", "server": {"id": outside["id"]}, "use_private_ip": True}
    assert api.refused("POST", add, far)[1] == "server_not_attached_to_network"
    api.done(add, private)
    assert api.refused("POST", add, private)[1] == "target_already_defined"
    own = {"type": "ip", "ip": {"ip": outside["public_net"]["ipv4"]["ip"]}}
    assert api.refused("POST", add, own)[1] == "cloud_resource_ip_not_allowed"
    assert api.refused("POST", add, {"type": "ip", "ip": {"ip": "10.0.1.77"}})[1] == "ip_not_owned"
    assert api.fields("POST", add, {"type": "server"}) == {"server"}
    api.done(f"{path}/actions/disable_public_interface")
    assert (
        api.refused("POST", add, {**far, "use_private_ip": False})[1] == "load_balancer_public_interface_disabled"
    )
    assert api.refused("POST", remove, {"type": "ip", "ip": {"ip": "192.0.2.1"}})[0] == 404
    shown = api.get(path)["load_balancer"]
    assert shown["private_net"] == [{"network": network, "ip": "10.0.1.200"}]
    assert shown["targets"][0]["health_status"][0]["status"] == "healthy"
    health = [{"listen_port": 80, "status": "healthy", "detail": None, "http_status_code": None}]
    assert shown["targets"][0]["health_status"] == health
    api.done(f"/servers/{inside}/actions/poweroff")
    assert api.get(path)["load_balancer"]["targets"][0]["health_status"][0]["status"] == "unhealthy"
    api.done(f"/servers/{inside}", None, "DELETE")
    assert api.get(path)["load_balancer"]["targets"] == []


def test_the_health_of_a_new_target_is_not_known_at_once(api: Any) -> None:
    path = edge(api, services=[{"protocol": "http"}])
    target = {"type": "server", "server": {"id": api.server()["id"]}}
    api.post(f"{path}/actions/add_target", target)
    seen = []
    for _ in range(2):
        seen.append(api.get(path)["load_balancer"]["targets"][0]["health_status"][0]["status"])
        api.clock.pass_by(3.0)
    assert seen == ["unknown", "healthy"]


def test_an_address_that_a_load_balancer_uses_stays(api: Any) -> None:
    server = api.server()
    path = edge(api, targets=[{"type": "server", "server": {"id": server["id"]}}])
    api.done(f"/servers/{server['id']}/actions/poweroff")
    unassign = f"/primary_ips/{server['public_net']['ipv4']['id']}/actions/unassign"
    assert api.refused("POST", unassign) == (422, "server_is_load_balancer_target")
    api.done(path, None, "DELETE")
    api.done(unassign)


def test_changes_of_services_run_side_by_side_and_fail_alone(api: Any) -> None:
    path = edge(api)
    api.app.behaviour.fail.append({"command": "add_service"})
    for port in (8001, 8002):
        api.post(f"{path}/actions/add_service", {"protocol": "http", "listen_port": port})
    api.settle()
    assert [row["listen_port"] for row in api.get(path)["load_balancer"]["services"]] == [8002]
    api.post(f"{path}/actions/change_type", {"load_balancer_type": "lb21"})
    assert api.refused("POST", f"{path}/actions/enable_public_interface") == (423, "locked")
    api.post(f"{path}/actions/add_service", {"protocol": "http"})


def test_load_balancers_are_placed_and_take_addresses(api: Any) -> None:
    both = {**EDGE, "network_zone": "eu-central"}
    assert api.fields("POST", "/load_balancers", both) == {"location"}
    given = api.post("/primary_ips", {"name": "fixed", "type": "ipv4", "location": "fsn1"})["primary_ip"]
    path = edge(api, public_net={"ipv4": given["id"]})
    shown = api.get(path)["load_balancer"]
    assert shown["public_net"]["ipv4"]["ip"] == given["ip"]
    addresses = {row["name"]: row for row in api.get("/primary_ips")["primary_ips"]}
    assert addresses["fixed"]["assignee_type"] == "load_balancer"
    assert len(addresses) == 2
    api.done(path, None, "DELETE")
    assert [row["assignee_type"] for row in api.get("/primary_ips")["primary_ips"]] == ["unassigned"]
    zoned = {"name": "zoned", "load_balancer_type": "lb11", "network_zone": "us-west"}
    assert api.done("/load_balancers", zoned)["load_balancer"]["location"]["name"] == "hil"


def test_uploaded_certificates_are_read(api: Any) -> None:
    good, other = pair("plaza.example", "*.plaza.example"), pair("other.example")
    made = api.post("/certificates", {"name": "own", **good})
    assert made["action"] is None
    shown = made["certificate"]
    assert shown["domain_names"] == ["plaza.example", "*.plaza.example"]
    assert (shown["not_valid_before"], shown["type"]) == ("2026-09-01T00:00:00Z", "uploaded")
    assert len(shown["fingerprint"].split(":")) == 20
    create = {"name": "b", **good}
    assert api.fields("POST", "/certificates", {**create, "private_key": other["private_key"]}) == {"private_key"}
    assert api.fields("POST", "/certificates", {**create, "private_key": "x"}) == {"private_key"}
    assert api.fields("POST", "/certificates", {**create, "certificate": "x"}) == {"certificate"}
    chain = good["certificate"] + other["certificate"]
    assert api.fields("POST", "/certificates", {**create, "certificate": chain}) == {"certificate"}
    assert api.fields("POST", "/certificates", {"name": "b"}) == {"certificate"}


def test_managed_certificates_need_their_zone_and_its_consent(api: Any) -> None:
    api.done("/zones", {"name": "plaza.example", "mode": "primary"})
    caa = {"name": "closed", "type": "CAA", "records": [{"value": '0 issue "other.example"'}]}
    api.done("/zones/plaza.example/rrsets", caa)
    servers = [{"address": "192.0.2.1"}]
    api.done("/zones", {"name": "second.example", "mode": "secondary", "primary_nameservers": servers})

    def order(name: str, *domains: str) -> dict[str, Any]:
        return {"name": name, "type": "managed", "domain_names": list(domains)}

    made = api.post("/certificates", order("good", "plaza.example", "*.plaza.example"))["certificate"]
    assert (made["status"]["issuance"], made["certificate"]) == ("pending", None)
    api.settle()
    shown = api.get(f"/certificates/{made['id']}")["certificate"]
    assert (shown["status"]["issuance"], shown["status"]["renewal"]) == ("completed", "scheduled")
    for domain, code in (
        ("a.closed.plaza.example", "caa_record_does_not_allow_ca"),
        ("nowhere.example", "dns_zone_not_found"),
        ("www.second.example", "dns_zone_is_secondary_zone"),
    ):
        assert api.failed("/certificates", order(domain, domain)) == code
    api.app.behaviour.delegations = {"plaza.example": "invalid"}
    assert (
        api.failed("/certificates", order("lost", "plaza.example")) == "could_not_verify_domain_delegated_to_zone"
    )
    api.app.behaviour.delegations = {"plaza.example": "valid"}
    failed = api.get("/certificates", name="a.closed.plaza.example")["certificates"][0]
    assert failed["status"]["error"]["code"] == "caa_record_does_not_allow_ca"
    api.done("/zones/plaza.example/rrsets/closed/CAA", None, "DELETE")
    api.done(f"/certificates/{failed['id']}/actions/retry")
    assert api.get(f"/certificates/{failed['id']}")["certificate"]["status"]["issuance"] == "completed"
    assert api.refused("POST", f"/certificates/{failed['id']}/actions/retry")[0] == 422
    api.app.behaviour.fail.append({"command": "create_certificate", "code": "ca_too_many_duplicate_certificates"})
    assert api.failed("/certificates", order("often", "plaza.example")) == "ca_too_many_duplicate_certificates"
    often = api.get("/certificates", name="often")["certificates"][0]
    assert often["status"]["error"]["code"] == "ca_too_many_duplicate_certificates"
    assert api.fields("POST", "/certificates", order("bad", "no name")) == {"domain_names"}
    assert api.fields("POST", "/certificates", order("none")) == {"domain_names"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"type": "heat"}, "type"),
        ({"type": "bandwidth", "start": "yesterday"}, "start"),
        ({"type": "bandwidth", "end": "2026-09-01T00:00:00Z"}, "end"),
    ],
)
def test_metrics_want_a_type_and_a_time(api: Any, query: Any, field: str) -> None:
    asked = {"start": "2026-09-20T10:00:00Z", "end": "2026-09-20T12:00:00Z", **query}
    response = api.raw("GET", f"{edge(api)}/metrics", **asked)
    assert response.get_json()["error"]["details"]["fields"][0]["name"] == field


def test_metrics_have_two_hundred_samples_unless_asked(api: Any) -> None:
    path = f"{edge(api)}/metrics"
    asked = {"type": "bandwidth", "start": "2026-09-20T10:00:00Z", "end": "2026-09-20T12:00:00Z"}
    shown = api.get(path, **asked)["metrics"]
    assert shown["time_series"].keys() == {"bandwidth.in", "bandwidth.out"}
    assert 190 <= len(shown["time_series"]["bandwidth.in"]["values"]) <= 201
    assert len(api.get(path, step=1, **asked)["metrics"]["time_series"]["bandwidth.in"]["values"]) <= 501
