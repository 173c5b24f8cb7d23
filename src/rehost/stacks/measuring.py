"""How much a deployed stack's buckets hold, by listing them."""

from __future__ import annotations

from rehost.stacks.deployment import Deployment
from rehost.stacks.graph import reveal


def measured(deployment: Deployment) -> dict[str, int]:
    """Bytes of the current objects by component; buckets that are not deployed are left out. Raises RehostError
    where one can't be listed."""
    state = deployment.store.read(deployment.stack.stack, deployment.target.name)
    sizes: dict[str, int] = {}
    for resource in state.resources.values():
        known = resource.component.startswith("buckets.") and resource.type in deployment.adapter.kinds()
        if known and deployment.adapter.rules(resource.type).holds_data:
            store = deployment.connection.objects(reveal(dict(resource.outputs)))
            sizes[resource.component] = sum(item.size for item in store.list())
    return sizes
