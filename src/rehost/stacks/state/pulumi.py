"""State as Pulumi deployment JSON, version 3 (pulumi/pulumi, sdk/go/common/apitype/core.go).

What Pulumi has no place for (deployment id, binding, facts, components, secrets of the stack) is in the root
stack resource's outputs under `rehost`, which survive an export and import by Pulumi. What Pulumi can say and
rehost can't keep (a protected resource, one that Pulumi only reads) is refused by name.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from rehost.stacks.errors import InvalidInput
from rehost.stacks.graph import order
from rehost.stacks.state.crypt import Crypter, Opening, decode, encode
from rehost.stacks.state.model import Binding, Fact, Intent, ResourceState, State

T = TypeVar("T")

ROOT_TYPE = "pulumi:pulumi:Stack"
_DOING = {"create": "creating", "update": "updating", "delete": "deleting"}
_FEATURES = {"refreshBeforeUpdate", "views", "hooks", "taint", "replaceWith"}
_MARKS = (
    "protect",
    "external",
    "taint",
    "retainOnDelete",
    "deletedWith",
    "replaceWith",
    "viewOf",
    "resourceHooks",
)
"""What a resource may carry that would be lost here, and with it what Pulumi's user meant."""


def _root_urn(state: State) -> str:
    return f"urn:pulumi:{state.target}::{state.stack}::{ROOT_TYPE}::{state.stack}-{state.target}"


def _provider(state: State, package: str) -> tuple[str, str]:
    urn = f"urn:pulumi:{state.target}::{state.stack}::pulumi:providers:{package}::default"
    # An imported state may be named by anything JSON can hold, lone surrogates included.
    name = f"{state.deployment}/{package}".encode("unicode_escape").decode()
    return urn, str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _resource(
    state: State,
    resource: ResourceState,
    root: str,
    before: set[str],
    dangling: dict[str, list[str]],
    key: str = "",
) -> dict[str, Any]:
    """One resource. Pulumi takes dependencies only on what stands `before`; others go to `dangling`."""
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
    if key:
        made["delete"] = True
    known = sorted(before.intersection(resource.dependencies))
    if known:
        made["dependencies"] = known
    if len(known) < len(resource.dependencies):
        dangling[key or resource.urn] = sorted(set(resource.dependencies) - before)
    before.add(resource.urn)
    if resource.created:
        made["created"] = resource.created
    if resource.modified:
        made["modified"] = resource.modified
    return made


def _own(state: State, dangling: dict[str, list[str]]) -> dict[str, Any]:
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
        "dangling": dangling,
        "intents": [
            {name: getattr(intent, name) for name in Intent.__dataclass_fields__}
            for intent in state.pending.values()
        ],
    }


def dump(state: State, crypter: Crypter) -> str:
    """The state as JSON text with its secrets sealed; `pulumi stack import` reads it."""
    root = _root_urn(state)
    present = {urn: [d for d in r.dependencies if d in state.resources] for urn, r in state.resources.items()}
    before: set[str] = set()
    dangling: dict[str, list[str]] = {}
    rows = [_resource(state, state.resources[urn], root, before, dangling) for urn in order(present, present)]
    olds = [_resource(state, old, root, before, dangling, key) for key, old in sorted(state.replaced.items())]
    types = [row["type"] for row in [*rows, *olds]] + [intent.type for intent in state.pending.values()]
    packages = sorted({type_.split(":")[0] for type_ in types})
    providers = []
    for package in packages:
        urn, id_ = _provider(state, package)
        type_ = f"pulumi:providers:{package}"
        providers.append(
            {"urn": urn, "custom": True, "id": id_, "type": type_, "inputs": {}, "outputs": {}, "parent": root}
        )
    head = {"urn": root, "custom": False, "type": ROOT_TYPE, "outputs": {"rehost": _own(state, dangling)}}
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


def parse(text: str, stack: str, target: str, crypter: Crypter, opening: Opening, *, where: str) -> State:
    """State from JSON text: a deployment as `pulumi stack export` writes it, or a checkpoint of Pulumi's file
    backend. Raises InvalidInput for versions and features that are not known, for damage, and for secrets that
    can't be read if they are required."""
    try:
        bare = json.loads(text)
        version, deployment = bare["version"], _latest(bare)
        if version not in (3, 4):
            raise InvalidInput(
                f"{where} is of version {version} of Pulumi's format", fix="versions 3 and 4 are read: convert it"
            )
        unknown = sorted(set(bare.get("features") or []) - _FEATURES)
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
            crypter.adopt(_is(keeper["state"]["salt"], str, "the salt"))
        deployment = _latest(decode(text, crypter, opening))
        return _state(deployment, stack, target, crypter, where)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InvalidInput(
            f"{where} is not a state that can be read",
            why=f"{type(error).__name__}: {error}",
            fix="if it was one, put a backup of it back (`rehost state backups`)",
        ) from error


