"""How Hetzner realises what a stack asks for. Sources: data/kinds.json, Cloud API and Object Storage documents."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.providers.hetzner import catalog, places
from rehost.stacks.model import Firewall, Stack, Target
from rehost.stacks.portability import Finding, Fit

_KEYS = (
    "make a pair in Hetzner's console (Object Storage, Manage credentials) and set HETZNER_S3_ACCESS_KEY and "
    "HETZNER_S3_SECRET_KEY"
)


def fits(stack: Stack, target: Target) -> Iterator[Finding]:
    """What is not simply native, component by component."""
    yield from _network(stack, target)
    for name, firewall in stack.firewalls.items():
        yield from _firewall(stack, name, firewall)
    for name in stack.servers:
        component = f"servers.{name}"
        reason = "disks of servers are not encrypted by the provider"
        yield Finding(component, Fit.LOST, reason, "encrypt what needs it on the server")
    for name in stack.volumes:
        reason = "volumes are not encrypted by the provider"
        yield Finding(f"volumes.{name}", Fit.LOST, reason, "encrypt the file system on the server (LUKS)")
    storage = catalog.storage_location(target)
    for name, bucket in stack.buckets.items():
        component = f"buckets.{name}"
        if bucket.encrypted:
            reason = "there is no setting that has objects encrypted where they lie"
            yield Finding(component, Fit.LOST, reason, "encrypt them before they are written")
        if bucket.owner_enforced:
            reason = "there is no setting that makes access lists of objects say nothing"
            yield Finding(component, Fit.LOST, reason, "write objects without an access list")
        yield Finding(component, Fit.OPERATOR, "the keys of the object storage are made by hand", _KEYS)
        if storage != target.region:
            yield Finding(
                component, Fit.SUBSTITUTED, f"the bucket is in {storage}, the servers in {target.region}"
            )
    for name, service in stack.services.items():
        if service.buckets:
            reason = (
                f"a pair of the project's keys lets it into {', '.join(service.buckets)}: servers have no "
                "identity, and a pair opens every bucket of its project, to read and to write"
            )
            step = "give services a pair of their own with HETZNER_S3_APP_ACCESS_KEY and HETZNER_S3_APP_SECRET_KEY"
            yield Finding(f"services.{name}", Fit.SUBSTITUTED, reason, step)
    for name, secret in stack.secrets.items():
        if secret.store:
            reason = "there is no store for secrets: people and programs outside the stack do not find it"
            yield Finding(f"secrets.{name}", Fit.LOST, reason, "give it to a store of your own")
    for name, certificate in stack.certificates.items():
        if certificate.issuer == "managed":
            reason = "certificates are issued once the zone is delegated to Hetzner"
            step = "until then bring one along with issuer: upload"
            yield Finding(f"certificates.{name}", Fit.OPERATOR, reason, step)
    relay = stack.mail.relay if stack.mail else None
    if relay is not None and relay.port in (25, 465):
        reason = f"the relay is asked at port {relay.port}: 25 and 465 are closed to servers of new accounts"
        yield Finding(
            "mail",
            Fit.OPERATOR,
            reason,
            "use port 587, or ask for it in the console (after a month and a paid invoice)",
        )
    for zone in stack.dns:
        step = f"name Hetzner's name servers for {zone} at its registrar, once the records there are right"
        yield Finding(f"dns.{zone}", Fit.OPERATOR, "the delegation goes to Hetzner's name servers", step)


def _network(stack: Stack, target: Target) -> Iterator[Finding]:
    zones = {subnet.zone for subnet in stack.subnets().values()}
    have = places.locations(target)
    cities = [catalog.locations().get(place, {}).get("city", place) for place in have]
    if len(zones) > len(have) and len(have) == 1:
        reason = f"the {len(zones)} zones become one: a location ({cities[0]}) has none inside"
        step = "name further locations for them (zone_locations), or plan for the loss of the whole location"
        yield Finding("network", Fit.LOST, reason, step)
    elif len(zones) > len(have):
        reason = f"the {len(zones)} zones become {len(have)}: {', '.join(cities)}"
        yield Finding("network", Fit.LOST, reason, "name further locations for them (zone_locations)")
    elif len(zones) > 1:
        reason = f"the zones are locations ({', '.join(cities[: len(zones)])}), further from each other than zones"
        yield Finding("network", Fit.SUBSTITUTED, reason)


def _firewall(stack: Stack, name: str, firewall: Firewall) -> Iterator[Finding]:
    behind = [group for group, server in stack.servers.items() if name in server.firewalls and not server.public]
    peers = {peer for rule in (*firewall.ingress, *firewall.egress) for peer in rule.peers}
    private = [group for group in stack.servers if f"servers.{group}" in peers and not stack.servers[group].public]
    step = "filter on the servers themselves (nftables)"
    if behind:
        reason = f"{', '.join(behind)} stay unfiltered: firewalls stand before public interfaces only"
        yield Finding(f"firewalls.{name}", Fit.LOST, reason, step)
    elif private:
        reason = f"traffic with {', '.join(private)} is private, and firewalls filter public interfaces only"
        yield Finding(f"firewalls.{name}", Fit.LOST, reason, step)
