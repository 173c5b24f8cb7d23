"""aws:s3/bucket:Bucket"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import from_tags, mark, to_tags
from rehost.providers.base import described
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class Bucket:
    """A bucket; its id is its name, which is unique in the world."""

    def __init__(self, clients: Mapping[str, Any], rules: KindRules) -> None:
        self.client: Any = clients["s3"]
        self.rules = rules

    def _names(self) -> set[str]:
        with guarded("list_buckets"):
            return {bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]}

    def _tags(self, name: str) -> dict[str, str]:
        try:
            with guarded("get_bucket_tagging"):
                return from_tags(self.client.get_bucket_tagging(Bucket=name)["TagSet"])
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return {}
            raise

    def _live(self, asked: Mapping[str, Value], name: str) -> Live:
        region = self.client.meta.region_name
        tags = self._tags(name)
        domain = f"{name}.s3.{region}.amazonaws.com"
        outputs: dict[str, Value] = {
            "bucket": name,
            "arn": f"arn:aws:s3:::{name}",
            "bucketDomainName": f"{name}.s3.amazonaws.com",
            "bucketRegionalDomainName": domain,
            "region": region,
            "tags": tags,
            "tagsAll": tags,
        }
        return Live(name, described(self.rules, asked, outputs), outputs)

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        names = self._names()
        return [self._live(item.inputs, item.id) if item.id in names else None for item in known]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        name = str(inputs["bucket"])
        if name not in self._names():
            return None
        # The name carries the deployment: in our account it is ours, even before it could be tagged.
        tags = self._tags(name)
        return self._live(inputs, name) if tags.get("rehost-id", mark(inputs)) == mark(inputs) else None

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        name, region = str(inputs["bucket"]), self.client.meta.region_name
        request: dict[str, Any] = {"Bucket": name}
        if region != "us-east-1":
            request["CreateBucketConfiguration"] = {"LocationConstraint": region}
        with guarded("create_bucket"):
            self.client.create_bucket(**request)
            call.made(name)
            self.client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": to_tags(inputs.get("tags"))})
        return self._live(inputs, name)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        with guarded("put_bucket_tagging"):
            self.client.put_bucket_tagging(Bucket=known.id, Tagging={"TagSet": to_tags(inputs.get("tags"))})
        return self._live(inputs, known.id)

    def delete(self, call: Call, known: Known) -> None:
        try:
            with guarded("delete_bucket"):
                self.client.delete_bucket(Bucket=known.id)
        except ProviderError as error:
            if error.code == "BucketNotEmpty":
                raise ProviderError(
                    f"the bucket {known.id} is not empty",
                    reason=Reason.FAILED,
                    code=error.code,
                    fix="name the bucket with --delete-data, or move its objects away",
                ) from error
            if error.reason is not Reason.NOT_FOUND:
                raise
