"""Components to Amazon's resources."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from typing import Any

from rehost.providers.aws import edge, identity, managed, secretstore
from rehost.providers.aws import tokens as t
from rehost.providers.aws.catalog import CATALOG
from rehost.providers.aws.places import places
from rehost.providers.aws.txt import unquoted
from rehost.providers.s3names import cors_rule
from rehost.stacks.bucketuse import Given, region, used_by
from rehost.stacks.entry import Disk, Place
from rehost.stacks.graph import UNKNOWN, Join, Json, Ref, Resource, Value
from rehost.stacks.hosts.access import Access
from rehost.stacks.lower import Components, Lowering, overridden
from rehost.stacks.model import Bucket, Firewall, LifecycleRule, Network, Record, Rule, Server, Subnet
from rehost.stacks.roles import place, roles
from rehost.stacks.services import units
from rehost.stacks.userdata import combined
from rehost.stacks.wayout import gateway

_GIB = 1024**3


class AwsLowering(Components):
    """One lowering of a stack; `all` yields its resources."""

    def __init__(self, lowering: Lowering) -> None:
        super().__init__(lowering)
        self._places = places(self._stack.model_copy(update={"network": self._network}))
        self._subnets: Mapping[str, Subnet] = self._places.all if self._network else {}
        self._way_out = self._stack.way_out()
        self._access = Access(self._stack, lowering.secrets)
        self.proven: set[str] = set()
        """Domains for which a record that proves them is made already."""

    def all(self) -> Iterator[Resource]:
        """Every resource of the stack."""
        if self._network:
            yield from self._networks(self._network)
        for name, firewall in self._stack.firewalls.items():
            yield from self._firewall(name, firewall)
        for name, key in self._stack.ssh_keys.items():
            inputs = {"keyName": self.lowering.physical(name), "publicKey": key.strip()}
            yield self.tagged(t.KEY, name, f"ssh_keys.{name}", inputs)
        for group, server in self._stack.servers.items():
            yield from self._group(group)
            yield from identity.role(self, group)
            yield from self._servers(group, server)
        yield from self._volumes()
        for name, address in self._stack.static_addresses.items():
            yield from edge.static_address(self, name, address)
        for name, certificate in self._stack.certificates.items():
            yield from edge.certificate(self, name, certificate)
        for name, balancer in self._stack.load_balancers.items():
            subnets = self._places.one_a_zone(public=not balancer.internal)
            yield from edge.load_balancer(self, name, balancer, subnets)
        inside = self._places.one_a_zone(public=False)
        for name, database in self._stack.databases.items():
            yield from managed.database(self, name, database, inside)
        for name, cache in self._stack.caches.items():
            yield from managed.cache(self, name, cache, inside)
        yield from self._buckets()
        yield from secretstore.secrets(self)
        yield from roles(self.lowering, self._host, self.export, self._holder)
        yield from units(self.lowering, self._host, self.export, self._given)
        for zone in self._stack.dns:
            about: dict[str, Value] = {
                "name": zone,
                "comment": f"{self._stack.stack}, by rehost",
                "forceDestroy": False,
            }
            yield self.tagged(t.ZONE, zone, f"dns.{zone}", about)
            for record_set in self._stack.record_sets(zone):
                yield self._record(zone, record_set)

    @property
    def cidr(self) -> str:
        """The range of the private network."""
        return str((self._network or Network()).cidr)

    def tagged(
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
        """A resource with its owner's tags."""
        tags = self.lowering.marks(token, name, {"Name": self.lowering.physical(name), **(labels or {})})
        merged = overridden({**inputs, "tags": tags}, override or {}, self.lowering.target)
        return self.lowering.resource(token, name, merged, component=component, after=after)

    def _zone_name(self, zone: int) -> Value:
        zones = self.lowering.fact("network.zones")
        return UNKNOWN if zones is UNKNOWN else zones[(zone - 1) % len(zones)]

    def _networks(self, network: Network) -> Iterator[Resource]:
        vpc = {"cidrBlock": str(network.cidr), "enableDnsSupport": True, "enableDnsHostnames": True}
        yield self.tagged(t.VPC, "main", "network", vpc, override=network.override)
        in_vpc = {"vpcId": self.ref(t.VPC, "main")}
        yield self.tagged(t.GATEWAY, "main", "network", in_vpc)
        yield self.tagged(t.TABLE, "public", "network", in_vpc)
        route = {
            "routeTableId": self.ref(t.TABLE, "public"),
            "destinationCidrBlock": "0.0.0.0/0",
            "gatewayId": self.ref(t.GATEWAY, "main"),
        }
        yield self.lowering.resource(t.ROUTE, "public", route, component="network")
        for name, subnet in self._subnets.items():
            inputs = {**in_vpc, "cidrBlock": str(subnet.cidr), "availabilityZone": self._zone_name(subnet.zone)}
            yield self.tagged(t.SUBNET, name, "network", inputs)
            table = "public" if name in self._places.public else self._table_of(subnet)
            join = {"subnetId": self.ref(t.SUBNET, name), "routeTableId": self.ref(t.TABLE, table)}
            yield self.lowering.resource(t.ASSOCIATION, name, join, component="network")
        yield from self._ways_out()

    def _table_of(self, subnet: Subnet) -> str:
        """The route table of a private subnet: that of its own zone's gateway, or of the only one."""
        gateways = self._places.gateways
        if not gateways:
            return "private"
        return f"private-{subnet.zone if subnet.zone in gateways else min(gateways)}"

    def _ways_out(self) -> Iterator[Resource]:
        """Gateways with an address each, and the route tables of the private subnets."""
        for zone, subnet in self._places.gateways.items():
            name = f"way-out-{zone}"
            yield self.tagged(t.ADDRESS, name, "network", {"domain": "vpc"})
            inputs = {"allocationId": self.ref(t.ADDRESS, name), "subnetId": self.ref(t.SUBNET, subnet)}
            # It can be made once its subnet has a way out itself.
            after = (self.lowering.urn(t.ROUTE, "public"),)
            yield self.tagged(t.NAT, name, "network", inputs, after=after)
            yield from self._private_table(f"private-{zone}", {"natGatewayId": self.ref(t.NAT, name)})
        if self._way_out:
            interface = self.ref(t.INSTANCE, self._way_out, "primaryNetworkInterfaceId")
            yield from self._private_table("private", {"networkInterfaceId": interface})

    def _private_table(self, name: str, through: Mapping[str, Value]) -> Iterator[Resource]:
        yield self.tagged(t.TABLE, name, "network", {"vpcId": self.ref(t.VPC, "main")})
        route = {"routeTableId": self.ref(t.TABLE, name), "destinationCidrBlock": "0.0.0.0/0", **through}
        yield self.lowering.resource(t.ROUTE, name, route, component="network")

    def _security_group(self, name: str, component: str, text: str, firewall: Firewall | None = None) -> Resource:
        inputs = {"name": self.lowering.physical(name), "description": text, "vpcId": self.ref(t.VPC, "main")}
        return self.tagged(t.GROUP, name, component, inputs, override=firewall.override if firewall else None)

    def _group(self, group: str) -> Iterator[Resource]:
        """A group of its own for each server group: what `from: servers.<name>` refers to."""
        component = f"servers.{group}"
        yield self._security_group(f"servers-{group}", component, f"Members of {group}")
        if not self._stack.servers[group].firewalls:
            yield from self._open_egress(f"servers-{group}", component)
        if self._way_out in self._stack.servers[group].members(group):
            inside = {"securityGroupId": self.ref(t.GROUP, f"servers-{group}"), "cidrIpv4": self.cidr}
            yield self.tagged(t.INGRESS, f"servers-{group}-way-out", "network", {**inside, "ipProtocol": "-1"})

    def _open_egress(self, name: str, component: str) -> Iterator[Resource]:
        for family, cidr in (("cidrIpv4", "0.0.0.0/0"), ("cidrIpv6", "::/0")):
            inputs = {"securityGroupId": self.ref(t.GROUP, name), "ipProtocol": "-1", family: cidr}
            yield self.tagged(t.EGRESS, f"{name}-all-{family[-1]}", component, inputs)

    def _firewall(self, name: str, firewall: Firewall) -> Iterator[Resource]:
        if self._network is None:
            return
        component, group = f"firewalls.{name}", f"firewall-{name}"
        yield self._security_group(group, component, f"Firewall {name}", firewall)
        for token, rules in ((t.INGRESS, firewall.ingress), (t.EGRESS, firewall.egress)):
            seen: set[str] = set()
            for rule in rules:
                for inputs in self._rules(rule):
                    digest = rule_name(inputs)
                    if digest in seen:
                        continue
                    seen.add(digest)
                    inputs["securityGroupId"] = self.ref(t.GROUP, group)
                    yield self.tagged(token, f"{group}-{digest}", component, inputs)
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
            return [{"referencedSecurityGroupId": self.ref(t.GROUP, f"servers-{peer.removeprefix('servers.')}")}]
        version = ipaddress.ip_network(peer).version
        return [{f"cidrIpv{version}": peer}]

    def _servers(self, group: str, server: Server) -> Iterator[Resource]:
        groups = [f"servers-{group}", *(f"firewall-{name}" for name in server.firewalls)]
        known, hops = bool(used_by(self._stack, group)), identity.hops(self._stack, group)
        if server.placement:
            spread = {"name": self.lowering.physical(group), "strategy": "spread"}
            yield self.tagged(t.PLACEMENT, group, f"servers.{group}", spread)
        for member in server.members(group):
            subnet = self._subnet_of(server, member)
            inputs: dict[str, Value] = {
                "placementGroup": self.ref(t.PLACEMENT, group) if server.placement else None,
                "ami": self.lowering.fact(f"servers.{group}.image"),
                "instanceType": self.lowering.fact(f"servers.{group}.type"),
                "subnetId": self.ref(t.SUBNET, subnet),
                "vpcSecurityGroupIds": [self.ref(t.GROUP, name) for name in groups],
                "associatePublicIpAddress": server.public,
                "keyName": self.ref(t.KEY, server.ssh_keys[0], "keyName") if server.ssh_keys else None,
                "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", **hops},
                "iamInstanceProfile": self.ref(t.PROFILE, group, "name") if known else None,
                "rootBlockDevice": {
                    "encrypted": True,
                    "volumeSize": -(-server.size.disk // _GIB),
                    "volumeType": "gp3",
                },
                "sourceDestCheck": False if member == self._way_out else None,
                "userData": self._user_data(member, server),
            }
            # A public address works once the way out exists, and a boot fetches packages.
            after = (self.lowering.urn(t.ROUTE, self._route_of(subnet)), self.lowering.urn(t.ASSOCIATION, subnet))
            yield self.tagged(
                t.INSTANCE,
                member,
                f"servers.{member}",
                inputs,
                labels=server.labels,
                override=server.override,
                after=after,
            )

    def _route_of(self, subnet: str) -> str:
        private = self._places.private.get(subnet)
        return "public" if private is None else self._table_of(private)

    def _user_data(self, member: str, server: Server) -> Value:
        own = self.lowering.text(server.user_data, self.export) if server.user_data else None
        forwards = gateway(IPv4Network(self.cidr)) if member == self._way_out else None
        return combined(forwards, own, self._access.user_data(member, CATALOG.login(server.image)))

    def _subnet_of(self, server: Server, member: str) -> str:
        """The subnet of a server. Which one it was given is a fact: more subnets move no server that exists."""
        return server.subnet or str(self.lowering.fact(f"servers.{member}.subnet"))

    def _zone_of(self, member: str) -> Value:
        """The zone of a server, known before the server is: a volume outlives the replacement of its server."""
        group, _, _ = member.rpartition("-")
        return self._zone_name(self._subnets[self._subnet_of(self._stack.servers[group], member)].zone)

    def _volumes(self) -> Iterator[Resource]:
        for name, volume in self._stack.volumes.items():
            for position, member in enumerate(self._stack.server_named(volume.on), 1):
                full, component = f"{name}-{position}", f"volumes.{name}-{position}"
                inputs = {
                    "availabilityZone": self._zone_of(member),
                    "size": -(-volume.size // _GIB),
                    "type": "gp3",
                    "encrypted": True,
                }
                yield self.tagged(t.VOLUME, full, component, inputs, override=volume.override)
                join = {
                    "deviceName": self.lowering.fact(f"volumes.{full}.device.{member}"),
                    "instanceId": self.ref(t.INSTANCE, member),
                    "volumeId": self.ref(t.VOLUME, full),
                }
                yield self.lowering.resource(t.ATTACHMENT, full, join, component=component)

    def _given(self, service: str) -> Given:
        """The region, and the rights of the servers that the service is on; keys are asked for from a server
        itself."""
        group = str(self._stack.group_of(service))
        return Given(region(self.lowering.target.region), (self.lowering.urn(t.ROLE_POLICY, group),))

    def bucket_name(self, name: str, bucket: Bucket) -> Value:
        """The real name, which policies name too."""
        real = self.lowering.global_name(name, self.lowering.kept(t.BUCKET, name).get("bucket"))
        return overridden({"bucket": real}, bucket.override, self.lowering.target)["bucket"]

    def _buckets(self) -> Iterator[Resource]:
        for name, bucket in self._stack.buckets.items():
            component = f"buckets.{name}"
            real = self.bucket_name(name, bucket)
            inputs = {"bucket": real, "forceDestroy": False}
            yield self.tagged(t.BUCKET, name, component, inputs, override=bucket.override)
            of = {"bucket": self.ref(t.BUCKET, name)}
            shut = not bucket.public_read
            switches = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
            yield self.lowering.resource(
                t.ACCESS, name, {**of, **dict.fromkeys(switches, shut)}, component=component
            )
            if bucket.versioning:
                status = {"versioningConfiguration": {"status": "Enabled"}}
                yield self.lowering.resource(t.VERSIONING, name, {**of, **status}, component=component)
            if bucket.encrypted:
                how = {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}, "bucketKeyEnabled": False}
                yield self.plain(t.ENCRYPTION, name, component, {**of, "rules": [how]})
            if bucket.owner_enforced:
                enforced = {"objectOwnership": "BucketOwnerEnforced"}
                yield self.plain(t.OWNERSHIP, name, component, {**of, "rule": enforced})
            if bucket.cors:
                rules: list[Value] = [cors_rule(rule) for rule in bucket.cors]
                yield self.plain(t.CORS, name, component, {**of, "corsRules": rules})
            if bucket.lifecycle:
                rules = [_lifecycle(number, rule) for number, rule in enumerate(bucket.lifecycle, 1)]
                yield self.plain(t.LIFECYCLE, name, component, {**of, "rules": rules})
            if bucket.public_read:
                statement = {
                    "Sid": "PublicRead",
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": "s3:GetObject",
                    "Resource": UNKNOWN if real is UNKNOWN else f"arn:aws:s3:::{real}/*",
                }
                policy = {**of, "policy": Json({"Version": "2012-10-17", "Statement": [statement]})}
                after = (self.lowering.urn(t.ACCESS, name),)
                yield self.lowering.resource(t.POLICY, name, policy, component=component, after=after)

    def _record(self, zone: str, records: tuple[Record, ...]) -> Resource:
        record, type_ = records[0], records[0].type
        family, _, pointed = (record.to or "").partition(".")
        if family == "load_balancers":
            return self._alias(zone, record, pointed)
        values = self.lowering.values_of(records, self.export, self._pointed)
        if family in ("databases", "caches"):
            # Their addresses change; the names that Amazon gives them stay.
            type_ = "CNAME"
        if type_ == "TXT":
            values = [unquoted(value) if isinstance(value, str) else value for value in values]
        name = record.full(zone)
        inputs = {
            "zoneId": self.ref(t.ZONE, zone),
            "name": name,
            "type": type_,
            "ttl": record.ttl,
            "records": values,
        }
        return self._record_set(zone, record, inputs)

    def _alias(self, zone: str, record: Record, balancer: str) -> Resource:
        """A load balancer's addresses change: the zone follows them by itself. The answer's TTL is Amazon's."""
        name = record.full(zone)
        target = {
            "name": self.ref(t.BALANCER, balancer, "dnsName"),
            "zoneId": self.ref(t.BALANCER, balancer, "zoneId"),
            "evaluateTargetHealth": False,
        }
        inputs = {"zoneId": self.ref(t.ZONE, zone), "name": name, "type": "A", "aliases": [target]}
        return self._record_set(zone, record, inputs)

    def _record_set(self, zone: str, record: Record, inputs: Mapping[str, Value]) -> Resource:
        name = record.full(zone)
        logical = f"{name}/{inputs['type']}"
        if self._stack.overshadowed(zone, record):
            logical += f"@{zone}"
        return self.lowering.resource(t.RECORD, logical, inputs, component=f"dns.{name}")

    def place(self, database: str) -> Mapping[str, Value]:
        """Where a database is, and who makes its roles."""
        return place(self.lowering, database, self._host, self.export, self._holder)

    def _holder(self, database: str, group: str) -> Value:
        del group
        return self.ref(t.DATABASE, database)

    def _host(self, member: str) -> Place:
        server = self._stack.servers[member.rpartition("-")[0]]
        private = self.ref(t.INSTANCE, member, "privateIp")
        volumes: dict[str, Disk] = {}
        for name, volume in self._stack.volumes.items():
            for number, on in enumerate(self._stack.server_named(volume.on), 1):
                if on == member:
                    device = self.lowering.fact(f"volumes.{name}-{number}.device.{member}")
                    id_ = self.ref(t.ATTACHMENT, f"{name}-{number}", "volumeId")
                    volumes[name] = Disk([id_, device], -(-volume.size // _GIB))
        address = self._public(member) if server.public else private
        return Place(self.ref(t.INSTANCE, member), address, private, CATALOG.login(server.image), volumes)

    def _public(self, member: str) -> Ref:
        """A server's public address: the static one, where it has one."""
        address = self._stack.address_of(member)
        return self.ref(t.ADDRESS, address, "publicIp") if address else self.ref(t.INSTANCE, member, "publicIp")

    def _pointed(self, to: str) -> list[Value]:
        """The addresses that a record to servers or a static address holds."""
        family, _, name = to.partition(".")
        if family == "static_addresses":
            return [self.ref(t.ADDRESS, name, "publicIp")]
        if family in ("databases", "caches"):
            return [self.export(f"{to}.host")]
        return [self._public(member) for member in self._stack.server_named(name)]

    def export(self, address: str) -> Value:
        """What a reference in the stack file stands for."""
        family, _, rest = address.partition(".")
        name, _, attribute = rest.rpartition(".")
        if family == "load_balancers":
            return self.ref(t.BALANCER, name, "dnsName")
        if family == "databases":
            return self.ref(t.DATABASE, name, "address")
        if family == "caches":
            return self.ref(t.CACHE, name, "primaryEndpointAddress")
        if family == "static_addresses":
            return self.ref(t.ADDRESS, name, "publicIp")
        if family == "servers":
            members = self._stack.server_named(name)
            public = "public" in attribute
            refs = [self._public(m) if public else self.ref(t.INSTANCE, m, "privateIp") for m in members]
            return _joined(refs) if attribute.endswith("s") else refs[0]
        if family == "buckets":
            path = {"name": "bucket", "endpoint": "region"}.get(attribute, "bucketRegionalDomainName")
            ref = self.ref(t.BUCKET, name, path)
            if attribute == "endpoint":
                return _text("https://s3.", ref, ".amazonaws.com")
            return ref if attribute == "name" else _text("https://", ref, "")
        if family == "dns":
            return self.ref(t.ZONE, name, "nameServers")
        return self.ref(t.ATTACHMENT, f"{name}-1", "deviceName")


def rule_name(inputs: Mapping[str, Value]) -> str:
    """The last part of a rule's name, by its content: a rule put in between leaves the others alone."""
    told = repr(sorted((key, str(value)) for key, value in inputs.items() if key != "description"))
    return hashlib.sha256(told.encode()).hexdigest()[:10]


def _lifecycle(number: int, rule: LifecycleRule) -> dict[str, Value]:
    made: dict[str, Value] = {"id": f"rule-{number}", "status": "Enabled", "filter": {"prefix": rule.prefix}}
    if rule.expire_days is not None:
        made["expiration"] = {"days": rule.expire_days}
    if rule.expire_versions_days is not None:
        made["noncurrentVersionExpiration"] = {"noncurrentDays": rule.expire_versions_days}
    return made


def _text(before: str, value: Value, after: str) -> Value:
    return Join(tuple(part for part in (before, value, after) if part != ""))


def _joined(values: list[Ref]) -> Value:
    parts: list[Value] = []
    for value in values:
        parts += [value] if not parts else [",", value]
    return Join(tuple(parts))
