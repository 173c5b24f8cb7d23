"""Stores of objects by URL, for moving data without a stack: a folder, or

    s3://bucket/prefix?region=eu-central-1&endpoint=https://fsn1.your-objectstorage.com&profile=ops&keys=HETZNER_S3

`keys=NAME` takes NAME_ACCESS_KEY, NAME_SECRET_KEY and, where the URL has no endpoint, NAME_ENDPOINT. Without it
keys and endpoint are those of AWS's own tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Keys:
    """A pair of keys as the wire wants it; a stand-in for boto3's credentials that needs no boto3."""

    access_key: str
    secret_key: str
    token: str | None = None

    def get_frozen_credentials(self) -> _Keys:
        return self


def _bucket(bucket: str, options: Mapping[str, str], environment: Mapping[str, str]) -> ObjectStore:
    from rehost.providers.s3 import S3Objects
    from rehost.providers.s3wire import Wire

    name = options.get("keys")
    own = environment.get(f"{name}_ENDPOINT") if name else None
    usual = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    endpoint = options.get("endpoint") or own or (None if name else usual)
    keys = _given_keys(name, options, environment)
    if endpoint and keys:
        region = options.get("region") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
        return S3Objects(Wire(endpoint, region, keys), bucket)
    client, credentials = _by_sdk(bucket, keys, endpoint, options)
    return S3Objects(Wire.of(client, credentials), bucket)


def _given_keys(name: str | None, options: Mapping[str, str], environment: Mapping[str, str]) -> _Keys | None:
    """The keys in the environment; None leaves it to the places that AWS's tools look in."""
    get = environment.get
    if name is not None:
        key, secret = get(f"{name}_ACCESS_KEY"), get(f"{name}_SECRET_KEY")
        if not key or not secret:
            raise InvalidInput(
                f"there are no keys of the name {name}",
                why=f"the URL names {name}_ACCESS_KEY and {name}_SECRET_KEY, which are not both set",
                fix="set both",
            )
        return _Keys(key, secret)
    key, secret = get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")
    if options.get("profile") or not key or not secret:
        return None
    return _Keys(key, secret, get("AWS_SESSION_TOKEN"))


def _by_sdk(bucket: str, keys: _Keys | None, endpoint: str | None, options: Mapping[str, str]) -> tuple[Any, Any]:
    """A client for the bucket's region, and credentials from wherever AWS's tools find them."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise InvalidInput("this needs boto3", fix="pip install 'rehost[aws]'") from error
    make: Any = boto3.session.Session
    try:
        session = make(
            aws_access_key_id=keys and keys.access_key,
            aws_secret_access_key=keys and keys.secret_key,
            aws_session_token=keys and keys.token,
            profile_name=options.get("profile") or None,
            region_name=options.get("region") or None,
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

    def client(region: str) -> Any:
        return session.client("s3", endpoint_url=endpoint, region_name=region)

    made = client(session.region_name or "us-east-1")
    return made if endpoint else _at_home(made, bucket, client), credentials


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
