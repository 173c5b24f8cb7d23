"""aws:ec2/volumeAttachment:VolumeAttachment"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from rehost.providers.aws.kinds.common import Clients, Item
from rehost.providers.aws.kinds.tie import Tie
from rehost.providers.aws.kinds.volume import Volume
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class VolumeAttachment(Tie):
    """A volume on a server; the natural key is both. The id is made as the official provider makes it."""

    token = "aws:ec2/volumeAttachment:VolumeAttachment"

    def __init__(self, clients: Clients, rules: KindRules) -> None:
        super().__init__(clients, rules)
        self._volumes = Volume(clients, rules)

    def keyed(self, id_: str) -> dict[str, Value]:
        device, volume, instance = id_.split(":", 2)
        return {"deviceName": device, "volumeId": volume, "instanceId": instance}

    def look(self, wanted: Sequence[Mapping[str, Value]]) -> list[Live | None]:
        ids = sorted({str(inputs["volumeId"]) for inputs in wanted})
        volumes = {volume["VolumeId"]: volume for volume in self._volumes.select(ids)}
        return [self._on(volumes.get(inputs["volumeId"]), str(inputs["instanceId"])) for inputs in wanted]

    def _on(self, volume: Item | None, instance: str) -> Live | None:
        for row in volume.get("Attachments", []) if volume else []:
            if row["InstanceId"] == instance and row.get("State") in ("attached", "attaching"):
                values: dict[str, Value] = {
                    "deviceName": row["Device"],
                    "instanceId": instance,
                    "volumeId": row["VolumeId"],
                }
                text = "-".join([*values.values(), ""])
                return Live(f"vai-{zlib.crc32(text.encode())}", values, values)
        return None

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        try:
            with guarded("attach_volume"):
                self.client.attach_volume(
                    Device=inputs["deviceName"], InstanceId=inputs["instanceId"], VolumeId=inputs["volumeId"]
                )
        except ProviderError as error:
            # In use by this very server, or by one that is about to let go of it.
            if error.code != "VolumeInUse" or self.find(inputs) is None:
                raise
        return self.appeared(call, inputs)

    def remove(self, call: Call, known: Known) -> None:
        volume = str(known.inputs["volumeId"])
        if self.find(known.inputs) is not None:
            self.client.detach_volume(VolumeId=volume, InstanceId=known.inputs["instanceId"])
        call.poll(lambda: (self._volumes.one(volume) or {}).get("State") != "in-use", "the detachment")
