"""What random stacks and the examples lower to, in inputs and in what state writes, has the names and types of the
official Pulumi schemas."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from clouds import cloud, loaded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import random_stacks
from test_interruptions import plaza
from test_random_stacks import deployed

from rehost.providers.registry import adapter
from rehost.stacks.graph import UNKNOWN, Join, Json, Number, Ref, Secret
from rehost.stacks.legalize import legalize
from rehost.stacks.load import load
from rehost.stacks.lower import Lowering, lower
from rehost.stacks.model import Stack
from rehost.stacks.ports import Entered
from rehost.stacks.resolve import resolve_facts

SPECS = Path(__file__).parents[3] / "shared" / "specs"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/stack.yaml"))
pytestmark = pytest.mark.skipif(not SPECS.exists(), reason="no copy of the official schemas beside the checkout")


@cache
def spec(name: str) -> dict[str, Any]:
    """A schema's file."""
    found: dict[str, Any] = json.loads((SPECS / f"pulumi-{name}.json").read_text())
    return found


def short(value: Any, type_: str, path: str, service: str, package: str) -> Iterator[str]:
    """What is wrong with a value by a type in the short form (`list[str]?`, `InstanceRootBlockDevice`)."""
    value = value.value if isinstance(value, Secret) else value
    type_ = type_.removesuffix("?")
    if value is UNKNOWN or isinstance(value, Ref):
        return
    if type_.startswith("Union[") or type_ == "str" or type_ == "AssetOrArchive":
        if not isinstance(value, str | Join | Json):
            yield f"{path}: {value!r} is no {type_}"
    elif type_ in ("int", "bool", "float"):
        kinds = {"int": int, "bool": bool, "float": int | float}
        if not isinstance(value, kinds[type_]) or (type_ != "bool" and isinstance(value, bool)):
            yield f"{path}: {value!r} is no {type_}"
    elif type_.startswith("list["):
        if not isinstance(value, list | tuple):
            yield f"{path}: {value!r} is no list"
            return
        for item in value:
            yield from short(item, type_[5:-1], f"{path}[]", service, package)
    elif type_.startswith("map["):
        for key, item in value.items():
            yield from short(item, type_[4:-1].split(", ", 1)[1], f"{path}.{key}", service, package)
    else:
        types = spec(package)["types"]
        shape = types.get(f"{service}/{type_}") or types.get(type_)
        if shape is None or not isinstance(value, Mapping):
            if shape is not None:
                yield f"{path}: {value!r} is no {type_}"
            return
        yield from short_object(value, shape.get("inputs", shape), path, service, package)


def short_object(
    value: Mapping[str, Any], shape: Mapping[str, str], path: str, service: str, package: str
) -> Iterator[str]:
    """What is wrong with an object's properties."""
    for key in value.keys() - shape.keys():
        yield f"{path}.{key} is not known"
    for key, type_ in shape.items():
        if key in value:
            yield from short(value[key], type_, f"{path}.{key}", service, package)
        elif not type_.endswith("?"):
            yield f"{path}.{key} is missing"


def full(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """What is wrong with a value by a schema in Pulumi's own form."""
    value = value.value if isinstance(value, Secret) else value
    if isinstance(value, Number):
        if schema.get("type") != "integer":
            yield f"{path}: a number is no {schema.get('type')}"
        return
    if isinstance(value, Ref) and schema.get("type") != "string":
        yield f"{path}: an id is no {schema.get('type')}"
    if value is UNKNOWN or isinstance(value, Ref):
        return
    if "$ref" in schema:
        shape = spec("hcloud")["types"].get(schema["$ref"].removeprefix("#/types/"))
        if shape is not None:
            yield from full_object(value, shape["properties"], shape.get("required", []), path)
        return
    kinds = {"string": str | Join | Json, "integer": int, "number": int | float, "boolean": bool}
    kind = schema.get("type")
    if kind in kinds and not isinstance(value, kinds[kind]):
        yield f"{path}: {value!r} is no {kind}"
    elif kind == "array":
        for item in value:
            yield from full(item, schema["items"], f"{path}[]")
    elif kind == "object":
        for key, item in value.items():
            yield from full(item, schema.get("additionalProperties", {}), f"{path}.{key}")


def full_object(
    value: Mapping[str, Any], properties: Mapping[str, Any], required: list[str], path: str
) -> Iterator[str]:
    """What is wrong with an object's properties."""
    for key in value.keys() - properties.keys():
        yield f"{path}.{key} is not known"
    for key in set(required) - value.keys():
        yield f"{path}.{key} is missing"
    for key in value.keys() & properties.keys():
        yield from full(value[key], properties[key], f"{path}.{key}")


def wrong(token: str, inputs: Mapping[str, Any]) -> list[str]:
    """What the official provider would not take."""
    package = token.split(":")[0]
    if package in ("hcloud",):
        kind = spec("hcloud")["resources"][token]
        return list(full_object(inputs, kind["inputProperties"], kind.get("requiredInputs", []), token))
    service = token.split(":")[1].split("/")[0]
    return list(short_object(inputs, spec(package)["resources"][token]["inputs"], token, service, package))


def names_of(token: str) -> set[str]:
    """All properties that the official provider knows, computed ones included."""
    package = token.split(":")[0]
    kind = spec(package)["resources"][token]
    if package == "hcloud":
        return {*kind["properties"], *kind["inputProperties"], "id"}
    return {*kind["inputs"], *kind["outputs"], "id"}


def problems(stack: Stack, target: str) -> list[str]:
    """What is wrong with all that a stack lowers to."""
    chosen = stack.targets[target]
    provider = adapter(chosen.provider)
    legal = legalize(stack, provider.native, entered=isinstance(provider, Entered))
    facts = resolve_facts(provider, legal.stack, chosen, {}).values()
    secrets = dict.fromkeys(legal.stack.secrets, UNKNOWN)
    graph = lower(
        provider, Lowering(legal.stack, chosen, facts, "d" * 32, secrets, legal.texts, legal.roles, legal.guards)
    )
    tokens = [r for r in graph.resources.values() if not r.type.startswith("rehost:")]
    return [text for resource in tokens for text in wrong(resource.type, resource.inputs)]


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_stacks_lower_to_official_resources(provider: str, data: st.DataObject) -> None:
    drawn = data.draw(random_stacks(provider))
    with tempfile.TemporaryDirectory() as folder:
        assert not problems(loaded(drawn, Path(folder)), "here")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_lower_to_official_resources(path: Path) -> None:
    stack = load([path]).stack
    assert stack is not None
    for name, target in stack.targets.items():
        if target.provider in ("aws", "hetzner"):
            assert not problems(stack, name)


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
def test_state_holds_official_properties(provider: str, tmp_path: Path) -> None:
    with cloud(provider) as here:
        deployed(here, tmp_path, loaded(plaza(provider), tmp_path))
        state = here.deployment(tmp_path, loaded(plaza(provider), tmp_path)).status()[0]
        for resource in state.resources.values():
            assert not wrong(resource.type, resource.inputs)
            assert not resource.outputs.keys() - names_of(resource.type), resource.type
            if resource.type.startswith("hcloud:"):
                properties = spec("hcloud")["resources"][resource.type]["properties"]
                for key in properties.keys() & resource.outputs.keys():
                    assert not list(full(resource.outputs[key], properties[key], f"{resource.type} {key}"))
