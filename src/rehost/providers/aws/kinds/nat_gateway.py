"""aws:ec2/natGateway:NatGateway"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Ec2Kind, Item, given
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class NatGateway(Ec2Kind):
    """The way out for servers without public addresses. One that is gone is shown for another hour."""

    token = "aws:ec2/natGateway:NatGateway"
    describe, items, id_field = "describe_nat_gateways", "NatGateways", "NatGatewayId"
    id_filter, resource_type = "nat-gateway-id", "natgateway"

    def pages(self, filters: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
        with guarded(self.describe):
            return list(self.client.get_paginator(self.describe).paginate(Filter=filters))

    def alive(self, item: Item) -> bool:
        return item["State"] not in ("deleting", "deleted")

    def properties(self, item: Item) -> dict[str, Value]:
        address: Item = next(
            (row for row in item.get("NatGatewayAddresses", []) if row.get("IsPrimary", True)), {}
        )
        return {
            "allocationId": address.get("AllocationId", ""),
            "associationId": address.get("AssociationId", ""),
            "connectivityType": item.get("ConnectivityType", "public"),
            "networkInterfaceId": address.get("NetworkInterfaceId", ""),
            "privateIp": address.get("PrivateIp", ""),
            "publicIp": address.get("PublicIp", ""),
            "subnetId": item.get("SubnetId", ""),
        }

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        return {key: value for key, value in inputs.items() if key != "privateIp"}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_nat_gateway"):
            id_ = self.client.create_nat_gateway(
                ClientToken=call.client_token,
                SubnetId=inputs["subnetId"],
                TagSpecifications=self.specification(inputs),
                **given(
                    inputs,
                    AllocationId="allocationId",
                    ConnectivityType="connectivityType",
                    PrivateIpAddress="privateIp",
                ),
            )["NatGateway"]["NatGatewayId"]
        call.made(id_)

        def ready(item: Item) -> bool:
            if item["State"] == "failed":
                raise ProviderError(
                    f"the NAT gateway {id_} could not be made",
                    reason=Reason.FAILED,
                    code=item.get("FailureCode", ""),
                    why=item.get("FailureMessage", ""),
                )
            return bool(item["State"] == "available")

        return self.live(inputs, self.until(call, id_, ready, "available"))

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_nat_gateway(NatGatewayId=known.id)

        def gone() -> bool:
            # Its address can be used again when it is deleted, not when it begins to be.
            rows = [
                row
                for page in self.pages([{"Name": self.id_filter, "Values": [known.id]}])
                for row in page[self.items]
            ]
            return all(row["State"] == "deleted" for row in rows)

        call.poll(gone, f"{known.id} to be deleted")
