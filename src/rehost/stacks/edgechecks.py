"""Load balancers, certificates and static addresses: what their form can't tell."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.stacks.diagnostics import Diagnostic, PathKey, Severity, did_you_mean
from rehost.stacks.load import Loaded
from rehost.stacks.model import Listener, Stack
from rehost.stacks.servicechecks import check_target


def check_edge(stack: Stack, loaded: Loaded) -> Iterator[Diagnostic]:
    """Every finding, with paths into the partial stack."""
    for name, balancer in stack.load_balancers.items():
        path: PathKey = ("load_balancers", name)
        yield from check_target(stack, loaded, balancer, (*path, "to"))
        yield from _listeners(balancer.listen, loaded, path)
    for name, certificate in stack.certificates.items():
        if certificate.issuer == "managed":
            yield from _provable(loaded, name, certificate.domains)
        agreed = bool(stack.acme and stack.acme.terms_agreed) or ("acme",) in loaded.left_out
        if certificate.issuer == "acme" and not agreed:
            yield Diagnostic(
                "terms",
                f"nobody has agreed to the terms of the authority that is to issue {name}",
                "it makes no account without that",
                "read them (Let's Encrypt's: letsencrypt.org/repository), and add `acme: {terms_agreed: true}`",
                ("certificates", name, "issuer"),
            )
    yield from _addresses(stack, loaded)
    yield from _reverse(stack, loaded)


def _listeners(listen: tuple[Listener, ...], loaded: Loaded, path: PathKey) -> Iterator[Diagnostic]:
    certificates = loaded.declared("certificates")
    seen: set[int] = set()
    for number, listener in enumerate(listen):
        at: PathKey = (*path, "listen", number)
        if listener.port in seen:
            summary = f"port {listener.port} is listened on twice"
            why = "a port has one listener"
            yield Diagnostic("repeated", summary, why, "remove one of the two", (*at, "port"))
        seen.add(listener.port)
        if listener.certificate is not None and listener.certificate not in certificates:
            why = f"the stack has {', '.join(certificates) or 'no certificate at all'}"
            fix = did_you_mean(listener.certificate, certificates) or "add it under certificates"
            summary = f"there is no certificate {listener.certificate!r}"
            yield Diagnostic("reference", summary, why, fix, (*at, "certificate"))
        if listener.redirect and not any(other.port == 443 and other.protocol == "https" for other in listen):
            why = "visitors would be sent to port 443, where nothing answers"
            fix = "add an https listener on port 443"
            yield Diagnostic("redirect", "the redirect leads nowhere", why, fix, (*at, "redirect"))


def _provable(loaded: Loaded, name: str, domains: tuple[str, ...]) -> Iterator[Diagnostic]:
    """Who issues a certificate asks for a record in the zone of each name."""
    known = loaded.declared("dns")
    for number, domain in enumerate(domains):
        base = domain.removeprefix("*.")
        if not any(base == zone or base.endswith("." + zone) for zone in known):
            yield Diagnostic(
                "unproven-domain",
                f"{domain} is in no zone of the stack",
                "a managed certificate is issued to whoever can put a record into the zone",
                f"add the zone under dns, or bring the certificate along with issuer: upload ({name})",
                ("certificates", name, "domains", number),
            )


def _addresses(stack: Stack, loaded: Loaded) -> Iterator[Diagnostic]:
    taken: dict[str, str] = {}
    for name, address in stack.static_addresses.items():
        if address.on is None:
            continue
        path: PathKey = ("static_addresses", name, "on")
        members = stack.servers_at(address.on)
        family, _, server = address.on.partition(".")
        group = server if server in stack.servers else server.rpartition("-")[0]
        known = family == "servers" and group in loaded.declared("servers")
        if not known or (group in stack.servers and not members):
            choices = [f"servers.{member}" for each in stack.servers for member in stack.server_named(each)]
            fix = did_you_mean(address.on, choices) or "add a server group, and name one server of it"
            why = "a static address is on one server of the stack"
            yield Diagnostic("reference", f"there is no server {address.on!r}", why, fix, path)
        elif len(members) > 1:
            fix = f"name one of them: servers.{members[0]}"
            yield Diagnostic("one-server", f"{address.on} are several servers", "an address has one", fix, path)
        for member in members[:1]:
            if member in taken:
                summary = f"servers.{member} has the static address {taken[member]} already"
                why = "a server has one public IPv4 address"
                yield Diagnostic("repeated", summary, why, "remove one of the two", path)
            taken.setdefault(member, name)
            if not stack.servers[group].public:
                fix = f"set public: true in servers.{group}"
                why = "the static address takes the place of a public one"
                yield Diagnostic("private", f"{address.on} has no public address", why, fix, path)


def _reverse(stack: Stack, loaded: Loaded) -> Iterator[Diagnostic]:
    """Reverse names of what has no address, and names that don't lead to it: mail servers ask both ways."""
    for group, server in stack.servers.items():
        path: PathKey = ("servers", group, "reverse")
        if server.reverse is None:
            continue
        if not server.public and ("servers", group, "public") not in loaded.left_out:
            fix = f"set public: true in servers.{group}, or remove the name"
            yield Diagnostic("private", f"servers.{group} has no public address", "none leads back", fix, path)
            continue
        for member in server.members(group):
            address = stack.address_of(member)
            name = server.reverse.replace("{server}", member)
            if address is None or stack.static_addresses[address].reverse is None:
                led = {
                    f"servers.{group}",
                    f"servers.{member}",
                    *([f"static_addresses.{address}"] if address else []),
                }
                yield from _forward(stack, name, led, path)
    for name, wanted in stack.static_addresses.items():
        if wanted.reverse is not None:
            led = {f"static_addresses.{name}", *([wanted.on] if wanted.on else [])}
            led |= {f"servers.{member}" for member in stack.servers_at(wanted.on or "")}
            yield from _forward(stack, wanted.reverse, led, ("static_addresses", name, "reverse"))


def _forward(stack: Stack, name: str, led: set[str], path: PathKey) -> Iterator[Diagnostic]:
    """A finding where the stack has the name's zone, and no record in it that leads to the address."""
    zone = stack.zone_of(name)
    records = [r for r in stack.dns.get(zone or "", ()) if r.full(zone or "") == name and r.type == "A"]
    if zone is None or any(record.to in led or record.a for record in records):
        return
    relative = "@" if name == zone else name.removesuffix(f".{zone}")
    target = sorted(led)[-1]
    yield Diagnostic(
        "reverse",
        f"{name} does not lead to the address that leads back to it",
        "mail servers ask both ways, and Amazon gives no reverse name to others",
        f'add a record to {zone}: {{name: "{relative}", to: {target}}}',
        path,
        severity=Severity.WARNING,
    )
