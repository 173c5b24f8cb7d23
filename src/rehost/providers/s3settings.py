"""Properties of a bucket that are resources of their own, behind any API that speaks S3: versioning, public access
block, policy, CORS, lifecycle, encryption, ownership."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.base import described
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


def not_empty(error: ProviderError, bucket: str) -> ProviderError:
    """The error of a delete, with what to do where the bucket holds something."""
    if error.code != "BucketNotEmpty":
        return error
    return ProviderError(
        f"the bucket {bucket} is not empty",
        reason=Reason.FAILED,
        code=error.code,
        fix="name the bucket with --delete-data, or move its objects away",
    )


class Setting:
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

    def _look(self, bucket: str, inputs: Mapping[str, Value]) -> Live | None:
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
        seen = described(self.rules, inputs, outputs)
        return Live(bucket, dict(inputs) if self.uniform(seen) == self.uniform(inputs) else seen, outputs)

    def uniform(self, inputs: Mapping[str, Value]) -> Mapping[str, Value]:
        """Inputs in the one way that they can be said."""
        return inputs

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        return self._look(str(inputs["bucket"]), inputs)

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        return [self._look(str(item.inputs.get("bucket", item.id)), item.inputs) for item in known]

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("put"):
            self.put(inputs)
        seen: list[Live] = []

        def there() -> bool:
            live = self.find(inputs)
            if live is not None:
                seen.append(live)
            return bool(seen)

        call.poll(there, f"the {self.rules.title} to be visible")
        return seen[-1]

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self.create(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        try:
            with guarded("delete"):
                self.clear(str(known.inputs.get("bucket", known.id)))
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise


class BucketVersioning(Setting):
    """Versioning can be suspended, never removed: what is suspended counts as removed."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        status = self.client.get_bucket_versioning(Bucket=bucket).get("Status")
        return {"versioningConfiguration": {"status": status}} if status else None

    def put(self, inputs: Mapping[str, Value]) -> None:
        status = inputs["versioningConfiguration"]["status"]
        self.client.put_bucket_versioning(Bucket=inputs["bucket"], VersioningConfiguration={"Status": status})

    def clear(self, bucket: str) -> None:
        self.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


_SWITCHES = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


class BucketPublicAccessBlock(Setting):
    """Four switches against publishing by accident."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        answer = self.client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        return {name: bool(answer.get(name[0].upper() + name[1:])) for name in _SWITCHES}

    def put(self, inputs: Mapping[str, Value]) -> None:
        switches = {name[0].upper() + name[1:]: bool(inputs.get(name)) for name in _SWITCHES}
        self.client.put_public_access_block(Bucket=inputs["bucket"], PublicAccessBlockConfiguration=switches)

    def clear(self, bucket: str) -> None:
        self.client.delete_public_access_block(Bucket=bucket)


class BucketPolicy(Setting):
    """Who may do what, as JSON text, made uniform so that layout is no difference."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        policy = json.loads(self.client.get_bucket_policy(Bucket=bucket)["Policy"])
        return {"policy": json.dumps(policy, sort_keys=True, separators=(",", ":"))}

    def put(self, inputs: Mapping[str, Value]) -> None:
        self.client.put_bucket_policy(Bucket=inputs["bucket"], Policy=inputs["policy"])

    def clear(self, bucket: str) -> None:
        self.client.delete_bucket_policy(Bucket=bucket)


_CORS = {
    "id": "ID",
    "allowedHeaders": "AllowedHeaders",
    "allowedMethods": "AllowedMethods",
    "allowedOrigins": "AllowedOrigins",
    "exposeHeaders": "ExposeHeaders",
    "maxAgeSeconds": "MaxAgeSeconds",
}


