"""How Amazon realises what a stack asks for. Sources: data/kinds.json, EC2 and Route 53 user guides."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.stacks.model import Stack, Target
from rehost.stacks.portability import Finding, Fit


def fits(stack: Stack, target: Target) -> Iterator[Finding]:
    """What is not simply native, component by component."""
    del target
    for name, server in stack.servers.items():
        component = f"servers.{name}"
        if len(server.ssh_keys) > 1:
            reason = f"one SSH key is put on a server, {len(server.ssh_keys) - 1} are left out"
            yield Finding(component, Fit.LOST, reason, "add the others in user_data")
    network = stack.network
    if network and network.way_out == "shared" and len({s.zone for s in network.layout().values()}) > 1:
        reason = "the gateway is in one zone: when that is away, servers of the others reach no Internet either"
        yield Finding("network", Fit.LOST, reason, "write network: {way_out: zonal}")
    for name, server in stack.servers.items():
        if server.reverse and any(stack.address_of(member) is None for member in server.members(name)):
            reason = "only static addresses have reverse names"
            yield Finding(f"servers.{name}", Fit.LOST, reason, "give each server a static address")
    for name, address in stack.static_addresses.items():
        if address.reverse:
            reason = "a reverse name is taken once the name resolves to the address"
            step = f"let {address.reverse} resolve to it (the zone has to be delegated), and deploy again"
            yield Finding(f"static_addresses.{name}", Fit.OPERATOR, reason, step)
    for name, bucket in stack.buckets.items():
        if bucket.public_name:
            reason = f"CloudFront does not answer for {bucket.public_name}: a proxy does, as anywhere else"
            yield Finding(f"buckets.{name}", Fit.SUBSTITUTED, reason)
    relay = stack.mail.relay if stack.mail else None
    if relay is not None and relay.port == 25:
        reason = "the relay is asked at port 25, which is closed to instances until Amazon opens it"
        yield Finding("mail", Fit.OPERATOR, reason, "use port 587, or ask for it in the console")
    for zone in stack.dns:
        step = f"name Amazon's name servers for {zone} at its registrar, once the records there are right"
        yield Finding(f"dns.{zone}", Fit.OPERATOR, "the delegation goes to Amazon's name servers", step)
