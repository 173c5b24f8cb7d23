"""What an operator may do to a state by hand: look things up, forget them, put another state there, move it.

Everything is checked before it is written; what was there stays as a backup.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rehost.stacks.errors import InvalidInput, Refused
from rehost.stacks.graph import urn_name
from rehost.stacks.plan import named
from rehost.stacks.state import pulumi
from rehost.stacks.state.crypt import Crypter, Opening, Passphrase
from rehost.stacks.state.model import Intent, ResourceState, State
from rehost.stacks.state.session import Session
from rehost.stacks.state.store import Store


@dataclass(frozen=True, slots=True)
class Held:
    """One thing that a state holds: a resource, the remains of its replacement, or a step whose end is not known.

    `key` is its URN, with `#id` for remains and `!number` for open steps.
    """

    key: str
    condition: str
    resource: ResourceState
    action: str = ""


def held(state: State) -> list[Held]:
    """Everything, by component."""
    found = [Held(resource.urn, "current", resource) for resource in state.resources.values()]
    found += [Held(key, "replaced", resource) for key, resource in state.replaced.items()]
    found += [
        Held(f"{intent.urn}!{intent.n}", "pending", _as_resource(intent), intent.action)
        for intent in state.pending.values()
    ]
    return sorted(found, key=lambda item: (item.resource.component, item.resource.type, item.key))


def _as_resource(intent: Intent) -> ResourceState:
    return ResourceState(
        intent.urn, intent.type, intent.id, intent.inputs, {}, intent.dependencies, intent.component
    )


def find(state: State, address: str) -> list[Held]:
    """What an address means: a URN, a key, a component or group of them, or the last part of a URN. Raises
    InvalidInput for what is not there."""
    everything = held(state)
    found = [item for item in everything if address in (item.key, item.resource.urn)]
    found = found or [item for item in everything if named(item.resource.component, (address,))]
    found = found or [item for item in everything if address == urn_name(item.resource.urn)]
    if found:
        return found
    known = sorted({name for item in everything for name in (item.resource.component, item.key) if name})
    near = difflib.get_close_matches(address, known, 1)
    raise InvalidInput(
        f"the state holds nothing called {address!r}",
        fix=f"did you mean {near[0]!r}?" if near else "see `rehost state list`",
    )


def forget(session: Session, addresses: Iterable[str], *, force: bool = False) -> list[Held]:
    """Forget resources without deleting them. Raises Refused while others depend on them, unless forced."""
    state = session.state
    gone = {item.key: item for address in addresses for item in find(state, address)}
    current = {item.resource.urn for item in gone.values() if item.condition == "current"}
    left = [item for item in held(state) if item.key not in gone and item.condition != "pending"]
    needing = sorted({item.key for item in left if current & set(item.resource.dependencies)})
    if needing and not force:
        raise Refused(
            f"{len(needing)} other resource(s) depend on it",
            why=f"{', '.join(needing[:4])} would point to what this state does not know",
            fix="forget those too, or give --force",
        )
    for item in gone.values():
        name = {"current": "urn", "replaced": "key"}.get(item.condition)
        entry = {name: item.key} if name else {"n": int(item.key.rpartition("!")[2])}
        session.append({"kind": "forget", **entry}, wait=False)
    session.flush()
    return list(gone.values())


def parse_import(
    text: str, stack: str, target: str, passphrase: Passphrase, knows: Callable[[str], bool], *, where: str
) -> State:
    """The state in a file, which has to be one of this stack at this target. Raises InvalidInput.

    `knows` answers whether the target's provider has a resource type.
    """
    state = pulumi.parse(text, stack, target, Crypter(passphrase), Opening.REQUIRED, where=where)
    resources = [item.resource for item in held(state)]
    prefix = f"urn:pulumi:{target}::{stack}::"
    foreign = [resource.urn for resource in resources if not resource.urn.startswith(prefix)]
    if foreign:
        raise InvalidInput(
            f"{where} is not a state of {stack} on {target}",
            why=f"it holds {foreign[0]}",
            fix="check --on and the stack file; URNs here begin with " + prefix,
        )
    unknown = sorted({resource.type for resource in resources if not knows(resource.type)})
    if unknown:
        raise InvalidInput(
            f"{where} holds resources of types that are not known: {', '.join(unknown)}",
            why="rehost could neither read nor delete them",
            fix="remove them from the file, or manage them with Pulumi",
        )
    nameless = [item.key for item in held(state) if item.condition != "pending" and not item.resource.id]
    if nameless:
        raise InvalidInput(f"{where}: {nameless[0]} has no id", fix="add it, or remove the resource from the file")
    return state


def supersede(session: Session, new: State, *, force: bool = False, older: bool = False) -> None:
    """Put another state in the place of the session's. Raises Refused, unless forced, where something would get
    lost or the other state belongs to another deployment; an older one is taken only if `older` is set."""
    old = session.state
    if old.holds_anything and not force:
        _refuse_loss(old, new)
        if new.serial < old.serial and not older:
            raise Refused(
                "the state in the file is older than the one that is there",
                why=f"it is number {new.serial}, the other one number {old.serial}",
                fix="export again and make your changes there, or give --force",
            )
    if not new.deployment and old.deployment:
        # A program run by Pulumi itself leaves out what is only ours.
        new.deployment, new.binding = old.deployment, old.binding
        new.facts, new.secrets = dict(old.facts), dict(old.secrets)
        for urn, resource in new.resources.items():
            known = old.resources.get(urn)
            resource.component = resource.component or (known.component if known else "")
    session.replace(new)


def _refuse_loss(old: State, new: State) -> None:
    if new.deployment != old.deployment:
        told = f"of the deployment {new.deployment}" if new.deployment else "of a deployment that it does not name"
        raise Refused(
            f"the file holds a state {told}",
            why=f"here is the deployment {old.deployment}, which would be lost sight of",
            fix="check that it is the right file; --force takes it all the same",
        )
    taken_along = list(new.pending.values())
    pending = [intent for intent in old.pending.values() if intent not in taken_along]
    if pending:
        raise Refused(
            f"{len(pending)} step(s) of an interrupted run are open",
            why="what they made would be lost sight of",
            fix="run `rehost deploy` first, which settles them, or give --force",
        )
    ids = {(resource.type, resource.id) for item in held(new) for resource in (item.resource,)}
    lost = [item.key for item in held(old) if (item.resource.type, item.resource.id) not in ids]
    if lost:
        raise Refused(
            f"{len(lost)} resource(s) would be forgotten: {', '.join(lost[:4])}",
            why="they exist at the provider, and nothing would know of them",
            fix="give --force if that is what you want",
        )


def move(source: Store, to: Store, stack: str, target: str, *, force: bool = False) -> State:
    """Take a state to another store, and leave a pointer. Both are locked; after an interruption repeat it.

    Raises Refused where another deployment is there, or a later state of this one.
    """
    command = "state move"
    if source.url == to.url:
        raise InvalidInput("the state is there already", fix="name another place with --to")
    with source.open(stack, target, command=command):
        pass  # what an interrupted run left in the journal is folded
    with source.open(stack, target, command=command) as kept:
        state = kept.state
        if not state.deployment:
            raise InvalidInput(
                f"{stack} on {target} has no state in {source.url}",
                fix="there is nothing to move: just use --state",
            )
        with to.open(stack, target, command=command) as session:
            there = session.state
            moved = there.deployment == state.deployment and there.serial > state.serial
            if there.deployment and not moved and not force:
                raise Refused(
                    f"{to.url} has a state of {stack} on {target} already",
                    why=f"number {there.serial} of the deployment {there.deployment}; "
                    f"the one to be moved is number {state.serial} of {state.deployment}",
                    fix="look at both with `rehost state list`; --force overwrites the one that is there",
                )
            if not moved:
                session.replace(copy.deepcopy(state))
        source.retire(stack, target, to.url)
    return state
