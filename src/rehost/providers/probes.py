"""Checks that providers share: a bucket is made, written, read back and removed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, RehostError
from rehost.stacks.readiness import Hands, Result, Verdict, failed

PREFIX = "rehost-check-"
LABEL = "rehost-check"


def bucket(s3: Any, mark: str, region: str, hands: Hands) -> Iterator[Result]:
    """Write an object to a new bucket, read it back, and remove both. The bucket's name carries the mark."""
    name = f"{PREFIX}{mark}-{secrets.token_hex(4)}"
    place: dict[str, Any] = {}
    if region not in ("", "us-east-1"):
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    steps = ("create a bucket", "write an object", "read it back", "delete both")
    said = secrets.token_bytes(64)

    def make() -> None:
        with guarded("create_bucket"):
            s3.create_bucket(Bucket=name, **place)

    def write() -> None:
        with guarded("put_object"):
            s3.put_object(Bucket=name, Key="check", Body=said)

    def read() -> None:
        with guarded("get_object"):
            if s3.get_object(Bucket=name, Key="check")["Body"].read() != said:
                raise RehostError("what was read is not what was written")

    def remove() -> None:
        _remove(s3, name)

    for step, call in zip(steps, (make, write, read, remove), strict=True):
        try:
            hands.patiently(call)
        except ProviderError as error:
            yield failed("buckets", step, error, "give these credentials the rights for object storage")
            return
        yield Result("buckets", step, Verdict.OK)


def _remove(s3: Any, name: str) -> None:
    with guarded("delete_bucket"):
        for row in s3.list_objects_v2(Bucket=name).get("Contents", ()):
            s3.delete_object(Bucket=name, Key=row["Key"])
        s3.delete_bucket(Bucket=name)


def clean_buckets(s3: Any, mark: str, hands: Hands) -> list[str]:
    """Remove the buckets of checks of this stack."""

    def listed() -> list[str]:
        with guarded("list_buckets"):
            return [row["Name"] for row in s3.list_buckets().get("Buckets", ())]

    names = [name for name in hands.patiently(listed, heedless=True) if name.startswith(f"{PREFIX}{mark}-")]
    for name in names:
        hands.patiently(lambda name=name: _remove(s3, name), heedless=True)  # type: ignore[misc]
    return [f"bucket {name}" for name in names]
