"""Limits of an account that nobody has had raised; off unless asked for.

Source: Service Quotas, default values for VPC, EC2, S3, Elastic Load Balancing and Route 53.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rehost.providers.sandbox.aws_api.strict.ec2_network import living
from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, before

Count = Callable[[Request], int]

VPCS, GATEWAYS, ADDRESSES, NAT_PER_ZONE, GROUP_RULES, VCPUS = 5, 5, 5, 5, 60, 32
SUBNETS_PER_VPC, ROUTE_TABLES_PER_VPC, KEY_PAIRS, BUCKETS, BALANCERS, ZONES = 200, 200, 5000, 10_000, 50, 500


def _in_vpc(request: Request, rows: Any) -> int:
    return sum(1 for row in rows if row.vpc_id == request.get("VpcId"))


_LIMITS: dict[str, tuple[str, int, Count]] = {
    "ec2:CreateVpc": ("VpcLimitExceeded", VPCS, lambda r: len(r.backend().vpcs)),
    "ec2:CreateInternetGateway": (
        "InternetGatewayLimitExceeded", GATEWAYS, lambda r: len(r.backend().internet_gateways),
    ),
    "ec2:AllocateAddress": ("AddressLimitExceeded", ADDRESSES, lambda r: len(r.backend().addresses)),
    "ec2:CreateNatGateway": (
        "NatGatewayLimitExceeded", NAT_PER_ZONE,
        lambda r: sum(1 for g in r.backend().nat_gateways.values() if g.state != "deleted"),
    ),
    "ec2:CreateSubnet": (
        "SubnetLimitExceeded", SUBNETS_PER_VPC,
        lambda r: _in_vpc(r, [s for zone in r.backend().subnets.values() for s in zone.values()]),
    ),
    "ec2:CreateRouteTable": (
        "RouteTableLimitExceeded", ROUTE_TABLES_PER_VPC, lambda r: _in_vpc(r, r.backend().route_tables.values()),
    ),
    "s3:CreateBucket": ("TooManyBuckets", BUCKETS, lambda r: len(r.backend().buckets)),
    "elbv2:CreateLoadBalancer": ("TooManyLoadBalancers", BALANCERS, lambda r: len(r.backend().load_balancers)),
    "route53:CreateHostedZone": ("TooManyHostedZones", ZONES, lambda r: len(r.backend().zones)),
}  # fmt: skip


@before(*_LIMITS)
def _limit(request: Request) -> None:
    code, most, count = _LIMITS[request.call.name]
    if request.settings.quotas and count(request) >= most:
        raise Refusal(code, f"The maximum number of {most} has been reached.")


@before("ec2:AuthorizeSecurityGroupIngress", "ec2:AuthorizeSecurityGroupEgress")
def _rules(request: Request) -> None:
    if not request.settings.quotas:
        return
    group = request.backend().get_security_group_from_id(request.get("GroupId"))
    if group is None:
        return
    rules = group.ingress_rules if "Ingress" in request.call.operation else group.egress_rules
    new = sum(1 for key in request.call.params if key.endswith((".CidrIp", ".CidrIpv6", ".GroupId")))
    if len(rules) + new > GROUP_RULES:
        raise Refusal(
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
        )


@before("ec2:RunInstances")
def _vcpus(request: Request) -> None:
    if not request.settings.quotas:
        return
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    def cores(kind: str) -> int:
        return int(INSTANCE_TYPES[kind]["VCpuInfo"]["DefaultVCpus"]) if kind in INSTANCE_TYPES else 1

    now = sum(cores(i.instance_type) for i in living(request.backend()) if i._state.name in ("pending", "running"))
    new = cores(request.get("InstanceType")) * int(request.get("MaxCount") or 1)
    if now + new > VCPUS:
        raise Refusal(
            "VcpuLimitExceeded",
            f"You have requested more vCPU capacity than your current vCPU limit of {VCPUS} allows for the "
            "instance bucket that the specified instance type belongs to.",
        )
