"""The stack: everything a platform is made of, and where it may run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from rehost.stacks.model.base import Component, Name, SecretName, complaint
from rehost.stacks.model.compute import Server, Volume
from rehost.stacks.model.data import Cache, Database
from rehost.stacks.model.edge import Acme, Certificate, LoadBalancer, StaticAddress
from rehost.stacks.model.mail import Mail
from rehost.stacks.model.network import Firewall, Network
from rehost.stacks.model.services import Service
from rehost.stacks.model.storage import Bucket
from rehost.stacks.model.zones import Domain, Record


class Target(Component):
    """A place to run the stack. Other keys are options of the provider."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    name: str = ""
    """The key under `targets`, filled in by the stack."""
    provider: str
    """Whose cloud it is."""
    region: str = Field("", examples=["eu-central-1"])
    """The provider's own name of the region or location."""

    @property
    def options(self) -> dict[str, Any]:
        """The keys beyond provider and region."""
        return dict(self.model_extra or {})


class Secret(Component):
    """A secret of the stack: made once (`generate` random bytes, or a `key`), or read from the environment."""

    generate: int | None = Field(None, ge=8, le=1024, examples=[32])
    """How many random bytes it is made of."""
    key: Literal["rsa-2048", "rsa-4096", "p256"] | None = Field(None, examples=["rsa-2048"])
    """The private key that is made."""
    from_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", examples=["SMTP_PASSWORD"])
    """The environment variable that holds it."""
    store: bool = False
    """Whether it is in the target's own store of secrets as well, for people and programs outside the stack."""

    @model_validator(mode="after")
    def _one_source(self) -> Secret:
        given = [name for name in ("generate", "key", "from_env") if getattr(self, name) is not None]
        if len(given) != 1:
            both = len(given) > 1
            summary = f"a secret can't have both {' and '.join(given[:2])}" if both else "a secret has no source"
            why = "it is either made once, or read from the environment"
            fix = "remove one of the two" if both else "add `generate: 32`, or `from_env:` with a variable's name"
            raise complaint(summary, why, fix, given[1] if both else "")
        return self


class SshKey(Secret):
    """A key for SSH that rehost makes for itself: Ed25519, the private half in OpenSSH's format."""

    generate: int | None = 32


class ProviderKey(Secret):
    """Half of a pair of keys that a target's owner made at the provider. It belongs to the target, not to the
    stack: it is read from the environment whenever that has it, and nobody draws one."""

    generate: int | None = 32
    pairs: tuple[tuple[str, str], ...] = ()
    """Variables that may hold a pair, the best first."""
    half: int = 0
    """Which of both it is."""

    def value(self, environment: Mapping[str, str]) -> str | None:
        """The half of the first pair that is there as a whole."""
        there = (pair for pair in self.pairs if all(environment.get(name) for name in pair))
        found = next(there, None)
        return environment[found[self.half]] if found else None


Answer = bool | int | float | str


class Check(Component):
    """A question whose answer proves that the platform works: `http`, an address, or `sql`, a database."""

    http: str | None = Field(None, pattern=r"^https?://\S+$", examples=["https://plaza.example/healthz"])
    """The address to ask."""
    sql: Name | None = Field(None, examples=["main"])
    """The database to ask."""
    query: str = Field("", examples=["select count(*) from posts"])
    """What it is asked: one statement, which may change nothing."""
    expect: Answer | tuple[Answer | tuple[Answer, ...], ...] | None = Field(None, examples=[3])
    """The one value that it has to answer, a list of those in the first column, or a list of rows."""
    status: int = Field(200, ge=100, le=599)
    """The status that it has to answer with."""
    contains: str = ""
    """A text that the answer has to hold."""

    @model_validator(mode="after")
    def _one_question(self) -> Check:
        if self.http is None and self.sql is None:
            raise complaint("a check asks nothing", "", "add `http:` with an address, or `sql:` with a database")
        if self.http is not None and self.sql is not None:
            raise complaint("a check asks two things", "it has one answer", "make a check of each", "sql")
        if self.sql is not None and not self.query.strip():
            raise complaint("a check of a database has no query", "it asks nothing", "add `query:`")
        foreign = {"status", "contains"} if self.sql is not None else {"query", "expect"}
        for key in sorted(foreign & self.model_fields_set):
            kind = "sql" if self.sql is not None else "http"
            raise complaint(f"a check over {kind} has no {key}", "nothing would use it", "remove it", key)
        return self


_SERVER_INDEX = re.compile(r"^(.+)-(\d+)$")


