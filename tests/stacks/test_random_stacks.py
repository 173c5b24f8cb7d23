"""Random stacks on both stand-ins: deployed, nothing to do, destroyed, nothing left."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, cloud, loaded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import random_stacks

from rehost.stacks.plan import Plan, Wishes

RELAXED = settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


def told(plan: Plan) -> list[Any]:
    """What a plan would do, for the message of a failed assertion."""
    return [
        (s.action.value, s.address, s.reason, [(c.path, c.old, c.new) for c in s.changes]) for s in plan.changing
    ]


def deployed(here: Cloud, folder: Path, stack: Any, **fields: Any) -> Plan:
    """Deploy and insist on success."""
    plan, outcome = here.deployment(folder, stack, **fields).deploy(Wishes(delete_data=("*",)))
    assert outcome.word == "done", [(s.urn, e.summary, e.why) for s, e in outcome.failed]
    return plan


def destroyed(here: Cloud, folder: Path, stack: Any) -> None:
    """Destroy, data and all, and insist on success."""
    _, outcome = here.deployment(folder, stack).destroy(Wishes(delete_data=("*",)))
    assert outcome.word == "done", [(s.urn, e.summary, e.why) for s, e in outcome.failed]


def cycle(here: Cloud, folder: Path, drawn: Any) -> None:
    """The whole life of a stack."""
    stack = loaded(drawn, folder)
    before = here.inventory()
    first = here.deployment(folder, stack).plan()
    assert first.digest() == here.deployment(folder, stack).plan().digest()
    deployed(here, folder, stack)
    again = here.deployment(folder, stack).plan()
    assert again.empty, told(again)
    destroyed(here, folder, stack)
    assert here.inventory() == before


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
@RELAXED
@given(st.data())
def test_a_random_stack_goes_up_stays_as_it_is_and_leaves_nothing(provider: str, data: st.DataObject) -> None:
    drawn = data.draw(random_stacks(provider))
    with tempfile.TemporaryDirectory() as name, cloud(provider) as here:
        cycle(here, Path(name), drawn)
