"""Components to Hetzner's resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rehost.providers.hetzner import catalog
from rehost.stacks.graph import UNKNOWN, Join, Json, Ref, Resource, Value
from rehost.stacks.lower import Lowering, overridden
from rehost.stacks.model import Firewall, Network, Record, Rule, Server

ANCHOR = "hcloud:index/placementGroup:PlacementGroup"
NETWORK = "hcloud:index/network:Network"
SUBNET = "hcloud:index/networkSubnet:NetworkSubnet"
FIREWALL = "hcloud:index/firewall:Firewall"
FENCED = "hcloud:index/firewallAttachment:FirewallAttachment"
KEY = "hcloud:index/sshKey:SshKey"
SERVER = "hcloud:index/server:Server"
VOLUME = "hcloud:index/volume:Volume"
ATTACHMENT = "hcloud:index/volumeAttachment:VolumeAttachment"
ZONE = "hcloud:index/zone:Zone"
RRSET = "hcloud:index/zoneRrset:ZoneRrset"
BUCKET = "minio:index/s3Bucket:S3Bucket"
POLICY = "minio:index/s3BucketPolicy:S3BucketPolicy"
VERSIONING = "minio:index/s3BucketVersioning:S3BucketVersioning"

_GIB = 1024**3


class HetznerLowering:
    """One lowering of a stack; `all` yields its resources."""

    def __init__(self, lowering: Lowering) -> None:
        self._l = lowering
        self._stack = lowering.stack
        self._network = self._stack.network or (Network() if self._stack.servers else None)
        self._subnets = self._network.layout() if self._network else {}

    def all(self) -> Iterator[Resource]:
        """Every resource of the stack, behind the anchor that says whose project it is."""
        stack = self._stack
        deployment: Value = UNKNOWN if self._l.deployment is None else self._l.deployment
        marks = {**self._l.marks(ANCHOR, "anchor"), "rehost-deployment": deployment}
        inputs = {"name": f"rehost-{stack.stack}-{self._l.target.name}", "type": "spread", "labels": marks}
        yield self._l.resource(ANCHOR, "anchor", inputs, component="anchor")
        if self._network:
            yield from self._networks(self._network)
        for name, key in stack.ssh_keys.items():
            yield self._made(KEY, name, f"ssh_keys.{name}", {"publicKey": key.strip()})
        for name, firewall in stack.firewalls.items():
            yield from self._firewall(name, firewall)
        for group, server in stack.servers.items():
            yield from self._servers(group, server)
        yield from self._volumes()
        yield from self._buckets()
        for zone, records in stack.dns.items():
            yield self._made(ZONE, zone, f"dns.{zone}", {"name": zone, "mode": "primary"})
            for record in records:
                yield self._record(zone, record)

    def _ref(self, token: str, name: str, path: str = "id") -> Ref:
        return Ref(self._l.urn(token, name), path)

    @property
    def _anchor(self) -> tuple[str, ...]:
        return (self._l.urn(ANCHOR, "anchor"),)

    def _made(
        self,
        token: str,
        name: str,
        component: str,
        inputs: Mapping[str, Value],
        *,
        labels: Mapping[str, str] | None = None,
        override: Mapping[str, Mapping[str, Any]] | None = None,
        after: tuple[str, ...] = (),
    ) -> Resource:
        marks = self._l.marks(token, name, labels)
        merged = overridden(
            {"name": self._l.physical(name), **inputs, "labels": marks}, override or {}, self._l.target
        )
        return self._l.resource(token, name, merged, component=component, after=(*self._anchor, *after))

    def _networks(self, network: Network) -> Iterator[Resource]:
        inputs = {"ipRange": str(network.cidr)}
        yield self._made(NETWORK, "main", "network", inputs, override=network.override)
        zone = catalog.locations()[self._l.target.region]["network_zone"]
        for name, subnet in self._subnets.items():
            part = {
                "networkId": self._ref(NETWORK, "main"),
                "type": "cloud",
                "networkZone": zone,
                "ipRange": str(subnet.cidr),
            }
            yield self._l.resource(SUBNET, name, part, component="network")

    def _names_servers(self, firewall: Firewall) -> bool:
        rules = (*firewall.ingress, *firewall.egress)
        return any(peer.startswith("servers.") for rule in rules for peer in rule.peers)

    def _firewall(self, name: str, firewall: Firewall) -> Iterator[Resource]:
        rules = [row for rule in firewall.ingress for row in self._rules(rule, "in")]
        rules += [row for rule in firewall.egress for row in self._rules(rule, "out")]
        component = f"firewalls.{name}"
        yield self._made(FIREWALL, name, component, {"rules": rules}, override=firewall.override)
        if self._names_servers(firewall):
            # Its rules need addresses of servers, so the servers can't need it: it is put before them afterwards.
            members = [
                member
                for group, server in self._stack.servers.items()
                if name in server.firewalls and server.public
                for member in server.members(group)
            ]
            if members:
                join = {
                    "firewallId": self._ref(FIREWALL, name),
                    "serverIds": [self._ref(SERVER, member) for member in members],
                }
                yield self._l.resource(FENCED, name, join, component=component)

    def _rules(self, rule: Rule, direction: str) -> list[dict[str, Value]]:
        addresses = list(dict.fromkeys(address for peer in rule.peers for address in self._addresses(peer)))
        if not addresses:
            return []
        key = "sourceIps" if direction == "in" else "destinationIps"
        base: dict[str, Value] = {"direction": direction, key: addresses}
        if rule.description:
            base["description"] = rule.description
        if rule.protocol == "icmp":
            return [{**base, "protocol": "icmp"}]
        protocols = ["tcp", "udp"] if rule.protocol == "any" else [rule.protocol]
        rows: list[dict[str, Value]] = []
        for protocol in protocols:
            for low, high in rule.ranges() or [(1, 65535)]:
                port = str(low) if low == high else f"{low}-{high}"
                rows.append({**base, "protocol": protocol, "port": port})
        if rule.protocol == "any":
            rows.append({**base, "protocol": "icmp"})
        return rows

    def _addresses(self, peer: str) -> list[Value]:
        if peer == "anywhere":
            return ["0.0.0.0/0", "::/0"]
        if not peer.startswith("servers."):
            return [peer]
        group = peer.removeprefix("servers.")
        server = self._stack.servers[group]
        if not server.public:
            return []
        return [Join((self._ref(SERVER, member, "ipv4Address"), "/32")) for member in server.members(group)]

    def _servers(self, group: str, server: Server) -> Iterator[Resource]:
        after = tuple(self._l.urn(SUBNET, name) for name in self._subnets)
        attached = [
            name
            for name in server.firewalls
            if server.public and not self._names_servers(self._stack.firewalls[name])
        ]
        for member in server.members(group):
            inputs: dict[str, Value] = {
                "serverType": self._l.fact(f"servers.{group}.type"),
                "image": self._l.fact(f"servers.{group}.image"),
                "location": self._l.target.region,
                "sshKeys": [self._ref(KEY, name) for name in server.ssh_keys] or None,
                "publicNets": [{"ipv4Enabled": server.public, "ipv6Enabled": server.public}],
                "networks": [{"networkId": self._ref(NETWORK, "main")}],
                "firewallIds": [self._ref(FIREWALL, name) for name in attached] if server.public else None,
                "ignoreRemoteFirewallIds": True
                if server.public and len(attached) < len(server.firewalls)
                else None,
                "userData": self._l.text(server.user_data, self._export) if server.user_data else None,
            }
            yield self._made(
                SERVER,
                member,
                f"servers.{member}",
                inputs,
                labels=server.labels,
                override=server.override,
                after=after,
            )

    def _volumes(self) -> Iterator[Resource]:
        for name, volume in self._stack.volumes.items():
            for position, member in enumerate(self._stack.server_named(volume.on), 1):
                full, component = f"{name}-{position}", f"volumes.{name}-{position}"
                inputs = {
                    "size": max(10, -(-volume.size // _GIB)),
                    "format": volume.filesystem,
                    "location": self._l.target.region,
                }
                yield self._made(VOLUME, full, component, inputs, override=volume.override)
                join = {"volumeId": self._ref(VOLUME, full), "serverId": self._ref(SERVER, member)}
                yield self._l.resource(ATTACHMENT, full, join, component=component)

    def _buckets(self) -> Iterator[Resource]:
        for name, bucket in self._stack.buckets.items():
            component = f"buckets.{name}"
            real = self._l.global_name(name)
            inputs = overridden({"bucket": real, "acl": "private"}, bucket.override, self._l.target)
            yield self._l.resource(BUCKET, name, inputs, component=component)
            of = {"bucket": self._ref(BUCKET, name)}
            if bucket.versioning:
                status = {"versioningConfiguration": {"status": "Enabled"}}
                yield self._l.resource(VERSIONING, name, {**of, **status}, component=component)
            if bucket.public_read:
                statement = {
                    "Sid": "PublicRead",
                    "Effect": "Allow",
                    "Principal": {"AWS": ["*"]},
                    "Action": ["s3:GetObject"],
                    "Resource": UNKNOWN if real is UNKNOWN else [f"arn:aws:s3:::{real}/*"],
                }
                policy = {**of, "policy": Json({"Version": "2012-10-17", "Statement": [statement]})}
                yield self._l.resource(POLICY, name, policy, component=component)

    def _record(self, zone: str, record: Record) -> Resource:
        given = record.values()
        if given is None:
            type_ = "A"
            members = self._stack.server_named((record.to or "").removeprefix("servers."))
            values: list[Value] = [self._ref(SERVER, member, "ipv4Address") for member in members]
        else:
            type_ = given[0]
            values = [_value(type_, self._l.text(value, self._export)) for value in given[1]]
        inputs = {
            "zone": self._ref(ZONE, zone),
            "name": record.name,
            "type": type_,
            "ttl": record.ttl,
            "records": [{"value": value} for value in values],
            "labels": self._l.marks(RRSET, f"{record.name}.{zone}/{type_}"),
        }
        full = zone if record.name == "@" else f"{record.name}.{zone}"
        return self._l.resource(RRSET, f"{record.name}.{zone}/{type_}", inputs, component=f"dns.{full}")

    def _export(self, address: str) -> Value:
        family, _, rest = address.partition(".")
        name, _, attribute = rest.rpartition(".")
        if family == "servers":
            path = "ipv4Address" if "public" in attribute else "networks[0].ip"
            refs = [self._ref(SERVER, member, path) for member in self._stack.server_named(name)]
            if not attribute.endswith("s"):
                return refs[0]
            parts: list[Value] = []
            for ref in refs:
                parts += [ref] if not parts else [",", ref]
            return Join(tuple(parts))
        if family == "buckets":
            if attribute == "name":
                return self._ref(BUCKET, name, "bucket")
            if attribute == "endpoint":
                return f"https://{self._l.target.region}.your-objectstorage.com"
            return Join(("https://", self._ref(BUCKET, name, "bucketDomainName")))
        if family == "dns":
            return self._ref(ZONE, name, "authoritativeNameservers")
        return self._ref(VOLUME, f"{name}-1", "linuxDevice")


def _value(type_: str, value: Value) -> Value:
    """A record's value as Hetzner wants it: text quoted, host names fully qualified. Parts that only the provider
    can tell (a bucket's name) need no escapes."""
    parts = value.parts if isinstance(value, Join) else (value,)
    if type_ == "TXT" and not (isinstance(parts[0], str) and parts[0].startswith('"')):
        if isinstance(value, str):
            return " ".join(f'"{_escaped(value[n : n + 255])}"' for n in range(0, max(1, len(value)), 255))
        return Join(('"', *(_escaped(part) if isinstance(part, str) else part for part in parts), '"'))
    if type_ in ("CNAME", "MX", "NS", "SRV") and not (isinstance(parts[-1], str) and parts[-1].endswith(".")):
        return value + "." if isinstance(value, str) else Join((*parts, "."))
    return value


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
