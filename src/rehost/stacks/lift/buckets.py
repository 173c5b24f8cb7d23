"""Settings of buckets in the words of S3 back to what a stack file says: the same for all providers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rehost.stacks.graph import Json, Value
from rehost.stacks.lift.draft import plain


def cors(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule for pages of other origins."""
    return {
        "origins": list(rule.get("allowedOrigins") or []),
        "methods": list(rule.get("allowedMethods") or []),
        "max_age": int(rule.get("maxAgeSeconds", 0)),
        **plain({"headers": rule.get("allowedHeaders"), "expose": rule.get("exposeHeaders")}),
    }


def public_read(policy: Value) -> bool:
    """Whether a policy lets everybody read objects, and says nothing else."""
    try:
        document = policy.value if isinstance(policy, Json) else json.loads(policy)
    except (TypeError, ValueError):
        return False
    statements = document.get("Statement") if isinstance(document, dict) else None
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or len(statements) != 1:
        return False
    (only,) = statements
    everybody: tuple[Any, ...] = ("*", {"AWS": "*"}, {"AWS": ["*"]})
    reads: tuple[Any, ...] = ("s3:GetObject", ["s3:GetObject"])
    plain_ = not only.get("Condition")
    return bool(only.get("Effect") == "Allow" and only.get("Principal") in everybody and plain_) and (
        only.get("Action") in reads
    )
