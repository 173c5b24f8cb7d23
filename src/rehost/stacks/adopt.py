"""What runs in an account, as a stack, and taken into state under its ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from rehost.stacks.deployment import Deployment, new_deployment_id
from rehost.stacks.engine.attempts import veiled
from rehost.stacks.engine.recover import check_owner
from rehost.stacks.errors import InvalidInput, Refused
from rehost.stacks.graph import UNKNOWN, Ref, Resource, Secret, Value, at_path, is_unknown, order, reveal
from rehost.stacks.graph import resolve as resolve_value
from rehost.stacks.lift import Item, Items, Lifted, LiftJob
from rehost.stacks.lift.settle import settle
from rehost.stacks.model import Stack
from rehost.stacks.ports import KindRules, Known, Lifting, Surveying

_SUFFIX = re.compile(r"-[0-9a-f]{10}\Z")
_DEPLOYMENT = "rehost-deployment"


@dataclass(frozen=True)
class Chosen:
    """Which resources are looked at: all, or those that one of these names. `labels` are `key` or `key=value`,
    `names` may hold `*`, `ids` are as the provider has them. What those refer to is taken along."""

    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.labels or self.names or self.ids)


def found(deployment: Deployment, chosen: Chosen) -> list[Item]:
    """What there is, as items. Raises InvalidInput for a provider that can't say."""
    connection, look = deployment.connection, deployment.look
    if not isinstance(connection, Surveying) or not isinstance(deployment.adapter, Lifting):
        raise InvalidInput(
            f"{deployment.adapter.name} can't be adopted from",
            why="the provider does not list what there is",
        )
    by_type: dict[str, list[str]] = {}
    for token, id_ in look.patiently(lambda: list(connection.survey())):
        by_type.setdefault(token, []).append(id_)
    items: list[Item] = []
    for token, ids in by_type.items():
        known = [Known("", id_, {}, {}) for id_ in dict.fromkeys(ids)]
        answers = look.patiently(partial(connection.read, token, known))
        rules = deployment.adapter.rules(token)
        for live in answers:
            if live is not None:
                items.append(_item(rules, deployment.stack.stack, live.id, live.inputs, live.outputs))
    return _chosen(list(connection.tidy(items)), chosen, deployment.adapter.rules)


def _item(
    rules: KindRules, stack: str, id_: str, inputs: Mapping[str, Value], outputs: Mapping[str, Value]
) -> Item:
    """A live resource, with the name that it has in the stack where its marks say so."""
    tags: Mapping[str, Any] = (inputs.get(rules.tags) or outputs.get(rules.tags) or {}) if rules.tags else {}
    told = (tags.get("Name"), *(inputs.get(key) for key in ("name", "keyName", "identifier", "bucket")))
    name = next((str(text) for text in told if text), "")
    ours = name.startswith(f"{stack}-")
    marked = tags.get("rehost-stack") == stack and ours
    if tags.get(_DEPLOYMENT) and tags.get("rehost-stack") == stack:
        return Item(f"{rules.token}#{id_}", rules.token, "anchor", inputs, outputs, (), id_, True)
    name = name.removeprefix(f"{stack}-") if ours else name
    if ours and not rules.tags and _SUFFIX.search(name):
        # Where a type has no marks, a name of ours is one.
        name, marked = _SUFFIX.sub("", name), True
    return Item(f"{rules.token}#{id_}", rules.token, name, inputs, outputs, (), id_, marked)


def _chosen(items: list[Item], chosen: Chosen, rules: Any) -> list[Item]:
    """The items that were asked for, what they need, and what only ties those together."""
    if chosen.everything:
        return items
    from fnmatch import fnmatchcase

    ids = {item.id: item.key for item in items}
    uses = {item.key: {ids[text] for text in _texts(item.inputs) if text in ids} - {item.key} for item in items}
    wanted: set[str] = set()
    for item in items:
        tags: Mapping[str, Any] = item.inputs.get(rules(item.type).tags or "-") or {}
        pairs = {*tags, *(f"{key}={value}" for key, value in tags.items())}
        named = any(fnmatchcase(item.name, pattern) for pattern in chosen.names)
        if named or item.id in chosen.ids or pairs & set(chosen.labels):
            wanted.add(item.key)
    pending = list(wanted)
    while pending:
        for other in uses[pending.pop()] - wanted:
            wanted.add(other)
            pending.append(other)
    ties = {
        item.key
        for item in items
        if uses[item.key] and uses[item.key] <= wanted and not _stands_alone(item, rules)
    }
    return [item for item in items if item.key in wanted | ties]


def _stands_alone(item: Item, rules: Any) -> bool:
    about: KindRules = rules(item.type)
    return not about.joins and about.identity != "natural"


def _texts(value: Value) -> Iterable[str]:
    match value:
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)
        case str() | int():
            yield str(value)


