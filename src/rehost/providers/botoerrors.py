"""Errors of boto3 as ProviderError. Codes: the error sections of each service's API reference."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from rehost.providers.waits import retry_after
from rehost.stacks.errors import ProviderError, Reason

_THROTTLED = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "SlowDown", "TooManyRequests"}
_THROTTLED |= {"PriorRequestNotComplete", "RequestThrottled", "EC2ThrottledException", "TooManyRequestsException"}
_DENIED = {"AuthFailure", "InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}
_DENIED |= {
    "UnauthorizedOperation",
    "ExpiredToken",
    "ExpiredTokenException",
    "AccessDeniedException",
    "OptInRequired",
}
_BUSY = {"DependencyViolation", "IncorrectState", "IncorrectInstanceState", "OperationAborted", "VolumeInUse"}
_BUSY |= {"ResourceInUse", "InvalidPlacementGroup.InUse", "ConflictingDomainExists", "IncorrectModificationState"}
_BUSY |= {"DeleteConflict", "ConcurrentModification", "DBInstanceBeingModified"}
_QUOTA = {"VpcLimitExceeded", "InstanceLimitExceeded", "VcpuLimitExceeded", "VolumeLimitExceeded"}
_QUOTA |= {
    "SecurityGroupLimitExceeded",
    "RulesPerSecurityGroupLimitExceeded",
    "TooManyBuckets",
    "TooManyHostedZones",
}
_UNAVAILABLE = {
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "Unavailable",
    "InsufficientInstanceCapacity",
    "InsufficientDBInstanceCapacity",
    "InsufficientCacheClusterCapacity",
}


_EXISTS = {"BucketAlreadyOwnedByYou", "HostedZoneAlreadyExists", "PriorityInUse", "ResourceExistsException"}
_EXISTS |= {"DuplicateLoadBalancerName", "DuplicateTargetGroupName", "DuplicateListener"}
_EXISTING = (".Duplicate", "AlreadyExists", "AlreadyExist", "AlreadyAssociated")
_STATE = re.compile(r"Invalid(DB|Cache|ReplicationGroup)\w*State$")
"""Databases and caches that are in the middle of something."""


def translate(error: Exception, operation: str) -> ProviderError:
    """What an SDK error means for the caller. Secrets are in none of these texts."""
    if isinstance(error, ClientError):
        return _answer(error, operation)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return ProviderError(
            "there are no AWS credentials", reason=Reason.DENIED, operation=operation, fix="set AWS_ACCESS_KEY_ID"
        )
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return ProviderError(
            f"{operation}: the provider can't be reached", reason=Reason.UNAVAILABLE, operation=operation
        )
    if isinstance(error, ParamValidationError):
        # Its text repeats the values.
        return ProviderError(
            f"{operation}: a value is of a form that the SDK does not send",
            reason=Reason.INVALID,
            operation=operation,
        )
    if isinstance(error, BotoCoreError):
        return ProviderError(
            f"{operation}: no answer ({type(error).__name__})", reason=Reason.UNCERTAIN, operation=operation
        )
    return ProviderError(f"{operation}: {error}", reason=Reason.FAILED, operation=operation)


def _answer(error: ClientError, operation: str) -> ProviderError:
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    meta = error.response.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode", 0))
    after = meta.get("HTTPHeaders", {}).get("retry-after")
    return ProviderError(
        f"{operation}: {message or code}",
        reason=reason_of(code, status),
        operation=operation,
        code=code,
        status=status,
        retry_after=retry_after(after, time.time()),
    )


def reason_of(code: str, status: int) -> Reason:
    """What a code of Amazon's APIs, with its HTTP status, means for the caller."""
    if code in _THROTTLED or status == 429:
        return Reason.THROTTLED
    if code in _DENIED or status in (401, 403):
        return Reason.DENIED
    # Some services put a word after the name of the error.
    bare = code.removesuffix("Exception").removesuffix("Fault")
    if code in _EXISTS or bare.endswith(_EXISTING):
        return Reason.EXISTS
    if code in _BUSY or bare.endswith("InUse") or _STATE.match(bare):
        return Reason.BUSY
    if code in _QUOTA or bare.endswith(("LimitExceeded", "QuotaExceeded")):
        return Reason.QUOTA
    if bare.endswith(("NotFound", ".Unknown")) or code.startswith("NoSuch") or status == 404:
        return Reason.NOT_FOUND
    if code in _UNAVAILABLE or status >= 500:
        return Reason.UNAVAILABLE
    return Reason.INVALID if status == 400 else Reason.FAILED


@contextmanager
def guarded(operation: str) -> Iterator[None]:
    """Errors of the SDK leave as ProviderError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise translate(error, operation) from error
