"""The content of a bucket behind any API that speaks S3. Element names: the S3 API reference, REST XML."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote_plus
from xml.sax.saxutils import escape

from rehost.providers.s3wire import Answer, Wire, fields, parsed, refusal
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
    """An ObjectStore over a wire that many threads, and other buckets, may share."""

    keeps = frozenset({"headers", "user", "tags"})

    def __init__(self, wire: Wire, bucket: str) -> None:
        self._wire = wire
        self._bucket = bucket
        self._tags = True
        self.name = f"s3://{bucket}"

    def _ask(self, method: str, key: str, operation: str, **how: Any) -> Answer:
        return self._wire.call(method, f"/{self._bucket}/{key}", operation=operation, **how)

    def _pages(self, operation: str, query: dict[str, str], following: Mapping[str, str]) -> Iterator[Any]:
        """The pages of a listing as XML. `following`: which element of a page is which parameter of the next."""
        while True:
            answer = self._wire.call("GET", f"/{self._bucket}", operation=operation, query=query)
            page = parsed(answer.read(), operation)
            yield page
            if page.findtext("IsTruncated") != "true":
                return
            query = {**query, **{name: page.findtext(element) or "" for element, name in following.items()}}

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects in key order. Raises ProviderError."""
        query = {"list-type": "2", "encoding-type": "url", **({"prefix": prefix} if prefix else {})}
        following = {"NextContinuationToken": "continuation-token"}
        for page in self._pages("list_objects_v2", query, following):
            coded = page.findtext("EncodingType") == "url"
            for row in page.iterfind("Contents"):
                key, etag = row.findtext("Key") or "", row.findtext("ETag") or ""
                modified = _moment(row.findtext("LastModified") or "")
                size = int(row.findtext("Size") or 0)
                yield ObjectInfo(unquote_plus(key) if coded else key, size, etag.strip('"'), modified)

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
            version = {"versionId": headers["x-amz-version-id"]} if "x-amz-version-id" in headers else {}
            answer = self._ask("GET", key, "get_object_tagging", query={"tagging": "", **version})
            rows = parsed(answer.read(), "get_object_tagging").iterfind("TagSet/Tag")
            tags = {row.findtext("Key") or "": row.findtext("Value") or "" for row in rows}
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
            self._ask("DELETE", key, "abort_multipart_upload", query={"uploadId": upload}).read()
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise

    def unfinished(self, key: str) -> Sequence[str]:
        """Uploads of this key that are open. Raises ProviderError."""
        return [upload for of, upload in self._uploads(key) if of == key]

    def _uploads(self, prefix: str = "") -> Iterator[tuple[str, str]]:
        query = {"uploads": "", "encoding-type": "url", **({"prefix": prefix} if prefix else {})}
        following = {"NextKeyMarker": "key-marker", "NextUploadIdMarker": "upload-id-marker"}
        for page in self._pages("list_multipart_uploads", query, following):
            coded = page.findtext("EncodingType") == "url"
            for row in page.iterfind("Upload"):
                key = row.findtext("Key") or ""
                yield unquote_plus(key) if coded else key, row.findtext("UploadId") or ""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects. Raises ProviderError."""
        self._remove([(key, "") for key in keys])

    def _remove(self, rows: Sequence[tuple[str, str]]) -> None:
        """Remove objects, or versions of them where the second is not empty."""
        plain = [row for row in rows if _fits_xml(row[0])]
        for start in range(0, len(plain), 1000):
            self._remove_many(plain[start : start + 1000])
        for key, version in rows:
            if not _fits_xml(key):
                query = {"versionId": version} if version else {}
                self._ask("DELETE", key, "delete_object", query=query).read()

    def _remove_many(self, rows: Sequence[tuple[str, str]]) -> None:
        texts = [
            f"<Object><Key>{escape(key)}</Key>{f'<VersionId>{escape(v)}</VersionId>' if v else ''}</Object>"
            for key, v in rows
        ]
        body = f"<Delete><Quiet>true</Quiet>{''.join(texts)}</Delete>".encode()
        sent = {
            "Content-Type": "application/xml",
            "Content-MD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
        }
        how: dict[str, Any] = {"query": {"delete": ""}, "headers": sent, "body": body}
        answer = self._wire.call("POST", f"/{self._bucket}", operation="delete_objects", **how)
        for problem in parsed(answer.read(), "delete_objects").iterfind("Error"):
            code = problem.findtext("Code") or ""
            raise ProviderError(
                f"delete_objects: {problem.findtext('Key')}: {problem.findtext('Message') or code}",
                reason=Reason.UNAVAILABLE if code in ("InternalError", "SlowDown") else Reason.FAILED,
                operation="delete_objects",
                code=code,
            )

    def _versions(self) -> Iterator[tuple[tuple[str, str], bool]]:
        query = {"versions": "", "encoding-type": "url"}
        following = {"NextKeyMarker": "key-marker", "NextVersionIdMarker": "version-id-marker"}
        for page in self._pages("list_object_versions", query, following):
            coded = page.findtext("EncodingType") == "url"
            for row in page:
                if row.tag in ("Version", "DeleteMarker"):
                    key = row.findtext("Key") or ""
                    current = row.tag == "Version" and row.findtext("IsLatest") == "true"
                    yield (unquote_plus(key) if coded else key, row.findtext("VersionId") or ""), current

    def versions(self) -> int:
        """How many versions and delete markers there are besides the current objects. Raises ProviderError."""
        return sum(not current for _, current in self._versions())

    def purge(self) -> None:
        """Remove everything the bucket holds. Raises ProviderError."""
        self._remove([row for row, _ in self._versions()])
        for key, upload in self._uploads():
            self.abort(key, upload)


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


def _moment(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp).timestamp() if stamp else 0.0
    except ValueError:
        return 0.0
