"""aws:ec2/subnet:Subnet"""

from __future__ import annotations

from collections.abc import Mapping

from rehost.providers.aws.kinds.common import Ec2Kind, Item
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Subnet(Ec2Kind):
    """A part of a network in one zone."""

    token = "aws:ec2/subnet:Subnet"
    describe, items, id_field = "describe_subnets", "Subnets", "SubnetId"
    id_filter, resource_type = "subnet-id", "subnet"

    def properties(self, item: Item) -> dict[str, Value]:
        naming = item.get("PrivateDnsNameOptionsOnLaunch") or {}
        return {
            "arn": item.get("SubnetArn", ""),
            "vpcId": item["VpcId"],
            "cidrBlock": item["CidrBlock"],
            "availabilityZone": item["AvailabilityZone"],
            "availabilityZoneId": item.get("AvailabilityZoneId", ""),
            "mapPublicIpOnLaunch": item.get("MapPublicIpOnLaunch", False),
            "assignIpv6AddressOnCreation": item.get("AssignIpv6AddressOnCreation", False),
            "enableDns64": item.get("EnableDns64", False),
            "ipv6Native": item.get("Ipv6Native", False),
            "ipv6CidrBlock": "",
            "ipv6CidrBlockAssociationId": "",
            "enableResourceNameDnsARecordOnLaunch": naming.get("EnableResourceNameDnsARecord", False),
            "enableResourceNameDnsAaaaRecordOnLaunch": naming.get("EnableResourceNameDnsAAAARecord", False),
            "privateDnsHostnameTypeOnLaunch": naming.get("HostnameType", "ip-name"),
            "ownerId": item.get("OwnerId", ""),
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        zone = {"AvailabilityZone": inputs["availabilityZone"]} if "availabilityZone" in inputs else {}
        with guarded("create_subnet"):
            id_ = self.client.create_subnet(
                VpcId=inputs["vpcId"],
                CidrBlock=inputs["cidrBlock"],
                TagSpecifications=self.specification(inputs),
                **zone,
            )["Subnet"]["SubnetId"]
            call.made(id_)
            live = self.settled(call, id_, inputs)
            if inputs.get("mapPublicIpOnLaunch"):
                self._publish(id_, inputs)
                live = self.settled(call, id_, inputs)
        return live

    def _publish(self, id_: str, inputs: Mapping[str, Value]) -> None:
        self.client.modify_subnet_attribute(
            SubnetId=id_, MapPublicIpOnLaunch={"Value": bool(inputs.get("mapPublicIpOnLaunch"))}
        )

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "mapPublicIpOnLaunch"):
            self._publish(known.id, inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_subnet(SubnetId=known.id)
