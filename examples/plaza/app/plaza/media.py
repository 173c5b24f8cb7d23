"""Pictures in the bucket. Where that is and who may use it boto3 is told by its variables, or by the server."""

from __future__ import annotations

import hashlib
import struct
import uuid

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from plaza.config import Config

TYPES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
LARGEST = 32 * 1024**2
FOREVER = "public, max-age=31536000, immutable"


class MediaUnavailable(Exception):
    """The bucket does not take or give a picture at the moment."""


class Media:
    """The bucket. Methods raise MediaUnavailable."""

    def __init__(self, config: Config) -> None:
        self._bucket = config.bucket
        settings = BotoConfig(connect_timeout=3, read_timeout=30, retries={"total_max_attempts": 2})
        self._client = boto3.client("s3", config=settings)

    def put(self, content: bytes, type_: str) -> tuple[str, str]:
        """Store a picture under a name of its own; its key and the SHA-256 of its bytes."""
        key = f"pictures/{uuid.uuid4().hex}.{TYPES[type_]}"
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=content, ContentType=type_, CacheControl=FOREVER
            )
        except (BotoCoreError, ClientError) as error:
            raise MediaUnavailable("pictures can't be stored at the moment") from error
        return key, hashlib.sha256(content).hexdigest()

    def get(self, key: str) -> bytes:
        """A picture's bytes."""
        try:
            return bytes(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        except (BotoCoreError, ClientError) as error:
            raise MediaUnavailable("a picture can't be read at the moment") from error


def dimensions(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG; None for what is none."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        return None
    width, height = struct.unpack(">II", content[16:24])
    return width, height
