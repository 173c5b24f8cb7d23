"""Secrets that are kept in Secrets Manager as well, for people and programs outside the stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rehost.providers.aws import tokens as t
from rehost.stacks.graph import UNKNOWN, Resource, Value
from rehost.stacks.graph import Secret as Sealed

if TYPE_CHECKING:
    from rehost.providers.aws.lower import AwsLowering


def secrets(make: AwsLowering) -> Iterator[Resource]:
    """An entry with its value for each; another value is another version of it. The stack's own copy is in state,
    so that an entry is deleted at once and leaves its name free."""
    stack = make.lowering.stack
    for name, secret in stack.secrets.items():
        if not secret.store:
            continue
        component = f"secrets.{name}"
        about: dict[str, Value] = {
            "name": f"{stack.stack}/{name}",
            "description": f"The secret {name} of {stack.stack}",
            "recoveryWindowInDays": 0,
        }
        yield make.tagged(t.SECRET, name, component, about)
        value = make.lowering.secrets.get(name, UNKNOWN)
        sealed = value if value is UNKNOWN or isinstance(value, Sealed) else Sealed(value)
        yield make.plain(
            t.SECRET_VALUE, name, component, {"secretId": make.ref(t.SECRET, name), "secretString": sealed}
        )
