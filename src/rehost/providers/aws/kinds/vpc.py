"""aws:ec2/vpc:Vpc"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Ec2Kind
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Vpc(Ec2Kind):
    """A network. Its DNS attributes have calls of their own."""

    token = "aws:ec2/vpc:Vpc"
    describe, items, id_field, id_filter, resource_type = "describe_vpcs", "Vpcs", "VpcId", "vpc-id", "vpc"

    def properties(self, item: Mapping[str, Any]) -> dict[str, Value]:
        def attribute(name: str) -> bool:
            answer = self.client.describe_vpc_attribute(VpcId=item["VpcId"], Attribute=name)
            return bool(answer[name[0].upper() + name[1:]]["Value"])

        with guarded("describe_vpc_attribute"):
            return {
                "cidrBlock": item["CidrBlock"],
                "instanceTenancy": item.get("InstanceTenancy", "default"),
                "dhcpOptionsId": item.get("DhcpOptionsId", ""),
                "ownerId": item.get("OwnerId", ""),
                "enableDnsSupport": attribute("enableDnsSupport"),
                "enableDnsHostnames": attribute("enableDnsHostnames"),
            }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_vpc"):
            made = self.client.create_vpc(
                CidrBlock=inputs["cidrBlock"], TagSpecifications=self.specification(inputs)
            )["Vpc"]
            call.made(made["VpcId"])
            self.settled(call, made["VpcId"], inputs)
            self._dns(made["VpcId"], inputs)
        return self.settled(call, made["VpcId"], inputs)

    def _dns(self, id_: str, inputs: Mapping[str, Value]) -> None:
        for name in ("enableDnsSupport", "enableDnsHostnames"):
            if name in inputs:
                field = name[0].upper() + name[1:]
                self.client.modify_vpc_attribute(VpcId=id_, **{field: {"Value": inputs[name]}})

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        self._dns(known.id, inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_vpc(VpcId=known.id)
