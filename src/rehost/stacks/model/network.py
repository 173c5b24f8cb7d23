"""Network and firewalls."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from rehost.stacks.model.base import Component, Override


class Subnet(Component):
    """A part of the network. `zone` counts the target's zones from 1; zones of one number are one zone."""

    cidr: IPv4Network
    zone: int = Field(1, ge=1, le=6)


class Network(Component):
    """The private network of the platform. Without subnets, one is made for each of `zones` zones."""

    cidr: IPv4Network = IPv4Network("10.0.0.0/16")
    zones: int = Field(1, ge=1, le=6)
    subnets: dict[str, Subnet] = Field(default_factory=dict)
    override: Override = Field(default_factory=dict)

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


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _ports(value: object) -> object:
    return (
        [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in value]
        if isinstance(value, list | tuple)
        else value
    )


class Rule(Component):
    """Traffic that may pass. `peers` are `anywhere`, CIDRs, or server groups (`servers.app`)."""

    protocol: Literal["tcp", "udp", "icmp", "any"] = "tcp"
    ports: Annotated[tuple[str, ...], BeforeValidator(lambda v: _ports(_as_list(v)))] = ()
    """Ports and ranges as text: `443`, `8000-8100`; none means all (always so for icmp and any)."""
    peers: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = Field(("anywhere",), alias="from")
    """In egress rules the key is `to`; the loader accepts either and stores it here."""
    description: str = Field("", max_length=255)

    @field_validator("ports")
    @classmethod
    def _check_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            low, _, high = item.partition("-")
            if not (low.isdigit() and (high or low).isdigit() and 1 <= int(low) <= int(high or low) <= 65535):
                raise ValueError(f"{item!r} is not a port or a range of ports between 1 and 65535")
        return value

    def ranges(self) -> list[tuple[int, int]]:
        """The port ranges, both ends included; 1-65535 where none are named, empty for icmp and any."""
        if self.protocol in ("icmp", "any"):
            return []
        pairs = [item.partition("-") for item in self.ports]
        return [(int(low), int(high or low)) for low, _, high in pairs] or [(1, 65535)]


class Firewall(Component):
    """Rules for the servers that name it. Without egress rules everything may go out."""

    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    override: Override = Field(default_factory=dict)
