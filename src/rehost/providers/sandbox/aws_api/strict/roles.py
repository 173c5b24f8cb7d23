"""What keys may do that a server was told: those of its role, as the role's policies say it.

Sources: IAM user guide, "Policy evaluation logic"; S3 user guide, "Actions, resources, and condition keys".
Statements with conditions allow nothing here, and deny whatever they name. Of services other than S3 the resource
of a call is not looked at: a statement allows an action or does not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request
from rehost.providers.sandbox.aws_api.strict.s3_access import action_of, allowed, as_list

_NAMES = {"elbv2": "elasticloadbalancing"}
"""Services whose actions are named otherwise."""
_ALWAYS = ("sts:GetCallerIdentity",)


def told_to_server(key_id: str) -> Any:
    """The session whose keys these are, if a server was told them; None otherwise."""
    sts = sys.modules.get("moto.sts.models")
    # Before it is loaded there are no sessions.
    accounts: list[Any] = list(sts.sts_backends.values()) if sts is not None else []
    sessions = (session for account in accounts for session in account["aws"].assumed_roles)
    return next((s for s in sessions if s.access_key_id == key_id and hasattr(s, "rehost_server")), None)


def judge(request: Request) -> None:
    """Refuse what the role of a request may not do, or keys that are no longer good."""
    session = request.session
    if session is None:
        return
    token = request.header("x-amz-security-token") or request.query("X-Amz-Security-Token")
    s3 = request.call.service == "s3"
    if token != session.session_token:
        code = "InvalidToken" if s3 else "InvalidClientTokenId"
        raise Refusal(code, "The provided token is malformed or otherwise invalid.", 400 if s3 else 403)
    if datetime.now(UTC) >= session.expiration.replace(tzinfo=UTC):
        raise Refusal("ExpiredToken", "The provided token has expired.", 400 if s3 else 403)
    for action, resource in _asked(request):
        if not _may(request, session, action, resource):
            told = f"User: {session.arn} is not authorized to perform: {action}"
            raise Refusal("AccessDenied", f"{told} on resource: {resource}" if resource else told, 403)


def _asked(request: Request) -> Iterator[tuple[str, str]]:
    """Actions with the resource of each, empty where that is not told apart."""
    call = request.call
    if call.service != "s3":
        action = f"{_NAMES.get(call.service, call.service)}:{call.operation}"
        if action not in _ALWAYS:
            yield action, ""
        return
    bucket, key = request.path
    if not bucket:
        yield "s3:ListAllMyBuckets", "*"
        return
    below = "*" if call.operation == "DeleteObjects" else key
    yield action_of(call.operation), f"arn:aws:s3:::{bucket}/{below}" if below else f"arn:aws:s3:::{bucket}"
    source = unquote(request.header("x-amz-copy-source")).partition("?")[0].lstrip("/")
    if source:
        yield "s3:GetObject", f"arn:aws:s3:::{source}"


def _may(request: Request, session: Any, action: str, resource: str) -> bool:
    mine = [row for row in _statements(session.role_arn) if _matches(row, action, resource)]
    if any(row.get("Effect") == "Deny" for row in mine):
        return False
    if any(row.get("Effect") == "Allow" and not row.get("Condition") for row in mine):
        return True
    name, _, key = resource.removeprefix("arn:aws:s3:::").partition("/")
    bucket = request.backend("s3").buckets.get(name) if request.call.service == "s3" else None
    return bucket is not None and allowed(bucket, key, request.call.operation)


def _matches(statement: dict[str, Any], action: str, resource: str) -> bool:
    actions = any(fnmatchcase(action.lower(), str(a).lower()) for a in as_list(statement.get("Action", [])))
    resources = [str(one) for one in as_list(statement.get("Resource", []))]
    return actions and (not resource or any(fnmatchcase(resource, one) for one in resources))


def _statements(role_arn: str) -> Iterator[dict[str, Any]]:
    """Those of all policies of a role; none where it is gone."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.iam.models import iam_backends

    for role in iam_backends[DEFAULT_ACCOUNT_ID]["aws"].roles.values():
        if role.arn != role_arn:
            continue
        attached = [v for p in role.managed_policies.values() for v in p.versions if v.is_default]
        for document in (*role.policies.values(), *(version.document for version in attached)):
            content = json.loads(document) if isinstance(document, str) else document
            yield from (row for row in as_list(content.get("Statement", [])) if isinstance(row, dict))
