"""Where things are put: the locations that a target's zones are, and the subnets of servers. Pure.

A location of Hetzner's has no zones inside. Those of one network zone (fsn1, nbg1 and hel1 are eu-central) share a
private network, so that further zones can be further locations, where the target names them.
"""

from __future__ import annotations

from collections.abc import Iterator

from rehost.providers.hetzner import catalog
from rehost.stacks.diagnostics import Diagnostic, PathKey, did_you_mean
from rehost.stacks.model import Network, Server, Stack, Target

OPTION = "zone_locations"


def locations(target: Target) -> list[str]:
    """The locations of the zones, the first zone's first."""
    option = target.options.get(OPTION)
    further = [name.strip() for name in option.split(",")] if isinstance(option, str) else []
    return [target.region, *(name for name in further if name)]


def location_of(target: Target, zone: int) -> str:
    """The location of a zone, counted from 1; zones beyond the locations begin again with the first."""
    places = locations(target)
    return places[(zone - 1) % len(places)]


def of_group(stack: Stack, target: Target, server: Server) -> list[str]:
    """The locations that servers of a group may be in."""
    layout = (stack.network or Network()).layout()
    subnets = [layout[server.subnet]] if server.subnet in layout else list(layout.values())
    return sorted({location_of(target, subnet.zone) for subnet in subnets})


def check_locations(target: Target) -> Iterator[Diagnostic]:
    """Findings about the locations that a target names for its zones."""
    known = catalog.locations()
    path: PathKey = ("targets", target.name, OPTION)
    seen: list[str] = []
    home = known.get(target.region, {}).get("network_zone")
    for name in locations(target):
        near = [place for place, row in known.items() if row["network_zone"] == home and place not in seen]
        if seen and name not in known:
            why = f"Hetzner has {', '.join(known)}"
            fix = did_you_mean(name, near)
            yield Diagnostic("region", f"there is no location {name!r}", why, fix, path)
        elif name in seen:
            why = "each zone beyond the first is another location"
            yield Diagnostic("repeated", f"{name} is named twice", why, "remove one of the two", path)
        elif seen and home and known[name]["network_zone"] != home:
            why = f"a private network is inside one network zone: {target.region} is in {home}"
            fix = f"name {' or '.join(near)}" if near else "leave it out"
            yield Diagnostic("region", f"{name} is in another network zone", why, fix, path)
        seen.append(name)
