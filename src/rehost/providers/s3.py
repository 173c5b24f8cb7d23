"""The content of a bucket behind any API that speaks S3."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rehost.providers.botoerrors import translate
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import ObjectInfo, ObjectMeta

PART = 8 * 1024 * 1024
"""Bytes of one part; also the largest object that goes in one request."""

_HEADERS = {
    "Content-Type": "ContentType",
    "Content-Encoding": "ContentEncoding",
    "Content-Disposition": "ContentDisposition",
    "Content-Language": "ContentLanguage",
    "Cache-Control": "CacheControl",
}


class S3Objects:
    """An ObjectStore over a boto3 client, which many threads may share."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def _call(self, operation: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, operation)(Bucket=self._bucket, **arguments)
        except (BotoCoreError, ClientError) as error:
            raise translate(error, operation) from error

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects in key order. Raises ProviderError."""
        arguments: dict[str, Any] = {"Prefix": prefix} if prefix else {}
        while True:
            page = self._call("list_objects_v2", **arguments)
            for row in page.get("Contents", []):
                yield ObjectInfo(row["Key"], row["Size"], row["ETag"].strip('"'), row["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def open(self, key: str) -> tuple[ObjectInfo, ObjectMeta, Iterator[bytes]]:
        """An object as a stream. Raises ProviderError, also while it is read."""
        answer = self._call("get_object", Key=key)
        headers = {name: answer[field] for name, field in _HEADERS.items() if answer.get(field)}
        info = ObjectInfo(
            key, answer["ContentLength"], answer["ETag"].strip('"'), answer["LastModified"].timestamp()
        )
        return info, ObjectMeta(headers, dict(answer.get("Metadata", {}))), self._stream(answer["Body"], key)

    @staticmethod
    def _stream(body: Any, key: str) -> Iterator[bytes]:
        try:
            yield from body.iter_chunks(1024 * 1024)
        except Exception as error:
            raise ProviderError(
                f"the download of {key} broke off ({type(error).__name__})", reason=Reason.UNAVAILABLE
            ) from error
        finally:
            body.close()

    def put(self, key: str, meta: ObjectMeta, size: int, content: Iterable[bytes]) -> ObjectInfo:
        """Write an object. Raises ProviderError; then there is neither object nor unfinished upload."""
        about: dict[str, Any] = {_HEADERS[name]: value for name, value in meta.headers.items() if name in _HEADERS}
        about["Metadata"] = dict(meta.user)
        parts = _parts(content)
        if size <= PART:
            data = b"".join(parts)
            if len(data) != size:
                raise ProviderError(f"{key}: {len(data)} bytes instead of {size}", reason=Reason.UNAVAILABLE)
            answer = self._call("put_object", Key=key, Body=data, **about)
            return ObjectInfo(key, size, answer["ETag"].strip('"'))
        upload = self._call("create_multipart_upload", Key=key, **about)["UploadId"]
        try:
            done, sent = [], 0
            for number, data in enumerate(parts, 1):
                answer = self._call(
                    "upload_part", Key=key, UploadId=upload, PartNumber=number, Body=io.BytesIO(data)
                )
                done.append({"PartNumber": number, "ETag": answer["ETag"]})
                sent += len(data)
            if sent != size:
                raise ProviderError(f"{key}: {sent} bytes instead of {size}", reason=Reason.UNAVAILABLE)
            answer = self._call(
                "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": done}
            )
        except BaseException:
            self._call("abort_multipart_upload", Key=key, UploadId=upload)
            raise
        return ObjectInfo(key, size, answer["ETag"].strip('"'))

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects. Raises ProviderError."""
        self._remove([{"Key": key} for key in keys])

    def _remove(self, rows: Sequence[dict[str, str]]) -> None:
        for start in range(0, len(rows), 1000):
            self._call("delete_objects", Delete={"Objects": list(rows[start : start + 1000]), "Quiet": True})

    def _versions(self) -> Iterator[tuple[dict[str, str], bool]]:
        arguments: dict[str, Any] = {}
        while True:
            page = self._call("list_object_versions", **arguments)
            for kind in ("Versions", "DeleteMarkers"):
                for row in page.get(kind, []):
                    current = kind == "Versions" and bool(row.get("IsLatest"))
                    yield {"Key": row["Key"], "VersionId": row["VersionId"]}, current
            if not page.get("IsTruncated"):
                return
            arguments = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def versions(self) -> int:
        """How many versions and delete markers there are besides the current objects. Raises ProviderError."""
        return sum(not current for _, current in self._versions())

    def purge(self) -> None:
        """Remove everything the bucket holds. Raises ProviderError."""
        self._remove([row for row, _ in self._versions()])
        for upload in self._call("list_multipart_uploads").get("Uploads", []):
            self._call("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])


def _parts(content: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for piece in content:
        waiting += piece
        while len(waiting) >= PART:
            yield bytes(waiting[:PART])
            del waiting[:PART]
    if waiting:
        yield bytes(waiting)
