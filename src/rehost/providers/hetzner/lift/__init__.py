"""Hetzner's resources to components."""

from __future__ import annotations

from collections.abc import Mapping

from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.lift import edge, firewalls, servers, storage
from rehost.providers.hetzner.lift.job import HetznerJob
from rehost.providers.hetzner.lower import HetznerLowering
from rehost.stacks.lift.draft import Draft, LiftJob
from rehost.stacks.lift.issued import issued
from rehost.stacks.lift.services import roles, services

OVERRIDABLE: Mapping[str, str] = {
    t.NETWORK: "network",
    t.FIREWALL: "firewalls",
    t.SERVER: "servers",
    t.VOLUME: "volumes",
    t.PRIMARY_IP: "static_addresses",
    t.UPLOADED: "certificates",
    t.MANAGED: "certificates",
    t.BALANCER: "load_balancers",
    t.BUCKET: "buckets",
}
_NO_FORM = {
    t.FLOATING_IP: "a stack file has static addresses that a server is made with; this one stays as it is",
    t.FLOATING_IP_ASSIGNMENT: "it belongs to a floating address",
    t.SNAPSHOT: "a stack file has no snapshots; it stays as it is",
    t.NETWORK_ROUTE: "a stack file has no routes of one's own; it stays as it is",
    t.RDNS: "it is not that of a static address of the stack; it stays as it is",
}


def lift(job: LiftJob) -> Draft:
    """The components that Hetzner's resources are."""
    made = HetznerJob(job)
    servers.network(made)
    servers.group(made)
    servers.way_out(made)
    servers.keys(made)
    servers.addresses(made)
    firewalls.lift(made)
    servers.lift(made)
    servers.volumes(made)
    issued(made)
    edge.certificates(made)
    edge.load_balancers(made)
    storage.buckets(made)
    storage.zones(made)
    # Texts refer to all that was lifted so far: only now is it known what they stand for.
    texts = made.texts()
    roles(made.items, made.draft, lambda item: None, texts)
    services(made.items, made.draft, made.member, texts, HetznerLowering(made.lowering()).variables())
    for later in made.later:
        later(texts)
    for item in made.items.of(*_NO_FORM):
        if item.key not in made.draft.known and item.key not in made.draft.claims.values():
            made.draft.leave(item, _NO_FORM[item.type])
    return made.draft
