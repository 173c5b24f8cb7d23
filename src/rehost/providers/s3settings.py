"""Properties of a bucket that are resources of their own, behind any API that speaks S3:
versioning, public access block, policy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.base import described
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class _Setting:
    """A property of a bucket that is a resource: one for each bucket, put and removed as a whole."""

    def __init__(self, clients: Mapping[str, Any], rules: KindRules) -> None:
        self._clients = clients
        self.rules = rules

    @property
    def client(self) -> Any:
        """The S3 client, made when it is first needed: its keys may be missing until then."""
        return self._clients["s3"]

    def get(self, bucket: str) -> dict[str, Value] | None:
        """The setting as it is, None where there is none."""
        raise AssertionError(bucket)

    def put(self, inputs: Mapping[str, Value]) -> None:
        """Set it."""
        raise AssertionError(sorted(inputs))

    def clear(self, bucket: str) -> None:
        """Take it back."""
        raise AssertionError(bucket)

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        bucket = str(inputs["bucket"])
        try:
            with guarded("get"):
                found = self.get(bucket)
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise
        if found is None:
            return None
        outputs = {"bucket": bucket, **found}
        return Live(bucket, described(self.rules, inputs, outputs), outputs)

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        return [self.find(item.inputs) for item in known]

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("put"):
            self.put(inputs)
        live = self.find(inputs)
        assert live is not None
        return live

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self.create(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        try:
            with guarded("delete"):
                self.clear(str(known.inputs["bucket"]))
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise


class BucketVersioning(_Setting):
    """Versioning can be suspended, never removed."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        status = self.client.get_bucket_versioning(Bucket=bucket).get("Status")
        return {"versioningConfiguration": {"status": status}} if status else None

    def put(self, inputs: Mapping[str, Value]) -> None:
        status = inputs["versioningConfiguration"]["status"]
        self.client.put_bucket_versioning(Bucket=inputs["bucket"], VersioningConfiguration={"Status": status})

    def clear(self, bucket: str) -> None:
        self.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


_SWITCHES = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


class BucketPublicAccessBlock(_Setting):
    """Four switches against publishing by accident."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        answer = self.client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        return {name: bool(answer.get(name[0].upper() + name[1:])) for name in _SWITCHES}

    def put(self, inputs: Mapping[str, Value]) -> None:
        switches = {name[0].upper() + name[1:]: bool(inputs.get(name)) for name in _SWITCHES}
        self.client.put_public_access_block(Bucket=inputs["bucket"], PublicAccessBlockConfiguration=switches)

    def clear(self, bucket: str) -> None:
        self.client.delete_public_access_block(Bucket=bucket)


class BucketPolicy(_Setting):
    """Who may do what, as JSON text, made uniform so that layout is no difference."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        policy = json.loads(self.client.get_bucket_policy(Bucket=bucket)["Policy"])
        return {"policy": json.dumps(policy, sort_keys=True, separators=(",", ":"))}

    def put(self, inputs: Mapping[str, Value]) -> None:
        self.client.put_bucket_policy(Bucket=inputs["bucket"], Policy=inputs["policy"])

    def clear(self, bucket: str) -> None:
        self.client.delete_bucket_policy(Bucket=bucket)
