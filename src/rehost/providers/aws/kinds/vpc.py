"""aws:ec2/vpc:Vpc"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import BATCH, Ec2Kind, Item, camel, chunks
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live

_ATTRIBUTES = ("enableDnsSupport", "enableDnsHostnames")
_BORN_WITH = (
    ("describe_network_acls", "NetworkAcls", "default", "true", "NetworkAclId", "defaultNetworkAclId"),
    ("describe_route_tables", "RouteTables", "association.main", "true", "RouteTableId", "mainRouteTableId"),
    ("describe_security_groups", "SecurityGroups", "group-name", "default", "GroupId", "defaultSecurityGroupId"),
)
"""What comes into being with every network: call, items, filter and its value, id, property."""


class Vpc(Ec2Kind):
    """A network. Its DNS attributes have calls of their own."""

    token = "aws:ec2/vpc:Vpc"
    describe, items, id_field, id_filter, resource_type = "describe_vpcs", "Vpcs", "VpcId", "vpc-id", "vpc"

    def query(self, name: str, values: Sequence[str]) -> list[Item]:
        found = super().query(name, values)
        born: dict[str, dict[str, str]] = {item["VpcId"]: {} for item in found}
        for chunk in chunks(sorted(born), BATCH):
            for call, items, filter_, value, id_, name_ in _BORN_WITH:
                filters = [{"Name": "vpc-id", "Values": chunk}, {"Name": filter_, "Values": [value]}]
                with guarded(call):
                    for page in self.client.get_paginator(call).paginate(Filters=filters):
                        for row in page[items]:
                            born[row["VpcId"]][name_] = row[id_]
        return [{**item, "BornWith": born[item["VpcId"]]} for item in found]

    def _attribute(self, id_: str, name: str) -> bool:
        with guarded("describe_vpc_attribute"):
            return bool(self.client.describe_vpc_attribute(VpcId=id_, Attribute=name)[camel(name)]["Value"])

    def properties(self, item: Item) -> dict[str, Value]:
        id_, born = item["VpcId"], item["BornWith"]
        return {
            "arn": self.arn(f"vpc/{id_}", account=item.get("OwnerId", "")),
            "cidrBlock": item["CidrBlock"],
            "instanceTenancy": item.get("InstanceTenancy", "default"),
            "dhcpOptionsId": item.get("DhcpOptionsId", ""),
            "ownerId": item.get("OwnerId", ""),
            "ipv6AssociationId": "",
            "ipv6CidrBlock": "",
            **born,
            # A network made by rehost keeps the table that it was born with.
            "defaultRouteTableId": born.get("mainRouteTableId", ""),
            **{name: self._attribute(id_, name) for name in _ATTRIBUTES},
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_vpc"):
            request: dict[str, Any] = {"CidrBlock": inputs["cidrBlock"]}
            if "instanceTenancy" in inputs:
                request["InstanceTenancy"] = inputs["instanceTenancy"]
            id_ = self.client.create_vpc(**request, TagSpecifications=self.specification(inputs))["Vpc"]["VpcId"]
            call.made(id_)
            self.settled(call, id_, inputs)
            self._dns(id_, inputs)
        return self.settled(call, id_, inputs)

    def _dns(self, id_: str, inputs: Mapping[str, Value]) -> None:
        for name in _ATTRIBUTES:
            if name in inputs:
                self.client.modify_vpc_attribute(VpcId=id_, **{camel(name): {"Value": inputs[name]}})

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "instanceTenancy"):
            self.client.modify_vpc_tenancy(VpcId=known.id, InstanceTenancy=inputs["instanceTenancy"])
        self._dns(known.id, inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_vpc(VpcId=known.id)
