"""Errors of boto3 as ProviderError. Codes: EC2 API error codes, S3 error responses, Route 53 common errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
)

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
}


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
        retry_after=float(after) if after and after.replace(".", "", 1).isdigit() else None,
    )


def reason_of(code: str, status: int) -> Reason:
    """What a code of Amazon's APIs, with its HTTP status, means for the caller."""
    if code in _THROTTLED or status == 429:
        return Reason.THROTTLED
    if code in _DENIED or status in (401, 403):
        return Reason.DENIED
    if code in _BUSY or code.endswith((".InUse", "InUse")):
        return Reason.BUSY
    if code in _QUOTA:
        return Reason.QUOTA
    if code.endswith(("NotFound", ".NotFound")) or code.startswith("NoSuch") or status == 404:
        return Reason.NOT_FOUND
    if code.endswith((".Duplicate", "AlreadyExists", "AlreadyExist", "AlreadyAssociated")) or code in (
        "BucketAlreadyOwnedByYou",
        "HostedZoneAlreadyExists",
    ):
        return Reason.EXISTS
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
