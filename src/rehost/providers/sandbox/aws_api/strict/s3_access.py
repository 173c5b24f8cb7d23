"""Who may do what without credentials: bucket policies, access lists, and the public access block over both.

Source: S3 user guide, "Blocking public access" and "Policies and permissions". Policies with conditions let nobody
in here, and keep out everybody whom they deny.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, after, before, settle
from rehost.providers.sandbox.wire import Answer

_ACTIONS = {
    "HeadObject": "s3:GetObject",
    "HeadBucket": "s3:ListBucket",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "CopyObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "DeleteObjects": "s3:DeleteObject",
}
_PUBLIC_ACLS = ("public-read", "public-read-write", "authenticated-read")


def _bucket(request: Request) -> Any:
    return request.backend("s3").buckets.get(request.path[0])


def _block(bucket: Any, name: str) -> bool:
    block = bucket.public_access_block
    return bool(block is not None and getattr(block, name))


def as_list(value: Any) -> list[Any]:
    """What may stand alone or in a list."""
    return value if isinstance(value, list) else [value]


def action_of(operation: str) -> str:
    """The action that a call needs to be allowed."""
    return _ACTIONS.get(operation, f"s3:{operation}")


def _for_all(statement: dict[str, Any]) -> bool:
    principal = statement.get("Principal")
    return principal == "*" or (isinstance(principal, dict) and "*" in as_list(principal.get("AWS", [])))


def _matches(statement: dict[str, Any], action: str, resource: str) -> bool:
    actions = any(fnmatchcase(action.lower(), str(a).lower()) for a in as_list(statement.get("Action", [])))
    return actions and any(fnmatchcase(resource, str(r)) for r in as_list(statement.get("Resource", [])))


def _statements(bucket: Any) -> list[dict[str, Any]]:
    policy = bucket.policy
    if not policy:
        return []
    found = json.loads(policy if isinstance(policy, str) else policy.decode())
    return [row for row in as_list(found.get("Statement", [])) if isinstance(row, dict)]


def allowed(bucket: Any, key: str, operation: str) -> bool:
    """Whether anybody may do it."""
    action = action_of(operation)
    resource = f"arn:aws:s3:::{bucket.name}/{key}" if key else f"arn:aws:s3:::{bucket.name}"
    mine = [row for row in _statements(bucket) if _for_all(row) and _matches(row, action, resource)]
    if any(row.get("Effect") == "Deny" for row in mine):
        return False
    if not _block(bucket, "restrict_public_buckets") and any(
        row.get("Effect") == "Allow" and not row.get("Condition") for row in mine
    ):
        return True
    if _block(bucket, "ignore_public_acls"):
        return False
    if action == "s3:GetObject" and key:
        found = bucket.keys.get(key)
        return bool(found is not None and getattr(found, "acl", None) and found.acl.public_read)
    return action == "s3:ListBucket" and bool(bucket.acl and bucket.acl.public_read)


@settle("s3")
def _anonymous(request: Request) -> None:
    if not request.anonymous:
        return
    bucket = _bucket(request)
    name, key = request.path
    if name and bucket is None:
        raise Refusal("NoSuchBucket", "The specified bucket does not exist", 404)
    if bucket is None or not allowed(bucket, key, request.call.operation):
        raise Refusal("AccessDenied", "Access Denied", 403)
    # It is decided: moto has rules of its own for those who come without a signature.
    request.environ["HTTP_AUTHORIZATION"] = (
        "AWS4-HMAC-SHA256 Credential=anybody/20060301/us-east-1/s3/aws4_request"
    )


@before("s3:PutBucketPolicy")
def _policy(request: Request) -> None:
    bucket = _bucket(request)
    if bucket is None:
        return
    try:
        policy = json.loads(request.body)
        rows = as_list(policy["Statement"])
        good = all(
            row["Effect"] in ("Allow", "Deny")
            and (row.get("Principal") or row.get("NotPrincipal"))
            and (row.get("Action") or row.get("NotAction"))
            for row in rows
        )
        resources = [str(r) for row in rows for r in as_list(row.get("Resource", []))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'") from error
    if not good:
        raise Refusal("MalformedPolicy", "Missing required field Effect, Principal or Action")
    own = f"arn:aws:s3:::{bucket.name}"
    if not all(resource == own or resource.startswith(f"{own}/") for resource in resources):
        raise Refusal("MalformedPolicy", "Policy has invalid resource")
    public = any(row["Effect"] == "Allow" and _for_all(row) and not row.get("Condition") for row in rows)
    if public and _block(bucket, "block_public_policy"):
        raise Refusal(
            "AccessDenied",
            "User is not authorized to perform: s3:PutBucketPolicy because public policies are prevented by the "
            "BlockPublicPolicy setting in S3 Block Public Access.",
            403,
        )


@before("s3:PutObject", "s3:CopyObject", "s3:CreateMultipartUpload", "s3:PutObjectAcl", "s3:PutBucketAcl")
def _acl(request: Request) -> None:
    bucket = _bucket(request)
    if bucket is None or request.settings.flavour != "aws":
        return
    given = request.header("x-amz-acl")
    rule = getattr(bucket, "ownership_rule", None) or "BucketOwnerEnforced"
    if given and given not in ("private", "bucket-owner-full-control") and "Enforced" in str(rule):
        raise Refusal("AccessControlListNotSupported", "The bucket does not allow ACLs")
    if given in _PUBLIC_ACLS and _block(bucket, "block_public_acls"):
        raise Refusal("AccessDenied", "Access Denied", 403)


@after("s3:CreateBucket")
def _created(request: Request, answer: Answer) -> None:
    """New buckets of Amazon's are closed to the public since April 2023."""
    from moto.s3.models import PublicAccessBlock

    bucket = _bucket(request)
    if bucket is not None and request.settings.flavour == "aws" and bucket.public_access_block is None:
        bucket.public_access_block = PublicAccessBlock("true", "true", "true", "true")


@before("s3:PutBucketTagging")
def _tags(request: Request) -> None:
    if request.settings.flavour == "objects":
        raise Refusal("NotImplemented", "Buckets have no tags here", 501)
