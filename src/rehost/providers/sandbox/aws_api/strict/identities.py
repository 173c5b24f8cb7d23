"""Roles, policies and secrets: what is in use stays, names of deleted secrets are blocked.

Sources: IAM API reference, DeletePolicy, CreateRole; Secrets Manager API reference, CreateSecret, DeleteSecret.
"""

from __future__ import annotations

import json

from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, before


@before("iam:DeletePolicy")
def _policy(request: Request) -> None:
    found = request.backend().managed_policies.get(request.get("PolicyArn"))
    if found is not None and found.attachment_count:
        raise Refusal("DeleteConflict", "Cannot delete a policy attached to entities.", 409)
    if found is not None and len(found.versions) > 1:
        text = "This policy has more than one version. Before you delete a policy, you must delete the others."
        raise Refusal("DeleteConflict", text, 409)


@before("iam:DeleteUser")
def _user(request: Request) -> None:
    found = request.backend().users.get(request.get("UserName"))
    if found is None:
        return
    held = {
        "access keys": found.access_keys,
        "policies": found.policies,
        "attached policies": found.managed_policies,
    }
    for what, rows in held.items():
        if rows:
            raise Refusal("DeleteConflict", f"Cannot delete entity, must delete {what} first.", 409)


@before("iam:CreateRole", "iam:UpdateAssumeRolePolicy")
def _trust(request: Request) -> None:
    given = request.get("AssumeRolePolicyDocument") or request.get("PolicyDocument")
    try:
        rows = json.loads(given)["Statement"]
        rows = rows if isinstance(rows, list) else [rows]
        good = bool(rows) and all(
            row.get("Principal") and row.get("Action") and "Resource" not in row for row in rows
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal("MalformedPolicyDocument", "This policy contains invalid Json") from error
    if not good or not rows:
        raise Refusal("MalformedPolicyDocument", "AssumeRole policy must contain principals and no resources")


@before("secretsmanager:CreateSecret")
def _blocked(request: Request) -> None:
    name = json.loads(request.body or b"{}").get("Name", "")
    found = request.backend().secrets.get(name)
    if found is not None and found.is_deleted():
        raise Refusal(
            "InvalidRequestException",
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        )
