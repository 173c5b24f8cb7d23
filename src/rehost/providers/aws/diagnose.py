"""What Amazon does not accept. Limits: user guides of EC2, VPC, EBS, Route 53 and S3, default quotas."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from rehost.providers.aws.catalog import CATALOG
from rehost.providers.aws.places import check_places, places
from rehost.providers.aws.txt import quoted, unquoted
from rehost.providers.limits import apex_name_servers, bucket_names, remembered, unmet
from rehost.stacks.diagnostics import Diagnostic, PathKey, Severity, did_you_mean
from rehost.stacks.model import Firewall, LoadBalancer, Network, Rule, Server, Stack, Target
from rehost.stacks.sshkeys import kind_of, rsa_bits

_GIB = 1024**3
_IMAGES = "images go by neutral names, and the catalog knows what they are called here"
_USER_DATA = 16384
_GROUPS = 5
_BALANCER_NAME = 32
_SPREAD = 7
"""Running servers of a spread placement group in one zone."""
_RULES = 60
_VOLUME_GIB = 65536
DEVICES = tuple(f"/dev/sd{letter}" for letter in "fghijklmnop")
"""The device names that Amazon recommends for volumes beside the root one."""
_ROOT_GIB = 8
_TAGS = 50 - 3
"""Tags of a resource without our own: Name, rehost-id and rehost-stack."""
_RESERVED_ADDRESSES = 5
_TXT = 4000
_DESCRIPTION = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*\Z")


def diagnose(stack: Stack, target: Target, offered: Callable[[Mapping[str, Any]], bool]) -> Iterator[Diagnostic]:
    """Findings about a stack at a target; `offered` says whether the region has a type of a size."""
    path: PathKey = ("targets", target.name)
    offered = remembered(offered)
    known = target.region in CATALOG.regions
    if not target.region:
        fix = f"add `region: {CATALOG.regions[0]}`"
        yield Diagnostic("region", "the target names no region", "AWS has many", fix, path)
    elif not known:
        fix = did_you_mean(target.region, CATALOG.regions)
        why = "types and prices are known for the catalog's regions only"
        yield Diagnostic("region", f"the catalog has no region {target.region!r}", why, fix, (*path, "region"))
    if stack.stack == "sg" or stack.stack.startswith("sg-"):
        why = "names of security groups would start with sg-, which AWS reserves"
        yield Diagnostic(
            "reserved-name", f"the stack can't be called {stack.stack}", why, "rename the stack", ("stack",)
        )
    if stack.network:
        yield from _network(stack.network)
        yield from check_places(stack)
    for name, server in stack.servers.items():
        yield from _server(name, server)
        if known:
            yield from unmet(name, server, target.region, offered)
    yield from _addresses(stack)
    yield from _reverse(stack)
    for name, balancer in stack.load_balancers.items():
        yield from _load_balancer(stack, name, balancer)
    yield from _volumes(stack)
    for name, firewall in stack.firewalls.items():
        yield from _firewall(name, firewall)
    for name, key in stack.ssh_keys.items():
        yield from _key(key, ("ssh_keys", name))
    yield from bucket_names(stack)
    yield from apex_name_servers(stack)
    yield from _records(stack)


def _load_balancer(stack: Stack, name: str, balancer: LoadBalancer) -> Iterator[Diagnostic]:
    path: PathKey = ("load_balancers", name)
    port = max(listener.target_port for listener in balancer.listen)
    full = f"{stack.stack}-{name}-{port}"
    if len(full) > _BALANCER_NAME:
        why = f"{full} has {len(full)} characters; names of target groups have at most {_BALANCER_NAME}"
        yield Diagnostic("name-length", "the name of the load balancer is too long", why, "shorten it", path)
    if balancer.speaks_http:
        for number, listener in enumerate(balancer.listen):
            if listener.protocol == "tcp":
                why = "an application load balancer reads http, a network load balancer passes tcp on"
                at: PathKey = (*path, "listen", number, "port")
                yield Diagnostic("mixed-listeners", "tcp beside http", why, "make two load balancers", at)
        zones = {subnet.zone for subnet in (stack.network or Network()).layout().values()}
        if len(zones) < 2:
            why = "an application load balancer is in two zones at least"
            fix = "write network: {zones: 2}, or subnets in two zones"
            yield Diagnostic("zones", f"the network has {len(zones)} zone", why, fix, path)


def _network(network: Network) -> Iterator[Diagnostic]:
    parts = [
        (f"the subnet {name}", s.cidr, ("network", "subnets", name, "cidr")) for name, s in network.subnets.items()
    ]
    for what, cidr, path in [("the network", network.cidr, ("network", "cidr")), *parts]:
        if not 16 <= cidr.prefixlen <= 28:
            yield Diagnostic(
                "cidr-size",
                f"{what} is too {'large' if cidr.prefixlen < 16 else 'small'}: {cidr}",
                "networks and subnets of AWS have between /16 and /28",
                f"write a /{16 if cidr.prefixlen < 16 else 28}, for example",
                path,
            )


def _server(name: str, server: Server) -> Iterator[Diagnostic]:
    path: PathKey = ("servers", name)
    image = CATALOG.images.get(server.image)
    if image is None:
        fix = did_you_mean(server.image, CATALOG.images)
        yield Diagnostic("image", f"there is no image {server.image!r}", _IMAGES, fix, (*path, "image"))
    elif server.architecture not in image:
        summary = f"there is no image {server.image!r} for {server.architecture}"
        yield Diagnostic("image", summary, _IMAGES, "choose another image", (*path, "image"))
    if server.size.disk < _ROOT_GIB * _GIB:
        why = f"the images need {_ROOT_GIB} GiB"
        yield Diagnostic("size", "the disk is too small", why, f"write {_ROOT_GIB}GiB", (*path, "size", "disk"))
    if server.size.disk > _VOLUME_GIB * _GIB:
        why = f"a disk has at most {_VOLUME_GIB // 1024} TiB"
        yield Diagnostic("size", "the disk is too large", why, "use volumes", (*path, "size", "disk"))
    length = len(server.user_data.encode())
    if length > _USER_DATA:
        why = f"EC2 takes {_USER_DATA} bytes, and these are {length}"
        yield Diagnostic("user-data", "user_data is too long", why, "load the rest at boot", (*path, "user_data"))
    if len(server.ssh_keys) > 1:
        yield Diagnostic(
            "ssh-keys",
            f"only the key {server.ssh_keys[0]!r} is put on the servers",
            "EC2 takes one SSH key for a server",
            "add the others in user_data",
            (*path, "ssh_keys", 1),
            severity=Severity.WARNING,
        )
    if len(server.firewalls) >= _GROUPS:
        why = f"a server has at most {_GROUPS} security groups, and one is that of its server group"
        at = (*path, "firewalls", _GROUPS - 1)
        yield Diagnostic("firewalls", f"{len(server.firewalls)} firewalls are too many", why, "join some", at)
    for number, (key, value) in enumerate(server.labels.items()):
        at = (*path, "labels", key)
        if key.lower().startswith("aws:"):
            yield Diagnostic("label", f"{key!r} can't be a tag", "aws: is reserved", "choose another key", at)
        elif not key or len(key) > 128 or len(value) > 256:
            why = "a tag's key has at most 128 characters, its value 256"
            yield Diagnostic("label", f"the label {key[:40]!r} can't be a tag", why, "shorten it", at)
        elif number == _TAGS:
            why = f"a server has 50 tags at most, {50 - _TAGS} of which are rehost's"
            yield Diagnostic("label", "there are too many labels", why, "remove some", at)


def _addresses(stack: Stack) -> Iterator[Diagnostic]:
    """Server groups that a subnet has no addresses for; they are spread as lowering does it."""
    where = places(stack)
    layout = where.all if stack.network else {}
    used: Counter[str] = Counter()
    for name, server in stack.servers.items():
        subnets = [server.subnet] if server.subnet in layout else list(where.open_to(server) if layout else ())
        for number in range(server.count if subnets else 0):
            chosen = str(subnets[number % len(subnets)])
            used[chosen] += 1
            free = layout[chosen].cidr.num_addresses - _RESERVED_ADDRESSES
            if used[chosen] > free:
                why = f"the subnet {chosen} ({layout[chosen].cidr}) has {max(free, 0)} addresses for servers"
                fix = "make the subnet larger, or the group smaller"
                at = ("servers", name, "count")
                yield Diagnostic("servers", f"there is no room for all servers of {name}", why, fix, at)
                break


def _reverse(stack: Stack) -> Iterator[Diagnostic]:
    for name, server in stack.servers.items():
        bare = [member for member in server.members(name) if stack.address_of(member) is None]
        if server.reverse and server.public and bare:
            yield Diagnostic(
                "reverse",
                f"{', '.join(bare[:3])} will have no reverse name",
                "Amazon gives reverse names to static addresses only",
                f"add static_addresses: {{{bare[0]}: {{on: servers.{bare[0]}}}}}",
                ("servers", name, "reverse"),
                severity=Severity.WARNING,
            )


def _volumes(stack: Stack) -> Iterator[Diagnostic]:
    used: Counter[str] = Counter()
    for name, volume in stack.volumes.items():
        path: PathKey = ("volumes", name)
        if volume.size > _VOLUME_GIB * _GIB:
            why = f"a volume has at most {_VOLUME_GIB // 1024} TiB"
            yield Diagnostic("volume-size", "the volume is too large", why, "use several", (*path, "size"))
        members = stack.server_named(volume.on)
        used.update(members)
        if any(used[member] == len(DEVICES) + 1 for member in members):
            why = f"a server has device names for {len(DEVICES)}"
            yield Diagnostic(
                "volumes", "there are too many volumes on one server", why, "use fewer", (*path, "on")
            )


def _firewall(name: str, firewall: Firewall) -> Iterator[Diagnostic]:
    for way, rules in (("ingress", firewall.ingress), ("egress", firewall.egress)):
        used: Counter[int] = Counter()
        told = False
        for number, rule in enumerate(rules):
            path: PathKey = ("firewalls", name, way, number)
            if not _DESCRIPTION.match(rule.description):
                why = "AWS takes the letters a to z, digits, blanks and ._-:/()#,@[]+=&;{}!$*"
                summary, at = "the description has other characters", (*path, "description")
                yield Diagnostic("description", summary, why, "write it without them", at)
            used.update(_versions(rule))
            if max(used.values(), default=0) > _RULES and not told:
                told = True
                why = f"a security group has {_RULES} rules in each direction and each version of IP"
                yield Diagnostic("rules", "from here on there are too many rules", why, "use ranges", path)


def _versions(rule: Rule) -> list[int]:
    """For each native rule that a rule becomes, the version of IP that it counts for."""
    made: list[int] = []
    for peer in rule.peers:
        if peer == "anywhere":
            made += [4, 6]
        elif peer.startswith("servers."):
            made += [4]
        else:
            try:
                made += [ip_network(peer).version]
            except ValueError:
                continue
    return made * max(1, len(rule.ranges()))


def _key(key: str, path: PathKey) -> Iterator[Diagnostic]:
    kind = kind_of(key)
    if kind.startswith("ecdsa-"):
        fix = "make another: ssh-keygen -t ed25519"
        yield Diagnostic("ssh-key", f"EC2 takes no keys of type {kind}", "it takes ed25519 and RSA", fix, path)
    bits = rsa_bits(key)
    if bits and bits not in (1024, 2048, 4096):
        why, fix = "EC2 takes RSA keys of 1024, 2048 and 4096 bits", "make another: ssh-keygen -t ed25519"
        yield Diagnostic("ssh-key", f"EC2 takes no RSA keys of {bits} bits", why, fix, path)


def _records(stack: Stack) -> Iterator[Diagnostic]:
    for zone, records in stack.dns.items():
        named: Counter[str] = Counter(record.name for record in records)
        for number, record in enumerate(records):
            path: PathKey = ("dns", zone, number)
            family = (record.to or "").partition(".")[0]
            others = [r for r in records if r is not record and r.name == record.name and r.type == "A"]
            if family in ("databases", "caches") and (record.name == "@" or named[record.name] > 1):
                why = "its addresses change: a CNAME follows them, and a CNAME stands alone"
                fix = "give it a name of its own"
                yield Diagnostic("cname-beside", f"{record.to} can't be there", why, fix, (*path, "to"))
            elif family == "load_balancers" and others:
                why = "its addresses change: an alias follows them, and has no addresses beside it"
                fix = "remove the other, or give it a name of its own"
                yield Diagnostic("record-type", f"{record.to} can't be one of several", why, fix, (*path, "to"))
            if record.ns is not None and record.name.startswith("*"):
                why = "Route 53 takes no * in the names of NS records"
                yield Diagnostic("record-type", "a wildcard can't be delegated", why, "name it", (*path, "ns"))
            for position, text in enumerate(record.txt or ()):
                # As it is sent, with the quotes of its strings and escapes.
                length = len(quoted(unquoted(text), "TXT"))
                if length > _TXT:
                    why = f"Route 53 takes {_TXT} characters, and these are {length} as it is sent"
                    yield Diagnostic(
                        "record-value", "the text is too long", why, "shorten it", (*path, "txt", position)
                    )
