"""aws:ec2/placementGroup:PlacementGroup"""

from __future__ import annotations

from collections.abc import Mapping

from rehost.providers.aws.kinds.common import Ec2Kind, Item, given
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class PlacementGroup(Ec2Kind):
    """Keeps servers apart, or together. Its id is its name; tags go by another id; there are no pages."""

    token = "aws:ec2/placementGroup:PlacementGroup"
    describe, items, id_field = "describe_placement_groups", "PlacementGroups", "GroupName"
    id_filter, resource_type = "group-name", "placement-group"
    paged, tagged_by = False, "GroupId"

    def alive(self, item: Item) -> bool:
        return item.get("State") not in ("deleting", "deleted")

    def properties(self, item: Item) -> dict[str, Value]:
        return {
            "arn": item.get("GroupArn") or self.arn(f"placement-group/{item['GroupName']}"),
            "name": item["GroupName"],
            "partitionCount": item.get("PartitionCount") or 0,
            "placementGroupId": item.get("GroupId", ""),
            "spreadLevel": item.get("SpreadLevel") or "",
            "strategy": item["Strategy"],
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        name = str(inputs["name"])
        with guarded("create_placement_group"):
            self.client.create_placement_group(
                GroupName=name,
                Strategy=inputs["strategy"],
                TagSpecifications=self.specification(inputs),
                **given(inputs, PartitionCount="partitionCount", SpreadLevel="spreadLevel"),
            )
        return self.live(inputs, self.until(call, name, lambda item: item["State"] == "available", "available"))

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_placement_group(GroupName=known.id)
        self.until_gone(call, known.id)
