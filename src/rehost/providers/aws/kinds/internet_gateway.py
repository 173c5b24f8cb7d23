"""aws:ec2/internetGateway:InternetGateway"""

from __future__ import annotations

from collections.abc import Mapping

from rehost.providers.aws.kinds.common import Ec2Kind, Item
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class InternetGateway(Ec2Kind):
    """The way out of a network."""

    token = "aws:ec2/internetGateway:InternetGateway"
    describe, items, id_field = "describe_internet_gateways", "InternetGateways", "InternetGatewayId"
    id_filter, resource_type = "internet-gateway-id", "internet-gateway"

    def properties(self, item: Item) -> dict[str, Value]:
        attached = [a["VpcId"] for a in item.get("Attachments", []) if a.get("State") != "detached"]
        owner = item.get("OwnerId", "")
        return {
            "arn": self.arn(f"internet-gateway/{self.id_of(item)}", account=owner),
            "vpcId": attached[0] if attached else "",
            "ownerId": owner,
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_internet_gateway"):
            made = self.client.create_internet_gateway(TagSpecifications=self.specification(inputs))
            id_ = made["InternetGateway"]["InternetGatewayId"]
            call.made(id_)
            self.settled(call, id_, inputs)
            if "vpcId" in inputs:
                self.client.attach_internet_gateway(InternetGatewayId=id_, VpcId=inputs["vpcId"])
        return self.settled(call, id_, inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "vpcId"):
            self._detach(known.id)
            self.client.attach_internet_gateway(InternetGatewayId=known.id, VpcId=inputs["vpcId"])

    def _detach(self, id_: str) -> None:
        item = self.one(id_)
        for attachment in item.get("Attachments", []) if item else []:
            self.client.detach_internet_gateway(InternetGatewayId=id_, VpcId=attachment["VpcId"])

    def remove(self, call: Call, known: Known) -> None:
        self._detach(known.id)
        self.client.delete_internet_gateway(InternetGatewayId=known.id)
