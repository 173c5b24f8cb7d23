"""Plan to operations: single calls with what each has to wait for, the longest path first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rehost.stacks.graph import Graph
from rehost.stacks.plan import Action, Plan, Step
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
    waits_for: set[str] = field(default_factory=set)
    releases: list[str] = field(default_factory=list)


def operations(plan: Plan, graph: Graph, state: State, weight: Callable[[str], float]) -> dict[str, Operation]:
    """The operations of a plan, with edges both ways.

    A create or update waits for those of what it depends on; a delete waits for the deletes of what depended on
    it, and for the updates and creates that let go of it. A replacement deletes last, or first where the kind
    or something it depends on says so.
    """
    made: dict[str, Operation] = {}

    def add(key: str, action: str, step: Step) -> None:
        made[key] = Operation(key, action, step, weight(step.type))

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

    first = {step.urn for step in plan.changing if step.delete_first}
    for urn, resource in state.resources.items():
        for other in resource.dependencies:
            if f"delete {other}" not in made:
                continue
            _wait(made, f"delete {other}", f"delete {urn}")
            if other not in first and f"make {urn}" in made:
                _wait(made, f"delete {other}", f"make {urn}")
    for key, resource in state.replaced.items():
        for other in resource.dependencies:
            _wait(made, f"delete {other}", f"delete {key}")

    for operation in made.values():
        for other in operation.waits_for:
            made[other].releases.append(operation.key)
    _weigh(made)
    return made


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
        for key, count in self._left.items():
            if count == 0:
                self._push(key)

    def _push(self, key: str) -> None:
        heapq.heappush(self._heap, (-self._made[key].path, key))

    def __len__(self) -> int:
        return len(self._heap)

    def take(self) -> Operation:
        """The next one to start."""
        return self._made[heapq.heappop(self._heap)[1]]

    def finished(self, key: str) -> int:
        """Release what waited for this one; answers how many became ready."""
        count = 0
        for other in self._made[key].releases:
            self._left[other] -= 1
            if self._left[other] == 0:
                self._push(other)
                count += 1
        return count
