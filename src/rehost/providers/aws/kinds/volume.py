"""aws:ebs/volume:Volume"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Ec2Kind
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Volume(Ec2Kind):
    """A block device; it grows in place. Sizes are GiB."""

    token = "aws:ebs/volume:Volume"
    describe, items, id_field = "describe_volumes", "Volumes", "VolumeId"
    id_filter, resource_type = "volume-id", "volume"

    def properties(self, item: Mapping[str, Any]) -> dict[str, Value]:
        return {
            "availabilityZone": item["AvailabilityZone"],
            "size": item["Size"],
            "type": item.get("VolumeType", ""),
            "encrypted": item.get("Encrypted", False),
            "iops": item.get("Iops", 0),
            "state": item.get("State", ""),
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_volume"):
            id_ = self.client.create_volume(
                ClientToken=call.client_token,
                AvailabilityZone=inputs["availabilityZone"],
                Size=inputs["size"],
                VolumeType=inputs.get("type", "gp3"),
                Encrypted=bool(inputs.get("encrypted", True)),
                TagSpecifications=self.specification(inputs),
            )["VolumeId"]
        call.made(id_)
        call.poll(lambda: (self.one(id_) or {}).get("State") in ("available", "in-use"), f"{id_} to be available")
        return self.settled(call, id_, inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "size") or self.differs(known, inputs, "type"):
            self.client.modify_volume(VolumeId=known.id, Size=inputs["size"], VolumeType=inputs.get("type", "gp3"))
            call.poll(lambda: (self.one(known.id) or {}).get("Size") == inputs["size"], f"{known.id} to grow")

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_volume(VolumeId=known.id)
        call.poll(lambda: (self.one(known.id) or {"State": "deleted"})["State"] == "deleted", f"{known.id} to go")
