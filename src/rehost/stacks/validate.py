"""What a file's form can't tell: references, overlaps, and what the named targets accept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

from rehost.stacks.diagnostics import Diagnostic, Severity
from rehost.stacks.errors import InvalidInput
from rehost.stacks.load.loader import Loaded, at_target, did_you_mean
from rehost.stacks.lower import REFERENCE
from rehost.stacks.model import Stack
from rehost.stacks.ports import Adapter

ATTRIBUTES = {
    "servers": ("private_ip", "public_ip", "private_ips", "public_ips"),
    "buckets": ("name", "url", "endpoint"),
    "volumes": ("device",),
    "secrets": ("", "value"),
    "dns": ("name_servers",),
}
"""What `${...}` may ask of each family of components."""

_WORDS = ("stack", "target", "target.name", "target.region", "network.cidr")
Path = tuple[str | int, ...]


def validate(loaded: Loaded, adapters: Callable[[str], Adapter]) -> list[Diagnostic]:
    """Everything that is wrong with a loaded stack, form included, in file order."""
    found = list(loaded.diagnostics)
    if loaded.stack is not None:
        found += [_placed(diagnostic, loaded) for diagnostic in _semantic(loaded.stack)]
        for target in loaded.stack.targets.values():
            path: Path = ("targets", target.name, "provider")
            try:
                adapter = adapters(target.provider)
            except InvalidInput as error:
                found.append(_placed(Diagnostic("provider", error.summary, error.why, error.fix, path), loaded))
                continue
            found += [at_target(d, loaded, target.name) for d in adapter.diagnose(loaded.stack, target)]
    return sorted(dict.fromkeys(found), key=lambda d: (d.span.file, d.span.line, d.span.column))


def _placed(diagnostic: Diagnostic, loaded: Loaded) -> Diagnostic:
    from dataclasses import replace

    return replace(diagnostic, span=loaded.span(diagnostic.path))


def _semantic(stack: Stack) -> Iterator[Diagnostic]:
    yield from _network(stack)
    yield from _names(stack)
    yield from _texts(stack)
    yield from _cycles(stack)
    yield from _zones(stack)
    yield from _keys(stack)


def _unknown(what: str, name: str, choices: list[str], path: Path) -> Diagnostic:
    why = f"the stack has {', '.join(choices)}" if choices else f"the stack has no {what} at all"
    return Diagnostic("reference", f"there is no {what} {name!r}", why, did_you_mean(name, choices), path)


def _network(stack: Stack) -> Iterator[Diagnostic]:
    network = stack.network
    if network is None:
        return
    if not network.cidr.is_private:
        yield Diagnostic(
            "public-cidr",
            f"{network.cidr} is not a private range",
            "addresses in it belong to others on the Internet",
            "use a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
            ("network", "cidr"),
        )
    seen = list(network.subnets.items())
    for position, (name, subnet) in enumerate(seen):
        path: Path = ("network", "subnets", name, "cidr")
        if not subnet.cidr.subnet_of(network.cidr):
            yield Diagnostic(
                "outside",
                f"{subnet.cidr} is not inside the network {network.cidr}",
                fix="choose a part of the network",
                path=path,
            )
        for other, before in seen[:position]:
            if subnet.cidr.overlaps(before.cidr):
                yield Diagnostic(
                    "overlap",
                    f"the subnets {name} and {other} overlap",
                    f"{subnet.cidr} and {before.cidr} share addresses",
                    "give them separate ranges",
                    path,
                )


def _names(stack: Stack) -> Iterator[Diagnostic]:
    subnets = list(stack.subnets())
    for name, server in stack.servers.items():
        if server.subnet and server.subnet not in subnets:
            yield _unknown("subnet", server.subnet, subnets, ("servers", name, "subnet"))
        for family, used, present in (
            ("firewalls", server.firewalls, stack.firewalls),
            ("ssh_keys", server.ssh_keys, stack.ssh_keys),
        ):
            for number, item in enumerate(used):
                if item not in present:
                    title = "firewall" if family == "firewalls" else "SSH key"
                    yield _unknown(title, item, list(present), ("servers", name, family, number))
    for name, volume in stack.volumes.items():
        if not stack.server_named(volume.on):
            yield _unknown("server", volume.on, list(stack.servers), ("volumes", name, "on"))
    for name, firewall in stack.firewalls.items():
        for way, rules, key in (("ingress", firewall.ingress, "from"), ("egress", firewall.egress, "to")):
            for number, rule in enumerate(rules):
                for peer in rule.peers:
                    yield from _peer(stack, peer, ("firewalls", name, way, number, key))


def _peer(stack: Stack, peer: str, path: Path) -> Iterator[Diagnostic]:
    from ipaddress import ip_network

    if peer == "anywhere":
        return
    if peer.startswith("servers."):
        if peer.removeprefix("servers.") not in stack.servers:
            yield _unknown("server group", peer.removeprefix("servers."), list(stack.servers), path)
        return
    try:
        ip_network(peer)
    except ValueError as error:
        yield Diagnostic(
            "peer", f"{peer!r} is no peer: {error}", fix="write anywhere, a CIDR, or servers.<name>", path=path
        )


def references(text: str) -> list[str]:
    """The addresses that a text refers to."""
    return [match[1].strip() for match in REFERENCE.finditer(text) if match[0] != "$$"]


def _fields(stack: Stack) -> Iterator[tuple[Path, str]]:
    for name, server in stack.servers.items():
        yield ("servers", name, "user_data"), server.user_data
    for zone, records in stack.dns.items():
        for number, record in enumerate(records):
            given = record.values()
            for value in given[1] if given else ():
                yield ("dns", zone, number), value
    for number, check in enumerate(stack.checks):
        yield ("checks", number), check.http or ""


def _texts(stack: Stack) -> Iterator[Diagnostic]:
    for path, text in _fields(stack):
        for address in references(text):
            yield from _reference(stack, address, path)


def _reference(stack: Stack, address: str, path: Path) -> Iterator[Diagnostic]:
    if address in _WORDS:
        return
    family, _, rest = address.partition(".")
    if family not in ATTRIBUTES:
        choices = [*ATTRIBUTES, *_WORDS]
        yield Diagnostic(
            "reference", f"${{{address}}} refers to nothing", fix=did_you_mean(family, choices), path=path
        )
        return
    if family == "dns":
        name, _, attribute = rest.rpartition(".")
    else:
        name, _, attribute = rest.partition(".")
    present = list(getattr(stack, family))
    known = bool(stack.server_named(name)) if family == "servers" else name in present
    if not known:
        yield _unknown(family, name, present, path)
    elif attribute not in ATTRIBUTES[family]:
        fix = did_you_mean(attribute, [a for a in ATTRIBUTES[family] if a])
        yield Diagnostic("reference", f"{family} have no {attribute!r}", fix=fix, path=path)


def _cycles(stack: Stack) -> Iterator[Diagnostic]:
    needs = {
        name: {
            group
            for address in references(server.user_data)
            if address.startswith("servers.")
            for group in stack.servers
            if address.split(".")[1] == group or address.split(".")[1] in stack.servers[group].members(group)
        }
        for name, server in stack.servers.items()
    }
    for name in needs:
        reached: set[str] = set()
        pending = list(needs[name])
        while pending:
            other = pending.pop()
            if other not in reached:
                reached.add(other)
                pending += needs[other]
        if name in reached:
            yield Diagnostic(
                "cycle",
                f"servers.{name} needs itself",
                f"its user_data refers to {', '.join(sorted(needs[name]))}, which in turn needs servers.{name}",
                "user_data is used at creation: take one of the references out",
                ("servers", name, "user_data"),
            )


def _zones(stack: Stack) -> Iterator[Diagnostic]:
    for zone, records in stack.dns.items():
        seen: dict[tuple[str, str], int] = {}
        for number, record in enumerate(records):
            path: Path = ("dns", zone, number)
            given = record.values()
            type_ = given[0] if given else "A"
            if (record.name, type_) in seen:
                yield Diagnostic(
                    "duplicate-record",
                    f"{record.name} has two records of type {type_}",
                    f"item {seen[(record.name, type_)] + 1} of the zone is of the same name and type",
                    "put the values into one record",
                    path,
                )
            if type_ == "CNAME" and record.name == "@":
                yield Diagnostic(
                    "cname-apex",
                    "the zone's own name can't be a CNAME",
                    "it has NS and SOA records already",
                    "use `to` or `a`",
                    path,
                )
            if any(n == record.name and "CNAME" in (t, type_) and t != type_ for n, t in seen):
                yield Diagnostic(
                    "cname-beside",
                    f"{record.name} is a CNAME and has other records too",
                    "a CNAME stands alone",
                    "remove one of them",
                    path,
                )
            seen[(record.name, type_)] = number
            if record.to is not None:
                yield from _to(stack, record.to, (*path, "to"))
            for value in given[1] if given else ():
                if not references(value):
                    yield from _value(type_, value, path)


def _to(stack: Stack, to: str, path: Path) -> Iterator[Diagnostic]:
    family, _, name = to.partition(".")
    if family != "servers":
        yield Diagnostic("reference", f"a record can't point to {to!r}", fix="write servers.<name>", path=path)
    elif not stack.server_named(name):
        yield _unknown("server", name, list(stack.servers), path)
    else:
        group = name if name in stack.servers else name.rpartition("-")[0]
        if not stack.servers[group].public:
            yield Diagnostic(
                "private", f"{to} has no public address", fix=f"set public: true in servers.{group}", path=path
            )


def _value(type_: str, value: str, path: Path) -> Iterator[Diagnostic]:
    try:
        if type_ == "A":
            IPv4Address(value)
        elif type_ == "AAAA":
            IPv6Address(value)
    except ValueError:
        yield Diagnostic("address", f"{value!r} is no address for a record of type {type_}", path=path)
    if type_ == "MX" and not re.match(r"^\d+ \S+$", value):
        yield Diagnostic(
            "mx", f"{value!r} is no MX value", fix="write priority and host: 10 mail.example", path=path
        )


def _keys(stack: Stack) -> Iterator[Diagnostic]:
    for name, text in stack.ssh_keys.items():
        if "PRIVATE KEY" in text:
            yield Diagnostic(
                "private-key",
                "this is a private key",
                "whoever reads the file could log in",
                "replace it by the .pub file's line, and make a new pair",
                ("ssh_keys", name),
            )
        elif not re.match(r"^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/]+=*( .*)?$", text.strip()):
            yield Diagnostic(
                "ssh-key",
                "this is no public key in OpenSSH's format",
                fix="copy the line of the .pub file",
                path=("ssh_keys", name),
            )


def errors(found: list[Diagnostic]) -> list[Diagnostic]:
    """Those that stop."""
    return [diagnostic for diagnostic in found if diagnostic.severity is Severity.ERROR]
