"""The content of a bucket behind any API that speaks S3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from rehost.providers.botoerrors import guarded
from rehost.providers.s3wire import Answer, Wire, fields, refusal
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import ObjectInfo, ObjectMeta, Span

_HEADERS = (
    "Content-Type",
    "Content-Encoding",
    "Content-Disposition",
    "Content-Language",
    "Cache-Control",
    "Expires",
)
_USER = "x-amz-meta-"
_NO_TAGS = {"NotImplemented", "MethodNotAllowed", "UnsupportedOperation", "XNotImplemented"}
"""Codes with which object storages answer that they know no tags of objects."""


class S3Objects:
    """An ObjectStore: lists and settings over a boto3 client, bytes over the wire, with the same credentials."""

    keeps = frozenset({"headers", "user", "tags"})

    def __init__(self, client: Any, bucket: str, credentials: Any) -> None:
        self._client = client
        self._bucket = bucket
        self._wire = Wire(client.meta.endpoint_url, client.meta.region_name, credentials)
        self._tags = True
        self.name = f"s3://{bucket}"

    def _call(self, operation: str, **arguments: Any) -> Any:
        with guarded(operation):
            return getattr(self._client, operation)(Bucket=self._bucket, **arguments)

    def _ask(self, method: str, key: str, operation: str, **how: Any) -> Answer:
        return self._wire.call(method, f"/{self._bucket}/{key}", operation=operation, **how)

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

    def about(self, key: str) -> tuple[ObjectInfo, ObjectMeta]:
        """An object's metadata. Raises ProviderError."""
        answer = self._ask("HEAD", key, "head_object")
        answer.read()
        info = _info(key, answer.headers, int(answer.headers.get("content-length", 0)))
        return info, self._meta(key, answer.headers)

    def open(
        self, key: str, *, span: Span | None = None, pin: ObjectInfo | None = None
    ) -> tuple[ObjectInfo, ObjectMeta, Iterator[bytes]]:
        """An object, or a part of one, as a stream. Raises ProviderError, also while it is read."""
        headers, query = {}, {}
        if span is not None:
            headers["Range"] = f"bytes={span.start}-{span.start + span.size - 1}"
        if pin is not None and pin.version:
            query["versionId"] = pin.version
        elif pin is not None:
            headers["If-Match"] = f'"{pin.etag}"'
        answer = self._ask("GET", key, "get_object", query=query, headers=headers)
        length = int(answer.headers.get("content-length", 0))
        whole = answer.headers.get("content-range", "").rpartition("/")[2]
        info = _info(key, answer.headers, int(whole) if whole.isdigit() else length)
        if span is not None and length != span.size:
            raise ProviderError(
                f"get_object: {length} bytes of {key} instead of {span.size}", reason=Reason.CHANGED
            )
        return info, self._meta(key, answer.headers), answer.body()

    def _meta(self, key: str, headers: Mapping[str, str]) -> ObjectMeta:
        told = {name: headers[name.lower()] for name in _HEADERS if name.lower() in headers}
        user = {name[len(_USER) :]: value for name, value in headers.items() if name.startswith(_USER)}
        tags: dict[str, str] = {}
        if headers.get("x-amz-tagging-count", "0") != "0":
            version = {"VersionId": headers["x-amz-version-id"]} if "x-amz-version-id" in headers else {}
            rows = self._call("get_object_tagging", Key=key, **version)["TagSet"]
            tags = {row["Key"]: row["Value"] for row in rows}
        return ObjectMeta(told, user, tags)

    def _sent(self, meta: ObjectMeta) -> dict[str, str]:
        sent = {name: value for name, value in meta.headers.items() if name in _HEADERS}
        sent |= {f"{_USER}{name}": value for name, value in meta.user.items()}
        if meta.tags and self._tags:
            sent["x-amz-tagging"] = "&".join(
                f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in meta.tags.items()
            )
        return sent

    def put(
        self, key: str, meta: ObjectMeta, size: int, content: Iterable[bytes], *, sha256: str = ""
    ) -> ObjectInfo:
        """Write an object. Raises ProviderError; then the object is as it was."""
        body = b"".join(content) if sha256 or not size else content
        if isinstance(body, bytes) and len(body) != size:
            raise ProviderError(f"{key}: {len(body)} bytes instead of {size}", reason=Reason.UNAVAILABLE)

        def send(headers: dict[str, str]) -> Answer:
            return self._ask("PUT", key, "put_object", headers=headers, body=body, size=size, sha256=sha256)

        answer = self._tagged(send, meta)
        answer.read()
        return _info(key, answer.headers, size)

    def _tagged(self, send: Any, meta: ObjectMeta) -> Answer:
        """A write with the tags, and without them where the storage knows none: what was lost shows when it is
        read back."""
        try:
            found: Answer = send(self._sent(meta))
        except ProviderError as error:
            if not meta.tags or not self._tags or error.code not in _NO_TAGS:
                raise
            self._tags = False
            # A streamed body is spent: the caller's repetition starts it anew.
            raise ProviderError(
                f"{error.summary} (tags)", reason=Reason.UNAVAILABLE, operation=error.operation, code=error.code
            ) from error
        return found

    def begin(self, key: str, meta: ObjectMeta) -> str:
        """Start an upload in parts. Raises ProviderError."""

        def send(headers: dict[str, str]) -> Answer:
            return self._ask("POST", key, "create_multipart_upload", query={"uploads": ""}, headers=headers)

        (upload,) = fields(self._tagged(send, meta).read(), ("UploadId",))
        if not upload:
            raise ProviderError(f"{key}: the answer names no upload", reason=Reason.UNAVAILABLE)
        return upload

    def put_part(self, key: str, upload: str, number: int, span: Span, content: Iterable[bytes]) -> str:
        """Write a part. Raises ProviderError."""
        answer = self._ask(
            "PUT",
            key,
            "upload_part",
            query={"partNumber": str(number), "uploadId": upload},
            body=content,
            size=span.size,
        )
        answer.read()
        return answer.headers.get("etag", "").strip('"')

    def finish(self, key: str, upload: str, parts: Sequence[str]) -> ObjectInfo:
        """Make the object of its parts. Raises ProviderError."""
        rows = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{escape(etag)}&quot;</ETag></Part>"
            for number, etag in enumerate(parts, 1)
        )
        body = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
        answer = self._ask(
            "POST",
            key,
            "complete_multipart_upload",
            query={"uploadId": upload},
            headers={"Content-Type": "application/xml"},
            body=body,
        )
        text = answer.read()
        # S3 says 200 before it knows the outcome.
        code, etag = fields(text, ("Code", "ETag"))
        if code:
            raise refusal(500 if code == "InternalError" else 400, {}, text, "complete_multipart_upload")
        return ObjectInfo(key, -1, etag.strip('"'), version=answer.headers.get("x-amz-version-id", ""))

    def abort(self, key: str, upload: str) -> None:
        """Forget an upload. Raises ProviderError."""
        try:
            self._call("abort_multipart_upload", Key=key, UploadId=upload)
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise

    def unfinished(self, key: str) -> Sequence[str]:
        """Uploads of this key that are open. Raises ProviderError."""
        found = self._call("list_multipart_uploads", Prefix=key).get("Uploads", [])
        return [row["UploadId"] for row in found if row["Key"] == key]

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects. Raises ProviderError."""
        self._remove([{"Key": key} for key in keys])

    def _remove(self, rows: Sequence[Mapping[str, str]]) -> None:
        plain = [row for row in rows if _fits_xml(row["Key"])]
        for start in range(0, len(plain), 1000):
            answer = self._call("delete_objects", Delete={"Objects": plain[start : start + 1000], "Quiet": True})
            for problem in answer.get("Errors", []):
                raise (
                    refusal(400, {}, b"", "delete_objects")
                    if not problem.get("Code")
                    else ProviderError(
                        f"delete_objects: {problem.get('Key')}: {problem.get('Message') or problem['Code']}",
                        reason=Reason.FAILED,
                        operation="delete_objects",
                        code=problem["Code"],
                    )
                )
        for row in rows:
            if not _fits_xml(row["Key"]):
                self._call("delete_object", **row)

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


def _fits_xml(key: str) -> bool:
    """Whether XML 1.0 can carry a key: S3 allows more characters than that."""
    return all(char >= " " or char in "\t\n" for char in key) and "\ufffe" not in key and "\uffff" not in key


def _info(key: str, headers: Mapping[str, str], size: int) -> ObjectInfo:
    version = headers.get("x-amz-version-id", "")
    return ObjectInfo(
        key,
        size,
        headers.get("etag", "").strip('"'),
        _seconds(headers.get("last-modified", "")),
        "" if version == "null" else version,
    )


@lru_cache(maxsize=1024)
def _seconds(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() if date else 0.0
    except ValueError:
        return 0.0