class Stack(Component):
    """The provider-neutral definition of a platform."""

    stack: Name = Field(examples=["plaza"])
    """The name of the stack; every name at a provider starts with it."""
    targets: dict[Name, Target] = Field(default_factory=dict)
    """Places where the stack may run, by a name of your choice."""
    network: Network | None = None
    """The private network."""
    firewalls: dict[Name, Firewall] = Field(default_factory=dict)
    """Firewalls by name."""
    ssh_keys: dict[Name, str] = Field(default_factory=dict)
    """Public keys by name, in OpenSSH's format."""
    servers: dict[Name, Server] = Field(default_factory=dict)
    """Server groups by name."""
    volumes: dict[Name, Volume] = Field(default_factory=dict)
    """Volumes by name."""
    static_addresses: dict[Name, StaticAddress] = Field(default_factory=dict)
    """Public addresses that outlive servers, by name."""
    certificates: dict[Name, Certificate] = Field(default_factory=dict)
    """Certificates by name."""
    acme: Acme | None = None
    """The authority for certificates with `issuer: acme`."""
    load_balancers: dict[Name, LoadBalancer] = Field(default_factory=dict)
    """Load balancers by name."""
    databases: dict[Name, Database] = Field(default_factory=dict)
    """Databases by name."""
    caches: dict[Name, Cache] = Field(default_factory=dict)
    """Caches by name."""
    services: dict[Name, Service] = Field(default_factory=dict)
    """What runs on the servers, by name."""
    buckets: dict[Name, Bucket] = Field(default_factory=dict)
    """Buckets by name."""
    dns: dict[Domain, tuple[Record, ...]] = Field(default_factory=dict)
    """Zones by domain name, each a list of records."""
    mail: Mail | None = None
    """How the platform sends mail."""
    secrets: dict[SecretName, Secret] = Field(default_factory=dict)
    """Secrets by name."""
    checks: tuple[Check, ...] = ()
    """What has to be true for the platform to be up."""

    @model_validator(mode="before")
    @classmethod
    def _name_targets(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("targets"), dict):
            named = {
                name: {**target, "name": name} if isinstance(target, dict) else target
                for name, target in data["targets"].items()
            }
            return {**data, "targets": named}
        return data

    def subnets(self) -> dict[str, Any]:
        """The subnets of the network, empty without one."""
        return self.network.layout() if self.network else {}

    def zone_of(self, name: str) -> str | None:
        """The zone of the stack that a host name belongs to, the longest that fits; None where there is none."""
        zones = [zone for zone in self.dns if name == zone or name.endswith("." + zone)]
        return max(zones, key=len, default=None)

    def way_out(self) -> str | None:
        """The server that is the way out for those without public addresses, None where it is no server."""
        through = self.network.way_out if self.network else "none"
        return next(iter(self.servers_at(through)), None)

    def confined(self) -> list[str]:
        """Server groups without public addresses."""
        return [name for name, server in self.servers.items() if not server.public and server.count]

    def address_of(self, server: str) -> str | None:
        """The name of the static address of a server, None if it has none."""
        found = (name for name, a in self.static_addresses.items() if a.on and server in self.servers_at(a.on))
        return next(found, None)

    def reverse_of(self, server: str) -> str | None:
        """The name that the public addresses of a server lead back to: that of its static address, or its own."""
        address = self.address_of(server)
        own = self.servers[server.rpartition("-")[0]].reverse
        given = self.static_addresses[address].reverse if address else None
        return given or (own.replace("{server}", server) if own else None)

    def group_of(self, service: str) -> str | None:
        """The server group of a service, None if it names none and there is not exactly one."""
        asked = self.services[service].on
        return asked if asked is not None or len(self.servers) != 1 else next(iter(self.servers))

    def runs_on(self, service: str) -> list[str]:
        """The servers that a service runs on."""
        group = self.group_of(service)
        members = self.servers[group].members(group) if group in self.servers else []
        return members[:1] if self.services[service].alone else members

    def service_at(self, address: str) -> str | None:
        """The service that an address (`services.web`, or `web` alone) stands for, None if it names none."""
        name = address.removeprefix("services.")
        return name if name in self.services else None

    def servers_at(self, address: str) -> list[str]:
        """The servers that an address (`servers.app`, `servers.app-1`) stands for; empty if it names none."""
        family, _, name = address.partition(".")
        return self.server_named(name) if family == "servers" else []

    def record_sets(self, zone: str) -> list[tuple[Record, ...]]:
        """The records of a zone by name and type, in the order of the first of each."""
        found: dict[tuple[str, str], tuple[Record, ...]] = {}
        for record in self.dns[zone]:
            key = (record.name, record.type)
            found[key] = (*found.get(key, ()), record)
        return list(found.values())

    def overshadowed(self, zone: str, record: Record) -> str | None:
        """The zone below a record's own that has a record of the same full name and type; None where none has."""
        name = record.full(zone)
        for other, records in self.dns.items():
            within = other.endswith("." + zone) and (name == other or name.endswith("." + other))
            if within and any((r.full(other), r.type) == (name, record.type) for r in records):
                return other
        return None

    def server_named(self, name: str) -> list[str]:
        """The servers that a group's name or a single server's name stands for; empty if it names none."""
        if name in self.servers:
            return self.servers[name].members(name)
        match = _SERVER_INDEX.match(name)
        if match and match[1] in self.servers and name in self.servers[match[1]].members(match[1]):
            return [name]
        return []
