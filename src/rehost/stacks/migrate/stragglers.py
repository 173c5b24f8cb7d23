"""Visitors who still come to the old side: passed on to the new one by units in place of those that were stopped.

Clients keep addresses for as long as a record's TTL says, and some for longer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from rehost.stacks.deployment import Deployment
from rehost.stacks.holding import FORWARD, SERVICES
from rehost.stacks.hosts.front import program
from rehost.stacks.migrate.addresses import addresses_of
from rehost.stacks.migrate.move import Move
from rehost.stacks.migrate.units import set_units
from rehost.stacks.model import Service, Stack

Route = tuple[str, int, str]
"""Address and port at the new side, and the name that is verified where TLS is spoken to it."""


def routes(stack: Stack, target: Deployment) -> dict[str, dict[int, Route]]:
    """By service, its ports that visitors reach by a name that turns, and where they go."""
    found: dict[str, dict[int, Route]] = {}
    as_deployed = target.as_deployed
    for balancer, name in _named(stack, "load_balancers"):
        front = stack.load_balancers[balancer]
        family, _, to = front.to.partition(".")
        group = stack.group_of(to) if family == "services" else to
        host = as_deployed.text(f"${{load_balancers.{balancer}.host}}")
        for listener in front.listen:
            if listener.redirect:
                continue
            first = stack.services[to].published[0][0] if family == "services" else listener.port
            port = listener.to_port or first
            for service in _serving(stack, group, port):
                route = (host, listener.port, name if listener.protocol == "https" else "")
                ports = found.setdefault(service, {})
                # Whoever came over TLS goes on over TLS.
                if route[2] or port not in ports:
                    ports[port] = route
    known = addresses_of(target)
    for group, name in _named(stack, "servers"):
        address = known.get((name, "A"))
        for service, about in stack.services.items():
            if address is not None and stack.group_of(service) == group:
                for port, _ in about.published:
                    found.setdefault(service, {}).setdefault(port, (address.values[0], port, ""))
    return found


def forwarders(stack: Stack, target: Deployment) -> dict[str, Service]:
    """The units that pass visitors on, by the names of their services."""
    return {
        f"{service}{FORWARD}": Service(
            on=stack.group_of(service),
            command=("python3", "relay.py"),
            files={name: program(name).decode() for name in ("relay.py", "forward.py")},
            environment={"FORWARD": json.dumps({str(port): route for port, route in sorted(ports.items())})},
            ports=tuple(str(port) for port in sorted(ports)),
            depends_on=(service,),
        )
        for service, ports in routes(stack, target).items()
    }


def passing_on(source: Deployment, target: Deployment) -> Deployment:
    """The source with its forwarders."""
    made = forwarders(source.stack, target)
    return source.like(stack=source.stack.model_copy(update={"services": {**source.stack.services, **made}}))


def stop(move: Move, side: Deployment, other: Deployment) -> dict[str, int]:
    """Hold all services of a side, and pass its visitors on to the other, which takes them once it is let go.
    Answers the steps by action. Raises RehostError."""
    hold = dict.fromkeys(side.stack.services, True)
    return set_units(move, passing_on(side, other), hold, components(side.stack))


def components(stack: Stack) -> list[str]:
    """What forwarders of a stack are called, whether there are any or not."""
    return [f"{SERVICES}{name}{FORWARD}" for name, service in sorted(stack.services.items()) if service.ports]


def _named(stack: Stack, family: str) -> Iterator[tuple[str, str]]:
    """Components of a family that records point to, each with a name."""
    told = set()
    for zone, records in stack.dns.items():
        for record in records:
            kind, _, name = (record.to or "").partition(".")
            if kind == family and name not in told:
                told.add(name)
                yield name, record.full(zone)


def _serving(stack: Stack, group: str | None, port: int) -> Iterator[str]:
    for name, service in stack.services.items():
        if stack.group_of(name) == group and any(outer == port for outer, _ in service.published):
            yield name
