"""What a file's form can't tell: references, overlaps, and what the named targets accept.

Everything here looks at the part of a stack that is valid in form, so that one mistake hides no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, ip_network

from rehost.stacks.datachecks import check_data, check_native
from rehost.stacks.diagnostics import Diagnostic, PathKey, Severity, did_you_mean
from rehost.stacks.edgechecks import check_edge
from rehost.stacks.errors import InvalidInput
from rehost.stacks.legalize import Legal, legalize
from rehost.stacks.load import Loaded
from rehost.stacks.mailchecks import check_mail
from rehost.stacks.model import Rule, Stack, Target
from rehost.stacks.ports import Adapter
from rehost.stacks.publicnames import check_public_names
from rehost.stacks.references import check_cycles, check_texts
from rehost.stacks.servicechecks import check_hosts, check_services
from rehost.stacks.sshkeys import check_key
from rehost.stacks.wayout import check_substitute, check_way_out
from rehost.stacks.zonechecks import check_zone

_PRIVATE = [IPv4Network(cidr) for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")]
RESERVED_LABEL = "rehost-"
"""Labels that start like this are ours: they say what a resource belongs to."""


def validate(loaded: Loaded, adapters: Callable[[str], Adapter]) -> list[Diagnostic]:
    """Everything that is wrong with a loaded stack, form included, in file order."""
    found = list(loaded.diagnostics)
    if loaded.partial is not None:
        found += [replace(d, span=loaded.span(d.path)) for d in check_texts(loaded.partial, loaded)]
        found += [_placed(diagnostic, loaded) for diagnostic in _Checks(loaded.partial, loaded).all()]
        for target in loaded.partial.targets.values():
            path: PathKey = ("targets", target.name, "provider")
            try:
                adapter = adapters(target.provider)
            except InvalidInput as error:
                found.append(_placed(Diagnostic("provider", error.summary, error.why, error.fix, path), loaded))
                continue
            legal = legalize(loaded.partial, adapter.native)
            said = [
                *_options(adapter, target),
                *check_hosts(loaded.partial, adapter),
                *check_native(loaded.partial, adapter),
                *check_substitute(loaded.partial, adapter.native, adapter.title),
                *(_of_origin(d, legal) for d in adapter.diagnose(legal.stack, target)),
            ]
            found += [_at_target(d, loaded, target.name) for d in said if not _doubtful(d, loaded)]
    return sorted(dict.fromkeys(found), key=lambda d: (d.span.file, d.span.line, d.span.column))


def errors(found: list[Diagnostic]) -> list[Diagnostic]:
    """Those that stop."""
    return [diagnostic for diagnostic in found if diagnostic.severity is Severity.ERROR]


def _options(adapter: Adapter, target: Target) -> Iterator[Diagnostic]:
    for option, value in target.options.items():
        path: PathKey = ("targets", target.name, option)
        if option not in adapter.options:
            known = ["provider", "region", *adapter.options]
            why = f"a target at {adapter.title} has {', '.join(known)}"
            yield Diagnostic(
                "option", f"the option {option!r} is not known", why, did_you_mean(option, known), path
            )
        elif not isinstance(value, str) or not value:
            why = adapter.options[option]
            yield Diagnostic("option", f"{option} has to be text", why, f'write {option}: "..."', path)


def _doubtful(diagnostic: Diagnostic, loaded: Loaded) -> bool:
    """Whether a remark is about a component of which a part was left out: it may rest on a default."""
    about = loaded.address(diagnostic.path)[:2]
    return diagnostic.severity is not Severity.ERROR and any(path[:2] == about for path in loaded.left_out)


def _of_origin(diagnostic: Diagnostic, legal: Legal) -> Diagnostic:
    """A finding about what stands in a component's place is one about that component."""
    origin = legal.origins.get(diagnostic.path[:2])
    return replace(diagnostic, path=origin) if origin else diagnostic


def _placed(diagnostic: Diagnostic, loaded: Loaded) -> Diagnostic:
    path = loaded.address(diagnostic.path)
    return replace(diagnostic, path=path, span=loaded.span(path))


def _at_target(diagnostic: Diagnostic, loaded: Loaded, target: str) -> Diagnostic:
    summary = f"{diagnostic.summary} (target {target})"
    return replace(_placed(diagnostic, loaded), summary=summary, target=target)


