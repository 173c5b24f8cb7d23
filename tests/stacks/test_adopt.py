"""What people made with the providers' own tools becomes a stack, is taken into state, and can go elsewhere."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from clouds import REGIONS, Cloud, cloud, loaded
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from platforms import PLATFORMS
from ruamel.yaml import YAML
from strategies import random_stacks
from test_random_stacks import deployed, told

from rehost.cli.main import cli
from rehost.providers import registry
from rehost.stacks import adopt
from rehost.stacks.graph import Graph, Ref, at_path, resolve
from rehost.stacks.lift import Item, Lifted
from rehost.stacks.plan import Action, Wishes
from rehost.stacks.state import State

OTHER = {"aws": "hetzner", "hetzner": "aws"}
PROVIDERS = ["aws", "hetzner"]


def base(provider: str) -> dict[str, Any]:
    """A stack file that says no more than where to look, and where to go."""
    targets = {name: {"provider": name, "region": REGIONS[name]} for name in (provider, OTHER[provider])}
    return {"stack": "acme", "targets": targets}


def run(here: Cloud, folder: Path, patch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """A command as a user types it, with calls led to the stand-in."""
    real, ours = registry.adapter, here.adapter()
    ours.informed = lambda environment: ours
    patch.setattr(registry, "adapter", lambda name: ours if name == here.provider else real(name))
    for key, value in {**here.environment, "REHOST_PASSPHRASE": "horse"}.items():
        patch.setenv(key, value)
    patch.chdir(folder)
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_platform_is_adopted_without_a_change_and_kept(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cloud(provider) as here:
        PLATFORMS[provider](here)
        before, writes = here.inventory(), here.writes
        (tmp_path / "stack.yaml").write_text(json.dumps(base(provider)))
        result = run(here, tmp_path, monkeypatch, "adopt", "--on", provider, "--import", "--format", "json")
        assert result.exit_code == 0, (result.output, result.exception)
        answer = json.loads(result.stdout)
        assert answer["imported"] == len(answer["resources"]) > 15
        assert (here.writes, here.inventory()) == (writes, before)
        data = YAML(typ="safe").load((tmp_path / "stack.yaml").read_text())
        web, db = data["servers"]["web"], data["servers"]["db"]
        assert (web["count"], web["public"], web["image"], web["labels"]) == (
            2,
            True,
            "debian-12",
            {"env": "prod"},
        )
        assert not db.get("public")
        assert data["volumes"]["pgdata"]["on"] == "db"
        assert data["load_balancers"]["front"]["to"] == "servers.web"
        assert {"name": "@", "to": "load_balancers.front"}.items() <= data["dns"]["acme.example"][0].items()
        plan = here.deployment(tmp_path, data).plan()
        assert {step.action for step in plan.changing} <= {Action.CREATE, Action.UPDATE}, told(plan)
        marks = {
            change.path.split(".")[0] for step in plan.steps for change in step.changes if step.action == "update"
        }
        assert marks <= {"tags", "labels", "vpcSecurityGroupIds"}, told(plan)
        made = {step.title for step in plan.changing if step.action is Action.CREATE}
        assert not made & {"server", "volume", "bucket", "zone", "load balancer", "network", "subnet"}
        deployed(here, tmp_path, loaded(data, tmp_path))
        again = here.deployment(tmp_path, data).plan()
        assert again.empty, told(again)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_was_adopted_can_be_planned_elsewhere(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stack.yaml").write_text(json.dumps(base(provider)))
    with cloud(provider) as here:
        PLATFORMS[provider](here)
        result = run(here, tmp_path, monkeypatch, "adopt", "--on", provider)
        assert result.exit_code == 0, (result.output, result.exception)
    data = YAML(typ="safe").load((tmp_path / "stack.yaml").read_text())
    with cloud(OTHER[provider]) as there:
        plan = deployed(there, tmp_path, loaded(data, tmp_path))
        titles = [step.title for step in plan.changing if step.action is Action.CREATE]
        assert titles.count("server") == 3
        assert {"volume", "bucket", "zone", "load balancer"} <= set(titles)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_not_lifted_is_told_in_the_file(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stack.yaml").write_text(json.dumps(base(provider)))
    with cloud(provider) as here:
        PLATFORMS[provider](here)
        result = run(here, tmp_path, monkeypatch, "adopt", "--on", provider)
        text = (tmp_path / "stack.yaml").read_text()
        for word in ("role app", "NAPTR") if provider == "aws" else ("floating address old",):
            assert word in text
            assert word in result.stdout
        refused = run(here, tmp_path, monkeypatch, "adopt", "--on", provider)
        assert refused.exit_code != 0
        assert "components already" in str(refused.exception)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_part_is_adopted_by_label_with_what_it_needs(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stack.yaml").write_text(json.dumps(base(provider)))
    with cloud(provider) as here:
        PLATFORMS[provider](here)
        run(here, tmp_path, monkeypatch, "adopt", "--on", provider, "--label", "env=prod")
    data = YAML(typ="safe").load((tmp_path / "stack.yaml").read_text())
    assert set(data["servers"]) == {"web"}
    assert "network" in data
    assert not data.keys() & {"buckets", "dns", "load_balancers"}


def comparable(here: Cloud, graph: Graph, values: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Resources by what they are at the provider, without what its API never tells: passwords, what a server was
    told at its start, and what a subnet of Hetzner is called; nor what a secret holds, which whoever adopts it
    gives anew. `values` has ids and outputs by URN."""
    made: dict[str, Any] = {}

    def told(ref: Ref) -> Any:
        id_, outputs = values.get(ref.urn, ("", {}))
        return id_ if ref.path == "id" else at_path(outputs, ref.path)

    for urn, resource in graph.resources.items():
        rules = here.adapter().rules(resource.type)
        inputs = {
            key: sorted(value, key=str) if key in rules.unordered and isinstance(value, list) else value
            for key, value in resolve(dict(resource.inputs), told).items()
            if key not in rules.unread | rules.frozen | {"kmsKeyId", "description", "secretString"}
        }
        if here.provider == "hetzner":
            inputs["networks"] = [net["networkId"] for net in inputs.get("networks", [])]
        subnet = here.provider == "hetzner" and resource.type.endswith(":NetworkSubnet")
        made[f"subnet {inputs['ipRange']}" if subnet else urn] = inputs
    return made


