"""hcloud:index/placementGroup:PlacementGroup and hcloud:index/sshKey:SshKey"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.hetzner.kinds.common import CloudKind
from rehost.stacks.graph import Value


class PlacementGroup(CloudKind):
    """A placement group; rehost's is the anchor of a deployment."""

    plural, word = "placement_groups", "placement_group"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        return {"name": record["name"], "type": record["type"], "servers": list(record.get("servers") or [])}

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {"type": inputs["type"]}


class SshKey(CloudKind):
    """A public key."""

    plural, word = "ssh_keys", "ssh_key"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        names = {"name": "name", "publicKey": "public_key", "fingerprint": "fingerprint"}
        return {ours: record[theirs] for ours, theirs in names.items()}

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {"public_key": inputs["publicKey"]}
