"""Rights that no dry run shows: something that costs nothing is made for a moment, and removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rehost.providers.aws import tokens as t

FREE: Sequence[tuple[str, str]] = (
    (t.DATABASE, "database parameter group"),
    (t.BALANCER, "target group"),
    (t.SECRET, "secret"),
)
"""Where a right can't be shown by a dry run: what is made instead, which costs nothing for a moment."""

Removal = Callable[[Any], tuple[str, dict[str, Any]]]


def calls(token: str, name: str) -> tuple[str, str, dict[str, Any], Removal]:
    """Service, operation and arguments of the create, and what makes the removal out of its answer."""
    if token == t.DATABASE:
        given = {"DBParameterGroupName": name, "DBParameterGroupFamily": "postgres16", "Description": "a check"}
        return (
            "rds",
            "create_db_parameter_group",
            given,
            lambda _: (
                "delete_db_parameter_group",
                {"DBParameterGroupName": name},
            ),
        )
    if token == t.BALANCER:
        given = {"Name": name, "TargetType": "lambda"}
        return (
            "elbv2",
            "create_target_group",
            given,
            lambda made: (
                "delete_target_group",
                {"TargetGroupArn": made["TargetGroups"][0]["TargetGroupArn"]},
            ),
        )
    given = {"Name": name, "SecretString": "a check"}
    return (
        "secretsmanager",
        "create_secret",
        given,
        lambda made: (
            "delete_secret",
            {"SecretId": made["ARN"], "ForceDeleteWithoutRecovery": True},
        ),
    )
