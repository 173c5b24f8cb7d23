"""minio:index/s3Bucket:S3Bucket and minio:index/ilmPolicy:IlmPolicy on Hetzner Object Storage"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.base import described
from rehost.providers.botoerrors import guarded
from rehost.providers.s3settings import Setting, not_empty
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


class IlmPolicy(Setting):
    """What becomes of objects with time, in the words of the official type: a prefix as filter, days as `30d`."""

    def get(self, bucket: str) -> dict[str, Value] | None:
        rows = self.client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        return {"rules": [_rule(row) for row in rows]}

    def put(self, inputs: Mapping[str, Value]) -> None:
        rows = []
        for rule in inputs["rules"]:
            row: dict[str, Any] = {
                "ID": rule["id"],
                "Status": rule.get("status", "Enabled"),
                "Filter": {"Prefix": rule.get("filter", "")},
            }
            if rule.get("expiration"):
                row["Expiration"] = {"Days": int(str(rule["expiration"]).removesuffix("d"))}
            if rule.get("noncurrentVersionExpirationDays"):
                row["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule["noncurrentVersionExpirationDays"]}
            rows.append(row)
        self.client.put_bucket_lifecycle_configuration(
            Bucket=inputs["bucket"], LifecycleConfiguration={"Rules": rows}
        )

    def clear(self, bucket: str) -> None:
        self.client.delete_bucket_lifecycle(Bucket=bucket)


def _rule(row: Mapping[str, Any]) -> dict[str, Value]:
    prefix = (row.get("Filter") or {}).get("Prefix") or row.get("Prefix") or ""
    rule: dict[str, Value] = {"id": row["ID"], "status": row["Status"], "filter": prefix}
    days = (row.get("Expiration") or {}).get("Days")
    if days is not None:
        rule["expiration"] = f"{days}d"
    versions = (row.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays")
    if versions is not None:
        rule["noncurrentVersionExpirationDays"] = versions
    return rule
