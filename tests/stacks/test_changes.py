"""Changes to a deployed stack: the right step with the right disruption, and the end is that of a fresh deploy."""

from __future__ import annotations

import copy
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, cloud, loaded
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strategies import random_stacks
from test_interruptions import PROVIDERS, plaza
from test_random_stacks import deployed, destroyed, told

from rehost.stacks.errors import ProviderError, Refused
from rehost.stacks.plan import Wishes

EVERYTHING = Wishes(delete_data=("*",))


def edited(provider: str, path: str, value: Any) -> dict[str, Any]:
    """The plaza with one value set, by dotted path; None takes it away."""
    stack = copy.deepcopy(plaza(provider))
    *above, last = path.split("/")
    part: Any = stack
    for step in above:
        part = part[int(step)] if isinstance(part, list) else part[step]
    key: Any = int(last) if isinstance(part, list) else last
    if value is None:
        del part[key]
    elif isinstance(part, list) and key == len(part):
        part.append(value)
    else:
        part[key] = value
    return stack


CHANGES: dict[str, tuple[str, Any, dict[str, set[tuple[str, str]]]]] = {
    "size": (
        "servers/app/size",
        {"cpu": 8, "memory": "16GiB"},
        # Amazon gives a server that was stopped another address: its record follows.
        {"aws": {("update", "restart"), ("update", "none")}, "hetzner": {("update", "restart")}},
    ),
    "more": ("servers/db/count", 2, {name: {("create", "none")} for name in PROVIDERS}),
    "labels": ("servers/app/labels", {"role": "front"}, {name: {("update", "none")} for name in PROVIDERS}),
    "ttl": ("dns/plaza.example/1/ttl", 60, {name: {("update", "none")} for name in PROVIDERS}),
    "record": ("dns/plaza.example/2/mx", ["20 mx.example"], {name: {("update", "none")} for name in PROVIDERS}),
    "record gone": ("dns/plaza.example/3", None, {name: {("delete", "none")} for name in PROVIDERS}),
    "rule": (
        "firewalls/web/ingress/2",
        {"ports": [8080]},
        {"aws": {("create", "none")}, "hetzner": {("update", "none")}},
    ),
    "another bucket": ("buckets/more", {}, {name: {("create", "none")} for name in PROVIDERS}),
    "user data": ("servers/db/user_data", "# other\n", {name: set() for name in PROVIDERS}),
    "volume grows": ("volumes/data/size", "40GiB", {name: {("update", "none")} for name in PROVIDERS}),
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_change_is_the_right_step_and_ends_as_a_fresh_deploy(provider: str, tmp_path: Path) -> None:
    with cloud(provider) as here:
        deployed(here, tmp_path, plaza(provider))
        for name, (path, value, expected) in CHANGES.items():
            stack = loaded(edited(provider, path, value), tmp_path)
            plan = here.deployment(tmp_path, stack).plan()
            steps = {(s.action.value, s.disruption.label) for s in plan.changing}
            assert steps == expected[provider], (name, told(plan))
            if expected[provider]:
                deployed(here, tmp_path, stack)
                assert here.deployment(tmp_path, stack).plan().empty, name
                if name != "volume grows":
                    deployed(here, tmp_path, plaza(provider))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_loses_data_is_refused_until_it_is_named(provider: str, tmp_path: Path) -> None:
    with cloud(provider) as here:
        deployed(here, tmp_path, plaza(provider))
        before, writes = here.inventory(), here.writes
        smaller = loaded(edited(provider, "volumes/data/size", "12GiB"), tmp_path)
        with pytest.raises(Refused, match="would lose data"):
            here.deployment(tmp_path, smaller).deploy()
        assert here.writes == writes
        assert here.inventory() == before
        plan, outcome = here.deployment(tmp_path, smaller).deploy(Wishes(delete_data=("volumes.data",)))
        assert outcome.word == "done"
        assert ("replace", "data loss") in {(s.action.value, s.disruption.label) for s in plan.changing}
        assert here.deployment(tmp_path, smaller).plan().empty


@pytest.mark.parametrize("provider", PROVIDERS)
@settings(deadline=None, max_examples=5, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(st.data())
def test_one_stack_after_another_is_the_other_alone(provider: str, data: st.DataObject) -> None:
    one, other = data.draw(random_stacks(provider, groups=2)), data.draw(random_stacks(provider, groups=2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, second = loaded(one, folder), loaded(other, folder)
        (folder / "fresh").mkdir()
        with cloud(provider) as here:
            deployed(here, folder / "fresh", second)
            expected = here.inventory()
        with cloud(provider) as here:
            deployed(here, folder, first)
            deployed(here, folder, second, upgrade_facts=True)
            again = here.deployment(folder, second).plan()
            assert again.empty, told(again)
            assert here.inventory() == expected
            destroyed(here, folder, second)
            assert not here.inventory()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_target_and_a_replacement_leave_the_rest_alone(provider: str, tmp_path: Path) -> None:
    with cloud(provider) as here:
        # User data stays as it was made, with the address of a server that is no more: there is none here.
        changed = edited(provider, "servers/app/user_data", "")
        deployed(here, tmp_path, changed)
        changed["servers"]["app"]["labels"] = {"role": "other"}
        changed["dns"]["plaza.example"][1]["ttl"] = 60
        only = Wishes(only=("servers.app-1",))
        plan, outcome = here.deployment(tmp_path, changed).deploy(only)
        assert outcome.word == "done"
        assert {s.component for s in plan.changing} == {"servers.app-1"}
        deployed(here, tmp_path, changed)
        expected = here.inventory()
        plan, outcome = here.deployment(tmp_path, changed).deploy(Wishes(replace=("servers.db-1",)))
        assert outcome.word == "done", [(s.urn, e.summary) for s, e in outcome.failed]
        assert "replace" in {s.action.value for s in plan.changing if s.component == "servers.db-1"}
        assert not any(s.holds_data for s in plan.changing), told(plan)
        # What follows from the new server (its address elsewhere) comes with the next deploy at the latest.
        deployed(here, tmp_path, changed)
        assert here.inventory() == expected


@pytest.mark.parametrize("provider", PROVIDERS)
def test_data_is_kept_when_asked_and_the_deployment_comes_back_around_it(provider: str, tmp_path: Path) -> None:
    with cloud(provider) as here:
        deployed(here, tmp_path, plaza(provider))
        before = here.inventory()
        _, outcome = here.deployment(tmp_path, plaza(provider)).destroy(keep_data=True)
        assert outcome.word == "done", [(s.urn, e.summary) for s, e in outcome.failed]
        kept = here.inventory()
        assert len(kept["bucket"]) == 2
        assert kept["bucket"] == before["bucket"]
        assert not kept.get("zone") and not kept.get("zones")
        volumes = kept.get("volumes") or [row for row in kept["volume"] if "plaza-" in str(row)]
        assert len(volumes) >= 3
        deployed(here, tmp_path, plaza(provider))
        assert here.inventory() == before
        destroyed(here, tmp_path, plaza(provider))
        assert not here.inventory()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_deleted_behind_our_back_comes_back(provider: str, tmp_path: Path) -> None:
    chance = random.Random(5)
    with cloud(provider) as here:
        stack = loaded(plaza(provider), tmp_path)
        deployed(here, tmp_path, stack)
        expected = here.inventory()
        state = here.deployment(tmp_path, stack).status()[0]
        anchor = here.adapter().anchor
        leaves = [r for r in state.resources.values() if r.type != anchor and not _needed(state, r.urn)]
        chance.shuffle(leaves)
        types = {r.type: r for r in leaves}
        for resource in types.values():
            _delete(here, tmp_path, stack, resource.urn)
            plan = deployed(here, tmp_path, stack)
            # Versioning can't be taken away, only suspended.
            steps = {s.urn for s in plan.changing if s.action.value in ("create", "update")}
            assert resource.urn in steps, told(plan)
            assert here.deployment(tmp_path, stack).plan().empty, resource.urn
            assert here.inventory() == expected, resource.urn
        assert len(types) >= 5


def _needed(state: Any, urn: str) -> bool:
    return any(urn in other.dependencies for other in state.resources.values())


def _delete(here: Cloud, folder: Path, stack: Any, urn: str) -> None:
    from rehost.stacks.engine.clock import Clock, StepCall
    from rehost.stacks.graph import reveal
    from rehost.stacks.ports import Known

    deployment = here.deployment(folder, stack)
    found = deployment.status()[0].resources[urn]
    clock = Clock(pace=1000)
    call = StepCall("token", clock, deployment.stop, clock.now() + 60, 0.01, urn)
    known = Known(urn, found.id, reveal(found.inputs), reveal(found.outputs))
    deployment.connection.delete(call, found.type, known)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_calls_of_a_plan_do_not_grow_with_resources(provider: str, tmp_path: Path) -> None:
    def calls(n: int) -> dict[str, int]:
        stack = plaza(
            provider,
            servers={"app": {"count": n, "public": True, "firewalls": ["web"]}},
            firewalls={"web": {"ingress": [{"ports": [1000 + i]} for i in range(2 * n)]}},
            volumes={"each": {"size": "10GiB", "on": "app"}},
            dns={"plaza.example": [{"name": f"r{i}", "a": "192.0.2.1"} for i in range(3 * n)]},
        )
        with cloud(provider) as here:
            folder = tmp_path / str(n)
            folder.mkdir()
            deployed(here, folder, stack)
            here.calls.clear()
            assert here.deployment(folder, stack).plan().empty
            return dict(here.calls)

    assert calls(1) == calls(4)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_wrong_credentials_are_refused_before_the_first_write(provider: str, tmp_path: Path) -> None:
    with cloud(provider) as here:
        stack = loaded(plaza(provider), tmp_path)
        deployed(here, tmp_path, stack)
        before, writes = here.inventory(), here.writes
        if provider == "aws":
            foreign = here.deployment(tmp_path, stack)
            foreign.environment = {**foreign.environment, "AWS_ENDPOINT_URL": "http://elsewhere.invalid"}
            account = foreign.connection._clients
            known = account.account
            account.__dict__["account"] = "999999999999"
            try:
                with pytest.raises(Refused, match="belongs to account"):
                    foreign.deploy()
            finally:
                account.__dict__["account"] = known
        else:
            session = here.deployment(tmp_path, stack).connection._api._session
            session.headers["Authorization"] = "Bearer nobody"
            try:
                with pytest.raises((Refused, ProviderError)):
                    here.deployment(tmp_path, stack).deploy()
            finally:
                session.headers["Authorization"] = "Bearer token"
        assert here.writes == writes
        assert here.inventory() == before
