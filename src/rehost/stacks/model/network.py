"""Network and firewalls."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from rehost.stacks.model.base import Component, Name, Override, as_list, complaint

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?\Z", re.ASCII)


def _cidr(value: object) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    text = value.strip() if isinstance(value, str) else ""
    try:
        network = IPv4Network(text, strict=False)
    except ValueError as error:
        raise complaint("this is no IPv4 network", str(error), "write for example 10.20.0.0/16") from error
    if str(network) != text:
        why = "a network is written as its first address and the length of its prefix"
        raise complaint("this is not the form of a network", why, f"did you mean {network}?")
    return network


def _port(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else value
    match = _PORT.match(text) if isinstance(text, str) else None
    if not match or not 1 <= int(match[1]) <= int(match[2] or match[1]) <= 65535:
        why = "ports are numbers between 1 and 65535"
        raise complaint("this is no port and no range of ports", why, "write for example 443 or 8000-8100")
    return match[0]


Cidr = Annotated[IPv4Network, BeforeValidator(_cidr), Field(examples=["10.20.0.0/16"])]
"""An IPv4 network in CIDR notation."""

Port = Annotated[str, BeforeValidator(_port)]
"""A port or a range of ports, as text."""


class Subnet(Component):
    """A part of the network. `zone` counts the target's zones from 1; zones of one number are one zone."""

    cidr: Cidr
    """The part of the network's addresses that it has."""
    zone: int = Field(1, ge=1, le=6)
    """The target's zone that it is in, counted from 1."""


WayOut = Annotated[
    str, StringConstraints(pattern=r"^(none|shared|zonal|servers\.[a-z]([a-z0-9-]{0,35}[a-z0-9])?)$")
]
"""`none`, `shared`, `zonal` or a server."""


class Network(Component):
    """The private network of the platform. Without subnets, one is made for each of `zones` zones."""

    cidr: Cidr = IPv4Network("10.0.0.0/16")
    """All private addresses of the platform."""
    zones: int = Field(1, ge=1, le=6)
    """How many zones of the target are used, where subnets are not listed."""
    subnets: dict[Name, Subnet] = Field(default_factory=dict)
    """Subnets by name."""
    way_out: WayOut = Field("none", examples=["shared", "zonal", "servers.door"])
    """How servers without public addresses reach the Internet: not at all (`none`), through one gateway
    (`shared`), through one in each zone (`zonal`), or through a public server of the stack (`servers.door`)."""
    override: Override = Field(default_factory=dict)
    """Native properties by provider or target, laid over what rehost writes; reported as lock-in."""

    def layout(self) -> dict[str, Subnet]:
        """The subnets as written, or `zone-1`... cut from the CIDR: eight equal parts, at least a /28 each."""
        if self.subnets:
            return dict(self.subnets)
        prefix = min(max(self.cidr.prefixlen + 3, 16), 28)
        parts = self.cidr.subnets(new_prefix=max(prefix, self.cidr.prefixlen))
        return {
            f"zone-{n}": Subnet(cidr=cidr, zone=n)
            for n, cidr in zip(range(1, self.zones + 1), parts, strict=False)
        }


def _canonical(peer: str) -> str:
    """An address range as providers write it back (`203.0.113.9` is `203.0.113.9/32`): another way to write it
    would be a difference forever. What is no range is left as it is, for validation to name."""
    try:
        return str(ip_network(peer))
    except ValueError:
        return peer


Peer = Annotated[str, AfterValidator(_canonical)]
"""`anywhere`, an address range, or a server group."""


class Rule(Component):
    """Traffic that may pass."""

    protocol: Literal["tcp", "udp", "icmp", "any"] = "tcp"
    """What kind of traffic."""
    ports: Annotated[tuple[Port, ...], BeforeValidator(as_list)] = Field((), examples=[[80, 443], ["8000-8100"]])
    """Ports and ranges: `443`, `8000-8100`; none means all (always so for icmp and any)."""
    peers: Annotated[tuple[Peer, ...], BeforeValidator(as_list)] = Field(
        ("anywhere",), alias="from", examples=["anywhere", "198.51.100.0/24", "servers.app"]
    )
    """The other side: `anywhere`, CIDRs or server groups (`servers.app`); called `to` in egress rules."""
    description: str = Field("", max_length=255)
    """What the rule is for."""

    def ranges(self) -> list[tuple[int, int]]:
        """The port ranges, both ends included; 1-65535 where none are named, empty for icmp and any."""
        if self.protocol in ("icmp", "any"):
            return []
        pairs = [item.partition("-") for item in self.ports]
        return [(int(low), int(high or low)) for low, _, high in pairs] or [(1, 65535)]


class Firewall(Component):
    """Rules for the servers that name it. Without egress rules everything may go out."""

    ingress: tuple[Rule, ...] = ()
    """What may come in."""
    egress: tuple[Rule, ...] = ()
    """What may go out; everything, if nothing is listed."""
    override: Override = Field(default_factory=dict)
    """Native properties by provider or target, laid over what rehost writes; reported as lock-in."""
