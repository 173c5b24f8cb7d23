"""aws:ec2/volumeAttachment:VolumeAttachment"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import BATCH
from rehost.providers.aws.kinds.volume import Volume
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class VolumeAttachment(Volume):
    """A volume on a server; the natural key is the volume. The id is made as the official provider makes it."""

    token = "aws:ec2/volumeAttachment:VolumeAttachment"

    def _made(self, volume: Mapping[str, Any] | None) -> Live | None:
        for attachment in volume.get("Attachments", []) if volume else []:
            if attachment.get("State") in ("attached", "attaching"):
                values: dict[str, Value] = {
                    "deviceName": attachment["Device"],
                    "instanceId": attachment["InstanceId"],
                    "volumeId": attachment["VolumeId"],
                }
                text = f"{values['deviceName']}-{values['instanceId']}-{values['volumeId']}-"
                return Live(f"vai-{zlib.crc32(text.encode())}", values, dict(values))
        return None

    def read(self, known: Any) -> list[Live | None]:
        found: dict[str, dict[str, Any]] = {}
        wanted = sorted({str(k.inputs["volumeId"]) for k in known})
        for start in range(0, len(wanted), BATCH):
            chunk = wanted[start : start + BATCH]
            found |= {v["VolumeId"]: v for v in self.query([{"Name": self.id_filter, "Values": chunk}])}
        return [self._made(found.get(str(k.inputs["volumeId"]))) for k in known]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        live = self._made(self.one(str(inputs["volumeId"])))
        return live if live and live.inputs["instanceId"] == inputs["instanceId"] else None

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("attach_volume"):
            self.client.attach_volume(
                Device=inputs["deviceName"], InstanceId=inputs["instanceId"], VolumeId=inputs["volumeId"]
            )
        call.poll(lambda: self.find(inputs) is not None, "the attachment")
        live = self.find(inputs)
        assert live is not None
        return live

    def remove(self, call: Call, known: Known) -> None:
        volume = str(known.inputs["volumeId"])
        if self._made(self.one(volume)) is not None:
            self.client.detach_volume(VolumeId=volume, InstanceId=known.inputs["instanceId"])
        call.poll(lambda: (self.one(volume) or {"State": "available"})["State"] != "in-use", "the detachment")
