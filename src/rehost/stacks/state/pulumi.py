"""State as Pulumi deployment JSON, version 3 (pulumi/pulumi, sdk/go/common/apitype/core.go).

What Pulumi has no place for (deployment id, binding, facts, components, secrets of the stack) is in the root
stack resource's outputs under `rehost`, which survive an export and import by Pulumi.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rehost.stacks.errors import InvalidInput
from rehost.stacks.graph import order
from rehost.stacks.state.crypt import Crypter, decode, encode
from rehost.stacks.state.model import Binding, Fact, Intent, ResourceState, State

ROOT_TYPE = "pulumi:pulumi:Stack"
_DOING = {"create": "creating", "update": "updating", "delete": "deleting"}


def _root_urn(state: State) -> str:
    return f"urn:pulumi:{state.target}::{state.stack}::{ROOT_TYPE}::{state.stack}-{state.target}"


def _provider(state: State, package: str) -> tuple[str, str]:
    urn = f"urn:pulumi:{state.target}::{state.stack}::pulumi:providers:{package}::default"
    return urn, str(uuid.uuid5(uuid.NAMESPACE_URL, f"{state.deployment}/{package}"))


def _resource(state: State, resource: ResourceState, root: str, *, replaced: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "urn": resource.urn,
        "custom": True,
        "id": resource.id,
        "type": resource.type,
        "inputs": resource.inputs,
        "outputs": resource.outputs,
        "parent": root,
        "provider": "::".join(_provider(state, resource.type.split(":")[0])),
    }
    if replaced:
        made["delete"] = True
    if resource.dependencies:
        made["dependencies"] = sorted(resource.dependencies)
    if resource.created:
        made["created"] = resource.created
    if resource.modified:
        made["modified"] = resource.modified
    return made


def _own(state: State) -> dict[str, Any]:
    return {
        "deployment": state.deployment,
        "serial": state.serial,
        "applying": state.applying,
        "binding": [state.binding.endpoint, state.binding.account] if state.binding else None,
        "facts": {
            fact.key: {"value": fact.value, "why": fact.why, "runner_up": fact.runner_up, "source": fact.source}
            for fact in state.facts.values()
        },
        "secrets": state.secrets,
        "components": {resource.urn: resource.component for resource in state.resources.values()},
        "replaced": {key: resource.component for key, resource in state.replaced.items()},
        "intents": [
            {name: getattr(intent, name) for name in Intent.__dataclass_fields__}
            for intent in state.pending.values()
        ],
    }


def dump(state: State, crypter: Crypter) -> str:
    """The state as JSON text with its secrets sealed; `pulumi stack import` reads it."""
    root = _root_urn(state)
    present = {urn: [d for d in r.dependencies if d in state.resources] for urn, r in state.resources.items()}
    rows = [_resource(state, state.resources[urn], root, replaced=False) for urn in order(present, present)]
    olds = [_resource(state, resource, root, replaced=True) for resource in state.replaced.values()]
    packages = sorted({row["type"].split(":")[0] for row in [*rows, *olds]})
    providers = []
    for package in packages:
        urn, id_ = _provider(state, package)
        type_ = f"pulumi:providers:{package}"
        providers.append(
            {"urn": urn, "custom": True, "id": id_, "type": type_, "inputs": {}, "outputs": {}, "parent": root}
        )
    head = {"urn": root, "custom": False, "type": ROOT_TYPE, "outputs": {"rehost": _own(state)}}
    lines = [encode(row, crypter) for row in [head, *providers, *rows, *olds]]
    pending = [
        {
            "resource": {
                "urn": intent.urn,
                "custom": True,
                "id": intent.id,
                "type": intent.type,
                "inputs": intent.inputs,
                "parent": root,
                "provider": "::".join(_provider(state, intent.type.split(":")[0])),
            },
            "type": _DOING[intent.action],
        }
        for intent in state.pending.values()
    ]
    waiting = encode(pending, crypter)
    deployment = [
        '"manifest":' + json.dumps({"time": datetime.now(UTC).isoformat(), "magic": "", "version": ""}),
        '"resources":[\n' + ",\n".join(lines) + "\n]",
        f'"pending_operations":{waiting}',
        '"metadata":{}',
    ]
    if crypter.salt_state:
        keeper = {"type": "passphrase", "state": {"salt": crypter.salt_state}}
        deployment.insert(1, '"secrets_providers":' + json.dumps(keeper))
    return '{"version":3,"deployment":{\n' + ",\n".join(deployment) + "\n}}\n"


def parse(text: str, stack: str, target: str, crypter: Crypter, *, strict: bool, where: str) -> State:
    """State from JSON text. Raises InvalidInput for versions and features that are not known, for damage, and
    for secrets that can't be read if `strict`."""
    try:
        bare = json.loads(text)
        version, deployment = bare["version"], bare["deployment"]
        if version not in (3, 4):
            raise InvalidInput(
                f"{where} is of version {version} of Pulumi's format", fix="versions 3 and 4 are read: convert it"
            )
        unknown = sorted(set(bare.get("features") or []) - {"refreshBeforeUpdate", "views", "hooks", "taint"})
        if unknown:
            raise InvalidInput(
                f"{where} uses features that are not known: {', '.join(unknown)}", fix="use a newer version"
            )
        keeper = deployment.get("secrets_providers") or {}
        if keeper and keeper.get("type") != "passphrase":
            raise InvalidInput(
                f"the secrets of {where} are kept by {keeper.get('type')!r}",
                fix="change the secrets provider to a passphrase with `pulumi stack change-secrets-provider`",
            )
        if keeper:
            crypter.adopt(keeper["state"]["salt"])
            deployment = decode(text, crypter, strict=strict)["deployment"]
        return _state(deployment, stack, target, crypter)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(
            f"{where} is not a state that can be read",
            why=f"{type(error).__name__}: {error}",
            fix="a backup of it is in the folder backups beside it",
        ) from error


def _state(deployment: Mapping[str, Any], stack: str, target: str, crypter: Crypter) -> State:
    state = State(stack, target)
    own: Mapping[str, Any] = {}
    for row in deployment.get("resources") or []:
        if row["type"] == ROOT_TYPE:
            own = (row.get("outputs") or {}).get("rehost") or {}
    components = own.get("components") or {}
    for row in deployment.get("resources") or []:
        if not row.get("custom") or row["type"].startswith("pulumi:"):
            continue
        resource = ResourceState(
            urn=row["urn"],
            type=row["type"],
            id=row.get("id", ""),
            inputs=row.get("inputs") or {},
            outputs=row.get("outputs") or {},
            dependencies=tuple(row.get("dependencies") or ()),
            component=components.get(row["urn"], ""),
            created=row.get("created") or "",
            modified=row.get("modified") or "",
        )
        if row.get("delete"):
            key = f"{resource.urn}#{resource.id}"
            resource.component = (own.get("replaced") or {}).get(key, resource.component)
            state.replaced[key] = resource
        else:
            state.resources[resource.urn] = resource
    state.deployment = own.get("deployment") or ""
    state.serial = own.get("serial") or 0
    state.applying = own.get("applying") or ""
    if own.get("binding"):
        state.binding = Binding(*own["binding"])
    state.facts = {key: Fact(key=key, **fact) for key, fact in (own.get("facts") or {}).items()}
    state.secrets = dict(own.get("secrets") or {})
    for row in own.get("intents") or []:
        row["dependencies"] = tuple(row["dependencies"])
        state.pending[row["n"]] = Intent(**row)
    state.locked = crypter.locked
    return state
