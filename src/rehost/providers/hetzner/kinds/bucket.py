"""minio:index/s3Bucket:S3Bucket on Hetzner Object Storage"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.base import described
from rehost.providers.botoerrors import guarded
from rehost.providers.s3settings import not_empty
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class S3Bucket:
    """A bucket. It has no tags here: its name, which carries the deployment, is its identity."""

    def __init__(self, clients: Mapping[str, Any], rules: KindRules) -> None:
        self.clients = clients
        self.rules = rules

    def _live(self, asked: Mapping[str, Value], name: str) -> Live:
        endpoint = str(self.clients["s3"].meta.endpoint_url)
        host = endpoint.split("://", 1)[1]
        kept = {key: asked[key] for key in self.rules.unread & asked.keys()}
        outputs = {**kept, "bucket": name, "arn": f"arn:aws:s3:::{name}", "bucketDomainName": f"{name}.{host}"}
        return Live(name, described(self.rules, asked, outputs), outputs)

    def _names(self) -> set[str]:
        with guarded("list_buckets"):
            return {bucket["Name"] for bucket in self.clients["s3"].list_buckets()["Buckets"]}

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        names = self._names()
        return [self._live(item.inputs, item.id) if item.id in names else None for item in known]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        name = str(inputs["bucket"])
        return self._live(inputs, name) if name in self._names() else None

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        client = self.clients["s3"]
        with guarded("create_bucket"):
            region = client.meta.region_name
            place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            client.create_bucket(Bucket=inputs["bucket"], **place)
        call.made(str(inputs["bucket"]))
        return self._live(inputs, str(inputs["bucket"]))

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self._live(inputs, known.id)

    def delete(self, call: Call, known: Known) -> None:
        try:
            with guarded("delete_bucket"):
                self.clients["s3"].delete_bucket(Bucket=known.id)
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise not_empty(error, known.id) from error
