"""Lift is the inverse of lower: what a stack lowers to is lifted, and lowers to the same again."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clouds import loaded
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strategies import full_stacks

from rehost.providers.registry import adapter
from rehost.providers.sandbox.machines.authority import Authority
from rehost.stacks.graph import Graph, Secret, Value
from rehost.stacks.legalize import Legal, legalize
from rehost.stacks.lift import Items, Lifted, LiftJob, graph_items, lift
from rehost.stacks.load import load
from rehost.stacks.lower import Lowering, lower
from rehost.stacks.model import Stack, Target
from rehost.stacks.ports import Candidate, Need
from rehost.stacks.publicnames import named
from rehost.stacks.resolve import resolve_facts

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/stack.yaml"))
DEPLOYMENT = "0123456789abcdef"


def asked(target: Target, need: Need) -> list[Candidate] | None:
    """What a live provider would offer, where its catalog does not say."""
    if need.kind == "zones":
        return [Candidate(["zone-a", "zone-b", "zone-c"], "")]
    if adapter(target.provider).offers(need, target) is not None:
        return None
    about = need.requirement
    return [Candidate(f"ami-{about['image']}-{about['architecture']}", "")]


def values(stack: Stack) -> dict[str, Secret]:
    """A value for every secret that a stack has or draws; the chain of an uploaded certificate can be read."""
    site = stack.certificates.get("site")
    made = {name: Secret(f"value of {name}") for name in stack.secrets}
    if site is not None and site.certificate == "${secrets.chain}":
        made["chain"] = Secret(chain(site.domains))
    return made


@functools.cache
def chain(domains: tuple[str, ...]) -> str:
    """A certificate for some names, as PEM."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        authority.make()
        return authority.issue(domains)[0]


def lowered(legal: Legal, target: Target, facts: Mapping[str, Value]) -> Graph:
    """The resources of a stack."""
    secrets = values(legal.stack)
    lowering = Lowering(
        legal.stack, target, facts, DEPLOYMENT, secrets=secrets, texts=legal.texts, roles=legal.roles
    )
    return lower(adapter(target.provider), lowering)


def images(facts: Mapping[str, Value]) -> dict[str, dict[str, str]]:
    """What a survey would say of the images."""
    found = {}
    for key, value in facts.items():
        if key.endswith(".image") and str(value).startswith("ami-"):
            name, _, architecture = str(value).removeprefix("ami-").rpartition("-")
            found[str(value)] = {"name": name, "architecture": architecture}
    return found


def there_and_back(stack: Stack, target: Target) -> tuple[Graph, Graph, Lifted]:
    """What a stack lowers to, and what that lowers to after it was lifted."""
    provider = adapter(target.provider)
    legal = legalize(stack, provider.native)
    facts = resolve_facts(provider, legal.stack, target, {}, ask=partial(asked, target)).values()
    first = lowered(legal, target, facts)
    secrets = values(legal.stack)
    about = {"images": images(facts)}
    job = LiftJob(Items(graph_items(first)), stack.stack, target, DEPLOYMENT, secrets, about)
    lifted = lift(provider, job)
    again = legalize(lifted.stack, provider.native)
    return first, lowered(again, target, {key: fact.value for key, fact in lifted.facts.items()}), lifted


def differences(first: Graph, second: Graph) -> list[Any]:
    """What differs, for the message of a failed assertion."""
    urns = sorted(first.resources.keys() | second.resources.keys())
    return [
        (urn, first.resources.get(urn), second.resources.get(urn))
        for urn in urns
        if first.resources.get(urn) != second.resources.get(urn)
    ]


def same(stack: Stack, target: Target) -> None:
    """Insist on the same resources, and on their being said in the stack alone."""
    first, second, lifted = there_and_back(stack, target)
    assert not differences(first, second), differences(first, second)[:2]
    assert not lifted.left
    assert named(lifted.stack) == named(stack)
    assert not [key for key in lifted.facts if key.startswith("found.")]


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
@settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=list(HealthCheck),
    # A stack of every family takes minutes to shrink, and the message names what differs.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.data())
def test_what_random_stacks_lower_to_is_lifted(provider: str, data: st.DataObject) -> None:
    drawn = data.draw(full_stacks(provider))
    with tempfile.TemporaryDirectory() as folder:
        stack = loaded(drawn, Path(folder))
    same(stack, stack.targets["here"])


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_what_examples_lower_to_is_lifted(path: Path, provider: str) -> None:
    stack = load([path], environment={}).stack
    assert stack is not None
    same(stack, next(target for target in stack.targets.values() if target.provider == provider))
