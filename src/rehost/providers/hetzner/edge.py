"""Load balancers, certificates and static addresses to Hetzner's resources."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rehost.providers.hetzner import tokens as t
from rehost.stacks.acme.lower import issued, on_servers_only
from rehost.stacks.graph import UNKNOWN, Join, Resource, Value, is_unknown, reveal
from rehost.stacks.model import Certificate, HealthCheck, Listener, LoadBalancer, Server, StaticAddress

if TYPE_CHECKING:
    from rehost.providers.hetzner.lower import HetznerLowering


def load_balancer(make: HetznerLowering, name: str, balancer: LoadBalancer) -> Iterator[Resource]:
    """A load balancer in the private network, which reaches its targets there: no firewall is in the way."""
    component = f"load_balancers.{name}"
    inputs = {
        "loadBalancerType": make.lowering.fact(f"load_balancers.{name}.type"),
        "location": make.lowering.target.region,
        "algorithm": {"type": balancer.algorithm},
    }
    yield make.labelled(t.BALANCER, name, component, inputs, override=balancer.override)
    join = {
        "loadBalancerId": make.ref(t.BALANCER, name),
        "subnetId": make.subnet(make.lowering.fact(f"load_balancers.{name}.subnet")),
        "enablePublicInterface": not balancer.internal,
    }
    subnets = tuple(make.lowering.urn(t.SUBNET, str(subnet.cidr)) for subnet in make.subnets.values())
    yield make.plain(t.BALANCER_NETWORK, name, component, join, after=subnets)
    joined = (make.lowering.urn(t.BALANCER_NETWORK, name),)
    for member in make.lowering.stack.servers_at(balancer.to):
        target = {
            "type": "server",
            "loadBalancerId": make.ref(t.BALANCER, name),
            "serverId": make.ref(t.SERVER, member),
            "usePrivateIp": True,
        }
        yield make.plain(t.BALANCER_TARGET, f"{name}-{member}", component, target, after=joined)
    # The https service answers port 80 itself when it redirects: a listener of its own would be in its way.
    redirects = any(listener.redirect for listener in balancer.listen)
    for listener in balancer.listen:
        if not listener.redirect:
            service = _service(make, name, balancer, listener, redirects)
            # What is internal answers nobody before it is, nor when it goes.
            yield make.plain(t.BALANCER_SERVICE, f"{name}-{listener.port}", component, service, after=joined)


def _service(
    make: HetznerLowering, name: str, balancer: LoadBalancer, listener: Listener, redirects: bool
) -> dict[str, Value]:
    inputs: dict[str, Value] = {
        "loadBalancerId": make.ref(t.BALANCER, name),
        "protocol": listener.protocol,
        "listenPort": listener.port,
        "destinationPort": listener.target_port,
        "proxyprotocol": False,
        "healthCheck": _health(balancer.health_check, listener),
    }
    if listener.protocol != "tcp":
        http: dict[str, Value] = {"stickySessions": balancer.sticky > 0}
        if balancer.sticky:
            http |= {"cookieName": "HCLBSTICKY", "cookieLifetime": balancer.sticky}
        if listener.certificate:
            certificate = make.lowering.stack.certificates[listener.certificate]
            token = t.MANAGED if certificate.issuer == "managed" else t.UPLOADED
            http["certificates"] = [make.ref(token, listener.certificate)]
            http["redirectHttp"] = redirects and listener.port == 443
        inputs["http"] = http
    return inputs


def _health(check: HealthCheck, listener: Listener) -> dict[str, Value]:
    health: dict[str, Value] = {
        "protocol": "http" if check.path else "tcp",
        "port": check.port or listener.target_port,
        "interval": check.interval,
        "timeout": check.timeout,
        "retries": check.retries,
    }
    if check.path:
        health["http"] = {"path": check.path, "statusCodes": check.status.split(","), "tls": False}
    return health


def certificate(make: HetznerLowering, name: str, wanted: Certificate) -> Iterator[Resource]:
    """A certificate that is uploaded, or that Hetzner has issued for names in its own DNS."""
    component = f"certificates.{name}"
    if wanted.issuer == "upload":
        chain = make.lowering.text(wanted.certificate or "", make.export)
        inputs = {
            "name": _renewed(make.lowering.physical(name), reveal(chain)),
            "certificate": chain,
            "privateKey": make.lowering.text(wanted.private_key or "", make.export),
        }
        yield make.labelled(t.UPLOADED, name, component, inputs, override=wanted.override)
        return
    zones = {make.lowering.stack.zone_of(domain.removeprefix("*.")) for domain in wanted.domains}
    after = tuple(make.lowering.urn(t.ZONE, zone) for zone in sorted(zone for zone in zones if zone))
    if wanted.issuer == "acme":
        made = issued(make.lowering, name, wanted, after)
        yield from made.resources
        if on_servers_only(make.lowering.stack, name):
            return
        uploaded = {
            "name": Join((make.lowering.physical(name), "-", made.suffix)),
            "certificate": made.chain,
            "privateKey": made.key,
        }
        yield make.labelled(t.UPLOADED, name, component, uploaded, override=wanted.override)
        return
    domains = list(wanted.domains)
    managed = {"name": _renewed(make.lowering.physical(name), domains), "domainNames": domains}
    yield make.labelled(t.MANAGED, name, component, managed, override=wanted.override, after=after)


def _renewed(name: str, content: Value) -> Value:
    """A name with a suffix of the content: a certificate that is in use stays until its successor is there, and
    names are unique in a project."""
    if is_unknown(content):
        return UNKNOWN
    return f"{name}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]}"


def static_address(make: HetznerLowering, name: str, address: StaticAddress) -> Iterator[Resource]:
    """A primary address; the server that it is for names it when it is made, or takes it while it is off."""
    component = f"static_addresses.{name}"
    member = next(iter(make.lowering.stack.servers_at(address.on or "")), None)
    inputs = {
        "type": "ipv4",
        "location": make.location_of(member) if member else make.lowering.target.region,
        "assigneeType": "server",
        "autoDelete": False,
    }
    yield make.labelled(t.PRIMARY_IP, name, component, inputs, override=address.override)
    reverse = address.reverse or (make.lowering.stack.reverse_of(member) if member else None)
    if reverse:
        pointer = {
            "primaryIpId": make.ref(t.PRIMARY_IP, name),
            "ipAddress": make.ref(t.PRIMARY_IP, name, "ipAddress"),
            "dnsPtr": reverse,
        }
        yield make.plain(t.RDNS, name, component, pointer)


def reverse_names(make: HetznerLowering, group: str, server: Server) -> Iterator[Resource]:
    """The names that a group's public addresses of both versions lead back to; static ones have their own."""
    stack = make.lowering.stack
    for member in server.members(group) if server.public and server.reverse else ():
        for family, path in (("v4", "ipv4Address"), ("v6", "ipv6Address")):
            if family == "v4" and stack.address_of(member):
                continue
            pointer = {
                "serverId": make.ref(t.SERVER, member),
                "ipAddress": make.ref(t.SERVER, member, path),
                "dnsPtr": (server.reverse or "").replace("{server}", member),
            }
            yield make.plain(t.RDNS, f"servers.{member}.{family}", f"servers.{member}", pointer)
