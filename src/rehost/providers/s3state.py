"""Objects with conditional writes behind any API that speaks S3: where shared states are kept.

    s3://bucket/prefix?region=eu-central-1&endpoint=https://fsn1.your-objectstorage.com&profile=ops&keys=HETZNER_S3

Conditions are If-None-Match and If-Match of PutObject (Amazon S3 API reference); a store that ignores them can't
keep a lock and is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from rehost.providers.botoerrors import translate
from rehost.stacks.errors import InvalidInput, ProviderError, Reason, Refused
from rehost.stacks.state.blobs import Blob, Blobs, Conflict

_OPTIONS = ("region", "endpoint", "profile", "keys")
_CONFLICTS = {"PreconditionFailed", "ConditionalRequestConflict"}
_TRIES = 5


def open_blobs(url: str, environment: Mapping[str, str]) -> Blobs:
    """The objects under an s3:// URL. Raises InvalidInput for a URL that is none."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS))
    problem = ""
    if unknown:
        problem = f"the option {unknown[0]} is not known"
    elif "@" in parts.netloc:
        problem = "keys don't belong into it: name their variables with ?keys="
    elif not parts.netloc or parts.fragment:
        problem = "a bucket is missing" if not parts.netloc else f"#{parts.fragment} means nothing here"
    if problem:
        raise InvalidInput(
            f"s3://{parts.netloc.rpartition('@')[2]}{parts.path} names no place for states",
            why=problem,
            fix=f"write s3://bucket/prefix, then ?option=value&... with {', '.join(_OPTIONS)}",
        )
    return S3Blobs(parts.netloc, parts.path.strip("/"), options, environment)


class S3Blobs:
    """Objects of one bucket under one prefix. The client is made at the first call."""

    def __init__(
        self, bucket: str, prefix: str, options: Mapping[str, str], environment: Mapping[str, str]
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._options = options
        self._environment = environment
        query = "&".join(f"{name}={quote(options[name], safe=':/')}" for name in _OPTIONS if name in options)
        self.url = f"s3://{bucket}/{prefix}".rstrip("/") + (f"?{query}" if query else "")
        self._making = threading.Lock()
        self._checked = False

    @cached_property
    def _client(self) -> Any:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        key, secret, token = self._keys()
        try:
            import boto3

            session = boto3.session.Session(
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=token,
                profile_name=self._options.get("profile") or None,
                region_name=self._options.get("region") or None,
            )
        except BotoCoreError as error:
            raise InvalidInput(f"{self.url}: {error}", fix="check the profile in the URL") from error
        region = session.region_name or self._environment.get("AWS_DEFAULT_REGION") or "us-east-1"
        config = Config(
            retries={"mode": "standard", "max_attempts": 4},
            connect_timeout=10,
            read_timeout=30,
            max_pool_connections=32,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if self._endpoint else "auto"},
        )
        make: Any = session.client
        return make("s3", endpoint_url=self._endpoint, region_name=region, config=config)

    @property
    def _endpoint(self) -> str | None:
        named = self._environment.get("AWS_ENDPOINT_URL_S3") or self._environment.get("AWS_ENDPOINT_URL")
        return self._options.get("endpoint") or named or None

    def _keys(self) -> tuple[str | None, str | None, str | None]:
        """Keys from the variables that the URL names, or those of AWS's tools; none leaves it to their chain."""
        get = self._environment.get
        name = self._options.get("keys")
        if name is None:
            if self._options.get("profile"):
                return None, None, None
            return get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY"), get("AWS_SESSION_TOKEN")
        key, secret = get(f"{name}_ACCESS_KEY"), get(f"{name}_SECRET_KEY")
        if not key or not secret:
            raise InvalidInput(
                f"there are no keys for the states in {self.url}",
                why=f"the URL names {name}_ACCESS_KEY and {name}_SECRET_KEY, which are not both set",
                fix="set them",
            )
        return key, secret, None

    def _call(self, operation: str, **parameters: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

        with self._making:
            client = self._client
        try:
            return getattr(client, operation)(Bucket=self._bucket, **parameters)
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise InvalidInput(
                f"there are no keys for the states in {self.url}",
                why="none of the places that AWS's own tools look in has any",
                fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name others in the URL (profile=, keys=)",
            ) from error
        except (BotoCoreError, ClientError, ValueError) as error:
            problem = translate(error, f"states in {self.url}")
            if problem.code == "NoSuchBucket":
                problem.fix = "make the bucket, with versioning if you can; rehost does not make it"
            elif problem.reason is Reason.DENIED:
                problem.fix = "check the keys; they need to read, write, delete and list there"
            raise problem from error

    def get(self, key: str) -> Blob | None:
        """The object, None where there is none."""
        from botocore.exceptions import BotoCoreError

        try:
            answer = self._call("get_object", Key=self._prefix + key)
            return Blob(answer["Body"].read(), answer["ETag"])
        except ProviderError as error:
            if error.code in ("NoSuchKey", "404"):
                return None
            raise
        except BotoCoreError as error:  # the answer ended in the middle
            raise translate(error, f"states in {self.url}") from error

    def put(self, key: str, data: bytes, *, absent: bool = False, match: str = "") -> str:
        """Write the object on a condition and answer its ETag. Raises Conflict where the condition fails."""
        condition = {"IfNoneMatch": "*"} if absent else {"IfMatch": match} if match else {}
        if condition:
            self._check_conditions()
        return self._put(key, data, condition)

    def _put(self, key: str, data: bytes, condition: Mapping[str, str]) -> str:
        for attempt in range(_TRIES):
            try:
                answer = self._call("put_object", Key=self._prefix + key, Body=data, **condition)
                return str(answer["ETag"])
            except ProviderError as error:
                # 409: another write of the key was under way; Amazon says to try again.
                if error.code == "ConditionalRequestConflict" and attempt < _TRIES - 1:
                    continue
                gone = "IfMatch" in condition and error.code in ("NoSuchKey", "404")
                if condition and (error.code in _CONFLICTS or error.status == 412 or gone):
                    raise Conflict(f"{key} in {self.url} was written by somebody else") from error
                raise
        raise AssertionError("unreachable")

    def _check_conditions(self) -> None:
        """Raise Refused for a storage that takes no notice of conditions: its lock would be none."""
        if self._checked:
            return
        probe = ".rehost-conditional-writes"
        try:
            if self.get(probe) is None:
                self._put(probe, b"", {})
            self._put(probe, b"", {"IfNoneMatch": "*"})
        except Conflict:
            self._checked = True
            return
        raise Refused(
            f"states can't be kept in {self.url}",
            why="this storage ignores If-None-Match, so that two writers would not notice each other",
            fix="use one with conditional writes, or the folder beside the stack file",
        )

    def delete(self, key: str) -> None:
        """Remove the object; one that is gone already is no error."""
        self._call("delete_object", Key=self._prefix + key)

    def list(self, prefix: str) -> list[tuple[str, int]]:
        """Keys that begin so, with sizes in bytes, in order."""
        found: list[tuple[str, int]] = []
        more: dict[str, str] = {}
        while True:
            answer = self._call("list_objects_v2", Prefix=self._prefix + prefix, **more)
            found += [(row["Key"].removeprefix(self._prefix), row["Size"]) for row in answer.get("Contents", ())]
            if not answer.get("IsTruncated"):
                return sorted(found)
            more = {"ContinuationToken": answer["NextContinuationToken"]}
