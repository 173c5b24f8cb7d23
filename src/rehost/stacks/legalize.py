"""A stack as a target can take it: what the target has no form of is said in components that it has. Pure.

The pass comes before facts are chosen and resources are made; what reads a stack for people (its validation, the
portability diff) sees it as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rehost.stacks import bucketuse, mail, publicnames, substitutes, wayout
from rehost.stacks.acme.lower import ACCOUNT_KEY, key_name
from rehost.stacks.diagnostics import PathKey
from rehost.stacks.hosts import access
from rehost.stacks.model import Database, LoadBalancer, Role, Secret, Stack
from rehost.stacks.substitutes import SUBSTITUTED

_PASSWORD_BYTES = 24
"""Of a drawn password: 32 characters of base64, which every engine takes and no URL needs to escape."""


@dataclass(frozen=True)
class SqlRole:
    """A role of a database. `password` is a text that refers to a secret, empty where it can't log in; `creators`
    are the roles that own tables there."""

    database: str
    name: str
    role: Role
    password: str
    creators: tuple[str, ...]


@dataclass(frozen=True)
class Legal:
    """A stack that a target can take, and what references to derived values stand for.

    `texts` has for an address (`databases.main.url`) a text, which may refer to others in turn. `origins` has for
    a component that stands in another's place (`servers`, `db-main`) that other one. `guards` has for a server
    group the ports that only some may reach: comma-separated addresses, ranges and references.
    """

    stack: Stack
    texts: Mapping[str, str]
    origins: Mapping[PathKey, PathKey]
    roles: tuple[SqlRole, ...] = ()
    guards: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


def legalize(
    stack: Stack,
    native: frozenset[str],
    *,
    entered: bool = False,
    bucket_keys: tuple[tuple[str, str], ...] = (),
) -> Legal:
    """Load balancers in front of services are put before their servers; passwords that nobody gave become secrets
    of the stack, which move with it unchanged; databases and caches that are not `native` become servers with
    units, as far as there is a substitute (others stay, and are refused); a gateway becomes a server that
    forwards, and a bucket's public name a server in front of it. Where rehost enters servers to run services on
    them, the keys for that are secrets of the stack too; so are `bucket_keys` (pairs of variables), where a target
    lets services into buckets by keys alone.
    """
    made = _Made(stack, native)
    made.databases()
    made.caches()
    made.public_names()
    made.certificates()
    made.way_out()
    legal = made.legal()
    keys = {**legal.stack.secrets, **bucketuse.keys(legal.stack, bucket_keys)}
    if entered:
        keys |= access.keys(legal.stack)
    return replace(legal, stack=legal.stack.model_copy(update={"secrets": keys}))


class _Made:
    def __init__(self, stack: Stack, native: frozenset[str]) -> None:
        self._stack = stack
        self._native = native
        self._missing = SUBSTITUTED - native
        self._texts: dict[str, str] = {}
        self._origins: dict[PathKey, PathKey] = {}
        self._roles: list[SqlRole] = []
        self._texts |= mail.texts(stack.mail)
        self._guards: dict[str, Mapping[int, str]] = {}
        self._new: dict[str, Any] = {
            family: dict(getattr(stack, family))
            for family in ("secrets", "servers", "firewalls", "volumes", "certificates", "databases", "caches")
        }
        # Which servers a service is on without saying so may be told before others are added.
        self._new["services"] = {
            name: service.model_copy(update={"on": stack.group_of(name)})
            for name, service in stack.services.items()
        }
        self._new["dns"] = dict(mail.zones(stack))
        self._new["load_balancers"] = {
            name: _pointed(stack, balancer) for name, balancer in stack.load_balancers.items()
        }

    def legal(self) -> Legal:
        """The result."""
        stack = self._stack.model_copy(update=self._new)
        return Legal(stack, self._texts, self._origins, tuple(self._roles), self._guards)

    def databases(self) -> None:
        """Passwords, URLs and substitutes of databases."""
        for name, wanted in self._stack.databases.items():
            address = f"databases.{name}"
            password = wanted.password or _drawn(address, self._new["secrets"])
            where = f"${{{address}.host}}:{wanted.port}/{wanted.database}"
            self._texts |= {
                f"{address}.url": f"{wanted.scheme}://{wanted.owner}:{mail.quoted(password)}@{where}",
                f"{address}.port": str(wanted.port),
                f"{address}.name": wanted.database,
                f"{address}.user": wanted.owner,
                f"{address}.password": password,
            }
            for role, about in wanted.roles.items():
                self._role(name, wanted, role, about)
            if f"databases.{wanted.engine}" in self._missing:
                self._put(address, substitutes.database(self._stack, name, wanted, password))

    def _role(self, database: str, wanted: Database, name: str, role: Role) -> None:
        address = f"databases.{database}.roles.{name}"
        password = role.password or (_drawn(address, self._new["secrets"]) if role.login else "")
        self._texts[f"{address}.user"] = name
        if role.login:
            where = f"${{databases.{database}.host}}:{wanted.port}/{wanted.database}"
            self._texts[f"{address}.password"] = password
            self._texts[f"{address}.url"] = f"{wanted.scheme}://{name}:{mail.quoted(password)}@{where}"
        owners = (other for other, one in wanted.roles.items() if one.privileges == "owner" and other != name)
        creators = tuple(owners) if role.privileges else ()
        self._roles.append(SqlRole(database, name, role, password, creators))

    def caches(self) -> None:
        """Passwords, URLs and substitutes of caches; only a provider's own speak TLS."""
        for name, wanted in self._stack.caches.items():
            address = f"caches.{name}"
            password = _drawn(address, self._new["secrets"])
            missing = f"caches.{wanted.engine}" in self._missing
            scheme = "redis" if missing else "rediss"
            self._texts |= {
                f"{address}.url": f"{scheme}://:{password}@${{{address}.host}}:{wanted.port}/0",
                f"{address}.port": str(wanted.port),
                f"{address}.password": password,
            }
            if missing:
                self._put(address, substitutes.cache(self._stack, name, wanted, password))

    def way_out(self) -> None:
        """A server in the place of a gateway that the target has not."""
        if self._stack.network is None or not wayout.substituted(self._stack, self._native):
            return
        server, firewall = wayout.substitute(self._stack)
        for kind, item in (("servers", server), ("firewalls", firewall)):
            self._new[kind][wayout.GROUP] = item
            self._origins[(kind, wayout.GROUP)] = ("network", "way_out")
        through = f"servers.{wayout.GROUP}"
        self._new["network"] = self._stack.network.model_copy(update={"way_out": through})

    def public_names(self) -> None:
        """Proxies in front of buckets, with what they need to be reached under the public names."""
        for name, public in publicnames.named(self._stack).items():
            made = publicnames.proxy(self._stack, name, public)
            own = ("buckets", name)
            parts: dict[str, Any] = {
                "servers": made.server,
                "firewalls": made.firewall,
                "services": made.service,
                "certificates": made.certificate,
            }
            for kind, item in parts.items():
                if item is not None:
                    self._new[kind][made.group] = item
                    self._origins[(kind, made.group)] = own
            if made.zone is not None:
                there = self._new["dns"][made.zone]
                # While a platform moves, its source says where the other side is.
                if not any((r.name, r.type) == (made.record.name, "A") for r in there):
                    self._new["dns"][made.zone] = (*there, made.record)
            self._texts[f"buckets.{name}.url"] = f"https://{public}"

    def certificates(self) -> None:
        """Keys of certificates that rehost has issued, and of the account that it has them from; what services are
        given of them."""
        for name, wanted in self._new["certificates"].items():
            address = f"certificates.{name}"
            if wanted.issuer == "acme":
                self._new["secrets"][key_name(name)] = Secret(key=wanted.key)
                self._new["secrets"][ACCOUNT_KEY] = Secret(key="p256")
                self._texts[f"{address}.key"] = f"${{secrets.{key_name(name)}}}"
            elif wanted.issuer == "upload":
                self._texts[f"{address}.key"] = wanted.private_key or ""
                self._texts[f"{address}.chain"] = wanted.certificate or ""

    def _put(self, address: str, made: substitutes.Substitute) -> None:
        family, _, name = address.partition(".")
        parts: dict[str, dict[str, Any]] = {
            "servers": {made.host: made.server},
            "firewalls": {made.host: made.firewall},
            "volumes": {made.host: made.volume} if made.volume else {},
            "services": made.services,
        }
        for kind, items in parts.items():
            self._new[kind] |= items
            self._origins |= {(kind, item): (family, name) for item in items}
        self._guards[made.host] = made.guarded
        del self._new[family][name]
        self._texts[f"{address}.host"] = f"${{servers.{made.host}.private_ip}}"
        for zone, records in self._new["dns"].items():
            self._new["dns"][zone] = tuple(
                record.model_copy(update={"to": None, "a": (f"${{{address}.host}}",)})
                if record.to == address
                else record
                for record in records
            )


def _drawn(address: str, secrets: dict[str, Secret]) -> str:
    """A secret of a component's own, as a text that refers to it."""
    name = f"{address.replace('.', '_')}_password"
    secrets[name] = Secret(generate=_PASSWORD_BYTES)
    return f"${{secrets.{name}}}"


def _pointed(stack: Stack, balancer: LoadBalancer) -> LoadBalancer:
    service = stack.service_at(balancer.to)
    group = stack.group_of(service) if service is not None else None
    if service is None or group is None:
        return balancer
    published = stack.services[service].published
    listen = tuple(
        listener
        if listener.redirect or listener.to_port or not published
        else listener.model_copy(update={"to_port": published[0][0]})
        for listener in balancer.listen
    )
    return balancer.model_copy(update={"to": f"servers.{group}", "listen": listen})
