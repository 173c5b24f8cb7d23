"""Load balancers, certificates and static addresses to Amazon's resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rehost.providers.aws import tokens as t
from rehost.providers.pem import leaf_and_issuers
from rehost.stacks.acme.lower import issued, on_servers_only
from rehost.stacks.graph import Resource, Value
from rehost.stacks.model import Certificate, HealthCheck, Listener, LoadBalancer, StaticAddress

if TYPE_CHECKING:
    from rehost.providers.aws.lower import AwsLowering

_PROTOCOLS = {"tcp": "TCP", "http": "HTTP", "https": "HTTPS"}
_TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
"""TLS 1.2 and 1.3 only; Amazon's recommended policy."""


def load_balancer(make: AwsLowering, name: str, balancer: LoadBalancer, subnets: list[str]) -> Iterator[Resource]:
    """An application load balancer for http and https, a network load balancer for tcp."""
    component, full = f"load_balancers.{name}", f"lb-{name}"
    group = make.ref(t.GROUP, full)
    yield make.tagged(
        t.GROUP,
        full,
        component,
        {
            "name": make.lowering.physical(full),
            "description": f"Load balancer {name}",
            "vpcId": make.ref(t.VPC, "main"),
        },
    )
    yield from _rules(make, name, balancer, component)
    application = balancer.speaks_http
    inputs = {
        "name": make.lowering.physical(name),
        "loadBalancerType": "application" if application else "network",
        "internal": balancer.internal,
        "securityGroups": [group],
        "subnets": [make.ref(t.SUBNET, subnet) for subnet in subnets],
        "enableCrossZoneLoadBalancing": True,
    }
    yield make.tagged(t.BALANCER, name, component, inputs, override=balancer.override)
    members = make.lowering.stack.servers_at(balancer.to)
    for port, listeners in _by_target(balancer).items():
        yield from _targets(make, name, balancer, listeners[0], port, members)
    for listener in balancer.listen:
        yield _listener(make, name, listener, component)


def _by_target(balancer: LoadBalancer) -> dict[int, list[Listener]]:
    found: dict[int, list[Listener]] = {}
    for listener in balancer.listen:
        if not listener.redirect:
            found.setdefault(listener.target_port, []).append(listener)
    return found


def _rules(make: AwsLowering, name: str, balancer: LoadBalancer, component: str) -> Iterator[Resource]:
    """Visitors may reach the listeners, and the load balancer its targets, whatever their firewalls say."""
    full = f"lb-{name}"
    own = {"securityGroupId": make.ref(t.GROUP, full)}
    families = (
        [{"cidrIpv4": make.cidr}] if balancer.internal else [{"cidrIpv4": "0.0.0.0/0"}, {"cidrIpv6": "::/0"}]
    )
    for listener in balancer.listen:
        for family in families:
            version = next(iter(family))[-1]
            rule = {**own, **family, "ipProtocol": "tcp", "fromPort": listener.port, "toPort": listener.port}
            yield make.tagged(t.INGRESS, f"{full}-{listener.port}-{version}", component, rule)
    group = balancer.to.removeprefix("servers.")
    ports = sorted({*_by_target(balancer), *([balancer.health_check.port] if balancer.health_check.port else [])})
    for port in ports:
        span = {"ipProtocol": "tcp", "fromPort": port, "toPort": port}
        into = {**own, **span, "referencedSecurityGroupId": make.ref(t.GROUP, f"servers-{group}")}
        yield make.tagged(t.EGRESS, f"{full}-to-{port}", component, into)
        reach = {
            "securityGroupId": make.ref(t.GROUP, f"servers-{group}"),
            **span,
            "referencedSecurityGroupId": make.ref(t.GROUP, full),
        }
        yield make.tagged(t.INGRESS, f"servers-{group}-from-{full}-{port}", component, reach)


def _health(check: HealthCheck, application: bool) -> dict[str, Value]:
    over_http = check.path is not None or application
    health: dict[str, Value] = {
        "enabled": True,
        "protocol": "HTTP" if over_http else "TCP",
        "port": str(check.port) if check.port else "traffic-port",
        "interval": check.interval,
        "timeout": check.timeout,
        "healthyThreshold": check.retries,
        "unhealthyThreshold": check.retries,
    }
    if over_http:
        # Without a path of its own the check only asks whether anything answers.
        health["path"] = check.path or "/"
        health["matcher"] = _matcher(check.status) if check.path else "200-499"
    return health


def _matcher(status: str) -> str:
    return ",".join(f"{part[0]}00-{part[0]}99" if part.endswith("??") else part for part in status.split(","))


def _targets(
    make: AwsLowering, name: str, balancer: LoadBalancer, listener: Listener, port: int, members: list[str]
) -> Iterator[Resource]:
    component, full = f"load_balancers.{name}", f"{name}-{port}"
    application = balancer.speaks_http
    inputs: dict[str, Value] = {
        "name": make.lowering.physical(full),
        "port": port,
        "protocol": "HTTP" if application else "TCP",
        "targetType": "instance",
        "vpcId": make.ref(t.VPC, "main"),
        "deregistrationDelay": 30,
        "healthCheck": _health(balancer.health_check, application),
    }
    if application:
        inputs["loadBalancingAlgorithmType"] = (
            "least_outstanding_requests" if balancer.algorithm == "least_connections" else "round_robin"
        )
        if balancer.sticky:
            inputs["stickiness"] = {"enabled": True, "type": "lb_cookie", "cookieDuration": balancer.sticky}
    yield make.tagged(t.TARGETS, full, component, inputs)
    for member in members:
        join = {
            "targetGroupArn": make.ref(t.TARGETS, full, "arn"),
            "targetId": make.ref(t.INSTANCE, member),
            "port": port,
        }
        yield make.plain(t.TARGET, f"{full}-{member}", component, join)


