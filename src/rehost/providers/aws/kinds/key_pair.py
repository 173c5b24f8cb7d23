"""aws:ec2/keyPair:KeyPair"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Ec2Kind, Item
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class KeyPair(Ec2Kind):
    """A public key, by name: the official id. The API has no pages here, and tags go by another id."""

    token = "aws:ec2/keyPair:KeyPair"
    describe, items, id_field = "describe_key_pairs", "KeyPairs", "KeyName"
    id_filter, resource_type, name_input = "key-name", "key-pair", "keyName"

    def pages(self, filters: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
        with guarded(self.describe):
            return [self.client.describe_key_pairs(Filters=filters)]

    def twins(self, inputs: Mapping[str, Value]) -> list[Item]:
        return self.select([str(inputs["keyName"])])

    def properties(self, item: Item) -> dict[str, Value]:
        return {
            "arn": self.arn(f"key-pair/{item['KeyName']}"),
            "keyName": item["KeyName"],
            "keyPairId": item.get("KeyPairId", ""),
            "fingerprint": item.get("KeyFingerprint", ""),
            "keyType": item.get("KeyType", ""),
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("import_key_pair"):
            self.client.import_key_pair(
                KeyName=inputs["keyName"],
                PublicKeyMaterial=str(inputs["publicKey"]).encode(),
                TagSpecifications=self.specification(inputs),
            )
        return self.settled(call, str(inputs["keyName"]), inputs)

    def _pair(self, name: str) -> str:
        item = self.one(name)
        if item is None:
            raise ProviderError(f"the key {name} is gone", reason=Reason.NOT_FOUND)
        return str(item["KeyPairId"])

    def tag(self, id_: str, tags: Mapping[str, Any]) -> None:
        super().tag(self._pair(id_), tags)

    def untag(self, id_: str, keys: list[str]) -> None:
        super().untag(self._pair(id_), keys)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_key_pair(KeyName=known.id)
