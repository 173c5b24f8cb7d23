"""aws:ec2/routeTable:RouteTable; its routes and associations are read from it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Ec2Kind
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class RouteTable(Ec2Kind):
    """A route table without rules of its own: routes are resources."""

    token = "aws:ec2/routeTable:RouteTable"
    describe, items, id_field = "describe_route_tables", "RouteTables", "RouteTableId"
    id_filter, resource_type = "route-table-id", "route-table"

    def properties(self, item: Mapping[str, Any]) -> dict[str, Value]:
        return {"vpcId": item["VpcId"], "ownerId": item.get("OwnerId", "")}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_route_table"):
            made = self.client.create_route_table(
                VpcId=inputs["vpcId"], TagSpecifications=self.specification(inputs)
            )["RouteTable"]
        call.made(made["RouteTableId"])
        return self.settled(call, made["RouteTableId"], inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_route_table(RouteTableId=known.id)
