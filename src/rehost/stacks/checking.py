"""Checks of a target for one stack, from its definition to the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rehost.stacks.deployment import Deployment
from rehost.stacks.errors import InvalidInput, ProviderError, Refused, RehostError
from rehost.stacks.readiness import Checkable, Hands, Result, Verdict, failed, ports, probing, reserved, wanted
from rehost.stacks.status import addresses


@dataclass(frozen=True)
class Readiness:
    """What the checks found, and what was removed that an earlier check had left."""

    stack: str
    target: str
    results: tuple[Result, ...]
    left: tuple[str, ...]
    intended: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing failed."""
        return all(result.verdict is not Verdict.FAILED for result in self.results)


def check(
    deployment: Deployment,
    more: Sequence[int],
    opened: Sequence[int],
    confirm: Callable[[list[str]], None],
) -> Readiness:
    """Run all checks. `confirm` is told what will be made, and raises Refused to have nothing done.

    Raises InvalidInput where the provider has nothing to check.
    """
    adapter = deployment.adapter
    if not isinstance(adapter, Checkable):
        raise InvalidInput(
            f"there is nothing to check at {deployment.target.name}",
            why=f"{adapter.title} takes no account and has no limits",
        )
    state = deployment.store.read(deployment.stack.stack, deployment.target.name)
    results: list[Result] = []
    try:
        resources = deployment.wanted(state, live=True)
    except Refused as error:
        results.append(failed("capacity", error.address or "servers", error))
        resources = deployment.wanted(state, live=False)
    except RehostError:
        # What is wrong the checks themselves tell, one by one.
        resources = deployment.wanted(state, live=False)
    needs = wanted(deployment.stack, deployment.target, resources, state, more)
    try:
        prober = adapter.prober(needs, deployment.environment, Hands(deployment.clock, deployment.stop))
    except InvalidInput as error:
        results.append(failed("credentials", deployment.target.name, error))
        return Readiness(deployment.stack.stack, deployment.target.name, tuple(results), (), ())
    intended = list(prober.intends())
    if intended:
        confirm(intended)
    left: list[str] = []
    try:
        with probing(prober) as left:
            results += prober.checks()
    except ProviderError as error:
        results.append(failed("provider", deployment.target.name, error))
    results += ports(needs, prober.blocked, opened)
    known = {item.component: ", ".join(item.values) for item in addresses(state, adapter)}
    results += reserved(needs, known)
    return Readiness(deployment.stack.stack, deployment.target.name, tuple(results), tuple(left), tuple(intended))
