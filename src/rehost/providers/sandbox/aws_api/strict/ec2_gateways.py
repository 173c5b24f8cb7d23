"""What leads out of a network: internet gateways, routes, NAT gateways with their states, and interfaces.

Sources: EC2 API reference, Error codes; VPC user guide, "NAT gateway states".
"""

from __future__ import annotations

import re
from typing import Any

from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, after, before, settle
from rehost.providers.sandbox.wire import Answer

STATE_SECONDS = 0.3
"""So long a NAT gateway is pending, and so long it is being deleted; a minute or two at AWS."""


@settle("ec2")
def _states(request: Request) -> None:
    ec2 = request.backend()
    for gateway in list(ec2.nat_gateways.values()):
        due, state = getattr(gateway, "rehost_due", (0.0, ""))
        if state and request.now >= due:
            gateway.state, gateway.rehost_due = state, (0.0, "")
            if state == "deleted":
                _let_go(ec2, gateway)


def _let_go(ec2: Any, gateway: Any) -> None:
    """moto leaves the interface of a gateway that is gone, and the address at it."""
    for address in ec2.addresses:
        if address.eni is gateway._eni:
            address.eni, address.association_id = None, None
    ec2.enis.pop(gateway._eni.id, None)


@before("ec2:AttachInternetGateway")
def _attach(request: Request) -> None:
    vpc = request.get("VpcId")
    for gateway in request.backend().internet_gateways.values():
        if gateway.vpc is not None and gateway.vpc.id == vpc and gateway.id != request.get("InternetGatewayId"):
            raise Refusal("InvalidParameterValue", f"Network {vpc} already has an internet gateway attached")


@before("ec2:DetachInternetGateway")
def _detach(request: Request) -> None:
    gateway = request.backend().internet_gateways.get(request.get("InternetGatewayId"))
    vpc = request.get("VpcId")
    if gateway is not None and (gateway.vpc is None or gateway.vpc.id != vpc):
        raise Refusal("Gateway.NotAttached", f"resource {gateway.id} is not attached to network {vpc}")


@before("ec2:CreateRoute", "ec2:ReplaceRoute")
def _route(request: Request) -> None:
    ec2 = request.backend()
    table = ec2.route_tables.get(request.get("RouteTableId"))
    gateway = ec2.internet_gateways.get(request.get("GatewayId"))
    if table is not None and gateway is not None and (gateway.vpc is None or gateway.vpc.id != table.vpc_id):
        raise Refusal(
            "InvalidParameterValue",
            f"route table {table.id} and network gateway {gateway.id} belong to different networks",
        )
    nat = ec2.nat_gateways.get(request.get("NatGatewayId"))
    if request.get("NatGatewayId") and (nat is None or nat.state in ("deleting", "deleted")):
        raise Refusal(
            "InvalidNatGatewayID.NotFound", f"The natGateway ID '{request.get('NatGatewayId')}' does not exist"
        )


@before("ec2:DeleteRoute")
def _local(request: Request) -> None:
    table = request.backend().route_tables.get(request.get("RouteTableId"))
    wanted = request.get("DestinationCidrBlock")
    for route in table.routes if table is not None else ():
        if route.local and route.destination_cidr_block == wanted:
            text = f"cannot remove local route {wanted} in route table {table.id}"
            raise Refusal("InvalidParameterValue", text)


@before("ec2:CreateNatGateway")
def _nat(request: Request) -> None:
    if request.get("ConnectivityType") != "private" and not request.get("AllocationId"):
        raise Refusal("MissingParameter", "The request must include the AllocationId parameter.")
    # moto would leave an interface behind.
    wanted = request.get("AllocationId")
    address = next((row for row in request.backend().addresses if row.allocation_id == wanted), None)
    if wanted and address is None:
        raise Refusal("InvalidAllocationID.NotFound", f"The allocation ID '{wanted}' does not exist")
    if address is not None and address.association_id:
        raise Refusal("Resource.AlreadyAssociated", f"resource {wanted} is already associated")


@after("ec2:CreateNatGateway")
def _made(request: Request, answer: Answer) -> None:
    found = re.search(r"<natGatewayId>(nat-\w+)</natGatewayId>", answer.body.decode())
    if found:
        gateway = request.backend().nat_gateways[found[1]]
        gateway.state, gateway.rehost_due = "pending", (request.due(STATE_SECONDS), "available")
        answer.body = answer.body.replace(b"<state>available</state>", b"<state>pending</state>")


@before("ec2:DeleteNatGateway")
def _delete_nat(request: Request) -> None:
    id_ = request.get("NatGatewayId")
    if id_ not in request.backend().nat_gateways:
        raise Refusal("NatGatewayNotFound", f"NAT gateway {id_} was not found")


@after("ec2:DeleteNatGateway")
def _deleted_nat(request: Request, answer: Answer) -> None:
    del answer
    gateway = request.backend().nat_gateways[request.get("NatGatewayId")]
    gateway.state, gateway.rehost_due = "deleting", (request.due(STATE_SECONDS), "deleted")


@before("ec2:DeleteNetworkInterface")
def _delete_interface(request: Request) -> None:
    eni = request.backend().enis.get(request.get("NetworkInterfaceId"))
    if eni is not None and _held(request, eni):
        raise Refusal("InvalidParameterValue", f"Network interface '{eni.id}' is currently in use.")


@before("ec2:AttachNetworkInterface")
def _attach_interface(request: Request) -> None:
    eni = request.backend().enis.get(request.get("NetworkInterfaceId"))
    if eni is not None and _held(request, eni):
        raise Refusal("InvalidNetworkInterface.InUse", f"Interface: [{eni.id}] in use.")


def _held(request: Request, eni: Any) -> bool:
    gateways = request.backend().nat_gateways.values()
    return eni.instance is not None or any(g._eni is eni and g.state != "deleted" for g in gateways)
