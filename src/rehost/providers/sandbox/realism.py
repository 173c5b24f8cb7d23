"""What `--realism` switches on: the unfriendly side of the real clouds, put together from rules and switches.

Times fit a connection that waits a twentieth of the time that a cloud is waited for. Only what Amazon and Hetzner
say lags does: EC2 and IAM reads at one, lists at the other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

LEVELS = ("eventual", "quotas", "capacity", "latency")
INSTANT = "instant"
"""The opposite: states and actions are over at once. Stands alone."""

STALE_SECONDS = 0.8
_LATENCY = {
    "aws": [("s3:*", 0.02), ("ec2:Describe*", 0.06), ("ec2:*", 0.15), ("*", 0.08)],
    "objects": [("*", 0.02)],
    "hcloud": [("GET *", 0.05), ("*", 0.12)],
}
"""Seconds of a call, by the first pattern that it matches: plausible round figures, nothing that was measured."""

HCLOUD_LIMITS = {"servers": 10, "load_balancers": 5, "floating_ips": 5, "primary_ips": 20, "volumes": 20}
"""Of a project that nobody has had raised. Real ones differ by account and are shown in the console only."""


def rules(kind: str, levels: Collection[str]) -> list[dict[str, Any]]:
    """The fault rules of a stand-in (aws, objects or hcloud)."""
    found: list[dict[str, Any]] = []
    if "latency" in levels:
        found += [
            {"call": call, "do": "latency", "seconds": seconds, "group": "latency"}
            for call, seconds in _LATENCY.get(kind, ())
        ]
    if "eventual" in levels and kind == "aws":
        found += [
            {"call": call, "do": "stale", "seconds": STALE_SECONDS, "group": "eventual"}
            for call in ("ec2:Describe*", "ec2:RunInstances", "iam:*")
        ]
    if "capacity" in levels and kind == "aws":
        found.append(
            {
                "call": "ec2:RunInstances",
                "do": "error",
                "code": "InsufficientInstanceCapacity",
                "message": "We currently do not have sufficient capacity in the Availability Zone you requested.",
                "times": 1,
                "group": "capacity",
            }
        )
    return found


def switches(kind: str, levels: Collection[str]) -> dict[str, Any]:
    """The stand-in's own switches."""
    if kind == "aws":
        return {"quotas": "quotas" in levels, "instant": INSTANT in levels}
    if kind != "hcloud":
        return {}
    found: dict[str, Any] = {}
    if INSTANT in levels:
        found["action_seconds"] = 0.0
    if "eventual" in levels:
        found["stale_seconds"] = STALE_SECONDS / 2
    if "quotas" in levels:
        found["limits"] = dict(HCLOUD_LIMITS)
    if "capacity" in levels:
        found["capacity"] = [{"code": "resource_unavailable", "times": 1}]
    return found
