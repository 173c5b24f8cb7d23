"""Which peers may reach which ports of a host, as nftables rules. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from rehost.stacks.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Allow:
    """TCP or UDP `ports` that `peers` (addresses or networks, none is everybody) may reach. Raises InvalidInput
    for what is none."""

    ports: tuple[int, ...]
    peers: tuple[str, ...] = ()
    protocol: str = "tcp"

    def __post_init__(self) -> None:
        if not self.ports or any(not 0 < port < 65536 for port in self.ports):
            raise InvalidInput(f"{self.ports} are no ports")
        if self.protocol not in ("tcp", "udp"):
            raise InvalidInput(f"{self.protocol!r} is neither tcp nor udp")
        for peer in self.peers:
            try:
                ipaddress.ip_network(peer)
            except ValueError as error:
                raise InvalidInput(f"{peer!r} is no address and no network", why=str(error)) from None


@dataclass(frozen=True, slots=True)
class HostFirewall:
    """What may come in. SSH stays open to `ssh_peers` (none is everybody), so that nobody locks himself out."""

    allow: tuple[Allow, ...] = ()
    ssh_port: int = 22
    ssh_peers: tuple[str, ...] = ()


TABLE = "rehost"


def nftables(rules: HostFirewall) -> str:
    """A file for `nft -f` that replaces rehost's table in one transaction and touches no other.

    The filter stands before destination NAT, where containers' published ports are still seen as they were
    asked for: rules in the input hook would never see them.
    """
    lines = [
        "#!/usr/sbin/nft -f",
        f"table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        "  chain incoming {",
        "    type filter hook prerouting priority -150; policy accept;",
        "    fib daddr type != local accept",
        '    iifname "lo" accept',
        '    iifname "podman*" accept',
        '    iifname "docker*" accept',
        "    ct state established,related accept",
        "    meta l4proto { icmp, ipv6-icmp } accept",
        "    udp sport 67 udp dport 68 accept",
        "    udp sport 547 udp dport 546 accept",
    ]
    for allow in (Allow((rules.ssh_port,), rules.ssh_peers), *rules.allow):
        ports = ", ".join(str(port) for port in sorted(set(allow.ports)))
        match = f"{allow.protocol} dport {{ {ports} }} accept"
        if not allow.peers:
            lines.append(f"    {match}")
        for word, peers in (("ip", _networks(allow, 4)), ("ip6", _networks(allow, 6))):
            if peers:
                lines.append(f"    {word} saddr {{ {peers} }} {match}")
    return "\n".join([*lines, "    drop", "  }", "}", ""])


def _networks(allow: Allow, version: int) -> str:
    """The peers of one IP version, overlapping ones merged, as a set's elements must be apart."""
    found = [ipaddress.ip_network(peer) for peer in allow.peers]
    merged: list[str] = []
    if version == 4:
        merged += map(str, ipaddress.collapse_addresses(n for n in found if isinstance(n, ipaddress.IPv4Network)))
    else:
        merged += map(str, ipaddress.collapse_addresses(n for n in found if isinstance(n, ipaddress.IPv6Network)))
    return ", ".join(merged)
