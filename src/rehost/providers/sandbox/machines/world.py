"""What there should be, as a stand-in's control plane says it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Machine:
    """A server. `public` and `private` (with the network that each is in) are its addresses at the provider,
    `boots` counts its reboots."""

    id: str
    name: str
    on: bool
    boots: int = 0
    public: tuple[str, ...] = ()
    private: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, and its key, as PEM; one without a key is for the sandbox's own authority."""

    domains: tuple[str, ...]
    certificate: str = ""
    key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Target:
    """Where a listener sends: a port of a machine."""

    machine: str
    port: int
    check_port: int
    check_path: str = ""
    """Asked for over HTTP; empty for a connection."""


@dataclass(frozen=True)
class Listener:
    """A port of a load balancer. `redirect` is a port and a status, for one that only sends visitors elsewhere."""

    port: int
    http: bool = False
    tls: tuple[Pair, ...] = ()
    targets: tuple[Target, ...] = ()
    redirect: tuple[int, int] | None = None


@dataclass(frozen=True)
class Balancer:
    """A load balancer; `names` are what it is known by: host names and addresses, with the network that each is in
    (empty for all)."""

    id: str
    names: tuple[tuple[str, str], ...]
    public: str = ""
    """The address that it has at the provider; empty where only a name is known."""
    listeners: tuple[Listener, ...] = ()


@dataclass(frozen=True)
class Managed:
    """A managed PostgreSQL server. `allowed` are the machines that its provider lets through to it, `open` whether
    everybody is."""

    id: str
    host: str
    port: int
    version: int
    user: str
    password: str = field(repr=False)
    database: str = ""
    on: bool = True
    boots: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()
    open: bool = False


@dataclass(frozen=True)
class World:
    """All of it. `networks` are private networks with their ranges."""

    machines: tuple[Machine, ...] = ()
    balancers: tuple[Balancer, ...] = ()
    databases: tuple[Managed, ...] = ()
    networks: tuple[tuple[str, str], ...] = ()
