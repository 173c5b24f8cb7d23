"""What there is in a project, whoever made it: the import ids of all kinds, by listing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.api import Api
from rehost.stacks.lift.items import Item

_LISTS = {
    t.PLACEMENT: "placement_groups",
    t.KEY: "ssh_keys",
    t.NETWORK: "networks",
    t.FIREWALL: "firewalls",
    t.SERVER: "servers",
    t.VOLUME: "volumes",
    t.PRIMARY_IP: "primary_ips",
    t.FLOATING_IP: "floating_ips",
    t.BALANCER: "load_balancers",
    t.UPLOADED: "certificates",
    t.ZONE: "zones",
}
_SETTINGS = (t.VERSIONING, t.CORS, t.LIFECYCLE, t.POLICY)
_HTTP = {"redirectHttp": False, "timeoutIdle": 60}
"""What an http service has where nothing is said (API reference, load balancers)."""
_OWN_NAME = ".clients.your-server.de"
"""The end of the reverse names that Hetzner gives by itself."""


def survey(api: Api, buckets: Callable[[], Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Type token and import id of everything. One list for each kind, and one for each zone."""
    for token, plural in _LISTS.items():
        for record in api.all(plural):
            id_ = str(record["id"])
            managed = token == t.UPLOADED and record["type"] == "managed"
            yield t.MANAGED if managed else token, id_
            yield from _parts(api, token, id_, record)
    for row in api.all("images", type="snapshot"):
        yield t.SNAPSHOT, str(row["id"])
    for bucket in buckets():
        yield t.BUCKET, bucket
        yield from ((token, bucket) for token in _SETTINGS)


def _parts(api: Api, token: str, id_: str, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What lives in the record of another."""
    if token == t.NETWORK:
        yield from ((t.SUBNET, f"{id_}-{row['ip_range']}") for row in record["subnets"])
        yield from ((t.NETWORK_ROUTE, f"{id_}-{row['destination']}") for row in record["routes"])
    elif token == t.FIREWALL and any(row["type"] == "server" for row in record.get("applied_to") or []):
        yield t.FENCED, id_
    elif token == t.VOLUME and record["server"]:
        yield t.ATTACHMENT, id_
    elif token == t.FLOATING_IP and record["server"]:
        yield t.FLOATING_IP_ASSIGNMENT, id_
    elif token == t.PRIMARY_IP:
        for row in record.get("dns_ptr") or []:
            if not str(row["dns_ptr"]).endswith(_OWN_NAME):
                # The name of a passing address goes with its server.
                passing = record["auto_delete"] and record["assignee_id"]
                yield t.RDNS, f"{'s' if passing else 'p'}-{record['assignee_id'] if passing else id_}-{row['ip']}"
    elif token == t.ZONE:
        for row in api.all("rrsets", f"/zones/{id_}/rrsets"):
            yield t.RRSET, f"{id_}/{row['name']}/{row['type']}"
    elif token == t.BALANCER:
        yield from ((t.BALANCER_NETWORK, f"{id_}-{net['network']}") for net in record["private_net"])
        yield from ((t.BALANCER_SERVICE, f"{id_}__{row['listen_port']}") for row in record["services"])
        for row in record["targets"]:
            key = {"server": "id", "label_selector": "selector", "ip": "ip"}[row["type"]]
            yield t.BALANCER_TARGET, f"{id_}__{row['type']}__{row[row['type']][key]}"


def tidy(items: Sequence[Item]) -> list[Item]:
    """The items without what Hetzner adds by itself: addresses in networks, and passing public addresses."""
    static = {
        item.id
        for item in items
        if item.type == t.PRIMARY_IP and not item.inputs.get("autoDelete") and item.inputs.get("type") == "ipv4"
    }
    subnets = [item.id for item in items if item.type == t.SUBNET]
    return [
        _server(item, static)
        if item.type == t.SERVER
        else _joined(item, subnets)
        if item.type == t.BALANCER_NETWORK
        else replace(item, inputs=_plain(item))
        for item in items
    ]


def _joined(item: Item, subnets: Sequence[str]) -> Item:
    """A load balancer in the subnet that its address is from."""
    inputs = dict(item.inputs)
    address, network = item.outputs.get("ip"), str(inputs.get("networkId", ""))
    for subnet in subnets:
        within, _, range_ = subnet.partition("-")
        if address and within == network and ip_address(str(address)) in ip_network(range_):
            del inputs["networkId"]
            return replace(item, inputs={**inputs, "subnetId": subnet})
    return item


def _plain(item: Item) -> dict[str, Any]:
    inputs = dict(item.inputs)
    if item.type == t.BALANCER and "location" in inputs:
        inputs.pop("networkZone", None)
    if item.type == t.BALANCER_SERVICE and inputs.get("http"):
        inputs["http"] = {
            key: value
            for key, value in inputs["http"].items()
            if value not in (None, []) and (key not in _HTTP or _HTTP[key] != value)
        }
        if not inputs["http"].get("stickySessions"):
            inputs["http"] = {key: value for key, value in inputs["http"].items() if not key.startswith("cookie")}
    return inputs


def _server(item: Item, static: set[str]) -> Item:
    inputs = dict(item.inputs)
    if inputs.get("networks"):
        kept = ("networkId", "subnetId")
        inputs["networks"] = [{key: net[key] for key in kept if key in net} for net in inputs["networks"]]
    inputs["publicNets"] = [
        {
            key: value
            for key, value in net.items()
            if key not in ("ipv4", "ipv6") or (key == "ipv4" and str(value) in static)
        }
        for net in inputs.get("publicNets") or []
    ]
    return replace(item, inputs=inputs)
