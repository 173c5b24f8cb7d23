"""Networks: what is in use can't be deleted. Codes: EC2 API reference, Error codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rehost.providers.sandbox.aws_api.strict.databases import holds
from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, before

LINGER_SECONDS = 1.0
"""The interfaces of a load balancer outlive it for so long (minutes at AWS)."""


def in_use(what: str) -> Refusal:
    """What EC2 says of a thing that others need."""
    return Refusal("DependencyViolation", f"resource {what} has a dependent object")


def living(ec2: Any) -> list[Any]:
    """Instances that are not gone."""
    return [
        instance
        for reservation in ec2.reservations.values()
        for instance in reservation.instances
        if instance._state.name != "terminated"
    ]


def interfaces(request: Request) -> Iterator[tuple[str, str, set[str]]]:
    """Subnet, network and groups of every network interface, those of managed services included."""
    ec2 = request.backend("ec2")
    for eni in ec2.enis.values():
        if eni.instance is None or eni.instance._state.name != "terminated":
            groups = {group.id for group in eni.group_set}
            yield eni.subnet.id, eni.subnet.vpc_id, groups
    for instance in living(ec2):
        if instance.subnet_id:
            subnet = ec2.get_subnet(instance.subnet_id)
            yield subnet.id, subnet.vpc_id, {group.id for group in instance.security_groups}
    for gateway in ec2.nat_gateways.values():
        if gateway.state != "deleted":
            yield gateway.subnet_id, ec2.get_subnet(gateway.subnet_id).vpc_id, set()
    for balancer in request.backend("elbv2").load_balancers.values():
        for subnet in balancer.subnets:
            yield subnet.id, balancer.vpc_id, set(balancer.security_groups or ())
    yield from holds(request)
    for until, subnet_id, vpc_id, groups in getattr(ec2, "rehost_lingering", []):
        if until > request.now:
            yield subnet_id, vpc_id, set(groups)


@before("ec2:DeleteSecurityGroup")
def _group(request: Request) -> None:
    ec2, id_ = request.backend(), request.get("GroupId")
    group = ec2.get_security_group_from_id(id_)
    if group is None:
        return
    if group.name == "default":
        raise Refusal("CannotDelete", f'the specified group: "{id_}" name: "default" cannot be deleted by a user')
    if any(id_ in groups for _, _, groups in interfaces(request)):
        raise in_use(id_)
    for others in ec2.groups.values():
        for other in others.values():
            rules = [*other.ingress_rules, *other.egress_rules] if other.id != id_ else []
            if any(rule.source_group.get("GroupId") == id_ for rule in rules):
                raise in_use(id_)


@before("ec2:DeleteSubnet")
def _subnet(request: Request) -> None:
    id_ = request.get("SubnetId")
    if any(subnet == id_ for subnet, _, _ in interfaces(request)):
        raise Refusal("DependencyViolation", f"The subnet '{id_}' has dependencies and cannot be deleted.")


@before("ec2:DeleteVpc")
def _vpc(request: Request) -> None:
    ec2, id_ = request.backend(), request.get("VpcId")
    needed = (
        any(subnet.vpc_id == id_ for zone in ec2.subnets.values() for subnet in zone.values())
        or any(gateway.vpc and gateway.vpc.id == id_ for gateway in ec2.internet_gateways.values())
        or any(group.name != "default" for group in ec2.groups.get(id_, {}).values())
        or any(t.vpc_id == id_ and not t.main_association_id for t in ec2.route_tables.values())
        or any(vpc == id_ for _, vpc, _ in interfaces(request))
    )
    if needed:
        raise Refusal("DependencyViolation", f"The vpc '{id_}' has dependencies and cannot be deleted.")


@before("ec2:DetachInternetGateway")
def _gateway(request: Request) -> None:
    ec2, vpc = request.backend(), request.get("VpcId")
    mapped = any(
        ec2.get_subnet(instance.subnet_id).vpc_id == vpc and instance.public_ip
        for instance in living(ec2)
        if instance.subnet_id
    )
    nat = any(ec2.get_subnet(g.subnet_id).vpc_id == vpc for g in ec2.nat_gateways.values() if g.state != "deleted")
    if mapped or nat:
        raise Refusal(
            "DependencyViolation",
            f"Network {vpc} has some mapped public address(es). "
            "Please unmap those public address(es) before detaching the gateway.",
        )


@before("ec2:DeleteRouteTable")
def _route_table(request: Request) -> None:
    table = request.backend().route_tables.get(request.get("RouteTableId"))
    if table is not None and table.main_association_id:
        raise Refusal(
            "DependencyViolation", f"The routeTable '{table.id}' has dependencies and cannot be deleted."
        )


@before("ec2:AssociateRouteTable")
def _association(request: Request) -> None:
    subnet = request.get("SubnetId")
    for table in request.backend().route_tables.values():
        for id_, target in table._associations.items():
            if subnet and target == subnet:
                raise Refusal(
                    "Resource.AlreadyAssociated",
                    f"the specified association for route table {table.id} conflicts with an existing "
                    f"association {id_}",
                )


@before("ec2:ReleaseAddress")
def _address(request: Request) -> None:
    for address in request.backend().addresses:
        if address.allocation_id == request.get("AllocationId") and (address.instance or address.eni):
            raise Refusal(
                "InvalidIPAddress.InUse", f"Address {address.public_ip} is in use; disassociate it first"
            )


@before("ec2:AssociateAddress")
def _associate(request: Request) -> None:
    ec2 = request.backend()
    instance = next((i for i in living(ec2) if i.id == request.get("InstanceId")), None)
    if instance is not None and instance._state.name == "pending":
        raise Refusal(
            "InvalidInstanceID",
            f"The pending instance '{instance.id}' is not in a valid state for this operation.",
        )
    wanted = request.get("AllocationId")
    for address in ec2.addresses:
        taken = address.allocation_id == wanted and address.association_id
        if taken and request.get("AllowReassociation") != "true" and (address.instance is not instance):
            raise Refusal(
                "Resource.AlreadyAssociated",
                f"resource {wanted} is already associated with associate-id {address.association_id}",
            )
