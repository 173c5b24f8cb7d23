"""How services come to use buckets: which ones, in which way, and what they are given for it. Pure.

A target where servers have identities lets them in by that; one with keys alone gives services these as variables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rehost.stacks.graph import UNKNOWN, Value
from rehost.stacks.lower import Lowering
from rehost.stacks.model import ProviderKey, Stack

KEYS = ("buckets.access_key", "buckets.secret_key")
"""The secrets with a pair of keys of the target's. No secret of a stack file has a dot."""


@dataclass(frozen=True)
class Given:
    """What a service is given beside its own: variables, and URNs of what has to be there before it starts."""

    variables: Mapping[str, Value] = field(default_factory=dict)
    after: tuple[str, ...] = ()


Giving = Callable[[str], Given]
"""What a service is given, by its name."""


def nothing(service: str) -> Given:
    """Of targets that give services nothing."""
    del service
    return Given()


def used_by(stack: Stack, group: str) -> dict[str, frozenset[str]]:
    """The buckets that services on a server group use, each with `read`, `write` or both."""
    found: dict[str, frozenset[str]] = {}
    for name, service in stack.services.items():
        if stack.group_of(name) == group:
            for bucket, how in service.buckets.items():
                found[bucket] = found.get(bucket, frozenset()) | set(how.split("-"))
    return dict(sorted(found.items()))


def region(name: str) -> dict[str, Value]:
    """The region as SDKs look for it: most know the first variable, Python's the second."""
    return {"AWS_REGION": name, "AWS_DEFAULT_REGION": name}


def keys(stack: Stack, pairs: tuple[tuple[str, str], ...]) -> dict[str, ProviderKey]:
    """The secrets with the target's keys, where services need them. `pairs` are variables of the environment."""
    if not pairs or not any(service.buckets for service in stack.services.values()):
        return {}
    return {name: ProviderKey(pairs=pairs, half=half) for half, name in enumerate(KEYS)}


def pair(lowering: Lowering) -> dict[str, Value]:
    """The target's keys as variables."""
    access, secret = (lowering.secrets.get(name, UNKNOWN) for name in KEYS)
    return {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}
