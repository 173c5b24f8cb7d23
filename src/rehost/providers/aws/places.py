"""Where things are put in the network: which subnets are public, and which have their way out through a gateway.

At Amazon a subnet has one way out for all that is in it. Where the stack asks for a way out for servers without
public addresses, the subnets that it lists are private, except those that a public server group names; gateways,
load balancers of the Internet and public servers that name no subnet get public subnets beside them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from rehost.stacks.diagnostics import Diagnostic
from rehost.stacks.model import Network, Server, Stack, Subnet

ADDED = "way-out"
"""How the public subnets beside those of the stack start: `way-out-1` is that of the first zone."""
_PREFIXES = range(24, 28)
"""Of an added subnet, the largest first that fits: a load balancer needs a /27."""


@dataclass(frozen=True)
class Places:
    """The subnets of a stack. Without a way out to lay, all of them are public, as the stack lists them."""

    private: Mapping[str, Subnet]
    public: Mapping[str, Subnet]
    gateways: Mapping[int, str]
    """For each zone that has a gateway of its own the public subnet that it is in."""

    @property
    def all(self) -> dict[str, Subnet]:
        """Every subnet by name."""
        return {**self.private, **self.public}

    @property
    def divided(self) -> bool:
        """Whether private subnets have a way out of their own."""
        return bool(self.private)

    def open_to(self, server: Server) -> tuple[str, ...]:
        """Subnets that servers of a group may be spread over."""
        return tuple(self.private if self.divided and not server.public else self.public)

    def one_a_zone(self, *, public: bool) -> list[str]:
        """One subnet of each zone: a load balancer has no two in one."""
        found: dict[int, str] = {}
        for name, subnet in (self.public if public or not self.divided else self.all).items():
            found.setdefault(subnet.zone, name)
        return list(found.values())


def places(stack: Stack) -> Places:
    """The subnets that a stack has at Amazon, without those for which there is no room."""
    network = stack.network or Network()
    layout = network.layout()
    if network.way_out == "none":
        return Places({}, layout, {})
    named = {server.subnet for server in stack.servers.values() if server.public and server.count}
    public = {name: subnet for name, subnet in layout.items() if name in named}
    private = {name: subnet for name, subnet in layout.items() if name not in named}
    served = {subnet.zone for subnet in public.values()}
    missing = sorted({subnet.zone for subnet in layout.values()} - served)
    public |= _added(network.cidr, layout, missing)
    by_zone = {subnet.zone: name for name, subnet in reversed(public.items())}
    zones = sorted(zone for zone in {subnet.zone for subnet in private.values()} if zone in by_zone)
    if network.way_out == "shared":
        zones = zones[:1]
    elif network.way_out != "zonal":
        zones = []
    return Places(private, public, {zone: by_zone[zone] for zone in zones})


def _added(whole: IPv4Network, layout: Mapping[str, Subnet], zones: list[int]) -> dict[str, Subnet]:
    """A public subnet for each of the zones, from the end of the network; none where there is no room for all."""
    for prefix in _PREFIXES:
        if prefix < whole.prefixlen:
            continue
        free = _free(whole, layout, prefix)
        found = dict(zip(range(1, max(zones, default=0) + 1), free, strict=False))
        if all(zone in found for zone in zones):
            return {f"{ADDED}-{zone}": Subnet(cidr=found[zone], zone=zone) for zone in zones}
    return {}


def _free(whole: IPv4Network, layout: Mapping[str, Subnet], prefix: int) -> Iterator[IPv4Network]:
    last, step = int(whole.broadcast_address) + 1, 2 ** (32 - prefix)
    for start in range(last - step, int(whole.network_address) - 1, -step):
        block = IPv4Network((start, prefix))
        if not any(block.overlaps(subnet.cidr) for subnet in layout.values()):
            yield block


def check_places(stack: Stack) -> Iterator[Diagnostic]:
    """Findings about subnets that can't have the way out that is asked for."""
    network = stack.network
    if network is None or network.way_out == "none":
        return
    layout, made = network.layout(), places(stack)
    served = {subnet.zone for subnet in made.public.values()}
    if {subnet.zone for subnet in layout.values()} - served:
        why = "gateways and what is public are in subnets of their own, and the listed ones leave no room for them"
        fix = f"leave a /27 of {network.cidr} for each zone to no subnet, or take a larger network"
        yield Diagnostic("way-out", "there is no room for public subnets", why, fix, ("network", "subnets"))
    for name in network.subnets:
        if name.startswith(f"{ADDED}-") and name.removeprefix(f"{ADDED}-").isdigit():
            why = "subnets of gateways and of what is public are called so"
            fix = "choose another name"
            yield Diagnostic("reserved-name", f"{name} is taken", why, fix, ("network", "subnets", name))
    for name, server in stack.servers.items():
        if not server.public and server.count and server.subnet in made.public and server.subnet in layout:
            others = [other for other, s in stack.servers.items() if s.public and s.subnet == server.subnet]
            why = f"{', '.join(others)} in it are public, and all in one subnet of Amazon's have the same way out"
            fix = f"give {name} a subnet of its own, or none"
            summary = f"servers in the subnet {server.subnet} can't have a way out of their own"
            yield Diagnostic("way-out", summary, why, fix, ("servers", name, "subnet"))
        elif not server.public and server.count and not made.private and server.subnet is None:
            fix = "list a subnet that no public server group names"
            why = "all in one subnet of Amazon's have the same way out"
            summary = f"there is no subnet for servers.{name}: public servers are in all of them"
            yield Diagnostic("way-out", summary, why, fix, ("servers", name))
