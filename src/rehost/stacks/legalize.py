"""A stack as a target can take it: what the target has no form of is said in components that it has. Pure.

The pass comes before facts are chosen and resources are made; what reads a stack for people (its validation, the
portability diff) sees it as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rehost.stacks.model import LoadBalancer, Secret, Stack

_PASSWORD_BYTES = 24
"""Of a drawn password: 32 characters of base64, which every engine takes and no URL needs to escape."""


@dataclass(frozen=True)
class Legal:
    """A stack that a target can take, and what references to derived values stand for.

    `texts` has for an address (`databases.main.url`) a text, which may refer to others in turn.
    """

    stack: Stack
    texts: Mapping[str, str]


def legalize(stack: Stack) -> Legal:
    """Load balancers in front of services are put before their servers; passwords that nobody gave become secrets
    of the stack, which move with it unchanged."""
    balancers = {name: _pointed(stack, balancer) for name, balancer in stack.load_balancers.items()}
    secrets = dict(stack.secrets)
    texts: dict[str, str] = {}
    for name, database in stack.databases.items():
        address = f"databases.{name}"
        password = database.password or _drawn(address, secrets)
        where = f"${{{address}.host}}:{database.port}/{database.database}"
        texts |= {
            f"{address}.url": f"{database.scheme}://{database.owner}:{password}@{where}",
            f"{address}.port": str(database.port),
            f"{address}.name": database.database,
            f"{address}.user": database.owner,
            f"{address}.password": password,
        }
    for name, cache in stack.caches.items():
        address = f"caches.{name}"
        password = _drawn(address, secrets)
        texts |= {
            f"{address}.url": f"rediss://:{password}@${{{address}.host}}:{cache.port}/0",
            f"{address}.port": str(cache.port),
            f"{address}.password": password,
        }
    return Legal(stack.model_copy(update={"load_balancers": balancers, "secrets": secrets}), texts)


def _drawn(address: str, secrets: dict[str, Secret]) -> str:
    """A secret of a component's own, as a text that refers to it."""
    name = f"{address.replace('.', '_')}_password"
    secrets[name] = Secret(generate=_PASSWORD_BYTES)
    return f"${{secrets.{name}}}"


def _pointed(stack: Stack, balancer: LoadBalancer) -> LoadBalancer:
    service = stack.service_at(balancer.to)
    group = stack.group_of(service) if service is not None else None
    if service is None or group is None:
        return balancer
    published = stack.services[service].published
    listen = tuple(
        listener
        if listener.redirect or listener.to_port or not published
        else listener.model_copy(update={"to_port": published[0][0]})
        for listener in balancer.listen
    )
    return balancer.model_copy(update={"to": f"servers.{group}", "listen": listen})