class _Checks:
    """The checks of one stack."""

    def __init__(self, stack: Stack, loaded: Loaded) -> None:
        self._stack = stack
        self._loaded = loaded

    def all(self) -> Iterator[Diagnostic]:
        """Every finding, with paths into the partial stack."""
        yield from self._network()
        yield from check_way_out(self._stack, self._loaded)
        yield from self._servers()
        yield from self._volumes()
        for name, firewall in self._stack.firewalls.items():
            for way, rules, key in (("ingress", firewall.ingress, "from"), ("egress", firewall.egress, "to")):
                for number, rule in enumerate(rules):
                    yield from self._rule(rule, ("firewalls", name, way, number), key)
        yield from check_cycles(self._stack)
        for zone in self._stack.dns:
            yield from self._zone(zone)
        yield from self._keys()
        yield from check_edge(self._stack, self._loaded)
        yield from check_services(self._stack, self._loaded)
        yield from check_data(self._stack, self._loaded)
        yield from check_public_names(self._stack, self._loaded)
        yield from check_mail(self._stack, self._loaded)

    def _known(self, family: str) -> list[str]:
        """Names that may be referred to, those of invalid components included."""
        return self._loaded.declared(family)

    def _missing(self, what: str, name: str, choices: list[str], path: PathKey) -> Diagnostic:
        why = f"the stack has {', '.join(choices)}" if choices else f"the stack has no {what} at all"
        fix = did_you_mean(name, choices) or "add it, or take its name out here"
        return Diagnostic("reference", f"there is no {what} {name!r}", why, fix, path)

    def _sound(self, *path: str) -> bool:
        """Whether nothing at or under a path was left out for its mistakes."""
        return not any(known[: len(path)] == path for known in self._loaded.left_out)

    def _group(self, name: str) -> str | None:
        """The server group that a group's or a member's name stands for, None if it names nothing."""
        known = self._known("servers")
        if name in known:
            return name
        group, _, number = name.rpartition("-")
        if group not in known or not (number.isascii() and number.isdigit()) or number.startswith("0"):
            return None
        server = self._stack.servers.get(group)
        sound = server is not None and self._sound("servers", group, "count")
        return group if not sound or server is None or name in server.members(group) else None

    def _network(self) -> Iterator[Diagnostic]:
        network = self._stack.network
        if network is None:
            return
        sound = self._sound("network", "cidr")
        if sound and not any(network.cidr.subnet_of(range_) for range_ in _PRIVATE):
            yield Diagnostic(
                "public-cidr",
                f"{network.cidr} is not a private range",
                "addresses in it belong to others on the Internet, or are reserved",
                "use a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
                ("network", "cidr"),
            )
        seen = list(network.subnets.items())
        for position, (name, subnet) in enumerate(seen):
            path: PathKey = ("network", "subnets", name, "cidr")
            if sound and not subnet.cidr.subnet_of(network.cidr):
                fix = "choose a part of the network"
                why, summary = (
                    "subnets are parts of the network",
                    f"{subnet.cidr} is not inside the network {network.cidr}",
                )
                yield Diagnostic("outside", summary, why, fix, path)
            for other, before in seen[:position]:
                if subnet.cidr.overlaps(before.cidr):
                    yield Diagnostic(
                        "overlap",
                        f"the subnets {name} and {other} overlap",
                        f"{subnet.cidr} and {before.cidr} share addresses",
                        "give them separate ranges",
                        path,
                    )

    def _servers(self) -> Iterator[Diagnostic]:
        stack = self._stack
        subnets = list(stack.subnets())
        if stack.network is None and self._sound("network"):
            subnets = ["zone-1"]
        for name, server in stack.servers.items():
            path: PathKey = ("servers", name)
            if server.subnet and server.subnet not in subnets and self._sound("network"):
                yield self._missing("subnet", server.subnet, subnets, (*path, "subnet"))
            for family, used, title in (
                ("firewalls", server.firewalls, "firewall"),
                ("ssh_keys", server.ssh_keys, "SSH key"),
            ):
                known = self._known(family)
                for number, item in enumerate(used):
                    at = (*path, family, number)
                    if item not in known:
                        yield self._missing(title, item, known, at)
                    elif item in used[:number]:
                        fix = "remove one of the two"
                        why = "naming it again changes nothing"
                        yield Diagnostic("repeated", f"the {title} {item!r} is named twice", why, fix, at)
            for label in server.labels:
                if label.startswith(RESERVED_LABEL):
                    yield Diagnostic(
                        "label",
                        f"the label {label!r} is rehost's own",
                        f"labels that start with {RESERVED_LABEL} say what a server belongs to",
                        "choose another name",
                        (*path, "labels", label),
                    )
            other, _, index = name.rpartition("-")
            if other in stack.servers and index.isdigit() and name in stack.servers[other].members(other):
                yield Diagnostic(
                    "ambiguous-name",
                    f"{name!r} is also the name of a server of the group {other!r}",
                    f"the servers of {other} are called {other}-1, {other}-2 and so on",
                    f"{name!r} means the group; rename one of the two to name that server",
                    path,
                    severity=Severity.WARNING,
                )

    def _volumes(self) -> Iterator[Diagnostic]:
        for name, volume in self._stack.volumes.items():
            if self._group(volume.on) is None:
                yield self._missing("server", volume.on, self._known("servers"), ("volumes", name, "on"))

    def _rule(self, rule: Rule, path: PathKey, key: str) -> Iterator[Diagnostic]:
        if rule.ports and rule.protocol in ("icmp", "any"):
            yield Diagnostic(
                "ports",
                f"a rule for {rule.protocol} can't have ports",
                "ICMP has none" if rule.protocol == "icmp" else "every port of every protocol would be open",
                "remove ports, or write protocol: tcp or udp",
                (*path, "ports"),
            )
        for number, peer in enumerate(rule.peers):
            yield from self._peer(peer, (*path, key, number))

    def _peer(self, peer: str, path: PathKey) -> Iterator[Diagnostic]:
        if peer == "anywhere":
            return
        family, dot, name = peer.partition(".")
        if dot and family == "servers":
            known = self._known("servers")
            if name not in known:
                yield self._missing("server group", name, known, path)
            return
        try:
            ip_network(peer)
        except ValueError:
            try:
                fix = f"did you mean {ip_network(peer, strict=False)}?"
                why = "a network is written with its first address"
            except ValueError:
                why = "a peer is anywhere, a network, or a server group"
                fix = "write anywhere, a CIDR such as 198.51.100.0/24, or servers.<group>"
                if peer in self._known("servers"):
                    fix = f"did you mean 'servers.{peer}'?"
            yield Diagnostic("peer", f"{peer!r} is no peer of a rule", why, fix, path)

    def _zone(self, zone: str) -> Iterator[Diagnostic]:
        yield from check_zone(self._stack, zone, self._line)
        for number, record in enumerate(self._stack.dns[zone]):
            if record.to is not None:
                yield from self._to(record.to, ("dns", zone, number, "to"))

    def _line(self, path: PathKey) -> int:
        return self._loaded.span(self._loaded.address(path)).line

    def _to(self, to: str, path: PathKey) -> Iterator[Diagnostic]:
        family, _, name = to.partition(".")
        if family in ("load_balancers", "static_addresses", "databases", "caches"):
            known = self._known(family)
            if name not in known:
                yield self._missing(family.replace("_", " ").removesuffix("s"), name, known, path)
            balancer = self._stack.load_balancers.get(name) if family == "load_balancers" else None
            if balancer is not None and balancer.internal and self._sound(family, name):
                fix = "point to servers, or make it a public one"
                why = "it is an internal one, and the zone is read by everybody"
                yield Diagnostic("private", f"{to} has no public address", why, fix, path)
            return
        if family != "servers":
            fix = f"did you mean 'servers.{to}'?" if to in self._known("servers") else "write servers.<name>"
            why = "`to` stands for the public addresses of a server group"
            yield Diagnostic("reference", f"a record can't point to {to!r}", why, fix, path)
            return
        group = self._group(name)
        if group is None:
            yield self._missing("server", name, self._known("servers"), path)
            return
        server = self._stack.servers.get(group)
        if server is not None and server.count == 0:
            why, fix = "the record would have no value", f"raise servers.{group}.count, or remove the record"
            yield Diagnostic("reference", f"servers.{group} has no servers", why, fix, path)
        elif server is not None and not server.public and self._sound("servers", group, "public"):
            fix = f"set public: true in servers.{group}"
            why = "the record would have no value: it holds the public addresses of servers"
            yield Diagnostic("private", f"{to} has no public address", why, fix, path)

    def _keys(self) -> Iterator[Diagnostic]:
        seen: dict[str, str] = {}
        for name, text in self._stack.ssh_keys.items():
            path: PathKey = ("ssh_keys", name)
            yield from check_key(text, path)
            body = " ".join(text.split()[:2])
            if body in seen:
                fix = "remove one of the two"
                why = "providers take a key once"
                yield Diagnostic("repeated", f"{name} is the same key as {seen[body]}", why, fix, path)
            seen.setdefault(body, name)
