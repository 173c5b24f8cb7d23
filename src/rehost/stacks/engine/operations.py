"""Plan to operations: single calls with what each has to wait for, the longest path first."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rehost.stacks.graph import Graph, Number, Ref, Value
from rehost.stacks.plan import Action, Plan, Step
from rehost.stacks.ports import Disruption, KindRules
from rehost.stacks.state import State


@dataclass(slots=True)
class Operation:
    """One call: `create`, `update`, `adopt` or `delete`. `weight` is its usual time, `path` the usual time from
    its start to the end of everything that waits for it, both in seconds."""

    key: str
    action: str
    step: Step
    weight: float
    path: float = 0.0
    locks: frozenset[str] = frozenset()
    """What the call locks at the provider, by id or URN."""
    rolling: str = ""
    """The group whose members are interrupted one at a time, and no further one once that failed."""
    waits_for: set[str] = field(default_factory=set)
    releases: list[str] = field(default_factory=list)


def operations(plan: Plan, graph: Graph, state: State, rules: Callable[[str], KindRules]) -> dict[str, Operation]:
    """The operations of a plan, with edges both ways.

    A create or update waits for those of what it depends on; a delete waits for the deletes of what depended on
    it, and for the updates and creates that let go of it. A replacement deletes last, or first where the kind
    or something it depends on says so.
    """
    made: dict[str, Operation] = {}

    def add(key: str, action: str, step: Step) -> None:
        kind = rules(step.type)
        locks = _locks(kind, step, graph, state) if kind.exclusive else frozenset()
        restarts = step.action is Action.UPDATE and step.disruption is Disruption.RESTART
        rolling = re.sub(r"-\d+$", "", step.component) if restarts else ""
        made[key] = Operation(key, action, step, kind.typical_s, locks=locks, rolling=rolling)

    for step in plan.changing:
        if step.action is Action.DELETE:
            add(f"delete {step.key or step.urn}", "delete", step)
        elif step.action is Action.REPLACE:
            add(f"make {step.urn}", "create", step)
            add(f"delete {step.urn}", "delete", step)
        else:
            add(f"make {step.urn}", step.action.value, step)

    for operation in list(made.values()):
        urn = operation.step.urn
        if operation.action == "delete":
            continue
        for other in graph.edges[urn]:
            _wait(made, operation.key, f"make {other}")
        if operation.step.action is Action.REPLACE:
            if operation.step.delete_first:
                _wait(made, operation.key, f"delete {urn}")
            else:
                _wait(made, f"delete {urn}", operation.key)
        for name in operation.step.takes_from:
            _wait(made, operation.key, f"delete {name}" if f"delete {name}" in made else f"make {name}")

    given = {name for step in plan.changing for name in step.takes_from}
    first = {step.urn for step in plan.changing if step.delete_first}
    for urn, resource in state.resources.items():
        for other in resource.dependencies:
            if f"delete {other}" not in made:
                continue
            _wait(made, f"delete {other}", f"delete {urn}")
            # What is itself deleted first lets go by that; waiting for its successor too would be a circle.
            # So would an update be that leaves go of nothing: it only came after the one that goes.
            old = state.resources[other]
            kept = other in given and (rules(old.type).empties or not _names(resource.inputs, old.id))
            if not first & {urn, other} and not kept and f"make {urn}" in made:
                _wait(made, f"delete {other}", f"make {urn}")
    for key, old in state.replaced.items():
        for other in old.dependencies:
            _wait(made, f"delete {other}", f"delete {key}")
        # What an interrupted run had not moved to the successor yet has to let go first.
        for urn, resource in state.resources.items():
            if old.urn in resource.dependencies:
                for action in ("delete",) if urn in first else ("make", "delete"):
                    _wait(made, f"delete {key}", f"{action} {urn}")
        for other, resource in state.replaced.items():
            if old.urn in resource.dependencies:
                _wait(made, f"delete {key}", f"delete {other}")

    for operation in made.values():
        for other in operation.waits_for:
            made[other].releases.append(operation.key)
    _weigh(made)
    return made


def circle(made: Mapping[str, Operation]) -> list[Step]:
    """Steps that wait for each other; empty where every operation can start at some time."""
    left = {key: len(operation.waits_for) for key, operation in made.items()}
    ready = [key for key, count in left.items() if count == 0]
    while ready:
        for other in made[ready.pop()].releases:
            left[other] -= 1
            if left[other] == 0:
                ready.append(other)
    stuck = {key for key, count in left.items() if count}
    # Those at the end of the line only wait for the circle.
    while ends := {key for key in stuck if not stuck & set(made[key].releases)}:
        stuck -= ends
    return list({made[key].step.urn: made[key].step for key in sorted(stuck)}.values())


def _names(value: Value, id_: str) -> bool:
    """Whether an id stands anywhere in a value."""
    if isinstance(value, Mapping):
        return any(_names(item, id_) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_names(item, id_) for item in value)
    return str(value) == id_


def _locks(kind: KindRules, step: Step, graph: Graph, state: State) -> frozenset[str]:
    resource = graph.resources.get(step.urn)
    old = state.replaced.get(step.key) or state.resources.get(step.urn)
    inputs: Mapping[str, Value] = resource.inputs if resource else old.inputs if old else {}

    def names(value: Value) -> list[str]:
        if isinstance(value, list | tuple):
            return [name for item in value for name in names(item)]
        if isinstance(value, dict):
            return [name for item in value.values() for name in names(item)]
        if isinstance(value, Number):
            return names(value.value)
        if isinstance(value, Ref):
            known = state.resources.get(value.urn)
            return [known.id if known else value.urn]
        return [str(value)]

    return frozenset(name for key in kind.exclusive if key in inputs for name in names(inputs[key]))


def _wait(made: dict[str, Operation], key: str, other: str) -> None:
    if key in made and other in made and key != other:
        made[key].waits_for.add(other)


def _weigh(made: dict[str, Operation]) -> None:
    """Path lengths from the ends backwards. A cycle would be a fault of the edges above: it is broken by
    leaving the weights of its members at their own."""
    left = {key: len(operation.releases) for key, operation in made.items()}
    ready = [key for key, count in left.items() if count == 0]
    while ready:
        operation = made[ready.pop()]
        longest = max((made[key].path for key in operation.releases), default=0.0)
        operation.path = operation.weight + longest
        for key in operation.waits_for:
            left[key] -= 1
            if left[key] == 0:
                ready.append(key)


class Ready:
    """Operations that can start, the longest path first."""

    def __init__(self, made: Mapping[str, Operation]) -> None:
        self._made = made
        self._left = {key: len(operation.waits_for) for key, operation in made.items()}
        self._heap: list[tuple[float, str]] = []
        self._locked: set[str] = set()
        self._rolling: set[str] = set()
        for key, count in self._left.items():
            if count == 0:
                self._push(key)

    def _push(self, key: str) -> None:
        heapq.heappush(self._heap, (-self._made[key].path, key))

    def take(self) -> Operation | None:
        """The next one to start; None while there is none, or all that could start wait for another's end."""
        passed: list[tuple[float, str]] = []
        taken: Operation | None = None
        while self._heap and taken is None:
            entry = heapq.heappop(self._heap)
            operation = self._made[entry[1]]
            if operation.locks & self._locked or operation.rolling in self._rolling:
                passed.append(entry)
            else:
                taken = operation
        for entry in passed:
            heapq.heappush(self._heap, entry)
        if taken is not None:
            self._locked |= taken.locks
            if taken.rolling:
                self._rolling.add(taken.rolling)
        return taken

    def ended(self, key: str, *, well: bool) -> None:
        """An operation is over: its locks are free, and if it went well what waited for it can start."""
        operation = self._made[key]
        self._locked -= operation.locks
        if well:
            self._rolling.discard(operation.rolling)
        for other in operation.releases if well else ():
            self._left[other] -= 1
            if self._left[other] == 0:
                self._push(other)
