"""aws:ebs/volume:Volume"""

from __future__ import annotations

from collections.abc import Mapping

from rehost.providers.aws.kinds.common import Ec2Kind, Item, given, told
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Volume(Ec2Kind):
    """A block device; it grows in place. Sizes are GiB."""

    token = "aws:ebs/volume:Volume"
    describe, items, id_field = "describe_volumes", "Volumes", "VolumeId"
    id_filter, resource_type = "volume-id", "volume"

    def alive(self, item: Item) -> bool:
        return item.get("State") != "deleted"

    def properties(self, item: Item) -> dict[str, Value]:
        made = item.get("CreateTime")
        return {
            "arn": self.arn(f"volume/{self.id_of(item)}"),
            "availabilityZone": item["AvailabilityZone"],
            "createTime": made.isoformat() if made else "",
            "size": item["Size"],
            "type": item.get("VolumeType", ""),
            "encrypted": item.get("Encrypted", False),
            "iops": item.get("Iops", 0),
            "throughput": item.get("Throughput", 0),
            "kmsKeyId": item.get("KmsKeyId", ""),
            "snapshotId": item.get("SnapshotId", ""),
            "multiAttachEnabled": item.get("MultiAttachEnabled", False),
            "outpostArn": item.get("OutpostArn", ""),
        }

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        return told(inputs, "iops", "throughput")

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_volume"):
            id_ = self.client.create_volume(
                ClientToken=call.client_token,
                AvailabilityZone=inputs["availabilityZone"],
                VolumeType=inputs.get("type", "gp3"),
                Encrypted=bool(inputs.get("encrypted", True)),
                TagSpecifications=self.specification(inputs),
                **given(
                    inputs,
                    Size="size",
                    Iops="iops",
                    Throughput="throughput",
                    KmsKeyId="kmsKeyId",
                    SnapshotId="snapshotId",
                ),
            )["VolumeId"]
        call.made(id_)
        self.until(call, id_, lambda item: item.get("State") in ("available", "in-use"), "available")
        return self.settled(call, id_, inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "size", "type", "iops", "throughput"):
            wanted = given(inputs, Size="size", VolumeType="type", Iops="iops", Throughput="throughput")
            self.client.modify_volume(VolumeId=known.id, **wanted)
            # Which of them the volume shows while it is still being optimized is the new ones.
            self.until(call, known.id, lambda item: all(item.get(k) == v for k, v in wanted.items()), "changed")

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_volume(VolumeId=known.id)
        self.until_gone(call, known.id)