def _latest(bare: Mapping[str, Any]) -> dict[str, Any]:
    """The deployment in either form of the file; an empty one for a stack that never held anything."""
    found = bare["deployment"] if "deployment" in bare else bare["checkpoint"].get("latest") or {}
    if not isinstance(found, dict):
        raise TypeError("the deployment is no object")
    return found


def _is(value: Any, kind: type[T], what: str) -> T:
    """The value, if it is of its kind; TypeError otherwise."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{what} is {type(value).__name__}, not {kind.__name__}")
    return value


def _texts(value: Any, what: str) -> list[str]:
    return [_is(item, str, what) for item in _is(value or [], list, what)]


def _refuse_marks(row: Mapping[str, Any], where: str) -> None:
    marks = [mark for mark in _MARKS if row.get(mark)]
    if marks:
        raise InvalidInput(
            f"{where} uses what rehost can't keep: {', '.join(marks)} of {row['urn']}",
            why="it would be lost at the next write, and the resource treated as any other",
            fix="take it back with Pulumi first (`pulumi state unprotect`, or an option of the resource)",
        )


def _state(deployment: Mapping[str, Any], stack: str, target: str, crypter: Crypter, where: str) -> State:
    state = State(stack, target)
    own: Mapping[str, Any] = {}
    for row in deployment.get("resources") or []:
        if _is(row["type"], str, "a type") == ROOT_TYPE:
            own = (row.get("outputs") or {}).get("rehost") or {}
    components, dangling = own.get("components") or {}, own.get("dangling") or {}
    for row in deployment.get("resources") or []:
        if not row.get("custom") or row["type"].startswith("pulumi:"):
            continue
        _refuse_marks(row, where)
        if row.get("pendingReplacement"):
            continue  # Pulumi deleted it already, and would have made it anew
        key = f"{row['urn']}#{row.get('id', '')}" if row.get("delete") else row["urn"]
        resource = ResourceState(
            urn=_is(row["urn"], str, "a URN"),
            type=_is(row["type"], str, "a type"),
            id=_is(row.get("id", ""), str, "an id"),
            inputs=_is(row.get("inputs") or {}, dict, "inputs"),
            outputs=_is(row.get("outputs") or {}, dict, "outputs"),
            dependencies=tuple(
                sorted({*_texts(row.get("dependencies"), "a dependency"), *_texts(dangling.get(key), "dangling")})
            ),
            component=_is(components.get(row["urn"], ""), str, "a component"),
            created=_is(row.get("created") or "", str, "created"),
            modified=_is(row.get("modified") or "", str, "modified"),
        )
        if resource.urn in state.resources and not row.get("delete"):
            raise InvalidInput(f"{where} holds {resource.urn} twice", fix="remove one of the two from the file")
        if row.get("delete"):
            resource.component = (own.get("replaced") or {}).get(key, resource.component)
            state.replaced[key] = resource
        else:
            state.resources[resource.urn] = resource
    state.deployment = _is(own.get("deployment") or "", str, "the deployment")
    state.serial = _is(own.get("serial") or 0, int, "the serial")
    state.applying = _is(own.get("applying") or "", str, "applying")
    if own.get("binding"):
        state.binding = Binding(*own["binding"])
    state.facts = {key: Fact(key=key, **fact) for key, fact in (own.get("facts") or {}).items()}
    state.secrets = dict(own.get("secrets") or {})
    for row in own.get("intents") or []:
        row["dependencies"] = tuple(_texts(row["dependencies"], "a dependency"))
        state.pending[row["n"]] = Intent(**row)
    ours = {(intent.urn, _DOING[intent.action]) for intent in state.pending.values()}
    for row in deployment.get("pending_operations") or []:
        if (row["resource"]["urn"], row["type"]) not in ours:
            raise InvalidInput(
                f"{where}: the end of an operation of Pulumi is not known: {row['type']} {row['resource']['urn']}",
                why="rehost could not find what it made",
                fix="settle it with `pulumi refresh`, then export again",
            )
    state.locked = crypter.locked
    return state
