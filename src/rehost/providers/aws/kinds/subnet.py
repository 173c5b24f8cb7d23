"""aws:ec2/subnet:Subnet"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Ec2Kind
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Subnet(Ec2Kind):
    """A part of a network in one zone."""

    token = "aws:ec2/subnet:Subnet"
    describe, items, id_field = "describe_subnets", "Subnets", "SubnetId"
    id_filter, resource_type = "subnet-id", "subnet"

    def properties(self, item: Mapping[str, Any]) -> dict[str, Value]:
        return {
            "arn": item.get("SubnetArn", ""),
            "vpcId": item["VpcId"],
            "cidrBlock": item["CidrBlock"],
            "availabilityZone": item["AvailabilityZone"],
            "availabilityZoneId": item.get("AvailabilityZoneId", ""),
            "mapPublicIpOnLaunch": item.get("MapPublicIpOnLaunch", False),
            "ownerId": item.get("OwnerId", ""),
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_subnet"):
            made = self.client.create_subnet(
                VpcId=inputs["vpcId"],
                CidrBlock=inputs["cidrBlock"],
                AvailabilityZone=inputs["availabilityZone"],
                TagSpecifications=self.specification(inputs),
            )["Subnet"]
        call.made(made["SubnetId"])
        return self.settled(call, made["SubnetId"], inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_subnet(SubnetId=known.id)
