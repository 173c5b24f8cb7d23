"""What servers are to Amazon, so that services on them are let into the buckets that they use.

A server group has one role: keys for it are told to whatever runs on a server, so that a service has the rights of
all on its group. Facts: EC2 user guide, "IAM roles for Amazon EC2" and "Use the Instance Metadata Service"; S3
user guide, "Policies and permissions".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rehost.providers.aws import tokens as t
from rehost.stacks.bucketuse import used_by
from rehost.stacks.graph import UNKNOWN, Json, Resource, Value
from rehost.stacks.lower import rehost_id
from rehost.stacks.model import Stack

if TYPE_CHECKING:
    from rehost.providers.aws.lower import AwsLowering

_LONGEST = 64
"""Characters of a role's name."""
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}],
}
POLICY = "buckets"


def role(make: AwsLowering, group: str) -> Iterator[Resource]:
    """The role of a server group whose services use buckets, what it may do, and what hands it to servers."""
    used = used_by(make.lowering.stack, group)
    if not used:
        return
    component = f"servers.{group}"
    about = {
        "name": _named(make, t.ROLE, group),
        "description": f"Servers of {group}",
        "assumeRolePolicy": Json(_TRUST),
    }
    yield make.tagged(t.ROLE, group, component, about)
    statements = [row for name, how in used.items() for row in _statements(make, name, how)]
    rights = {
        "name": POLICY,
        "role": make.ref(t.ROLE, group, "name"),
        "policy": Json({"Version": "2012-10-17", "Statement": statements}),
    }
    yield make.plain(t.ROLE_POLICY, group, component, rights)
    profile = {"name": _named(make, t.PROFILE, group), "role": make.ref(t.ROLE, group, "name")}
    yield make.tagged(t.PROFILE, group, component, profile)


def hops(stack: Stack, group: str) -> dict[str, Value]:
    """How far answers with keys may travel: to a container on the server it is one hop more than to the server."""
    inside = any(
        service.image and service.buckets
        for name, service in stack.services.items()
        if stack.group_of(name) == group
    )
    return {"httpPutResponseHopLimit": 2} if inside else {}


def _named(make: AwsLowering, token: str, group: str) -> Value:
    """A name that no other region and deployment of the account has: these names know no regions."""
    deployment = make.lowering.deployment
    if deployment is None:
        return UNKNOWN
    end = rehost_id(deployment, f"{token} {group}")[:10]
    return f"{make.lowering.physical(group)[: _LONGEST - len(end) - 1]}-{end}"


def _statements(make: AwsLowering, bucket: str, how: frozenset[str]) -> Iterator[dict[str, Value]]:
    real = make.bucket_name(bucket, make.lowering.stack.buckets[bucket])
    actions = ["s3:GetObject"] if "read" in how else []
    actions += ["s3:PutObject", "s3:DeleteObject"] if "write" in how else []
    if "read" in how:
        yield {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": _arn(real, "")}
    yield {"Effect": "Allow", "Action": actions, "Resource": _arn(real, "/*")}


def _arn(bucket: Value, below: str) -> Value:
    return UNKNOWN if bucket is UNKNOWN else f"arn:aws:s3:::{bucket}{below}"
