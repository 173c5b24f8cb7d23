"""Load balancers and certificates: a certificate is issued when its record is in DNS, and not served before.

Sources: Elastic Load Balancing API reference, CreateListener, CreateLoadBalancer; ACM user guide, DNS validation.
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
import json
import re
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from moto.core.utils import utcnow

from rehost.providers.sandbox.aws_api.strict.ec2_network import LINGER_SECONDS, living
from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, before, settle

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$)(?:\*\.)?(?:{_LABEL}\.)+{_LABEL}")
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
            if "ResourceRecord" in o
        }
        if wanted and wanted <= records:
            certificate.status = "ISSUED"
        elif (utcnow() - certificate.created_at).total_seconds() > MOTO_ISSUES_SECONDS:
            # Nobody issues it but this function: for moto it is always new.
            certificate.created_at = utcnow()


@before("acm:ImportCertificate")
def _import_certificate(request: Request) -> None:
    """The certificate and what it was issued by come apart, in order. Source: ACM user guide, "Certificate import
    problems", and what it answers to people (hashicorp/terraform-provider-aws#19400, go-acme/lego#1506)."""
    given = json.loads(request.body or b"{}")
    body, chain = (_certificates(given.get(name)) for name in ("Certificate", "CertificateChain"))
    if len(body) > 1:
        raise Refusal(
            "ValidationException",
            "The certificate field contains more than one certificate. You can specify only one certificate in "
            "this field.",
        )
    for one, issuer in itertools.pairwise([*body, *chain]):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            text = "Could not validate the certificate with the certificate chain."
            raise Refusal("ValidationException", text) from None


def _certificates(given: str | None) -> list[x509.Certificate]:
    """What a field holds; what is no certificate at all moto refuses."""
    try:
        return x509.load_pem_x509_certificates(base64.standard_b64decode(given or ""))
    except ValueError:
        return []


@before("acm:DeleteCertificate")
def _delete_certificate(request: Request) -> None:
    arn = json.loads(request.body or b"{}").get("CertificateArn", "")
    for balancer in request.backend("elbv2").load_balancers.values():
        for listener in balancer.listeners.values():
            if arn in _arns(listener):
                raise Refusal(
                    "ResourceInUseException", f"Certificate {arn} in use. It's associated with {balancer.arn}"
                )


@before("acm:RequestCertificate")
def _domains(request: Request) -> None:
    body = json.loads(request.body or b"{}")
    for name in [body.get("DomainName", ""), *body.get("SubjectAlternativeNames", [])]:
        if not re.fullmatch(
            r"(?=.{1,253}$)(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]\S+", name
        ):
            raise Refusal(
                "ValidationException",
                f"1 validation error detected: Value '{name}' at 'domainName' failed to satisfy constraint",
            )


def _arns(listener: Any) -> set[str]:
    found = {listener.certificate} if listener.certificate else set()
    return found | {
        str(c.get("CertificateArn") if isinstance(c, dict) else c) for c in listener.certificates or []
    }


@before("elbv2:CreateLoadBalancer", "elbv2:CreateTargetGroup")
def _name(request: Request) -> None:
    name = request.get("Name")
    kind = "Load balancer" if request.call.operation.endswith("Balancer") else "Target group"
    if len(name) > 32:
        raise Refusal("ValidationError", f"{kind} name '{name}' cannot be longer than '32' characters")
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        text = f"{kind} name '{name}' can only contain characters that are alphanumeric characters and hyphens(-)"
        raise Refusal("ValidationError", text)
    if name.startswith("-") or name.endswith("-") or (kind == "Load balancer" and name.startswith("internal-")):
        text = f"{kind} name '{name}' cannot begin or end with a hyphen, or begin with 'internal-'"
        raise Refusal("ValidationError", text)


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
    if balancer.attrs.get("deletion_protection.enabled") == "true":
        raise Refusal(
            "OperationNotPermitted",
            f"Load balancer '{balancer.arn}' cannot be deleted because deletion protection is enabled",
        )
    # Its interfaces stay for a while, and with them the use of its groups and subnets.
    kept = request.backend("ec2").__dict__.setdefault("rehost_lingering", [])
    kept[:] = [row for row in kept if row[0] > request.now]
    for subnet in balancer.subnets:
        groups = list(balancer.security_groups or ())
        kept.append((request.due(LINGER_SECONDS), subnet.id, balancer.vpc_id, groups))


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
    group = request.backend().target_groups.get(request.get("TargetGroupArn"))
    if group is not None and group.target_type == "ip":
        _addresses(request)
        return
    strange = [
        v for k, v in request.call.params.items() if k.endswith(".Id") and v.startswith("i-") and v not in ids
    ]
    if strange:
        raise Refusal("InvalidTarget", f"The following targets do not exist: '{', '.join(strange)}'")


_PRIVATE = [
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
]


def _addresses(request: Request) -> None:
    """Targets by address lie in the network, or in the private ranges beyond it."""
    for key, value in request.call.params.items():
        if not key.endswith(".Id"):
            continue
        try:
            address = ipaddress.ip_address(value)
        except ValueError as error:
            raise Refusal("ValidationError", f"The IP address '{value}' is not a valid IPv4 address") from error
        if address.version == 4 and not any(address in network for network in _PRIVATE):
            raise Refusal(
                "ValidationError",
                f"The IP address '{value}' is not within a range that targets may have: the network's, "
                "10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16",
            )
