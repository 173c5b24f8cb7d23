"""Components to Amazon's resources."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rehost.stacks.graph import UNKNOWN, Join, Json, Ref, Resource, Value
from rehost.stacks.lower import Lowering, overridden
from rehost.stacks.model import Firewall, Network, Record, Rule, Server, Subnet

VPC = "aws:ec2/vpc:Vpc"
SUBNET = "aws:ec2/subnet:Subnet"
GATEWAY = "aws:ec2/internetGateway:InternetGateway"
TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE = "aws:ec2/route:Route"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
KEY = "aws:ec2/keyPair:KeyPair"
INSTANCE = "aws:ec2/instance:Instance"
VOLUME = "aws:ebs/volume:Volume"
ATTACHMENT = "aws:ec2/volumeAttachment:VolumeAttachment"
ZONE = "aws:route53/zone:Zone"
RECORD = "aws:route53/record:Record"
BUCKET = "aws:s3/bucket:Bucket"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
ACCESS = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"

_GIB = 1024**3


class AwsLowering:
    """One lowering of a stack; `all` yields its resources."""

    def __init__(self, lowering: Lowering) -> None:
        self._l = lowering
        self._stack = lowering.stack
        self._network = self._stack.network or (Network() if self._stack.servers else None)
        self._subnets: Mapping[str, Subnet] = self._network.layout() if self._network else {}

    def all(self) -> Iterator[Resource]:
        """Every resource of the stack."""
        if self._network:
            yield from self._networks(self._network)
        for name, firewall in self._stack.firewalls.items():
            yield from self._firewall(name, firewall)
        for name, key in self._stack.ssh_keys.items():
            inputs = {"keyName": self._l.physical(name), "publicKey": key.strip()}
            yield self._tagged(KEY, name, f"ssh_keys.{name}", inputs)
        for group, server in self._stack.servers.items():
            yield from self._group(group)
            yield from self._servers(group, server)
        yield from self._volumes()
        yield from self._buckets()
        for zone, records in self._stack.dns.items():
            about: dict[str, Value] = {
                "name": zone,
                "comment": f"{self._stack.stack}, by rehost",
                "forceDestroy": False,
            }
            yield self._tagged(ZONE, zone, f"dns.{zone}", about)
            for record in records:
                yield self._record(zone, record)

    def _ref(self, token: str, name: str, path: str = "id") -> Ref:
        return Ref(self._l.urn(token, name), path)

    def _tagged(
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
        tags = self._l.marks(token, name, {"Name": self._l.physical(name), **(labels or {})})
        merged = overridden({**inputs, "tags": tags}, override or {}, self._l.target)
        return self._l.resource(token, name, merged, component=component, after=after)

    def _zone_name(self, zone: int) -> Value:
        zones = self._l.fact("network.zones")
        return UNKNOWN if zones is UNKNOWN else zones[(zone - 1) % len(zones)]

    def _networks(self, network: Network) -> Iterator[Resource]:
        vpc = {"cidrBlock": str(network.cidr), "enableDnsSupport": True, "enableDnsHostnames": True}
        yield self._tagged(VPC, "main", "network", vpc, override=network.override)
        in_vpc = {"vpcId": self._ref(VPC, "main")}
        yield self._tagged(GATEWAY, "main", "network", in_vpc)
        yield self._tagged(TABLE, "public", "network", in_vpc)
        route = {
            "routeTableId": self._ref(TABLE, "public"),
            "destinationCidrBlock": "0.0.0.0/0",
            "gatewayId": self._ref(GATEWAY, "main"),
        }
        yield self._l.resource(ROUTE, "public", route, component="network")
        for name, subnet in self._subnets.items():
            inputs = {**in_vpc, "cidrBlock": str(subnet.cidr), "availabilityZone": self._zone_name(subnet.zone)}
            yield self._tagged(SUBNET, name, "network", inputs)
            join = {"subnetId": self._ref(SUBNET, name), "routeTableId": self._ref(TABLE, "public")}
            yield self._l.resource(ASSOCIATION, name, join, component="network")

    def _security_group(self, name: str, component: str, text: str, firewall: Firewall | None = None) -> Resource:
        inputs = {"name": self._l.physical(name), "description": text, "vpcId": self._ref(VPC, "main")}
        return self._tagged(GROUP, name, component, inputs, override=firewall.override if firewall else None)

    def _group(self, group: str) -> Iterator[Resource]:
        """A group of its own for each server group: what `from: servers.<name>` refers to."""
        component = f"servers.{group}"
        yield self._security_group(f"servers-{group}", component, f"Members of {group}")
        if not self._stack.servers[group].firewalls:
            yield from self._open_egress(f"servers-{group}", component)

    def _open_egress(self, name: str, component: str) -> Iterator[Resource]:
        for family, cidr in (("cidrIpv4", "0.0.0.0/0"), ("cidrIpv6", "::/0")):
            inputs = {"securityGroupId": self._ref(GROUP, name), "ipProtocol": "-1", family: cidr}
            yield self._tagged(EGRESS, f"{name}-all-{family[-1]}", component, inputs)

    def _firewall(self, name: str, firewall: Firewall) -> Iterator[Resource]:
        if self._network is None:
            return
        component, group = f"firewalls.{name}", f"firewall-{name}"
        yield self._security_group(group, component, f"Firewall {name}", firewall)
        for token, rules in ((INGRESS, firewall.ingress), (EGRESS, firewall.egress)):
            seen: set[str] = set()
            for rule in rules:
                for inputs in self._rules(rule):
                    # Named by content: a rule put in between leaves the others alone.
                    told = repr(sorted((key, str(value)) for key, value in inputs.items() if key != "description"))
                    digest = hashlib.sha256(told.encode()).hexdigest()[:10]
                    if digest in seen:
                        continue
                    seen.add(digest)
                    inputs["securityGroupId"] = self._ref(GROUP, group)
                    yield self._tagged(token, f"{group}-{digest}", component, inputs)
        if not firewall.egress:
            yield from self._open_egress(group, component)

    def _rules(self, rule: Rule) -> Iterator[dict[str, Value]]:
        ranges: list[tuple[int, int] | None] = list(rule.ranges())
        protocol = {"any": "-1"}.get(rule.protocol, rule.protocol)
        if rule.protocol == "icmp":
            ranges = [(-1, -1)]
        for ports in ranges or [None]:
            for peer in rule.peers:
                for inputs in self._peer(peer):
                    # ICMP of the sixth version of IP is a protocol of its own here.
                    six = protocol == "icmp" and "cidrIpv6" in inputs
                    inputs["ipProtocol"] = "icmpv6" if six else protocol
                    if ports is not None:
                        inputs |= {"fromPort": ports[0], "toPort": ports[1]}
                    if rule.description:
                        inputs["description"] = rule.description
                    yield inputs

    def _peer(self, peer: str) -> list[dict[str, Value]]:
        if peer == "anywhere":
            return [{"cidrIpv4": "0.0.0.0/0"}, {"cidrIpv6": "::/0"}]
        if peer.startswith("servers."):
            return [{"referencedSecurityGroupId": self._ref(GROUP, f"servers-{peer.removeprefix('servers.')}")}]
        version = ipaddress.ip_network(peer).version
        return [{f"cidrIpv{version}": peer}]

    def _servers(self, group: str, server: Server) -> Iterator[Resource]:
        subnets = [server.subnet] if server.subnet else list(self._subnets)
        groups = [f"servers-{group}", *(f"firewall-{name}" for name in server.firewalls)]
        for position, member in enumerate(server.members(group)):
            inputs: dict[str, Value] = {
                "ami": self._l.fact(f"servers.{group}.image"),
                "instanceType": self._l.fact(f"servers.{group}.type"),
                "subnetId": self._ref(SUBNET, subnets[position % len(subnets)]),
                "vpcSecurityGroupIds": [self._ref(GROUP, name) for name in groups],
                "associatePublicIpAddress": server.public,
                "keyName": self._ref(KEY, server.ssh_keys[0], "keyName") if server.ssh_keys else None,
                "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required"},
                "rootBlockDevice": {
                    "encrypted": True,
                    "volumeSize": -(-server.size.disk // _GIB),
                    "volumeType": "gp3",
                },
                "userData": self._user_data(server),
            }
            # A public address works once the way out exists.
            after = (self._l.urn(ROUTE, "public"),)
            yield self._tagged(
                INSTANCE,
                member,
                f"servers.{member}",
                inputs,
                labels=server.labels,
                override=server.override,
                after=after,
            )

    def _user_data(self, server: Server) -> Value:
        return self._l.text(server.user_data, self._export) if server.user_data else None

    def _volumes(self) -> Iterator[Resource]:
        used: dict[str, int] = {}
        for name, volume in self._stack.volumes.items():
            for position, member in enumerate(self._stack.server_named(volume.on), 1):
                full, component = f"{name}-{position}", f"volumes.{name}-{position}"
                inputs = {
                    "availabilityZone": self._ref(INSTANCE, member, "availabilityZone"),
                    "size": -(-volume.size // _GIB),
                    "type": "gp3",
                    "encrypted": True,
                }
                yield self._tagged(VOLUME, full, component, inputs, override=volume.override)
                letter = "fghijklmnop"[used.get(member, 0) % 11]
                used[member] = used.get(member, 0) + 1
                join = {
                    "deviceName": f"/dev/sd{letter}",
                    "instanceId": self._ref(INSTANCE, member),
                    "volumeId": self._ref(VOLUME, full),
                }
                yield self._l.resource(ATTACHMENT, full, join, component=component)

    def _buckets(self) -> Iterator[Resource]:
        for name, bucket in self._stack.buckets.items():
            component = f"buckets.{name}"
            real = self._l.global_name(name)
            inputs = {"bucket": real, "forceDestroy": False}
            yield self._tagged(BUCKET, name, component, inputs, override=bucket.override)
            of = {"bucket": self._ref(BUCKET, name)}
            shut = not bucket.public_read
            switches = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
            yield self._l.resource(ACCESS, name, {**of, **dict.fromkeys(switches, shut)}, component=component)
            if bucket.versioning:
                status = {"versioningConfiguration": {"status": "Enabled"}}
                yield self._l.resource(VERSIONING, name, {**of, **status}, component=component)
            if bucket.public_read:
                statement = {
                    "Sid": "PublicRead",
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": "s3:GetObject",
                    "Resource": UNKNOWN if real is UNKNOWN else f"arn:aws:s3:::{real}/*",
                }
                policy = {**of, "policy": Json({"Version": "2012-10-17", "Statement": [statement]})}
                after = (self._l.urn(ACCESS, name),)
                yield self._l.resource(POLICY, name, policy, component=component, after=after)

    def _record(self, zone: str, record: Record) -> Resource:
        given = record.values()
        values: list[Value]
        if given is None:
            type_ = "A"
            members = self._stack.server_named((record.to or "").removeprefix("servers."))
            values = [self._ref(INSTANCE, member, "publicIp") for member in members]
        else:
            type_, values = given[0], [self._l.text(value, self._export) for value in given[1]]
            if type_ == "TXT":
                values = [unquoted(value) if isinstance(value, str) else value for value in values]
        name = zone if record.name == "@" else f"{record.name}.{zone}"
        inputs = {
            "zoneId": self._ref(ZONE, zone),
            "name": name,
            "type": type_,
            "ttl": record.ttl,
            "records": values,
        }
        return self._l.resource(RECORD, f"{name}/{type_}", inputs, component=f"dns.{name}")

    def _export(self, address: str) -> Value:
        family, _, rest = address.partition(".")
        name, _, attribute = rest.rpartition(".")
        if family == "servers":
            members = self._stack.server_named(name)
            path = "publicIp" if "public" in attribute else "privateIp"
            if attribute.endswith("s"):
                return _joined([self._ref(INSTANCE, member, path) for member in members])
            return self._ref(INSTANCE, members[0], path)
        if family == "buckets":
            path = {"name": "bucket", "endpoint": "region"}.get(attribute, "bucketRegionalDomainName")
            ref = self._ref(BUCKET, name, path)
            if attribute == "endpoint":
                return _text("https://s3.", ref, ".amazonaws.com")
            return ref if attribute == "name" else _text("https://", ref, "")
        if family == "dns":
            return self._ref(ZONE, name, "nameServers")
        return self._ref(ATTACHMENT, f"{name}-1", "deviceName")


def unquoted(text: str) -> str:
    """A TXT value without the quotes that it is sent in, as the official provider has it; others stay."""
    pieces = re.findall(r'"((?:[^"\\]|\\.)*)"', text) if text.startswith('"') else []
    return re.sub(r"\\(.)", r"\1", "".join(pieces)) if pieces else text


def _text(before: str, value: Value, after: str) -> Value:
    return Join(tuple(part for part in (before, value, after) if part != ""))


def _joined(values: list[Ref]) -> Value:
    parts: list[Value] = []
    for value in values:
        parts += [value] if not parts else [",", value]
    return Join(tuple(parts))
