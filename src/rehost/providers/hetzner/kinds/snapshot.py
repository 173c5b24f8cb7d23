"""hcloud:index/snapshot:Snapshot"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.hetzner.kinds.common import CloudKind, mark
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Snapshot(CloudKind):
    """A server's disk as an image; images have no names, their label tells whose they are."""

    plural, word = "images", "image"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        source = record.get("created_from") or {}
        return {"description": record["description"], "serverId": str(source.get("id", ""))}

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        records = {str(record["id"]): record for record in self.api.all("images", type="snapshot")}
        return [self.live(item.inputs, records[item.id]) if item.id in records else None for item in known]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        rows = self.api.all("images", type="snapshot", label_selector=f"rehost-id={mark(inputs)}")
        return self.live(inputs, rows[0]) if rows else None

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        body = {
            "type": "snapshot",
            "description": inputs.get("description") or "",
            "labels": inputs.get("labels") or {},
        }
        answer = self.api.call("POST", f"/servers/{inputs['serverId']}/actions/create_image", body)
        id_ = str(answer["image"]["id"])
        call.made(id_)
        self.api.done(call, answer)
        return self.one(id_, inputs)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        plain = {key: inputs[key] for key in ("description", "labels") if key in inputs}
        self.api.call("PUT", f"/images/{known.id}", plain)
        return self.one(known.id, inputs)
