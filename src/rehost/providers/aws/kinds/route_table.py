"""aws:ec2/routeTable:RouteTable"""

from __future__ import annotations

from collections.abc import Mapping

from rehost.providers.aws.kinds.common import Ec2Kind, Item
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class RouteTable(Ec2Kind):
    """A route table without routes of its own: they are resources."""

    token = "aws:ec2/routeTable:RouteTable"
    describe, items, id_field = "describe_route_tables", "RouteTables", "RouteTableId"
    id_filter, resource_type = "route-table-id", "route-table"

    def properties(self, item: Item) -> dict[str, Value]:
        owner = item.get("OwnerId", "")
        return {
            "arn": self.arn(f"route-table/{self.id_of(item)}", account=owner),
            "vpcId": item["VpcId"],
            "ownerId": owner,
            "propagatingVgws": [row["GatewayId"] for row in item.get("PropagatingVgws", [])],
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_route_table"):
            made = self.client.create_route_table(
                VpcId=inputs["vpcId"], TagSpecifications=self.specification(inputs)
            )["RouteTable"]
        call.made(made["RouteTableId"])
        return self.settled(call, made["RouteTableId"], inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_route_table(RouteTableId=known.id)
