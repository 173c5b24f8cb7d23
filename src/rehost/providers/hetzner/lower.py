"""Components to Hetzner's resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rehost.providers.hetzner import catalog, edge
from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.places import location_of, locations
from rehost.providers.s3names import cors_rule
from rehost.stacks.bucketuse import Given, pair, region
from rehost.stacks.entry import Disk, Place
from rehost.stacks.graph import UNKNOWN, Join, Json, Ref, Resource, Value
from rehost.stacks.hosts.access import Access
from rehost.stacks.lower import Components, Lowering, overridden
from rehost.stacks.model import Bucket, Firewall, LifecycleRule, Network, Record, Rule, Server, Target
from rehost.stacks.records import strings
from rehost.stacks.roles import place, roles
from rehost.stacks.services import units
from rehost.stacks.userdata import combined
from rehost.stacks.wayout import client, gateway

_GIB = 1024**3
_SHORT = 100
"""Bytes of a text beside which any reference fits into one string of DNS."""
RESOLVERS = ("185.12.64.1", "185.12.64.2")
"""Hetzner's recursive name servers (docs.hetzner.com, DNS Console, recursive name servers)."""
_SPREAD = 10
"""Servers in a placement group, at most."""


class HetznerLowering(Components):
    """One lowering of a stack; `all` yields its resources."""

    def __init__(self, lowering: Lowering) -> None:
        super().__init__(lowering)
        self._access = Access(self._stack, lowering.secrets)
        self.subnets = self._network.layout() if self._network else {}
        self._way_out = self._stack.way_out()

    def all(self) -> Iterator[Resource]:
        """Every resource of the stack, behind the anchor that says whose project it is."""
        stack = self._stack
        deployment: Value = UNKNOWN if self.lowering.deployment is None else self.lowering.deployment
        marks = {**self.lowering.marks(t.ANCHOR, "anchor"), "rehost-deployment": deployment}
        inputs = {"name": f"rehost-{stack.stack}-{self.lowering.target.name}", "type": "spread", "labels": marks}
        yield self.lowering.resource(t.ANCHOR, "anchor", inputs, component="anchor")
        if self._network:
            yield from self._networks(self._network)
        for name, key in stack.ssh_keys.items():
            yield self.labelled(t.KEY, name, f"ssh_keys.{name}", {"publicKey": key.strip()})
        for name, firewall in stack.firewalls.items():
            yield from self._firewall(name, firewall)
        for group, server in stack.servers.items():
            yield from self._servers(group, server)
            yield from edge.reverse_names(self, group, server)
        if self._way_out:
            yield self._route_out(self._way_out)
        yield from self._volumes()
        for name, address in stack.static_addresses.items():
            yield from edge.static_address(self, name, address)
        for name, certificate in stack.certificates.items():
            yield from edge.certificate(self, name, certificate)
        for name, balancer in stack.load_balancers.items():
            yield from edge.load_balancer(self, name, balancer)
        yield from self._buckets()
        yield from roles(self.lowering, self._host, self.export, self._holder)
        yield from units(self.lowering, self._host, self.export, self._given)
        for zone in stack.dns:
            yield self.labelled(t.ZONE, zone, f"dns.{zone}", {"name": zone, "mode": "primary"})
            for record_set in stack.record_sets(zone):
                yield self._record(zone, record_set)

    @property
    def _anchor(self) -> tuple[str, ...]:
        return (self.lowering.urn(t.ANCHOR, "anchor"),)

    def labelled(
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
        """A resource with its owner's labels, after the anchor."""
        marks = self.lowering.marks(token, name, labels)
        merged = overridden(
            {"name": self.lowering.physical(name), **inputs, "labels": marks}, override or {}, self.lowering.target
        )
        return self.lowering.resource(token, name, merged, component=component, after=(*self._anchor, *after))

    def _networks(self, network: Network) -> Iterator[Resource]:
        inputs = {"ipRange": str(network.cidr)}
        yield self.labelled(t.NETWORK, "main", "network", inputs, override=network.override)
        zone = catalog.locations()[self.lowering.target.region]["network_zone"]
        for subnet in self.subnets.values():
            part = {
                "networkId": self.ref(t.NETWORK, "main"),
                "type": "cloud",
                "networkZone": zone,
                "ipRange": str(subnet.cidr),
            }
            # Named by its range, which is all that Hetzner knows of it: another name moves nobody.
            yield self.lowering.resource(t.SUBNET, str(subnet.cidr), part, component="network")

    def _names_servers(self, firewall: Firewall) -> bool:
        rules = (*firewall.ingress, *firewall.egress)
        return any(peer.startswith("servers.") for rule in rules for peer in rule.peers)

    def _firewall(self, name: str, firewall: Firewall) -> Iterator[Resource]:
        rules = [row for rule in firewall.ingress for row in self._rules(rule, "in")]
        rules += [row for rule in firewall.egress for row in self._rules(rule, "out")]
        if firewall.egress and not any(row["direction"] == "out" for row in rules):
            # Without a rule everything may go out: one that lets nothing of use through keeps the rest in.
            inside = str(self._network.cidr) if self._network else "10.0.0.0/8"
            rules.append({"direction": "out", "protocol": "icmp", "destinationIps": [inside]})
        component = f"firewalls.{name}"
        yield self.labelled(t.FIREWALL, name, component, {"rules": rules}, override=firewall.override)
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
                    "firewallId": self.ref(t.FIREWALL, name),
                    "serverIds": [self.ref(t.SERVER, member) for member in members],
                }
                yield self.lowering.resource(t.FENCED, name, join, component=component)

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
        return [Join((self.ref(t.SERVER, member, "ipv4Address"), "/32")) for member in server.members(group)]

    def _route_out(self, through: str) -> Resource:
        """What is for nobody in the network goes to the server that forwards it."""
        inputs = {
            "networkId": self.ref(t.NETWORK, "main"),
            "destination": "0.0.0.0/0",
            "gateway": self.ref(t.SERVER, through, "networks[0].ip"),
        }
        return self.lowering.resource(t.NETWORK_ROUTE, "way-out", inputs, component="network")

    def _user_data(self, member: str, server: Server) -> Value:
        own = self.lowering.text(server.user_data, self.export) if server.user_data else None
        cidr, first = (self._network or Network()).cidr, None
        if member == self._way_out:
            first = gateway(cidr)
        elif self._way_out and not server.public:
            first = client(str(cidr[1]), RESOLVERS)
        return combined(first, own, self._access.user_data(member, catalog.login(server.image)))

    def _servers(self, group: str, server: Server) -> Iterator[Resource]:
        after = tuple(self.lowering.urn(t.SUBNET, str(subnet.cidr)) for subnet in self.subnets.values())
        if self._way_out and not server.public:
            after += (self.lowering.urn(t.NETWORK_ROUTE, "way-out"),)
        attached = [
            name
            for name in server.firewalls
            if server.public and not self._names_servers(self._stack.firewalls[name])
        ]
        if server.placement:
            yield from self._groups(group, server)
        for position, member in enumerate(server.members(group)):
            inputs: dict[str, Value] = {
                "serverType": self.lowering.fact(f"servers.{group}.type"),
                "image": self.lowering.fact(f"servers.{group}.image"),
                "location": self.location_of(member),
                "sshKeys": [self.ref(t.KEY, name) for name in server.ssh_keys] or None,
                "publicNets": [self._public_net(server, member)],
                "placementGroupId": self._group_of(group, position) if server.placement else None,
                "networks": [self._private_net(server, member)],
                "firewallIds": [self.ref(t.FIREWALL, name) for name in attached] if server.public else None,
                "ignoreRemoteFirewallIds": True
                if server.public and len(attached) < len(server.firewalls)
                else None,
                "userData": self._user_data(member, server),
            }
            yield self.labelled(
                t.SERVER,
                member,
                f"servers.{member}",
                inputs,
                labels=server.labels,
                override=server.override,
                after=after,
            )

    def place(self, database: str) -> Mapping[str, Value]:
        """Where a database is, and who makes its roles."""
        return place(self.lowering, database, self._host, self.export, self._holder)

    def _holder(self, database: str, group: str) -> Value:
        del database
        return self.ref(t.VOLUME, f"{group}-1")

    def _host(self, member: str) -> Place:
        server = self._stack.servers[member.rpartition("-")[0]]
        private = self.ref(t.SERVER, member, "networks[0].ip")
        volumes: dict[str, Disk] = {}
        for name, volume in self._stack.volumes.items():
            for number, on in enumerate(self._stack.server_named(volume.on), 1):
                if on == member:
                    id_ = self.ref(t.ATTACHMENT, f"{name}-{number}", "volumeId")
                    volumes[name] = Disk([Join(("HC_Volume_", id_))], max(10, -(-volume.size // _GIB)))
        address = self.ref(t.SERVER, member, "ipv4Address") if server.public else private
        return Place(self.ref(t.SERVER, member), address, private, catalog.login(server.image), volumes)

    def _private_net(self, server: Server, member: str) -> dict[str, Value]:
        return {
            "networkId": self.ref(t.NETWORK, "main"),
            "subnetId": self.subnet(self._subnet_of(server, member)),
        }

    def subnet(self, name: Value) -> Value:
        """A subnet by name, as far as it is chosen."""
        return UNKNOWN if name is UNKNOWN else self.ref(t.SUBNET, str(self.subnets[str(name)].cidr))

    def _subnet_of(self, server: Server, member: str) -> Value:
        """The subnet of a server. Which one it was given is a fact: more subnets move no server that exists."""
        return server.subnet or self.lowering.fact(f"servers.{member}.subnet")

    def location_of(self, member: str) -> Value:
        """The location of a server: that of its subnet's zone."""
        subnet = self._subnet_of(self._stack.servers[member.rpartition("-")[0]], member)
        if subnet is UNKNOWN:
            places = locations(self.lowering.target)
            return UNKNOWN if len(places) > 1 else places[0]
        return location_of(self.lowering.target, self.subnets[str(subnet)].zone)

    def _public_net(self, server: Server, member: str) -> dict[str, Value]:
        net: dict[str, Value] = {"ipv4Enabled": server.public, "ipv6Enabled": server.public}
        address = self._stack.address_of(member)
        return net | ({"ipv4": self.ref(t.PRIMARY_IP, address)} if address else {})

    def _groups(self, group: str, server: Server) -> Iterator[Resource]:
        """Enough placement groups for all members: one holds ten servers."""
        for number in range(1, -(-server.count // _SPREAD) + 1):
            yield self.labelled(t.PLACEMENT, f"{group}-{number}", f"servers.{group}", {"type": "spread"})

    def _group_of(self, group: str, position: int) -> Ref:
        return self.ref(t.PLACEMENT, f"{group}-{position // _SPREAD + 1}")

    def _volumes(self) -> Iterator[Resource]:
        for name, volume in self._stack.volumes.items():
            for position, member in enumerate(self._stack.server_named(volume.on), 1):
                full, component = f"{name}-{position}", f"volumes.{name}-{position}"
                inputs = {
                    "size": max(10, -(-volume.size // _GIB)),
                    "format": volume.filesystem,
                    "location": self.location_of(member),
                }
                yield self.labelled(t.VOLUME, full, component, inputs, override=volume.override)
                join = {"volumeId": self.ref(t.VOLUME, full), "serverId": self.ref(t.SERVER, member)}
                yield self.lowering.resource(t.ATTACHMENT, full, join, component=component)

    def variables(self) -> dict[str, Value]:
        """What services that use buckets are given: the project's keys, and where the storage is. Checksums that
        it does not know are left out by the SDKs that would send them unasked."""
        place = catalog.storage_location(self.lowering.target)
        return {
            **pair(self.lowering),
            **region(place),
            "AWS_ENDPOINT_URL_S3": _storage(self.lowering.target),
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def _given(self, service: str) -> Given:
        """The buckets have to be there: without the keys that make them, the service has none either."""
        buckets = self._stack.services[service].buckets
        return Given(self.variables(), tuple(self.lowering.urn(t.BUCKET, name) for name in buckets))

    def _bucket_name(self, name: str, bucket: Bucket) -> Value:
        """The real name, which its policy names too."""
        real = self.lowering.global_name(name, self.lowering.kept(t.BUCKET, name).get("bucket"))
        return overridden({"bucket": real}, bucket.override, self.lowering.target)["bucket"]

    def _buckets(self) -> Iterator[Resource]:
        for name, bucket in self._stack.buckets.items():
            component = f"buckets.{name}"
            real = self._bucket_name(name, bucket)
            inputs = overridden({"bucket": real, "acl": "private"}, bucket.override, self.lowering.target)
            yield self.lowering.resource(t.BUCKET, name, inputs, component=component)
            of = {"bucket": self.ref(t.BUCKET, name)}
            if bucket.versioning:
                status = {"versioningConfiguration": {"status": "Enabled"}}
                yield self.lowering.resource(t.VERSIONING, name, {**of, **status}, component=component)
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
                    "Principal": {"AWS": ["*"]},
                    "Action": ["s3:GetObject"],
                    "Resource": UNKNOWN if real is UNKNOWN else [f"arn:aws:s3:::{real}/*"],
                }
                policy = {**of, "policy": Json({"Version": "2012-10-17", "Statement": [statement]})}
                yield self.lowering.resource(t.POLICY, name, policy, component=component)

    def _record(self, zone: str, records: tuple[Record, ...]) -> Resource:
        record, type_ = records[0], records[0].type
        values = [
            record_value(type_, value) for value in self.lowering.values_of(records, self.export, self._pointed)
        ]
        logical = f"{record.name}.{zone}/{type_}"
        if self._stack.overshadowed(zone, record):
            logical += f"@{zone}"
        inputs = {
            "zone": self.ref(t.ZONE, zone),
            "name": record.name,
            "type": type_,
            "ttl": record.ttl,
            "records": [{"value": value} for value in values],
            "labels": self.lowering.marks(t.RRSET, logical),
        }
        return self.lowering.resource(t.RRSET, logical, inputs, component=f"dns.{record.full(zone)}")

    def _pointed(self, to: str) -> list[Value]:
        """The addresses that a record to a component holds."""
        family, _, name = to.partition(".")
        if family == "load_balancers":
            return [self.ref(t.BALANCER, name, "ipv4")]
        if family == "static_addresses":
            return [self.ref(t.PRIMARY_IP, name, "ipAddress")]
        return [self.ref(t.SERVER, member, "ipv4Address") for member in self._stack.server_named(name)]

    def export(self, address: str) -> Value:
        """What a reference in the stack file stands for."""
        family, _, rest = address.partition(".")
        name, _, attribute = rest.rpartition(".")
        if family in ("load_balancers", "static_addresses"):
            return self._pointed(f"{family}.{name}")[0]
        if family == "servers":
            path = "ipv4Address" if "public" in attribute else "networks[0].ip"
            refs = [self.ref(t.SERVER, member, path) for member in self._stack.server_named(name)]
            if not attribute.endswith("s"):
                return refs[0]
            parts: list[Value] = []
            for ref in refs:
                parts += [ref] if not parts else [",", ref]
            return Join(tuple(parts))
        if family == "buckets":
            if attribute == "name":
                return self.ref(t.BUCKET, name, "bucket")
            if attribute == "endpoint":
                return _storage(self.lowering.target)
            return Join(("https://", self.ref(t.BUCKET, name, "bucketDomainName")))
        if family == "dns":
            return self.ref(t.ZONE, name, "authoritativeNameservers")
        return self.ref(t.VOLUME, f"{name}-1", "linuxDevice")


def _storage(target: Target) -> str:
    return f"https://{catalog.storage_location(target)}.your-objectstorage.com"


def _lifecycle(number: int, rule: LifecycleRule) -> dict[str, Value]:
    made: dict[str, Value] = {"id": f"rule-{number}", "filter": rule.prefix, "status": "Enabled"}
    if rule.expire_days is not None:
        made["expiration"] = f"{rule.expire_days}d"
    if rule.expire_versions_days is not None:
        made["noncurrentVersionExpirationDays"] = rule.expire_versions_days
    return made


def record_value(type_: str, value: Value) -> Value:
    """A record's value as Hetzner wants it: text quoted, host names fully qualified. Parts that only the provider
    can tell (a bucket's name) need no escapes."""
    parts = value.parts if isinstance(value, Join) else (value,)
    if type_ == "TXT" and not (isinstance(parts[0], str) and parts[0].startswith('"')):
        if isinstance(value, str):
            return " ".join(f'"{_escaped(piece)}"' for piece in strings(value))
        if sum(len(part.encode()) for part in parts if isinstance(part, str)) > _SHORT:
            # Nobody knows how long the rest will be: each part is a string of its own.
            made: list[Value] = []
            for part in parts:
                for piece in strings(part) if isinstance(part, str) else (part,):
                    made += [' "' if made else '"', _escaped(piece) if isinstance(piece, str) else piece, '"']
            return Join(tuple(made))
        return Join(('"', *(_escaped(part) if isinstance(part, str) else part for part in parts), '"'))
    if type_ in ("CNAME", "MX", "NS", "SRV") and not (isinstance(parts[-1], str) and parts[-1].endswith(".")):
        return value + "." if isinstance(value, str) else Join((*parts, "."))
    return value


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
