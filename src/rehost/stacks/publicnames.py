"""Buckets under a name of the platform's own: a caching proxy on a server, its certificate and its record. Pure.

The name is the platform's: addresses of objects that are written down anywhere stay good over a move. It is done
the same way at every provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rehost.stacks import bucketproxy
from rehost.stacks.diagnostics import Diagnostic, PathKey
from rehost.stacks.fit import Finding, Fit
from rehost.stacks.load import Loaded
from rehost.stacks.model import Certificate, Firewall, Record, Rule, Server, Service, Size, Stack
from rehost.stacks.substitutes import group_for

_GIB = 1024**3
_SIZE = Size.model_construct(cpu=1, memory=_GIB, disk=20 * _GIB)
"""Room for a full cache of two versions, and the system."""
_LONGEST = 32
TTL = 60
"""Of the record, in seconds: it is turned when the platform moves."""


@dataclass(frozen=True)
class Proxy:
    """What stands in front of one bucket. `certificate` is the one that has to be issued for it, None where the
    stack has one that holds for the name."""

    group: str
    server: Server
    firewall: Firewall
    service: Service
    certificate: Certificate | None
    zone: str | None
    record: Record


def proxy(stack: Stack, name: str, public: str) -> Proxy:
    """The proxy of a bucket."""
    group, zone = group_for(f"buckets.{name}"), stack.zone_of(public)
    covering = certificate_for(stack, public)
    certificate = f"certificates.{covering or group}"
    server = Server(size=_SIZE, public=True, firewalls=(group,), ssh_keys=tuple(stack.ssh_keys))
    service = Service(
        image=bucketproxy.IMAGE,
        on=group,
        command=bucketproxy.command(),
        environment=dict(
            bucketproxy.environment(
                public, f"${{buckets.{name}.direct_url}}", f"${{{certificate}.chain}}", f"${{{certificate}.key}}"
            )
        ),
        ports=(str(bucketproxy.HTTPS), str(bucketproxy.HTTP)),
        healthcheck={"path": bucketproxy.HEALTH, "port": bucketproxy.HTTP},
    )
    return Proxy(
        group,
        server,
        Firewall(
            ingress=(
                Rule(ports=(22,), peers="anywhere", description="SSH"),
                Rule(ports=(bucketproxy.HTTP, bucketproxy.HTTPS), peers="anywhere", description="Readers"),
            )
        ),
        service,
        None if covering else Certificate(domains=(public,), issuer="acme"),
        zone,
        Record(name=relative(public, zone or ""), to=f"servers.{group}", ttl=TTL),
    )


def relative(name: str, zone: str) -> str:
    """A name as a record of its zone has it."""
    return "@" if name == zone else name.removesuffix(f".{zone}")


def certificate_for(stack: Stack, public: str) -> str | None:
    """The certificate of the stack that holds for a name and whose key a server may have, the first by name."""
    fits = {public, f"*.{public.partition('.')[2]}"}
    own = (name for name, c in stack.certificates.items() if c.issuer != "managed" and fits & set(c.domains))
    return min(own, default=None)


def named(stack: Stack) -> dict[str, str]:
    """The public names of buckets that have one, by bucket."""
    return {name: bucket.public_name for name, bucket in stack.buckets.items() if bucket.public_name}


def check_public_names(stack: Stack, loaded: Loaded) -> Iterator[Diagnostic]:
    """Every finding, with paths into the partial stack."""
    seen: dict[str, str] = {}
    for name, public in named(stack).items():
        path: PathKey = ("buckets", name, "public_name")
        if public in seen:
            why = f"{public} is that of the bucket {seen[public]} already"
            fix = "give each a name of its own"
            yield Diagnostic("repeated", f"two buckets are called {public}", why, fix, path)
        seen.setdefault(public, name)
        if not stack.buckets[name].public_read and ("buckets", name, "public_read") not in loaded.left_out:
            why = "a public name is for everybody who reads its objects"
            fix = f"set public_read: true in buckets.{name}, or take public_name out"
            yield Diagnostic("public-name", f"the bucket {name} can't be read by everybody", why, fix, path)
        yield from _zone(stack, loaded, public, path)
        yield from _certificate(stack, loaded, public, path)
        yield from _taken(stack, name, path)


def _zone(stack: Stack, loaded: Loaded, public: str, path: PathKey) -> Iterator[Diagnostic]:
    zone = stack.zone_of(public)
    if zone is None:
        known = loaded.declared("dns")
        if not any(public == other or public.endswith(f".{other}") for other in known):
            why = f"its zones are {', '.join(known)}" if known else "the stack has no zone at all"
            fix = "name it within one of them" if known else "add the zone under `dns:`"
            yield Diagnostic("public-name", f"{public} is in no zone of the stack", why, fix, path)
        return
    short = relative(public, zone)
    for record in stack.dns[zone]:
        own = record.name.lower() == short
        if own and record.type in ("A", "AAAA", "CNAME"):
            why = "that name leads to the proxy in front of the bucket, and nowhere else"
            fix = f"remove the record, or choose another name within {zone}"
            yield Diagnostic("public-name", f"{public} has a record of type {record.type} already", why, fix, path)
        elif record.type == "NS" and record.name != "@" and (own or short.endswith(f".{record.name.lower()}")):
            why = f"{record.full(zone)} is delegated: who asks for {public} is sent to other name servers"
            yield Diagnostic("public-name", f"{public} is not in {zone}", why, "choose a name outside of it", path)


def _certificate(stack: Stack, loaded: Loaded, public: str, path: PathKey) -> Iterator[Diagnostic]:
    unsure = any(left[:1] in (("certificates",), ("acme",)) for left in loaded.left_out)
    if unsure or certificate_for(stack, public):
        return
    if not (stack.acme and stack.acme.terms_agreed):
        yield Diagnostic(
            "public-name",
            f"nobody issues a certificate for {public}",
            "the proxy proves with one who it is, and a managed one can't be put on a server",
            "add `acme: {terms_agreed: true}` (read Let's Encrypt's terms: letsencrypt.org/repository), or a "
            "certificate for the name with issuer: acme or upload",
            path,
        )


def _taken(stack: Stack, name: str, path: PathKey) -> Iterator[Diagnostic]:
    group = group_for(f"buckets.{name}")
    if len(group) > _LONGEST or any(
        group in part for part in (stack.servers, stack.firewalls, stack.services, stack.certificates)
    ):
        why = f"a server {group} is put in front of the bucket, with a certificate and a service of that name"
        fix = f"rename {name}" if len(group) > _LONGEST else f"rename {name}, or what is called {group} already"
        yield Diagnostic("reserved-name", f"{group} can't be the name of a server", why, fix, path)


def findings(stack: Stack, place: str, price: Callable[[str], str]) -> Iterator[Finding]:
    """How a public name is realised at a target called `place`; `price` tells what a component costs there."""
    for name, public in named(stack).items():
        server = f"{group_for(f'buckets.{name}')}-1"
        reason = f"a caching proxy on a server of its own at {place} ({server}, {price(f'servers.{server}')})"
        yield Finding(f"buckets.{name}", Fit.SUBSTITUTED, f"{reason} answers for {public}")