def _listener(make: AwsLowering, name: str, listener: Listener, component: str) -> Resource:
    action: dict[str, Value]
    if listener.redirect:
        action = {"type": "redirect", "redirect": {"protocol": "HTTPS", "port": "443", "statusCode": "HTTP_301"}}
    else:
        action = {
            "type": "forward",
            "targetGroupArn": make.ref(t.TARGETS, f"{name}-{listener.target_port}", "arn"),
        }
    inputs: dict[str, Value] = {
        "loadBalancerArn": make.ref(t.BALANCER, name, "arn"),
        "port": listener.port,
        "protocol": _PROTOCOLS[listener.protocol],
        "defaultActions": [action],
    }
    if listener.certificate:
        certificate = make.lowering.stack.certificates[listener.certificate]
        # A listener refuses a certificate that is pending: only the validation's arn is that of a good one.
        token = t.VALIDATION if certificate.issuer == "managed" else t.CERTIFICATE
        path = "certificateArn" if certificate.issuer == "managed" else "arn"
        inputs["certificateArn"] = make.ref(token, listener.certificate, path)
        inputs["sslPolicy"] = _TLS_POLICY
    return make.tagged(t.LISTENER, f"{name}-{listener.port}", component, inputs)


def certificate(make: AwsLowering, name: str, wanted: Certificate) -> Iterator[Resource]:
    """A certificate that is uploaded, or issued once the records that Amazon asks for are in the zone."""
    component = f"certificates.{name}"
    if wanted.issuer == "upload":
        # What is sent in one piece is refused.
        leaf, issuers = leaf_and_issuers(make.lowering.text(wanted.certificate or "", make.export))
        inputs = {
            "certificateBody": leaf,
            "certificateChain": issuers,
            "privateKey": make.lowering.text(wanted.private_key or "", make.export),
        }
        yield make.tagged(t.CERTIFICATE, name, component, inputs, override=wanted.override)
        return
    if wanted.issuer == "acme":
        zones = {make.lowering.stack.zone_of(domain.removeprefix("*.")) for domain in wanted.domains}
        after = [make.lowering.urn(t.ZONE, zone) for zone in sorted(zone for zone in zones if zone)]
        made = issued(make.lowering, name, wanted, after)
        yield from made.resources
        if on_servers_only(make.lowering.stack, name):
            return
        # A newer one is imported under the same ARN: listeners change over by themselves.
        inputs = {
            "certificateBody": made.leaf,
            "certificateChain": made.issuers,
            "privateKey": made.key,
        }
        yield make.tagged(t.CERTIFICATE, name, component, inputs, override=wanted.override)
        return
    domains = list(wanted.domains)
    inputs = {"domainName": domains[0], "validationMethod": "DNS", "subjectAlternativeNames": domains}
    yield make.tagged(t.CERTIFICATE, name, component, inputs, override=wanted.override)
    proofs: list[Value] = []
    # A wildcard is proven by the same record as its base, and so is a domain that another certificate has too.
    # The kind gives the options in order of their domains.
    for position, domain in enumerate(sorted(domains)):
        base = domain.removeprefix("*.")
        if domain != base and base in domains:
            continue
        proofs.append(make.ref(t.RECORD, f"proof-{base}", "fqdn"))
        if base in make.proven:
            continue
        make.proven.add(base)
        option = f"domainValidationOptions[{position}]"
        record = {
            "zoneId": make.ref(t.ZONE, make.lowering.stack.zone_of(base) or ""),
            "name": make.ref(t.CERTIFICATE, name, f"{option}.resourceRecordName"),
            "type": "CNAME",
            "ttl": 60,
            "records": [make.ref(t.CERTIFICATE, name, f"{option}.resourceRecordValue")],
        }
        yield make.plain(t.RECORD, f"proof-{base}", component, record)
    valid = {
        "certificateArn": make.ref(t.CERTIFICATE, name, "arn"),
        "validationRecordFqdns": proofs,
    }
    yield make.plain(t.VALIDATION, name, component, valid)


def static_address(make: AwsLowering, name: str, address: StaticAddress) -> Iterator[Resource]:
    """An address of its own, put on one server or kept for later, and the name that it leads back to."""
    component, stack = f"static_addresses.{name}", make.lowering.stack
    yield make.tagged(t.ADDRESS, name, component, {"domain": "vpc"}, override=address.override)
    member = next(iter(stack.servers_at(address.on or "")), None)
    if member is not None:
        join = {"allocationId": make.ref(t.ADDRESS, name), "instanceId": make.ref(t.INSTANCE, member)}
        yield make.plain(t.ADDRESSED, name, component, join)
    reverse = address.reverse or (stack.reverse_of(member) if member else None)
    if reverse:
        # The name has to resolve to the address before.
        zone = stack.zone_of(reverse)
        forward = [r for r in stack.dns.get(zone or "", ()) if r.full(zone or "") == reverse and r.type == "A"]
        after = (make.lowering.urn(t.RECORD, f"{reverse}/A"),) if forward else ()
        inputs = {"allocationId": make.ref(t.ADDRESS, name), "domainName": reverse}
        yield make.plain(t.ADDRESS_NAME, name, component, inputs, after=after)
