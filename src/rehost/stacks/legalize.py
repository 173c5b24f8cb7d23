"""A stack as a target can take it: what the target has no form of is said in components that it has. Pure.

The pass comes before facts are chosen and resources are made; what reads a stack for people (its validation, the
portability diff) sees it as it was written.
"""

from __future__ import annotations

from rehost.stacks.model import LoadBalancer, Stack


def legalize(stack: Stack) -> Stack:
    """The stack with every load balancer in front of a service put before its servers, at its published port."""
    balancers = {name: _pointed(stack, balancer) for name, balancer in stack.load_balancers.items()}
    return stack.model_copy(update={"load_balancers": balancers})


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
