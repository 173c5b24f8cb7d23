"""What Hetzner does not accept. Limits: Cloud API reference and documentation, as in data/kinds.json."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network
from typing import Any

from rehost.providers.hetzner import catalog
from rehost.providers.hetzner.places import check_locations
from rehost.providers.limits import apex_name_servers, bucket_names, remembered, unmet
from rehost.stacks.diagnostics import Diagnostic, PathKey, Severity, did_you_mean
from rehost.stacks.model import Firewall, LoadBalancer, Network, Rule, Server, Stack, Target

_GIB = 1024**3
_IMAGES = "images go by neutral names, and the catalog knows what they are called here"
_ARCHITECTURES = {"x86_64": "x86", "arm64": "arm"}
_RANGES = [IPv4Network(cidr) for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_SHARED = IPv4Network("100.64.0.0/10")
_GATEWAY = IPv4Network("172.31.1.1/32")
_USER_DATA = 32768
_HOST_NAME = 63
_VOLUME_NAME = 64
_FIREWALLS = 5
_RULES = 50
_PEERS = 100
_SUBNETS = 50
_SERVERS = 100
_VOLUMES = 16
_VOLUME_GIB = (10, 10240)
_RECORDS = 50
_TTL = 60
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "or", "org"})
"""Second labels below country codes under which domains are registered (co.uk)."""
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")
_PREFIX = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z")


def diagnose(stack: Stack, target: Target, offered: Callable[[Mapping[str, Any]], bool]) -> Iterator[Diagnostic]:
    """Findings about a stack at a target; `offered` says whether the location has a type of a size."""
    path: PathKey = ("targets", target.name)
    offered = remembered(offered)
    places = catalog.locations()
    known = target.region in places
    if not target.region:
        fix = f"add `region: {next(iter(places))}`"
        yield Diagnostic("region", "the target names no region", "servers are at a location", fix, path)
    elif not known:
        fix = did_you_mean(target.region, places)
        why = f"Hetzner has {', '.join(places)}"
        yield Diagnostic("region", f"there is no location {target.region!r}", why, fix, (*path, "region"))
    if stack.buckets and known:
        yield from _object_storage(target)
    if stack.network:
        yield from _network(stack.network)
    total = 0
    for name, server in stack.servers.items():
        yield from _server(stack, name, server)
        if known:
            yield from unmet(name, server, target.region, offered)
        if total <= _SERVERS < total + server.count:
            why = f"a network has at most {_SERVERS} servers, and this group makes it {total + server.count}"
            yield Diagnostic("servers", "there are too many servers", why, "use fewer", ("servers", name, "count"))
        total += server.count
    yield from check_locations(target)
    yield from _volumes(stack)
    for name, firewall in stack.firewalls.items():
        yield from _firewall(stack, name, firewall)
    for name, balancer in stack.load_balancers.items():
        yield from _load_balancer(stack, name, balancer)
    yield from bucket_names(stack)
    yield from apex_name_servers(stack)
    yield from _records(stack)


def _load_balancer(stack: Stack, name: str, balancer: LoadBalancer) -> Iterator[Diagnostic]:
    path: PathKey = ("load_balancers", name)
    largest = catalog.load_balancer_types()[-1]
    services = sum(not listener.redirect for listener in balancer.listen)
    if services > largest["services"]:
        why = f"the largest type, {largest['name']}, has {largest['services']} listeners"
        yield Diagnostic("listeners", f"{services} listeners are too many", why, "make two", (*path, "listen"))
    members = len(stack.servers_at(balancer.to))
    if members > largest["targets"]:
        why = f"the largest type, {largest['name']}, has {largest['targets']} targets"
        yield Diagnostic("targets", f"{members} targets are too many", why, "use fewer servers", (*path, "to"))
    for number, listener in enumerate(balancer.listen):
        at: PathKey = (*path, "listen", number)
        if listener.redirect and listener.port != 80:
            why = "the https listener on port 443 redirects by itself, and only what comes in on port 80"
            yield Diagnostic("redirect", "only port 80 can redirect", why, "write port: 80", (*at, "port"))
        elif listener.port == 80 and not listener.redirect and any(other.redirect for other in balancer.listen):
            why = "the https listener answers it to redirect"
            yield Diagnostic("redirect", "port 80 is taken", why, "remove this listener", (*at, "port"))


def _object_storage(target: Target) -> Iterator[Diagnostic]:
    places = catalog.locations()
    option = target.options.get("object_storage_location")
    storage = catalog.storage_location(target)
    if places.get(storage, {}).get("object_storage"):
        return
    have = [name for name, row in places.items() if row["object_storage"]]
    key = "object_storage_location"
    path: PathKey = ("targets", target.name, key if option else "region")
    fix = did_you_mean(storage, have) if option else f"add `{key}: {have[0]}` to the target"
    why = f"buckets can be in {', '.join(have)}"
    yield Diagnostic("object-storage", f"there is no object storage in {storage}", why, fix, path)


def _network(network: Network) -> Iterator[Diagnostic]:
    path: PathKey = ("network", "cidr")
    if network.cidr.prefixlen > 24:
        why = "a network of Hetzner's has at least a /24"
        yield Diagnostic("cidr-size", f"the network is too small: {network.cidr}", why, "write a /24", path)
    # What the core refuses for every provider is not told again.
    elsewhere = not network.cidr.is_private and not network.cidr.subnet_of(_SHARED)
    if not elsewhere and not any(network.cidr.subnet_of(range_) for range_ in _RANGES):
        why = "Hetzner takes ranges of RFC 1918 only"
        summary = f"{network.cidr} can't be a network's range"
        yield Diagnostic("cidr-range", summary, why, "use a part of 10.0.0.0/8", path)
    for number, (name, subnet) in enumerate(network.subnets.items()):
        at: PathKey = ("network", "subnets", name, "cidr")
        if subnet.cidr.prefixlen > 30:
            why = "a subnet of Hetzner's has at least a /30"
            yield Diagnostic("cidr-size", f"the subnet {name} is too small: {subnet.cidr}", why, "write a /30", at)
        if number == _SUBNETS:
            why = f"a network has at most {_SUBNETS}"
            yield Diagnostic("subnets", "from here on there are too many subnets", why, "use fewer", at[:-1])
    if network.cidr.overlaps(_GATEWAY):
        parts = {name: s.cidr for name, s in network.subnets.items() if s.cidr.overlaps(_GATEWAY)}
        if parts or not network.subnets:
            where: PathKey = ("network", "subnets", next(iter(parts)), "cidr") if parts else path
            why = "Hetzner's servers reach the Internet through 172.31.1.1"
            fix = "use another part of 172.16.0.0/12, or 10.0.0.0/8"
            yield Diagnostic("cidr-range", "the range holds the address 172.31.1.1", why, fix, where)


def _server(stack: Stack, name: str, server: Server) -> Iterator[Diagnostic]:
    path: PathKey = ("servers", name)
    longest = f"{stack.stack}-{name}-{max(server.count, 1)}"
    if len(longest) > _HOST_NAME:
        why = f"{longest} has {len(longest)} characters, a host name at most {_HOST_NAME}"
        fix = f"shorten the name of the group or of the stack by {len(longest) - _HOST_NAME}"
        yield Diagnostic("name-length", "the servers' names would be too long", why, fix, path)
    images = catalog.images()
    names = {image for image, _ in images}
    if server.image not in names:
        fix = did_you_mean(server.image, names)
        yield Diagnostic("image", f"there is no image {server.image!r}", _IMAGES, fix, (*path, "image"))
    elif (server.image, _ARCHITECTURES[server.architecture]) not in images:
        summary = f"there is no image {server.image!r} for {server.architecture}"
        yield Diagnostic("image", summary, _IMAGES, "choose another image", (*path, "image"))
    length = len(server.user_data.encode())
    if length > _USER_DATA:
        why = f"Hetzner takes {_USER_DATA} bytes, and these are {length}"
        yield Diagnostic("user-data", "user_data is too long", why, "load the rest at boot", (*path, "user_data"))
    if len(server.firewalls) > _FIREWALLS:
        why, at = f"a server has at most {_FIREWALLS}", (*path, "firewalls", _FIREWALLS)
        yield Diagnostic("firewalls", f"{len(server.firewalls)} firewalls are too many", why, "join some", at)
    if server.firewalls and not server.public:
        yield Diagnostic(
            "private-traffic",
            f"the firewalls of servers.{name} have nothing to filter",
            "Hetzner's firewalls stand before public addresses, and these servers have none",
            "filter on the servers themselves where it matters",
            (*path, "firewalls"),
            severity=Severity.NOTE,
        )
    for key, value in server.labels.items():
        yield from _label(key, value, (*path, "labels", key))


def _label(key: str, value: str, path: PathKey) -> Iterator[Diagnostic]:
    prefix, slash, own = key.rpartition("/")
    why = "letters, digits, dots, dashes and _, at most 63, the first and last a letter or digit"
    if slash and (not _PREFIX.match(prefix) or prefix == "hetzner.cloud"):
        reserved = (
            "hetzner.cloud/ is reserved" if prefix == "hetzner.cloud" else "the part before / is a domain name"
        )
        yield Diagnostic("label", f"{key!r} can't be a label's key", reserved, "choose another key", path)
    elif not _LABEL.match(own):
        yield Diagnostic(
            "label", f"{key!r} can't be a label's key", f"Hetzner takes {why}", "choose another key", path
        )
    if value and not _LABEL.match(value):
        summary = f"{value[:80]!r} can't be a label's value"
        yield Diagnostic("label", summary, f"Hetzner takes {why}", "choose another value", path)


def _volumes(stack: Stack) -> Iterator[Diagnostic]:
    low, high = _VOLUME_GIB
    used: Counter[str] = Counter()
    for name, volume in stack.volumes.items():
        path: PathKey = ("volumes", name)
        members = stack.server_named(volume.on)
        if volume.size > high * _GIB:
            why = f"a volume has at most {high} GB"
            yield Diagnostic("volume-size", "the volume is too large", why, "use several", (*path, "size"))
        elif volume.size < low * _GIB:
            summary, why = f"the volume will have {low} GB", "Hetzner makes none that are smaller"
            fix = f"write {low}GiB"
            yield Diagnostic("volume-size", summary, why, fix, (*path, "size"), severity=Severity.NOTE)
        longest = f"{stack.stack}-{name}-{max(len(members), 1)}"
        if len(longest) > _VOLUME_NAME:
            why = f"{longest} has {len(longest)} characters, a volume's name at most {_VOLUME_NAME}"
            fix = f"shorten the name of the volume or of the stack by {len(longest) - _VOLUME_NAME}"
            yield Diagnostic("name-length", "the volumes' names would be too long", why, fix, path)
        used.update(members)
        if any(used[member] == _VOLUMES + 1 for member in members):
            why = f"a server has at most {_VOLUMES}"
            yield Diagnostic(
                "volumes", "there are too many volumes on one server", why, "use fewer", (*path, "on")
            )


def _firewall(stack: Stack, name: str, firewall: Firewall) -> Iterator[Diagnostic]:
    rows = 0
    for way, rules, key in (("ingress", firewall.ingress, "from"), ("egress", firewall.egress, "to")):
        for number, rule in enumerate(rules):
            path: PathKey = ("firewalls", name, way, number)
            added = _rows(rule)
            if rows <= _RULES < rows + added:
                why = f"a firewall has at most {_RULES}, and every port or range is one"
                yield Diagnostic("rules", "from here on there are too many rules", why, "use ranges", path)
            rows += added
            addresses = sum(_addresses(stack, peer) for peer in rule.peers)
            if addresses > _PEERS:
                why = f"a rule has at most {_PEERS} addresses, and these are {addresses}"
                yield Diagnostic("rules", "the rule has too many addresses", why, "use ranges", (*path, key))
            for position, peer in enumerate(rule.peers):
                if way == "ingress" and peer.removeprefix("servers.") in stack.servers:
                    yield Diagnostic(
                        "private-traffic",
                        f"private traffic from {peer} is not filtered",
                        "Hetzner's firewalls stand before public addresses only",
                        "filter on the servers themselves where it matters",
                        (*path, key, position),
                        severity=Severity.NOTE,
                    )


def _rows(rule: Rule) -> int:
    """Native rules that a rule becomes."""
    return {"icmp": 1, "any": 3}.get(rule.protocol, len(rule.ranges()))


def _addresses(stack: Stack, peer: str) -> int:
    if peer == "anywhere":
        return 2
    group = stack.servers.get(peer.removeprefix("servers."))
    return group.count if group is not None and group.public else 1


def _records(stack: Stack) -> Iterator[Diagnostic]:
    for zone, records in stack.dns.items():
        parts = zone.split(".")
        if len(parts) > 2 and not (len(parts) == 3 and len(parts[2]) == 2 and parts[1] in _SECOND_LEVEL):
            yield Diagnostic(
                "zone",
                f"{zone} can't be a zone of its own",
                "Hetzner takes zones of registered domains only",
                f"put its records into the zone of the domain, named below it ({parts[0]})",
                ("dns", zone),
            )
        sizes: Counter[tuple[str, str]] = Counter()
        for number, record in enumerate(records):
            path: PathKey = ("dns", zone, number)
            if record.ttl < _TTL:
                fix = f"write {_TTL}"
                yield Diagnostic(
                    "ttl", f"a TTL of {record.ttl} s is too short", f"at least {_TTL}", fix, (*path, "ttl")
                )
            kind, values = record.values() or ("to", tuple(stack.servers_at(record.to or "")) or ("",))
            before = sizes[record.name, record.type]
            sizes[record.name, record.type] += len(values)
            if before <= _RECORDS < before + len(values):
                why = f"a name has at most {_RECORDS} of one type"
                at = (*path, kind.lower(), _RECORDS - before) if kind != "to" else (*path, "to")
                summary = f"{before + len(values)} values are too many"
                yield Diagnostic("record-value", summary, why, "use fewer", at)
