"""The pure half of the in-memory provider: for rehearsals of the engine and for tests of everything above it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehost.providers.base import BaseAdapter, RuleBook
from rehost.providers.memory.cloud import MemoryCloud
from rehost.providers.memory.connection import MemoryConnection
from rehost.stacks.acme.lower import issued
from rehost.stacks.catalog import Charge, Transfer
from rehost.stacks.diagnostics import Diagnostic
from rehost.stacks.entry import Place
from rehost.stacks.graph import Ref, Resource, Value
from rehost.stacks.hosts import resource as unit
from rehost.stacks.lower import Lowering, overridden
from rehost.stacks.model import Record, Stack, Target
from rehost.stacks.portability import Finding
from rehost.stacks.ports import Candidate, Need
from rehost.stacks.roles import place, roles
from rehost.stacks.services import units
from rehost.stacks.sql import role

_SIZES = tuple((f"m{cpu}", cpu, cpu * 2) for cpu in (1, 2, 4, 8, 16, 32, 64))
_DEFAULT_CLOUD = MemoryCloud()


def _token(kind: str) -> str:
    return f"memory:index/{kind}:{kind[0].upper()}{kind[1:]}"


@dataclass
class MemoryAdapter(BaseAdapter):
    """Knows one kind for each component; its cloud lives as long as the process."""

    book: RuleBook = field(default_factory=lambda: RuleBook(Path(__file__).parent / "data" / "kinds.json"))
    cloud: MemoryCloud = field(default_factory=lambda: _DEFAULT_CLOUD)
    name: str = "memory"
    title: str = "In memory"
    parallel: int = 16
    anchor: str | None = None
    currency: str = "EUR"
    account: bool = False
    native: frozenset[str] = frozenset(
        {"databases.postgres", "databases.mysql", "caches.valkey", "caches.redis", "network.way_out"}
    )
    options: Mapping[str, str] = field(default_factory=dict)

    def kinds(self) -> Sequence[str]:
        """A kind for each component, units, which run on hosts in memory, and roles."""
        return (*self.book.tokens(), unit.TOKEN, role.TOKEN)

    def regions(self) -> Sequence[str]:
        """Any will do."""
        return ("here",)

    def diagnose(self, stack: Stack, target: Target) -> Iterable[Diagnostic]:
        """Everything is accepted here."""
        del stack, target
        return ()

    def fits(self, stack: Stack, target: Target) -> Iterable[Finding]:
        """Everything is native here."""
        del stack, target
        return ()

    def needs(self, stack: Stack, target: Target) -> Sequence[Need]:
        """A type for each server group."""
        del target
        return [
            Need(f"servers.{name}.type", "server_type", {"cpu": s.size.cpu, "memory": s.size.memory})
            for name, s in stack.servers.items()
        ]

    def offers(self, need: Need, target: Target) -> Sequence[Candidate] | None:
        """The smallest types that do, at one unit a month for each CPU."""
        del target
        return [
            Candidate(name, f"{name}: {cpu} vCPU, {gib} GiB", float(cpu), self.currency)
            for name, cpu, gib in _SIZES
            if cpu >= need.requirement["cpu"] and gib * 1024**3 >= need.requirement["memory"]
        ]

    def meets(self, need: Need, value: Any, target: Target) -> bool:
        """Whether a pinned type is still big enough."""
        return any(offer.value == value for offer in self.offers(need, target) or ())

    def charges(self, token: str, inputs: Mapping[str, Value], target: Target) -> Sequence[Charge]:
        """One unit a month for each CPU of a server; everything else is free."""
        del target
        if token != _token("server"):
            return ()
        price = next((float(cpu) for name, cpu, _ in _SIZES if name == inputs.get("type")), None)
        return (Charge("server", price),)

    def export(self, lowering: Lowering, address: str) -> Value:
        """What a reference stands for."""
        return _Lower(lowering).export(address)

    def place(self, lowering: Lowering, database: str) -> Mapping[str, Value]:
        """Where a database is."""
        return _Lower(lowering).place(database)

    def at_rest(self, target: Target, size: int) -> Charge | None:
        """Nothing is charged for content."""
        del target, size
        return None

    def egress(self, target: Target, size: int) -> Transfer | None:
        """Nothing is charged for traffic."""
        del target, size
        return Transfer(0.0)

    def connect(self, target: Target, environment: Mapping[str, str]) -> MemoryConnection:
        """The cloud of this process."""
        del target
        return MemoryConnection(self.cloud, self.book, denied=environment.get("MEMORY_TOKEN") == "wrong")

    def lower(self, lowering: Lowering) -> Iterable[Resource]:
        """One resource for each component or member of a group."""
        return list(_Lower(lowering).all())


class _Lower:
    def __init__(self, lowering: Lowering) -> None:
        self._l = lowering

    def _make(
        self, kind: str, name: str, component: str, inputs: dict[str, Value], override: Any = None
    ) -> Resource:
        token = _token(kind)
        inputs = {"name": self._l.physical(name), **inputs, "tags": self._l.marks(token, name)}
        return self._l.resource(
            token, name, overridden(inputs, override or {}, self._l.target), component=component
        )

    def _ref(self, kind: str, name: str, path: str = "id") -> Ref:
        return Ref(self._l.urn(_token(kind), name), path)

    def export(self, address: str) -> Value:
        """What a reference stands for."""
        family, name, *rest = address.split(".")
        if family == "servers":
            member = self._l.stack.server_named(name)[0]
            return self._ref("server", member, "publicIp" if rest and "public" in rest[0] else "privateIp")
        if family in ("load_balancers", "static_addresses"):
            return self._pointed(f"{family}.{name}")[0]
        if family in ("databases", "caches"):
            return self._ref(family[:-1], name, "privateIp")
        if family == "buckets":
            return self._ref("bucket", name, "name")
        return address

    def place(self, database: str) -> Mapping[str, Value]:
        """Where a database is, and who makes its roles."""
        return place(self._l, database, self._host, self.export, self._holder)

    def _holder(self, database: str, group: str) -> Value:
        del group
        return self._ref("database", database)

    def all(self) -> Iterator[Resource]:
        stack = self._l.stack
        if stack.network:
            yield self._make(
                "network", "main", "network", {"cidr": str(stack.network.cidr)}, stack.network.override
            )
            for name, subnet in stack.subnets().items():
                inputs: dict[str, Value] = {"cidr": str(subnet.cidr), "networkId": self._ref("network", "main")}
                yield self._make("subnet", name, "network", inputs)
        for name, firewall in stack.firewalls.items():
            rules = firewall.model_dump(mode="json", include={"ingress", "egress"})
            yield self._make("firewall", name, f"firewalls.{name}", rules, firewall.override)
        for name, key in stack.ssh_keys.items():
            yield self._make("sshKey", name, f"ssh_keys.{name}", {"publicKey": key})
        yield from self._servers()
        yield from self._data()
        yield from roles(self._l, self._host, self.export, self._holder)
        yield from units(self._l, self._host, self.export)
        yield from self._edge()
        for name, bucket in stack.buckets.items():
            token = _token("bucket")
            yield self._l.resource(
                token,
                name,
                {
                    "name": self._l.global_name(name),
                    "versioning": bucket.versioning,
                    "publicRead": bucket.public_read,
                    "encrypted": bucket.encrypted or None,
                    "ownerEnforced": bucket.owner_enforced or None,
                    "cors": [rule.model_dump() for rule in bucket.cors] or None,
                    "lifecycle": [rule.model_dump(exclude_none=True) for rule in bucket.lifecycle] or None,
                    "tags": self._l.marks(token, name),
                },
                component=f"buckets.{name}",
            )
        for zone in stack.dns:
            yield self._make("zone", zone, f"dns.{zone}", {})
            for record_set in stack.record_sets(zone):
                yield self._record(zone, record_set)

    def _servers(self) -> Iterator[Resource]:
        stack = self._l.stack
        subnets = list(stack.subnets())
        for group, server in stack.servers.items():
            for position, member in enumerate(server.members(group)):
                subnet = server.subnet or (subnets[position % len(subnets)] if subnets else None)
                inputs: dict[str, Value] = {
                    "type": self._l.fact(f"servers.{group}.type"),
                    "image": server.image,
                    "public": server.public,
                    "subnetId": self._ref("subnet", subnet) if subnet else None,
                    "sshKeys": [self._ref("sshKey", key) for key in server.ssh_keys],
                    "firewallIds": [self._ref("firewall", name) for name in server.firewalls],
                    "labels": dict(server.labels),
                    "userData": self._l.text(server.user_data, self.export) if server.user_data else None,
                }
                yield self._make("server", member, f"servers.{member}", inputs, server.override)
        for name, volume in stack.volumes.items():
            for position, member in enumerate(stack.server_named(volume.on), 1):
                inputs = {"size": volume.size, "filesystem": volume.filesystem}
                yield self._make(
                    "volume", f"{name}-{position}", f"volumes.{name}-{position}", inputs, volume.override
                )
                join = {
                    "serverId": self._ref("server", member),
                    "volumeId": self._ref("volume", f"{name}-{position}"),
                }
                yield self._make("volumeAttachment", f"{name}-{position}", f"volumes.{name}-{position}", join)

    def _host(self, member: str) -> Place:
        private = self._ref("server", member, "privateIp")
        return Place(self._ref("server", member), private, private)

    def _data(self) -> Iterator[Resource]:
        for name, database in self._l.stack.databases.items():
            inputs: dict[str, Value] = {
                "engine": database.engine,
                "version": database.version,
                "cpu": database.size.cpu,
                "memory": database.size.memory,
                "storage": database.storage,
                "database": database.database,
                "owner": database.owner,
                "password": self._l.text(f"${{databases.{name}.password}}", self.export),
                "reachableFrom": list(database.reachable_from) or None,
                "highAvailability": database.high_availability,
                "backups": database.backups.model_dump(),
                "parameters": dict(database.parameters) or None,
            }
            yield self._make("database", name, f"databases.{name}", inputs, database.override)
        for name, cache in self._l.stack.caches.items():
            inputs = {
                "engine": cache.engine,
                "version": cache.version,
                "memory": cache.memory,
                "password": self._l.text(f"${{caches.{name}.password}}", self.export),
                "reachableFrom": list(cache.reachable_from) or None,
                "highAvailability": cache.high_availability,
            }
            yield self._make("cache", name, f"caches.{name}", inputs, cache.override)

    def _edge(self) -> Iterator[Resource]:
        stack = self._l.stack
        for name, address in stack.static_addresses.items():
            members = stack.servers_at(address.on or "")
            inputs: dict[str, Value] = {"serverId": self._ref("server", members[0]) if members else None}
            if address.reverse:
                inputs["reverse"] = address.reverse
            yield self._make("staticAddress", name, f"static_addresses.{name}", inputs, address.override)
        for name, certificate in stack.certificates.items():
            inputs = {"domains": list(certificate.domains), "issuer": certificate.issuer}
            if certificate.issuer == "acme":
                made = issued(self._l, name, certificate)
                yield from made.resources
                inputs |= {"certificate": made.chain, "privateKey": made.key}
            if certificate.issuer == "upload":
                inputs["certificate"] = self._l.text(certificate.certificate or "", self.export)
                inputs["privateKey"] = self._l.text(certificate.private_key or "", self.export)
            yield self._make("certificate", name, f"certificates.{name}", inputs, certificate.override)
        for name, balancer in stack.load_balancers.items():
            used = [listener.certificate for listener in balancer.listen if listener.certificate]
            inputs = {
                "serverIds": [self._ref("server", member) for member in stack.servers_at(balancer.to)],
                "listeners": [listener.model_dump(exclude_none=True) for listener in balancer.listen],
                "certificateIds": [self._ref("certificate", certificate) for certificate in used],
                "healthCheck": balancer.health_check.model_dump(exclude_none=True),
                "sticky": balancer.sticky,
                "algorithm": balancer.algorithm,
                "internal": balancer.internal,
            }
            yield self._make("loadBalancer", name, f"load_balancers.{name}", inputs, balancer.override)

    def _pointed(self, to: str) -> list[Value]:
        """The addresses that a record to a component holds."""
        family, _, name = to.partition(".")
        if family == "load_balancers":
            return [self._ref("loadBalancer", name, "publicIp")]
        if family == "static_addresses":
            return [self._ref("staticAddress", name, "publicIp")]
        if family in ("databases", "caches"):
            return [self._ref(family[:-1], name, "privateIp")]
        return [self._ref("server", member, "publicIp") for member in self._l.stack.server_named(name)]

    def _record(self, zone: str, records: tuple[Record, ...]) -> Resource:
        record, type_ = records[0], records[0].type
        values = self._l.values_of(records, self.export, self._pointed)
        name = record.full(zone)
        logical = f"{name}/{type_}"
        if self._l.stack.overshadowed(zone, record):
            logical += f"@{zone}"
        inputs: dict[str, Value] = {
            "zoneId": self._ref("zone", zone),
            "name": name,
            "type": type_,
            "values": values,
            "ttl": record.ttl,
        }
        return self._make("recordSet", logical, f"dns.{name}", inputs)


ADAPTER = MemoryAdapter()
