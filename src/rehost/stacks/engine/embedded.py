"""The embedded engine: carries a plan out in process, in parallel, every intent journaled before its call."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rehost.stacks.engine.attempts import Attempts, veiled
from rehost.stacks.engine.clock import Clock, Gate, StepCall
from rehost.stacks.engine.events import Emit, StepBegan, StepDone, StepFailed, StepSkipped
from rehost.stacks.engine.operations import Operation, Ready, operations
from rehost.stacks.engine.recover import Look, take_over
from rehost.stacks.errors import Interrupted, OperatorNeeded, ProviderError, Reason, RehostError
from rehost.stacks.graph import (
    Graph,
    Resource,
    Value,
    is_unknown,
    reveal,
)
from rehost.stacks.graph import resolve as resolve_value
from rehost.stacks.plan import Action, Plan, Step
from rehost.stacks.ports import Adapter, Connection, Known, Live
from rehost.stacks.state import Session, State


@dataclass
class Outcome:
    """What became of a run."""

    done: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[Step, RehostError]] = field(default_factory=list)
    waiting: list[tuple[Step, RehostError]] = field(default_factory=list)
    skipped: list[Step] = field(default_factory=list)
    interrupted: bool = False
    unproven: list[str] = field(default_factory=list)
    """Checks of the stack that were made afterwards and did not hold."""

    @property
    def word(self) -> str:
        """`done`, `interrupted`, `failed`, `waiting` or `unproven`."""
        if self.interrupted:
            return "interrupted"
        if self.failed or self.waiting:
            return "failed" if self.failed else "waiting"
        return "unproven" if self.unproven else "done"

    @property
    def exit_code(self) -> int:
        """The documented exit code."""
        return {"done": 0, "failed": 1, "unproven": 5, "waiting": 6, "interrupted": 130}[self.word]


@dataclass
class Engine:
    """Applies plans. One engine serves one run; `stop` may be set from a signal handler."""

    adapter: Adapter
    connection: Connection
    session: Session
    emit: Emit
    clock: Clock
    stop: threading.Event
    parallel: int
    jitter: random.Random = field(default_factory=random.Random)
    _numbers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _telling: threading.Lock = field(default_factory=threading.Lock)

    @property
    def _look(self) -> Look:
        return Look(self.adapter, self.connection, self.clock, self.stop, self.parallel)

    def apply(self, plan: Plan, graph: Graph, *, purge: frozenset[str] = frozenset()) -> Outcome:
        """Carry the plan out. Errors of single steps are in the outcome; `purge` are components that are
        emptied before they are deleted."""
        state = self.session.state
        self._graph = graph
        self._purge = purge
        self._going = _going(plan, state)
        self._gate = Gate(self.clock)
        self._numbers = max(state.pending, default=0)
        made = operations(plan, graph, state, self.adapter.rules)
        ready = Ready(made)
        outcome = Outcome()
        self._total = len(made)
        self._finished = 0
        waiting = set(made)
        running = 0
        changed = threading.Condition()
        limit = max(1, self.parallel)
        results: list[tuple[Operation, RehostError | BaseException | None]] = []
        queue: list[Operation] = []
        closing = False

        def work() -> None:
            while True:
                with changed:
                    while not queue and not closing:
                        changed.wait()
                    if not queue:
                        return
                    operation = queue.pop(0)
                problem: BaseException | None = None
                try:
                    self._run(operation)
                except BaseException as error:  # noqa: BLE001 - the loop below tells what is expected
                    problem = error
                with changed:
                    results.append((operation, problem))
                    changed.notify_all()

        workers = [threading.Thread(target=work, daemon=True) for _ in range(min(limit, len(made)))]
        for worker in workers:
            worker.start()
        unexpected: BaseException | None = None
        try:
            while True:
                with changed:
                    while running < limit and not self.stop.is_set() and unexpected is None:
                        operation = ready.take()
                        if operation is None:
                            break
                        queue.append(operation)
                        running += 1
                        changed.notify()
                    if not running:
                        break
                    while not results:
                        # A bounded wait keeps the main thread able to handle signals.
                        changed.wait(0.5)
                    taken, results[:] = list(results), []
                for operation, problem in taken:
                    running -= 1
                    waiting.discard(operation.key)
                    ready.ended(operation.key, well=problem is None)
                    if problem is None:
                        outcome.done[operation.action] = outcome.done.get(operation.action, 0) + 1
                    elif isinstance(problem, RehostError):
                        self._failed(operation, problem, outcome)
                    else:
                        unexpected = problem
        finally:
            with changed:
                closing = True
                changed.notify_all()
            for worker in workers:
                worker.join()
        self.session.flush()
        if unexpected is not None:
            raise unexpected
        outcome.interrupted = outcome.interrupted or (self.stop.is_set() and bool(waiting))
        if waiting and outcome.word == "done":
            left = ", ".join(sorted(waiting)[:4])
            raise RehostError(
                f"steps wait for each other: {left}", why="this is a fault of rehost, not of the stack"
            )
        because = "the run was stopped" if outcome.interrupted else "a step that it needs did not succeed"
        for key in sorted(waiting):
            step = made[key].step
            outcome.skipped.append(step)
            self.emit(StepSkipped(self.clock.time(), made[key].action, step.urn, step.address, because))
        return outcome

    def _failed(self, operation: Operation, error: RehostError, outcome: Outcome) -> None:
        step = operation.step
        if isinstance(error, Interrupted):
            outcome.interrupted = True
            outcome.skipped.append(step)
            return
        needs_person = isinstance(error, OperatorNeeded)
        (outcome.waiting if needs_person else outcome.failed).append((step, error))
        self.emit(
            StepFailed(
                self.clock.time(),
                operation.action,
                step.urn,
                step.address,
                error.summary,
                error.why,
                error.fix,
                needs_person,
            )
        )

    def _run(self, operation: Operation) -> None:
        began = self.clock.now()
        step = operation.step
        match operation.action:
            case "create":
                id_ = self._create(step, self._graph.resources[step.urn])
            case "delete":
                id_ = self._delete(step)
            case _:
                id_ = self._update(step, self._graph.resources[step.urn])
        # Told under a lock, so that the counts come in order.
        with self._telling:
            self._finished += 1
            self.emit(
                StepDone(
                    self.clock.time(),
                    operation.action,
                    step.urn,
                    step.address,
                    id_,
                    round(self.clock.now() - began, 3),
                    self._finished,
                    self._total,
                )
            )

    def _inputs(self, resource: Resource) -> dict[str, Value]:
        inputs: dict[str, Value] = resolve_value(dict(resource.inputs), self.session.state.output)
        if is_unknown(inputs):
            missing = sorted(key for key, value in inputs.items() if is_unknown(value))
            raise RehostError(
                f"{resource.component}: {', '.join(missing)} is still unknown",
                why="what it refers to gave no such value",
            )
        return inputs

    def _number(self) -> int:
        with self._lock:
            self._numbers += 1
            return self._numbers

    def _intend(self, action: str, step: Step, **fields: Any) -> tuple[int, str]:
        number, token = self._number(), uuid.uuid4().hex
        self.emit(StepBegan(self.clock.time(), action, step.urn, step.address))
        self.session.append(
            {
                "kind": "intent",
                "n": number,
                "action": action,
                "urn": step.urn,
                "type": step.type,
                "id": "",
                "token": token,
                "time": self.clock.time(),
                "component": step.component,
                "inputs": {},
                "dependencies": (),
                "generation": "current",
                **fields,
            }
        )
        return number, token

    def _call(self, step: Step, token: str, seconds: float, number: int = 0) -> StepCall:
        def made(id_: str) -> None:
            self.session.append({"kind": "made", "n": number, "id": id_})

        return StepCall(
            token,
            self.clock,
            self.stop,
            self.clock.now() + seconds / self.clock.pace,
            self.adapter.rules(step.type).poll_s,
            step.address,
            made,
        )

    def _done(self, number: int, live: Live, inputs: Mapping[str, Value]) -> None:
        self.session.append(
            {
                "kind": "done",
                "n": number,
                "id": live.id,
                "inputs": dict(inputs),
                "outputs": veiled(live.outputs, inputs),
                "time": self.clock.time(),
            },
            wait=False,
        )

    def _create(self, step: Step, resource: Resource) -> str:
        rules = self.adapter.rules(step.type)
        inputs = self._inputs(resource)
        if step.action is Action.REPLACE and not step.delete_first:
            self.session.append({"kind": "replacing", "urn": step.urn}, wait=False)
        number, token = self._intend(
            "create", step, inputs=inputs, dependencies=tuple(sorted(resource.dependencies()))
        )
        plain = reveal(inputs)
        call = self._call(step, token, rules.create_s, number)
        attempts = Attempts(self._gate, self.emit, self.jitter, step, "create", call)
        unsure: ProviderError | None = None
        while True:
            try:
                call.deadline += self._gate.wait(self.stop)
                found = self._find_late(step, number, plain, call) if unsure else None
                if found is None and (unsure is None or unsure.reason is not Reason.EXISTS):
                    live = self.connection.create(call, step.type, plain)
                    self._done(number, live, inputs)
                    return live.id
            except ProviderError as error:
                # Something may be there: the effect of a lost answer, of a call that got half way, or a stranger's
                # resource of the same name. Only a look can tell.
                begun = bool(self.session.state.pending[number].id)
                if begun or error.reason in (Reason.UNCERTAIN, Reason.UNAVAILABLE, Reason.EXISTS):
                    unsure = error
                if error.reason is Reason.EXISTS or attempts.again(error):
                    continue
                if unsure is None:
                    self._abandon(number)
                raise
            except OperatorNeeded:
                self._abandon(number)
                raise
            if found is not None:
                return self._take(number, step, resource, found)
            assert unsure is not None
            self._abandon(number)
            raise unsure

    def _abandon(self, number: int) -> None:
        self.session.append({"kind": "abandoned", "n": number}, wait=False)

    def _take(self, number: int, step: Step, resource: Resource, found: Live) -> str:
        """Own what a lost answer made, and finish what that create may have left half done."""
        intent = self.session.state.pending[number]
        take_over(self.session, intent, self._number(), found, self.clock.time())
        return self._update(step, resource)

    def _find_late(self, step: Step, number: int, inputs: Mapping[str, Value], call: StepCall) -> Live | None:
        """Look for what a lost answer may have made, as long as it may be invisible: by its id, where the provider
        had told it. A look that fails is repeated by itself; it says nothing about the create."""
        rules = self.adapter.rules(step.type)
        look = self._look
        id_ = self.session.state.pending[number].id
        known = [Known(step.urn, id_, inputs, {})]
        until = self.clock.now() + rules.visible_s / self.clock.pace
        while True:
            moment = self.clock.now()
            if id_:
                found = look.patiently(partial(self.connection.read, step.type, known))[0]
            else:
                besides = self.session.state.predecessors(step.urn)
                found = look.patiently(partial(self.connection.find, step.type, inputs, besides))
            if found is not None or moment >= until:
                return found
            call.pause(min(rules.poll_s, max(0.05, (until - self.clock.now()) * self.clock.pace)))

    def _update(self, step: Step, resource: Resource) -> str:
        rules = self.adapter.rules(step.type)
        inputs = self._inputs(resource)
        state = self.session.state.resources[step.urn]
        diff = self.adapter.diff(step.type, state.inputs, state.outputs, inputs)
        if diff.replaces and step.action is not Action.REPLACE:
            raise RehostError(
                f"{step.address}: {', '.join(diff.replaces)} turned out to need a replacement",
                why="a value that was unknown when the plan was made can't be changed in place",
                fix="run the same command again: the plan will say so",
            )
        if not diff.effective and step.urn not in self.session.state.unfinished:
            return state.id
        known = Known(step.urn, state.id, reveal(state.inputs), reveal(state.outputs))
        number, token = self._intend(
            "update",
            step,
            id=state.id,
            inputs=inputs,
            dependencies=tuple(sorted(resource.dependencies())),
        )
        call = self._call(step, token, rules.update_s, number)
        attempts = Attempts(self._gate, self.emit, self.jitter, step, "update", call)
        kept = {key: state.inputs[key] for key in rules.frozen & state.inputs.keys()}
        sent = {key: value for key, value in inputs.items() if key not in rules.frozen} | kept
        repeated = False
        while True:
            try:
                call.deadline += self._gate.wait(self.stop)
                if repeated:
                    # Part of it may be done: the kind has to know what is left.
                    now = self._look.patiently(partial(self.connection.read, step.type, [known]))[0]
                    known = Known(step.urn, now.id, now.inputs, now.outputs) if now else known
                live = self.connection.update(call, step.type, known, reveal(sent))
            except ProviderError as error:
                if not attempts.again(error):
                    raise
                repeated = True
            else:
                self._done(number, live, sent)
                return live.id

    def _delete(self, step: Step) -> str:
        rules = self.adapter.rules(step.type)
        state = self.session.state
        generation, key = step.generation, step.key
        if step.action is Action.REPLACE and not step.delete_first:
            # The replacement exists by now; its predecessor was moved aside under a key of URN and id.
            key = next(k for k in list(state.replaced) if state.replaced[k].urn == step.urn)
            generation = "replaced"
        old = state.replaced[key] if generation == "replaced" else state.resources[step.urn]
        known = Known(step.urn, old.id, reveal(old.inputs), reveal(old.outputs))
        number, token = self._intend("delete", step, id=old.id, generation=generation)
        call = self._call(step, token, rules.delete_s, number)
        attempts = Attempts(self._gate, self.emit, self.jitter, step, "delete", call)
        while True:
            try:
                call.deadline += self._gate.wait(self.stop)
                if any(known.inputs.get(key) in self._going for key in rules.within):
                    break
                if step.component in self._purge and rules.holds_data and step.component.startswith("buckets."):
                    self.connection.objects(known.outputs).purge()
                self.connection.delete(call, step.type, known)
            except ProviderError as error:
                if error.reason is Reason.NOT_FOUND:
                    break
                if not attempts.again(error):
                    raise
            else:
                break
        self.session.append(
            {"kind": "done", "n": number, "id": old.id, "inputs": {}, "outputs": {}, "time": self.clock.time()},
            wait=False,
        )
        return old.id


def _going(plan: Plan, state: State) -> frozenset[Value]:
    """Ids of what the plan removes."""
    urns = (step.urn for step in plan.steps if step.action in (Action.DELETE, Action.REPLACE))
    return frozenset(state.resources[urn].id for urn in urns if urn in state.resources)
