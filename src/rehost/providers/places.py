"""Stores of objects by URL, for moving data without a stack: a folder, or

    s3://bucket/prefix?region=eu-central-1&endpoint=https://fsn1.your-objectstorage.com&profile=ops&keys=HETZNER_S3

`keys=NAME` takes NAME_ACCESS_KEY, NAME_SECRET_KEY and, where the URL has no endpoint, NAME_ENDPOINT. Without it
keys and endpoint are those of AWS's own tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from rehost.stacks.data.under import Under
from rehost.stacks.errors import InvalidInput
from rehost.stacks.ports import ObjectStore

_OPTIONS = ("region", "endpoint", "profile", "keys")


def open_place(where: str, environment: Mapping[str, str], *, exists: bool = False) -> ObjectStore:
    """The store that `where` names; with `exists` a folder has to be there. Raises InvalidInput."""
    if "://" not in where:
        return _folder(Path(where).expanduser(), exists)
    parts = urlsplit(where)
    if parts.scheme == "file":
        return _folder(Path(unquote(parts.netloc + parts.path)), exists)
    if parts.scheme != "s3":
        raise InvalidInput(
            f"{parts.scheme}:// is no place that data can be copied to or from",
            fix="name a folder, or s3://bucket/prefix",
        )
    # A key may hold `?` and `#`: only what follows the last `?` is options.
    path, _, query = where.removeprefix("s3://").partition("?")
    bucket, _, prefix = path.partition("/")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown or not bucket or "@" in bucket:
        raise InvalidInput(
            f"s3://{bucket.rpartition('@')[2]}/{prefix} names no bucket",
            why=f"the option {unknown[0]} is not known" if unknown else "it is s3://bucket/prefix, without keys",
            fix=f"write s3://bucket/prefix, then ?option=value&... with {', '.join(_OPTIONS)}",
        )
    store = _bucket(bucket, options, environment)
    return Under(store, prefix if prefix.endswith("/") else f"{prefix}/") if prefix else store


def _folder(path: Path, exists: bool) -> ObjectStore:
    from rehost.providers.folder import FolderObjects

    if exists and not path.exists():
        raise InvalidInput(f"there is no folder {path}", fix="check the name")
    if path.exists() and not path.is_dir():
        raise InvalidInput(f"{path} is not a folder", fix="name the folder that it is in")
    return FolderObjects(path)


def _bucket(bucket: str, options: Mapping[str, str], environment: Mapping[str, str]) -> ObjectStore:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise InvalidInput("buckets need boto3", fix="pip install 'rehost[aws]'") from error
    from rehost.providers.s3 import S3Objects

    name = options.get("keys")
    named: dict[str, Any] = _named_keys(name, environment) if name else {}
    try:
        session = boto3.session.Session(
            **named, profile_name=options.get("profile") or None, region_name=options.get("region") or None
        )
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise InvalidInput(f"s3://{bucket}: {error}", fix="check the profile in the URL") from error
    if credentials is None:
        raise InvalidInput(
            f"there are no keys for s3://{bucket}",
            why="none of the places that AWS's own tools look in has any",
            fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name others with ?keys= or ?profile=",
        )
    own = environment.get(f"{name}_ENDPOINT") if name else None
    usual = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    endpoint = options.get("endpoint") or own or (None if name else usual)
    config = Config(
        retries={"total_max_attempts": 1},
        max_pool_connections=64,
        connect_timeout=10,
        read_timeout=60,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if endpoint else None,
    )

    def client(region: str) -> Any:
        make: Any = session.client
        return make("s3", endpoint_url=endpoint, region_name=region, config=config)

    made = client(session.region_name or "us-east-1")
    if endpoint is None:
        made = _at_home(made, bucket, client)
    return S3Objects(made, bucket, credentials)


def _at_home(made: Any, bucket: str, client: Any) -> Any:
    """A client of the region that the bucket is in, which Amazon names in any answer about it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = made.head_bucket(Bucket=bucket)
    except ClientError as error:
        answer = error.response
    except BotoCoreError:
        return made
    region = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("x-amz-bucket-region")
    return made if region in (None, made.meta.region_name) else client(region)


def _named_keys(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    key, secret = environment.get(f"{name}_ACCESS_KEY"), environment.get(f"{name}_SECRET_KEY")
    if not key or not secret:
        raise InvalidInput(
            f"there are no keys of the name {name}",
            why=f"the URL names {name}_ACCESS_KEY and {name}_SECRET_KEY, which are not both set",
            fix="set both",
        )
    return {"aws_access_key_id": key, "aws_secret_access_key": secret}