def lifted(deployment: Deployment, items: Sequence[Item]) -> Lifted:
    """The stack that the items are; or, where the stack of the deployment has components, that one, with the items
    that its components are."""
    adapter, connection = deployment.adapter, deployment.connection
    assert isinstance(adapter, Lifting)
    assert isinstance(connection, Surveying)
    index = Items(items)
    about = deployment.look.patiently(lambda: connection.about(index))
    id_ = deployment.store.read(deployment.stack.stack, deployment.target.name).deployment or known_id(items)
    secrets = given_secrets(deployment.stack, deployment.environment)
    job = LiftJob(index, deployment.stack.stack, deployment.target, id_ or None, secrets, about)
    draft = adapter.lift(job)
    return settle(adapter, job, draft, deployment.stack if written(deployment.stack) else None)


def written(stack: Stack) -> bool:
    """Whether a stack has components."""
    plain = {"stack", "targets", "checks", "secrets"}
    return any(getattr(stack, name) for name in Stack.model_fields if name not in plain)


def known_id(items: Sequence[Item]) -> str:
    """The id of the deployment that the items are of, where one of them tells it."""
    for item in items:
        for labels in (item.inputs.get("labels"), item.inputs.get("tags")):
            if isinstance(labels, dict) and labels.get(_DEPLOYMENT):
                return str(labels[_DEPLOYMENT])
    return ""


def given_secrets(stack: Stack, environment: Mapping[str, str]) -> dict[str, Value]:
    """Values of secrets that are in the environment."""
    return {
        name: Secret(environment[secret.from_env])
        for name, secret in stack.secrets.items()
        if secret.from_env and environment.get(secret.from_env)
    }


def take(deployment: Deployment, items: Sequence[Item], result: Lifted) -> int:
    """Take what was lifted into state, under its ids; answers how many resources. Raises Refused where the state
    holds something already."""
    with deployment.store.open(deployment.stack.stack, deployment.target.name, command="adopt") as session:
        state = session.state
        if state.holds_anything:
            raise Refused(
                "the state holds resources already",
                why="adopting would lose sight of them",
                fix="adopt under another stack name, or forget them with `rehost state rm`",
            )
        endpoint, account = check_owner(state, deployment.look)
        id_ = state.deployment or known_id(items) or new_deployment_id()
        resources = _resources(deployment, {item.key: item for item in items}, result)
        secrets = given_secrets(result.stack, deployment.environment)
        if secrets:
            session.prepare_secrets()
        session.append({"kind": "deployment", "id": id_, "endpoint": endpoint, "account": account})
        if secrets:
            session.append({"kind": "secrets", "secrets": secrets})
        facts = {
            key: {name: value for name, value in asdict(fact).items() if name != "key"}
            for key, fact in result.facts.items()
        }
        session.append({"kind": "facts", "facts": facts})
        now = deployment.clock.time()
        for number, (resource, live_id, inputs, outputs) in enumerate(resources, 1):
            about = {"n": number, "urn": resource.urn, "type": resource.type, "component": resource.component}
            needed = tuple(sorted(result.graph.edges[resource.urn] & result.claims.keys()))
            intent = {"kind": "intent", "action": "create", "id": live_id, "inputs": {}, "time": now, **about}
            session.append({**intent, "token": "", "dependencies": needed, "generation": "current"}, wait=False)
            done = {"kind": "done", "n": number, "id": live_id, "inputs": inputs, "outputs": outputs, "time": now}
            session.append(done, wait=False)
        session.flush()
        return len(resources)


def _resources(
    deployment: Deployment, items: Mapping[str, Item], result: Lifted
) -> list[tuple[Resource, str, Mapping[str, Value], Mapping[str, Value]]]:
    """Each resource with its id, and inputs and outputs as a deploy would have left them: read once more as what
    the stack asks for."""
    graph = result.graph

    def told(ref: Ref) -> Value:
        item = items.get(result.claims.get(ref.urn, ""))
        if item is None:
            return UNKNOWN
        return item.id if ref.path == "id" else at_path({**item.inputs, **item.outputs}, ref.path)

    by_type: dict[str, list[tuple[Resource, Item, dict[str, Value]]]] = {}
    for urn in order(graph.resources, graph.edges):
        if urn not in result.claims:
            continue
        resource, item = graph.resources[urn], items[result.claims[urn]]
        asked: dict[str, Value] = {}
        for key, value in resolve_value(dict(resource.inputs), told).items():
            # What is not there yet is not what it was made with.
            if not is_unknown(value):
                asked[key] = value
            elif key in item.inputs:
                asked[key] = item.inputs[key]
        by_type.setdefault(resource.type, []).append((resource, item, asked))
    made: dict[str, tuple[Resource, str, Mapping[str, Value], Mapping[str, Value]]] = {}
    for token, rows in by_type.items():
        known = [Known(resource.urn, item.id, reveal(asked), item.outputs) for resource, item, asked in rows]
        answers = deployment.look.patiently(partial(deployment.connection.read, token, known))
        for (resource, item, asked), live in zip(rows, answers, strict=True):
            if live is None:
                raise Refused(f"{resource.component}: {item.id} went away meanwhile", fix="run it again")
            inputs, outputs = veiled(live.inputs, asked), veiled(live.outputs, asked)
            made[resource.urn] = (resource, live.id, inputs, outputs)
    return [made[urn] for urn in order(graph.resources, graph.edges) if urn in made]


def adopting(deployment: Deployment, stack: Stack) -> Deployment:
    """The same place with the stack that was lifted."""
    return replace(deployment, stack=stack)
