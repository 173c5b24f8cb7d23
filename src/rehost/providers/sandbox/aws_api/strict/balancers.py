"""Load balancers and certificates: a certificate is issued when its record is in DNS, and not served before.

Sources: Elastic Load Balancing API reference, CreateListener, CreateLoadBalancer; ACM user guide, DNS validation.
"""

from __future__ import annotations

import json
from typing import Any

from moto.core.utils import utcnow

from rehost.providers.sandbox.aws_api.strict.ec2_network import LINGER_SECONDS, living
from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, before, settle

MOTO_ISSUES_SECONDS = 50
"""A little less than moto waits before it issues a certificate by itself, counted from its creation."""


@settle("acm")
@settle("elbv2")
def _issue(request: Request) -> None:
    """Issue what waits for records that are in a public zone of this account by now."""
    waiting = [c for c in request.backend("acm")._certificates.values() if c.status == "PENDING_VALIDATION"]
    if not waiting:
        return
    records = {
        (record.name.lower().rstrip("."), value.rstrip("."))
        for zone in request.backend("route53").zones.values()
        if not zone.private_zone
        for record in zone.rrsets
        if record.type == "CNAME"
        for value in record.records or []
    }
    for certificate in waiting:
        options = certificate.describe()["Certificate"].get("DomainValidationOptions", [])
        wanted = {
            (o["ResourceRecord"]["Name"].lower().rstrip("."), o["ResourceRecord"]["Value"].rstrip("."))
            for o in options
        }
        if wanted and wanted <= records:
            certificate.status = "ISSUED"
        elif (utcnow() - certificate.created_at).total_seconds() > MOTO_ISSUES_SECONDS:
            # Nobody issues it but this function: for moto it is always new.
            certificate.created_at = utcnow()


@before("acm:DeleteCertificate")
def _delete_certificate(request: Request) -> None:
    arn = json.loads(request.body or b"{}").get("CertificateArn", "")
    for balancer in request.backend("elbv2").load_balancers.values():
        for listener in balancer.listeners.values():
            if arn in _arns(listener):
                raise Refusal(
                    "ResourceInUseException", f"Certificate {arn} in use. It's associated with {balancer.arn}"
                )


def _arns(listener: Any) -> set[str]:
    found = {listener.certificate} if listener.certificate else set()
    return found | {
        str(c.get("CertificateArn") if isinstance(c, dict) else c) for c in listener.certificates or []
    }


@before("elbv2:CreateLoadBalancer")
def _balancer(request: Request) -> None:
    elb, ec2, name = request.backend(), request.backend("ec2"), request.get("Name")
    ids = request.all("Subnets") or [
        value for key, value in request.call.params.items() if key.endswith(".SubnetId") and "SubnetMapping" in key
    ]
    known = {id_: subnet for zone in ec2.subnets.values() for id_, subnet in zone.items()}
    missing = [id_ for id_ in ids if id_ not in known]
    if missing:
        raise Refusal("SubnetNotFound", f"The subnet ID '{missing[0]}' does not exist")
    zones = {known[id_].availability_zone for id_ in ids}
    if request.get("Type") in ("", "application") and len(zones) < 2:
        raise Refusal(
            "ValidationError", "At least two subnets in two different Availability Zones must be specified"
        )
    if any(balancer.name == name for balancer in elb.load_balancers.values()):
        raise Refusal("DuplicateLoadBalancerName", f"A load balancer with the same name '{name}' exists")
    for group in request.all("SecurityGroups"):
        if ec2.get_security_group_from_id(group) is None:
            raise Refusal("InvalidSecurityGroup", f"One or more security groups are invalid: {group}")


@before("elbv2:DeleteLoadBalancer")
def _delete_balancer(request: Request) -> None:
    balancer = request.backend().load_balancers.get(request.get("LoadBalancerArn"))
    if balancer is None:
        return
    # Its interfaces stay for a while, and with them the use of its groups and subnets.
    kept = request.backend("ec2").__dict__.setdefault("rehost_lingering", [])
    kept[:] = [row for row in kept if row[0] > request.now]
    for subnet in balancer.subnets:
        groups = list(balancer.security_groups or ())
        kept.append((request.now + LINGER_SECONDS, subnet.id, balancer.vpc_id, groups))


@before("elbv2:CreateListener", "elbv2:ModifyListener", "elbv2:AddListenerCertificates")
def _listener(request: Request) -> None:
    elb = request.backend()
    certificates = [v for k, v in request.call.params.items() if k.endswith(".CertificateArn")]
    for arn in certificates:
        found = request.backend("acm")._certificates.get(arn)
        if found is not None and found.status != "ISSUED":
            raise Refusal(
                "UnsupportedCertificate",
                f"The certificate '{arn}' must have a fully-qualified domain name, a supported signature, and a "
                "supported key size.",
            )
    if request.call.operation != "CreateListener":
        return
    if request.get("Protocol") in ("HTTPS", "TLS") and not certificates:
        raise Refusal(
            "ValidationError", f"A certificate must be specified for {request.get('Protocol')} listeners"
        )
    balancer = elb.load_balancers.get(request.get("LoadBalancerArn"))
    taken = [str(listener.port) for listener in balancer.listeners.values()] if balancer else []
    if request.get("Port") in taken:
        raise Refusal(
            "DuplicateListener", f"A listener already exists on this port for this load balancer '{balancer.arn}'"
        )


@before("elbv2:RegisterTargets")
def _targets(request: Request) -> None:
    ids = {instance.id for instance in living(request.backend("ec2"))}
    strange = [
        v for k, v in request.call.params.items() if k.endswith(".Id") and v.startswith("i-") and v not in ids
    ]
    if strange:
        raise Refusal("InvalidTarget", f"The following targets do not exist: '{', '.join(strange)}'")
