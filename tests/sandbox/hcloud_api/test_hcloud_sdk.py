"""The official Python SDK against the stand-in, over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hcloud import APIException, Client
from hcloud.firewalls import FirewallResource, FirewallResourceLabelSelector, FirewallRule
from hcloud.images import Image
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.load_balancers import (
    LoadBalancerAlgorithm,
    LoadBalancerHealthCheck,
    LoadBalancerHealthCheckHttp,
    LoadBalancerService,
    LoadBalancerServiceHttp,
    LoadBalancerTarget,
)
from hcloud.locations import Location
from hcloud.networks import NetworkRoute, NetworkSubnet
from hcloud.server_types import ServerType
from hcloud.servers import ServerCreatePublicNetwork
from hcloud.storage_boxes import StorageBoxSnapshotPlan
from hcloud.zones import ZoneRecord, ZoneRRSet

TOKEN = "t" * 64
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQwNcWnJqHqYz0zjC7aVf8V3nJr5b8sY7mT1l2k3j4h ops@example"
FSN1 = Location(name="fsn1")


@pytest.fixture
def client(served: Any) -> Client:
    return Client(token=TOKEN, api_endpoint=served[1], poll_interval=0.01)


def base(client: Client) -> Any:
    key = client.ssh_keys.create("ops", KEY, labels={"a": "b"})
    subnet = NetworkSubnet(type="cloud", ip_range="10.0.1.0/24", network_zone="eu-central")
    network = client.networks.create("net", "10.0.0.0/16", subnets=[subnet])
    network.add_route(NetworkRoute(destination="0.0.0.0/0", gateway="10.0.1.2")).wait_until_finished()
    rule = FirewallRule(direction="in", protocol="tcp", port="443", source_ips=["0.0.0.0/0", "::/0"])
    firewall = client.firewalls.create("web", rules=[rule]).firewall
    group = client.placement_groups.create("spread", "spread").placement_group
    address = client.primary_ips.create(name="fixed", type="ipv4", location=FSN1).primary_ip
    response = client.servers.create(
        "app",
        server_type=ServerType(name="cx23"),
        image=Image(name="debian-12"),
        location=FSN1,
        ssh_keys=[key],
        networks=[network],
        firewalls=[firewall],
        placement_group=group,
        public_net=ServerCreatePublicNetwork(ipv4=address),
        labels={"role": "web"},
    )
    for action in (response.action, *response.next_actions):
        action.wait_until_finished()
    return client.servers.get_by_name("app")


def test_servers_and_what_hangs_on_them(client: Client, served: Any) -> None:
    server = base(client)
    assert (server.status, server.public_net.ipv4.ip) == ("running", client.primary_ips.get_by_name("fixed").ip)
    assert server.private_net[0].ip == "10.0.1.1"
    volume = client.volumes.create(size=10, name="data", server=server, format="ext4")
    for action in (volume.action, *volume.next_actions):
        action.wait_until_finished()
    volume.volume.resize(20).wait_until_finished()
    assert client.volumes.get_by_id(volume.volume.id).size == 20
    server.power_off().wait_until_finished()
    server.change_type(ServerType(name="cx33"), upgrade_disk=False).wait_until_finished()
    image = server.create_image(description="before", labels={"x": "y"})
    image.action.wait_until_finished()
    assert [row.id for row in client.images.get_all(type="snapshot")] == [image.image.id]
    server.change_protection(delete=True, rebuild=True).wait_until_finished()
    with pytest.raises(APIException, match="protected"):
        server.delete()
    server.change_protection(delete=False, rebuild=False).wait_until_finished()
    now = datetime.now(UTC)
    metrics = client.servers.get_metrics(server, ["cpu"], now - timedelta(hours=1), now).metrics
    assert metrics.time_series["cpu"]["values"]
    assert server.request_console().wss_url
    floating = client.floating_ips.create("ipv4", server=server, name="vip").floating_ip
    floating.change_dns_ptr(floating.ip, "vip.plaza.example").wait_until_finished()
    assert client.floating_ips.get_by_id(floating.id).dns_ptr[0]["dns_ptr"] == "vip.plaza.example"
    floating.unassign().wait_until_finished()
    floating.delete()
    volume.volume.detach().wait_until_finished()
    volume.volume.delete()
    image.image.delete()
    server.delete().wait_until_finished()
    for record in (
        *client.firewalls.get_all(),
        *client.networks.get_all(),
        *client.placement_groups.get_all(),
        *client.primary_ips.get_all(),
        *client.ssh_keys.get_all(),
    ):
        record.delete()
    assert not any(served[0].app.project(TOKEN).records.values())


def test_zones_certificates_and_load_balancers(client: Client) -> None:
    server = base(client)
    zone = client.zones.create(
        name="plaza.example",
        mode="primary",
        rrsets=[ZoneRRSet(name="www", type="A", records=[ZoneRecord(value="198.51.100.1")])],
    ).zone
    made = zone.create_rrset(name="@", type="MX", records=[ZoneRecord(value="10 mail.plaza.example.")], ttl=300)
    made.action.wait_until_finished()
    made.rrset.set_rrset_records([ZoneRecord(value="20 mail.plaza.example.", comment="new")]).wait_until_finished()
    found = zone.get_rrset("@", "MX")
    assert [(row.value, row.comment) for row in found.records] == [("20 mail.plaza.example.", "new")]
    assert "20 mail.plaza.example." in zone.export_zonefile().zonefile
    assert {(row.name, row.type) for row in zone.get_rrset_all()} == {
        ("@", "SOA"),
        ("@", "NS"),
        ("@", "MX"),
        ("www", "A"),
    }
    response = client.certificates.create_managed("site", domain_names=["www.plaza.example"])
    response.action.wait_until_finished()
    certificate = client.certificates.get_by_id(response.certificate.id)
    assert certificate.status.issuance == "completed"
    check = LoadBalancerHealthCheck(
        protocol="http",
        port=8080,
        interval=15,
        timeout=10,
        retries=3,
        http=LoadBalancerHealthCheckHttp(domain="", path="/healthz", status_codes=["2??"], tls=False, response=""),
    )
    service = LoadBalancerService(
        protocol="https",
        listen_port=443,
        destination_port=8080,
        proxyprotocol=False,
        health_check=check,
        http=LoadBalancerServiceHttp(certificates=[certificate], redirect_http=True, sticky_sessions=False),
    )
    balancer = client.load_balancers.create(
        "edge",
        load_balancer_type=LoadBalancerType(name="lb11"),
        location=FSN1,
        algorithm=LoadBalancerAlgorithm(type="least_connections"),
        services=[service],
        network=client.networks.get_by_name("net"),
    ).load_balancer
    target = LoadBalancerTarget(type="server", server=server, use_private_ip=True)
    balancer.add_target(target).wait_until_finished()
    shown = client.load_balancers.get_by_name("edge")
    assert shown.services[0].health_check.http.path == "/healthz"
    assert shown.services[0].http.certificates[0].id == certificate.id
    assert shown.targets[0].health_status[0].status == "healthy"
    members = client.networks.get_member_all(client.networks.get_by_name("net"))
    assert {(row.type, str(row.ip)) for row in members} == {("server", "10.0.1.1"), ("load_balancer", "10.0.1.2")}
    with pytest.raises(APIException, match="used"):
        certificate.delete()
    client.firewalls.get_by_name("web").apply_to_resources(
        [
            FirewallResource(
                type="label_selector", label_selector=FirewallResourceLabelSelector(selector="role=web")
            )
        ]
    )
    assert len(client.firewalls.get_by_name("web").applied_to) == 2
    shown.remove_target(target).wait_until_finished()
    shown.delete().action.wait_until_finished()
    zone.delete().action.wait_until_finished()


def test_pages_and_catalog(client: Client) -> None:
    for number in range(60):
        client.placement_groups.create(f"group-{number}", "spread")
    assert len(client.placement_groups.get_all()) == 60
    assert client.server_types.get_by_name("cx23").cores == 2
    assert client.images.get_by_name_and_architecture("debian-12", "arm").architecture == "arm"
    assert client.load_balancer_types.get_by_name("lb11").max_targets == 25
    assert client.locations.get_by_name("fsn1").network_zone == "eu-central"
    assert client.isos.get_all()
    with pytest.raises(APIException) as caught:
        client.servers.get_by_id(1)
    assert caught.value.code == "not_found"


def test_storage_boxes(served: Any) -> None:
    client = Client(token=TOKEN, api_endpoint=served[1], api_endpoint_hetzner=served[1], poll_interval=0.01)
    secret = "Correct-horse-1"
    bx11 = client.storage_box_types.get_by_name("bx11")
    made = client.storage_boxes.create(name="attic", location=FSN1, storage_box_type=bx11, password=secret)
    made.action.wait_until_finished()
    box = client.storage_boxes.get_by_name("attic")
    assert (box.status, box.username) == ("active", f"u{box.id}")
    snapshot = box.create_snapshot(description="before")
    snapshot.action.wait_until_finished()
    sub = box.create_subaccount(home_directory="backup", password=secret)
    sub.action.wait_until_finished()
    assert [row.username for row in box.get_subaccount_all()] == [f"{box.username}-sub1"]
    box.rollback_snapshot(snapshot.snapshot).wait_until_finished()
    box.enable_snapshot_plan(StorageBoxSnapshotPlan(max_snapshots=3, hour=1, minute=0)).wait_until_finished()
    assert client.storage_boxes.get_by_id(box.id).snapshot_plan.max_snapshots == 3
    box.delete().action.wait_until_finished()
    assert client.storage_boxes.get_all() == []
