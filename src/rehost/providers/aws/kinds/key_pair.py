"""aws:ec2/keyPair:KeyPair"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Ec2Kind
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class KeyPair(Ec2Kind):
    """A public key, by name. The official id is the name; the API has no pages here."""

    token = "aws:ec2/keyPair:KeyPair"
    describe, items, id_field = "describe_key_pairs", "KeyPairs", "KeyName"
    id_filter, resource_type = "key-name", "key-pair"

    def query(self, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with guarded(self.describe):
            return list(self.client.describe_key_pairs(Filters=filters)["KeyPairs"])

    def properties(self, item: Mapping[str, Any]) -> dict[str, Value]:
        return {
            "keyName": item["KeyName"],
            "keyPairId": item.get("KeyPairId", ""),
            "fingerprint": item.get("KeyFingerprint", ""),
            "keyType": item.get("KeyType", ""),
        }

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        found = self.query([{"Name": "key-name", "Values": [inputs["keyName"]]}])
        ours = [i for i in found if self.live(inputs, i).outputs["tags"].get("rehost-id") == self._mark(inputs)]
        return self.live(inputs, ours[0]) if ours else None

    @staticmethod
    def _mark(inputs: Mapping[str, Value]) -> Any:
        return inputs["tags"]["rehost-id"]

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("import_key_pair"):
            self.client.import_key_pair(
                KeyName=inputs["keyName"],
                PublicKeyMaterial=str(inputs["publicKey"]).encode(),
                TagSpecifications=self.specification(inputs),
            )
        return self.settled(call, str(inputs["keyName"]), inputs)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        pair = Known(known.urn, str(known.outputs.get("keyPairId") or known.id), known.inputs, known.outputs)
        super().update(call, pair, inputs)
        return self.settled(call, known.id, inputs)

    def settled(self, call: Call, id_: str, inputs: Mapping[str, Value]) -> Live:
        return super().settled(call, str(inputs["keyName"]), inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_key_pair(KeyName=known.id)