@pytest.mark.parametrize("provider", PROVIDERS)
@settings(
    deadline=None, max_examples=4, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(st.data())
def test_what_was_deployed_is_lifted_from_live(provider: str, data: st.DataObject) -> None:
    drawn = data.draw(random_stacks(provider))
    with tempfile.TemporaryDirectory() as name, cloud(provider) as here:
        stack = loaded(drawn, Path(name))
        deployed(here, Path(name), stack)
        deployment = here.deployment(Path(name), stack)
        state = deployment.store.read(stack.stack, "here")
        _, _, first = deployment._plan(state, None, Wishes(), {}, connected=False)
        bare = here.deployment(Path(name), stack.model_copy(update=empty(stack)))
        items = adopt.found(bare, adopt.Chosen())
        result = adopt.lifted(bare, items)
        expected, seen = both(here, state, first, items, result)
        differing = [(urn, expected.get(urn), seen.get(urn)) for urn in expected.keys() | seen.keys()]
        differing = [row for row in differing if row[1] != row[2]]
        assert not differing, differing[:2]


def both(here: Cloud, state: State, first: Graph, items: list[Item], result: Lifted) -> tuple[Any, Any]:
    """What was deployed, and what was lifted, in the same words."""
    by_key = {item.key: item for item in items}
    deployed_ = {urn: (r.id, {**r.inputs, **r.outputs}) for urn, r in state.resources.items()}
    lifted = {
        urn: (by_key[key].id, {**by_key[key].inputs, **by_key[key].outputs}) for urn, key in result.claims.items()
    }
    # What has no id that could be asked for has none here: the wait for a certificate.
    values = {**deployed_, **lifted}
    return comparable(here, first, deployed_), comparable(here, result.graph, values)


def empty(stack: Any) -> dict[str, Any]:
    """No components at all."""
    plain = {"stack", "targets", "checks"}
    return {name: None if name == "network" else {} for name in type(stack).model_fields if name not in plain}
