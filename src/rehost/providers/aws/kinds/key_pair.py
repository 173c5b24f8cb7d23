"""aws:ec2/keyPair:KeyPair"""

from __future__ import annotations

from collections.abc import Mapping

from rehost.providers.aws.kinds.common import Ec2Kind, Item
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class KeyPair(Ec2Kind):
    """A public key, by name: the official id. The API has no pages here, and tags go by another id."""

    token = "aws:ec2/keyPair:KeyPair"
    describe, items, id_field = "describe_key_pairs", "KeyPairs", "KeyName"
    id_filter, resource_type = "key-name", "key-pair"
    paged, tagged_by = False, "KeyPairId"

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

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_key_pair(KeyName=known.id)
