"""hcloud:index/volume:Volume and hcloud:index/volumeAttachment:VolumeAttachment"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.hetzner.api import Api
from rehost.providers.hetzner.kinds.common import CloudKind
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class Volume(CloudKind):
    """A block device; it grows in place. Sizes are GB."""

    plural, word = "volumes", "volume"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        return {
            "name": record["name"],
            "size": record["size"],
            "location": record["location"]["name"],
            "format": record.get("format") or "",
            "linuxDevice": record["linux_device"],
            "deleteProtection": record["protection"]["delete"],
        }

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {"size": inputs["size"], "location": inputs["location"], "format": inputs.get("format")}

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if known.inputs.get("size") != inputs["size"]:
            self.act(call, known.id, "resize", {"size": inputs["size"]})


_LOOKS = 10


class VolumeAttachment:
    """A volume on a server; the id is the volume's."""

    def __init__(self, api: Api, rules: KindRules) -> None:
        self.api = api
        self.rules = rules

    def _live(self, volume: Mapping[str, Any] | None) -> Live | None:
        if volume is None or volume["server"] is None:
            return None
        values: dict[str, Value] = {"volumeId": str(volume["id"]), "serverId": str(volume["server"])}
        return Live(str(volume["id"]), values, dict(values))

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        volumes = {str(volume["id"]): volume for volume in self.api.all("volumes")}
        return [self._live(volumes.get(item.id)) for item in known]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        volume = self.api.call("GET", f"/volumes/{inputs['volumeId']}")["volume"]
        live = self._live(volume)
        return live if live and live.inputs["serverId"] == str(inputs["serverId"]) else None

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        path = f"/volumes/{inputs['volumeId']}/actions/attach"
        body = {"server": int(inputs["serverId"]), "automount": False}
        self.api.done(call, self.api.call("POST", path, body))
        live = self.find(inputs)
        assert live is not None
        return live

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        live = self.find(inputs)
        if live is None:
            raise ProviderError("the volume is not attached", reason=Reason.NOT_FOUND)
        return live

    def delete(self, call: Call, known: Known) -> None:
        try:
            if self.find(known.inputs) is not None:
                path = f"/volumes/{known.inputs['volumeId']}/actions/detach"
                self.api.done(call, self.api.call("POST", path, {}))
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND and not self._detached(call, error, known):
                raise

    def _detached(self, call: Call, error: ProviderError, known: Known) -> bool:
        """Whether it was refused since an earlier try had its effect, which a look did not show yet."""
        for _ in range(_LOOKS if error.reason is Reason.INVALID else 0):
            if self.find(known.inputs) is None:
                return True
            call.pause(1.0)
        return False
