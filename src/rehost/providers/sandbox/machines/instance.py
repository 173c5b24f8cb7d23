"""What an instance of the stand-in for AWS is told about itself; its keys are sessions of its role in moto."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from rehost.providers.sandbox.machines.metadata import Told, keys_text

LIFE_S, RENEWED_S = 3600, 600
"""Seconds that keys are good for, and how long before their end others are told."""
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


def told(ec2: Any, row: Any) -> Told:
    """Everything about an instance."""
    from moto.core.models import DEFAULT_ACCOUNT_ID

    options = row.metadata_options
    nics = list(row.nics.values())
    zone = row.placement.zone
    texts = {
        "meta-data/instance-id": row.id,
        "meta-data/instance-type": row.instance_type,
        "meta-data/ami-id": row.image_id,
        "meta-data/local-ipv4": row.private_ip or "",
        "meta-data/placement/region": ec2.region_name,
        "meta-data/placement/availability-zone": zone,
        "dynamic/instance-identity/document": json.dumps(
            {
                "accountId": DEFAULT_ACCOUNT_ID,
                "availabilityZone": zone,
                "imageId": row.image_id,
                "instanceId": row.id,
                "instanceType": row.instance_type,
                "privateIp": row.private_ip,
                "region": ec2.region_name,
                "version": "2017-09-30",
            }
        ),
    }
    public = [nic.public_ip for nic in nics if nic.public_ip]
    if public:
        texts["meta-data/public-ipv4"] = public[0]
    texts |= _role(ec2, row)
    return Told(texts, options.http_tokens == "required", options.http_endpoint == "enabled")


def _role(ec2: Any, row: Any) -> dict[str, str]:
    """The profile and the keys of the role in it, if the instance has one that is still there."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.iam.models import iam_backends

    association = ec2.iam_instance_profile_associations.get(row.id)
    profiles = iam_backends[DEFAULT_ACCOUNT_ID]["aws"].instance_profiles.values()
    profile = next((p for p in profiles if association and p.arn == association.iam_instance_profile.arn), None)
    if profile is None or not profile.roles:
        return {}
    role = profile.roles[0]
    session = _session(row.id, role, ec2.region_name)
    until = session.expiration.replace(tzinfo=UTC)
    since = (until - timedelta(seconds=LIFE_S)).strftime(_STAMP)
    info = {"Code": "Success", "LastUpdated": since, "InstanceProfileArn": profile.arn}
    keys = keys_text(
        session.access_key_id,
        session.secret_access_key,
        session.session_token,
        since,
        until.strftime(_STAMP),
    )
    return {
        "meta-data/iam/info": json.dumps(info),
        f"meta-data/iam/security-credentials/{role.name}": keys,
    }


def _session(server: str, role: Any, region: str) -> Any:
    """The session of a server in its role: the one that it has, or another where that is about to end."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.sts.models import sts_backends

    sts = sts_backends[DEFAULT_ACCOUNT_ID]["aws"]
    soon = datetime.now(UTC) + timedelta(seconds=RENEWED_S)
    sessions: list[Any] = [known for known in sts.assumed_roles if hasattr(known, "rehost_server")]
    for known in reversed(sessions):
        mine = known.rehost_server == server and known.role_arn == role.arn
        if mine and known.expiration.replace(tzinfo=UTC) > soon:
            return known
    made: Any = sts.assume_role(
        region_name=region,
        role_session_name=server,
        role_arn=role.arn,
        policy="",
        duration=LIFE_S,
        external_id="",
    )
    made.rehost_server = server
    return made
