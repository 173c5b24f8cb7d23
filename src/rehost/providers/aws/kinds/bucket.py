"""aws:s3/bucket:Bucket"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import AwsKind, Item, from_tags, gone_is_fine, mark, to_tags
from rehost.providers.botoerrors import guarded
from rehost.providers.s3settings import not_empty
from rehost.stacks.errors import ProviderError
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live

WEBSITE_ZONES = {
    "eu-central-1": "Z21DNDUVLTQW6Q",
    "eu-north-1": "Z3BAZG2TWCNX0D",
    "eu-west-1": "Z1BKCTXD74EZPE",
    "eu-west-2": "Z3GKZC51ZF0DB4",
    "eu-west-3": "Z3R1K369G5AVDG",
    "us-east-1": "Z3AQBSTGFYJSTF",
    "us-east-2": "Z2O1EMRO9K5GLX",
    "us-west-1": "Z2F56UZL2M1ACD",
    "us-west-2": "Z3BJ6K6RIION7M",
}
"""Hosted zones of S3's web endpoints (AWS General Reference, Amazon S3 endpoints)."""


class Bucket(AwsKind):
    """A bucket; its id is its name, which is unique in the world."""

    token = "aws:s3/bucket:Bucket"
    service, id_field, name_input = "s3", "Name", "bucket"

    def select(self, ids: Sequence[str]) -> list[Item]:
        with guarded("list_buckets"):
            rows = [row for row in self.client.list_buckets()["Buckets"] if row["Name"] in ids]
        return [{**row, "Tags": self._tag_set(row["Name"])} for row in rows]

    def _tag_set(self, name: str) -> list[dict[str, str]]:
        tags: list[dict[str, str]] = []
        with gone_is_fine(), guarded("get_bucket_tagging"):
            tags = self.client.get_bucket_tagging(Bucket=name)["TagSet"]
        return tags

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        for item in self.twins(inputs):
            # The name carries the deployment: in our account it is ours, even before it could be tagged.
            if from_tags(item["Tags"]).get("rehost-id", mark(inputs)) == mark(inputs):
                return self.live(inputs, item)
        return None

    def properties(self, item: Item) -> dict[str, Value]:
        name, region = item["Name"], self.client.meta.region_name
        return {
            "bucket": name,
            "arn": f"arn:{self.client.meta.partition}:s3:::{name}",
            "bucketDomainName": f"{name}.s3.amazonaws.com",
            "bucketRegion": region,
            "bucketRegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
            "hostedZoneId": WEBSITE_ZONES.get(region, ""),
            "objectLockEnabled": False,
            "region": region,
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        name, region = str(inputs["bucket"]), self.client.meta.region_name
        request: dict[str, Any] = {"Bucket": name}
        if region != "us-east-1":
            request["CreateBucketConfiguration"] = {"LocationConstraint": region}
        with guarded("create_bucket"):
            self.client.create_bucket(**request)
            call.made(name)
            self._tag(name, inputs)
        return self.settled(call, name, inputs)

    def _tag(self, name: str, inputs: Mapping[str, Value]) -> None:
        self.client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": to_tags(inputs.get("tags"))})

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        # The tags of a bucket are set as a whole.
        with guarded("put_bucket_tagging"):
            self._tag(known.id, inputs)
        return self.settled(call, known.id, inputs)

    def remove(self, call: Call, known: Known) -> None:
        try:
            with guarded("delete_bucket"):
                self.client.delete_bucket(Bucket=known.id)
        except ProviderError as error:
            raise not_empty(error, known.id) from error