class BucketCors(Setting):
    """Which web origins may use the bucket from a browser."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        rows = self.client.get_bucket_cors(Bucket=bucket)["CORSRules"]
        return {
            "corsRules": [{ours: row[theirs] for ours, theirs in _CORS.items() if theirs in row} for row in rows]
        }

    def put(self, inputs: Mapping[str, Value]) -> None:
        rules = [{_CORS[key]: value for key, value in rule.items()} for rule in inputs["corsRules"]]
        self.client.put_bucket_cors(Bucket=inputs["bucket"], CORSConfiguration={"CORSRules": rules})

    def clear(self, bucket: str) -> None:
        self.client.delete_bucket_cors(Bucket=bucket)


class BucketLifecycle(Setting):
    """What becomes of objects with time."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        rows = self.client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        rules = []
        for row in rows:
            rule = _inward(row)
            # Older rules have their prefix beside the filter.
            if rule.pop("prefix", None):
                rule["filter"] = {"prefix": row["Prefix"]}
            rules.append(rule)
        return dict(self.uniform({"rules": rules}))

    def uniform(self, inputs: Mapping[str, Value]) -> Mapping[str, Value]:
        # A rule for everything may say so or not.
        everything: Any = ({}, {"prefix": ""}, None)
        rules = [
            {key: value for key, value in rule.items() if key != "filter" or value not in everything}
            for rule in inputs.get("rules", [])
        ]
        return {**inputs, "rules": rules}

    def put(self, inputs: Mapping[str, Value]) -> None:
        rules = []
        for rule in inputs["rules"]:
            # A rule for everything has an empty prefix: the API wants a filter of some kind.
            rules.append({"Filter": {"Prefix": ""}, **_outward(rule)})
        self.client.put_bucket_lifecycle_configuration(
            Bucket=inputs["bucket"], LifecycleConfiguration={"Rules": rules}
        )

    def clear(self, bucket: str) -> None:
        self.client.delete_bucket_lifecycle(Bucket=bucket)


def _outward(value: Mapping[str, Value]) -> dict[str, Any]:
    """A lifecycle rule as the API takes it. Tags of a filter are a map here, a list there."""
    made: dict[str, Any] = {}
    for key, item in value.items():
        name = "ID" if key == "id" else key[0].upper() + key[1:]
        if key == "tags":
            made[name] = [{"Key": k, "Value": v} for k, v in sorted(item.items())]
        elif isinstance(item, Mapping):
            made[name] = _outward(item)
        elif isinstance(item, list):
            made[name] = [_outward(row) for row in item]
        else:
            made[name] = item
    return made


def _inward(value: Mapping[str, Any]) -> dict[str, Value]:
    """A lifecycle rule as properties."""
    made: dict[str, Value] = {}
    for name, item in value.items():
        key = "id" if name == "ID" else name[0].lower() + name[1:]
        if key == "tags":
            made[key] = {row["Key"]: row["Value"] for row in item}
        elif isinstance(item, Mapping):
            made[key] = _inward(item)
        elif isinstance(item, list):
            made[key] = [_inward(row) for row in item]
        else:
            made[key] = item.isoformat() if hasattr(item, "isoformat") else item
    return made


class BucketEncryption(Setting):
    """How new objects are encrypted where they lie. Taking it back leaves the service's own way."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        answer = self.client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        rules = []
        for row in answer["Rules"]:
            default = row.get("ApplyServerSideEncryptionByDefault") or {}
            how = {"sseAlgorithm": default.get("SSEAlgorithm", "AES256")}
            if default.get("KMSMasterKeyID"):
                how["kmsMasterKeyId"] = default["KMSMasterKeyID"]
            rules.append(
                {
                    "applyServerSideEncryptionByDefault": how,
                    "bucketKeyEnabled": bool(row.get("BucketKeyEnabled", False)),
                }
            )
        return {"rules": rules}

    def put(self, inputs: Mapping[str, Value]) -> None:
        rows = []
        for rule in inputs["rules"]:
            how = rule["applyServerSideEncryptionByDefault"]
            default = {"SSEAlgorithm": how["sseAlgorithm"]}
            if how.get("kmsMasterKeyId"):
                default["KMSMasterKeyID"] = how["kmsMasterKeyId"]
            rows.append(
                {
                    "ApplyServerSideEncryptionByDefault": default,
                    "BucketKeyEnabled": bool(rule.get("bucketKeyEnabled", False)),
                }
            )
        self.client.put_bucket_encryption(
            Bucket=inputs["bucket"], ServerSideEncryptionConfiguration={"Rules": rows}
        )

    def clear(self, bucket: str) -> None:
        self.client.delete_bucket_encryption(Bucket=bucket)


class BucketOwnership(Setting):
    """Whose objects are that others write, and whether access lists count."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        rules = self.client.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
        return {"rule": {"objectOwnership": rules[0]["ObjectOwnership"]}} if rules else None

    def put(self, inputs: Mapping[str, Value]) -> None:
        rules = [{"ObjectOwnership": inputs["rule"]["objectOwnership"]}]
        self.client.put_bucket_ownership_controls(Bucket=inputs["bucket"], OwnershipControls={"Rules": rules})

    def clear(self, bucket: str) -> None:
        self.client.delete_bucket_ownership_controls(Bucket=bucket)
