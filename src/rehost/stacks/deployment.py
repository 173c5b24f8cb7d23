"""One stack at one target: plan, deploy, status and destroy, each from definition to outcome."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from rehost.stacks.acme.connection import WithCertificates
from rehost.stacks.acme.desk import Elsewhere
from rehost.stacks.catalog import Bill
from rehost.stacks.checks import Row, answers
from rehost.stacks.collector import few_collections
from rehost.stacks.engine.clock import Clock
from rehost.stacks.engine.embedded import Engine, Outcome
from rehost.stacks.engine.events import Began, Checked, Emit, Ended, Note
from rehost.stacks.engine.operations import circle, operations
from rehost.stacks.engine.recover import (
    Look,
    check_owner,
    close_deletes,
    found_creates,
    open_deletes,
    record,
    refuse_if_most_is_gone,
    settle,
)
from rehost.stacks.errors import InvalidInput, Refused
from rehost.stacks.graph import UNKNOWN, Graph, Resource, Secret, Value, is_secret, is_unknown, reveal
from rehost.stacks.graph import resolve as resolve_value
from rehost.stacks.holding import holding
from rehost.stacks.legalize import Legal, legalize
from rehost.stacks.lower import Lowering, lower
from rehost.stacks.model import ProviderKey, Stack, Target
from rehost.stacks.plan import NO_WISHES, Action, Plan, Planner, Wishes, named
from rehost.stacks.ports import Adapter, Connection, Entered, Keyed, Live
from rehost.stacks.resolve import Resolution, resolve_facts
from rehost.stacks.savedplan import SavedPlan, refuse_if_stale
from rehost.stacks.secretkeys import draw as drawn
from rehost.stacks.sql.port import Place
from rehost.stacks.sql.role import place_of
from rehost.stacks.state import Session, State, Store

Confirm = Callable[[Plan], bool]


def _ignore(event: object) -> None:
    del event


@dataclass(frozen=True)
class AsDeployed:
    """Answers what a stack refers to out of one state. Raises Refused where it is not deployed."""

    adapter: Adapter
    lowering: Lowering
    state: State

    def place(self, database: str) -> Place:
        """Where a database is, and whose it is."""
        return place_of(self._known(dict(self.adapter.place(self.lowering, database)), f"databases.{database}"))

    def text(self, template: str) -> str:
        """A text with its references."""
        value = self.lowering.text(template, lambda address: self.adapter.export(self.lowering, address))
        return str(self._known(value, f"what {template} refers to"))

    def _known(self, value: Value, what: str) -> Any:
        found = reveal(resolve_value(value, self.state.output))
        if is_unknown(found):
            raise Refused(
                f"{what} is not there yet",
                why="its address or database is not deployed at this target",
                fix=f"deploy first: rehost deploy --on {self.lowering.target.name}",
            )
        return found


@dataclass
class Deployment:
    """A stack at a target, with everything an operation on it needs.

    `environment` holds the credentials and the values of secrets that come from it. Operations raise
    RehostError; what single steps could not do is in their Outcome.
    """

    stack: Stack
    target: Target
    adapter: Adapter
    store: Store
    environment: Mapping[str, str]
    clock: Clock = field(default_factory=Clock)
    emit: Emit = _ignore
    stop: threading.Event = field(default_factory=threading.Event)
    parallel: int = 0
    accept_missing: bool = False
    adapters: Callable[[str], Adapter] | None = None
    """Adapters of other providers by name: proofs for certificates may belong into a zone of another target."""
    upgrade_facts: bool = False
    hurried: bool = False
    """What a run does not name is not looked at: it is taken to be as state has it."""
    hold: Mapping[str, bool] = field(default_factory=dict)
    """Services that are put and kept from running (True), or let go (False). Others stay as they are."""

    @cached_property
    def connection(self) -> Connection:
        """The live provider; made on first use. Raises InvalidInput without credentials."""
        made = self.adapter.connect(self.target, self.environment)
        return WithCertificates(made, self.environment, list(self._elsewhere()), self.clock.time)

    def _elsewhere(self) -> Iterator[Elsewhere]:
        for name, target in self.stack.targets.items():
            if name == self.target.name or self.adapters is None:
                continue
            with contextlib.suppress(InvalidInput):
                adapter = self.adapters(target.provider)
                yield Elsewhere(name, adapter.name_servers, partial(adapter.connect, target, self.environment))

    def like(self, **changes: Any) -> Deployment:
        """The same with other settings, through the same connection, which stays this one's to close."""
        made = replace(self, **changes)
        made.__dict__["connection"] = self.connection
        return made

    @cached_property
    def legal(self) -> Legal:
        """The stack as the target can take it."""
        keys = self.adapter.bucket_keys if isinstance(self.adapter, Keyed) else ()
        entered = isinstance(self.adapter, Entered)
        return legalize(self.stack, self.adapter.native, entered=entered, bucket_keys=keys)

    @property
    def _limit(self) -> int:
        return min(self.parallel, self.adapter.parallel) if self.parallel else self.adapter.parallel

    @property
    def look(self) -> Look:
        """Reads through the connection."""
        return Look(self.adapter, self.connection, self.clock, self.stop, self._limit)

    def close(self) -> None:
        """Give the connection back, if one was made."""
        if "connection" in self.__dict__:
            self.connection.close()

    # -- questions -----------------------------------------------------------------------------------------

    @few_collections()
    def plan(self, wishes: Wishes = NO_WISHES, *, refresh: bool = True, settled: bool = False) -> Plan:
        """What deploy would do, without a lock and without a trace.

        `settled` makes it fit for saving: a deployment id is drawn if there is none yet.
        """
        state = self.store.read(self.stack.stack, self.target.name)
        live = found = None
        if refresh:
            check_owner(state, self.look)
            live = self._refresh(state)
            found = found_creates(self.look, state)
        if settled and not state.deployment:
            state.deployment = new_deployment_id()
        plan, _, _ = self._plan(state, live, wishes, found or {}, connected=refresh)
        return plan

    @few_collections()
    def status(self) -> tuple[State, dict[str, Live | None]]:
        """What state says and what the provider answers, by URN."""
        state = self.store.read(self.stack.stack, self.target.name)
        check_owner(state, self.look)
        return state, {key: now for key, now in self._refresh(state).items() if key in state.resources}

    def checks(self, addresses: Mapping[str, str]) -> Iterator[Row]:
        """The stack's checks with their answers, asked one after the other. `addresses` says where host names lead
        to on this side."""
        as_deployed = self.as_deployed
        checks, place = self.stack.checks, as_deployed.place
        yield from answers(checks, as_deployed.text, place, lambda: self.connection, addresses, self.environment)

    @property
    def as_deployed(self) -> AsDeployed:
        """What the stack's texts and databases are at this target by now."""
        state = self.store.read(self.stack.stack, self.target.name)
        resolution = resolve_facts(self.adapter, self.legal.stack, self.target, state.facts)
        lowering = self._lowering(state, resolution, self._secrets(state, draw=False))
        return AsDeployed(self.adapter, lowering, state)

    # -- operations ----------------------------------------------------------------------------------------

    @few_collections()
    def deploy(
        self,
        wishes: Wishes = NO_WISHES,
        *,
        confirm: Confirm | None = None,
        saved: SavedPlan | None = None,
        command: str = "deploy",
        prove: Callable[[], Iterable[Row]] | None = None,
    ) -> tuple[Plan, Outcome]:
        """Make the target what the stack says. Afterwards, if all is made, `prove` makes the stack's checks.

        `confirm` is shown the plan before anything is written and may say no (Refused). With a saved plan it is
        Refused if the world has moved since.
        """
        with self._session(command) as session:
            live = self._prepare(session, wishes.only if self.hurried else ())
            state = session.state
            if not state.deployment:
                endpoint, account = check_owner(state, self.look)
                id_ = saved.deployment if saved and saved.deployment else new_deployment_id()
                preview = replace_deployment(state, id_)
            else:
                endpoint, account, preview = "", "", state
            plan, resolution, graph = self._plan(preview, live, wishes, {}, connected=True)
            if saved is not None:
                refuse_if_stale(saved, plan, state.applying)
            self._refuse_blocked(plan)
            if self.legal.stack.secrets or any(is_secret(dict(r.inputs)) for r in graph.resources.values()):
                session.prepare_secrets()
            if confirm is not None and not plan.empty and not confirm(plan):
                raise Refused("nothing was changed", why="the plan was not confirmed", fix="give --yes")
            values = self._secrets(state, draw=True)
            record(session, live)
            if endpoint:
                session.append(
                    {"kind": "deployment", "id": preview.deployment, "endpoint": endpoint, "account": account}
                )
            known = {name: value for name, value in values.items() if not is_unknown(value)}
            fresh = {name: value for name, value in known.items() if state.secrets.get(name) != value}
            if fresh:
                session.append({"kind": "secrets", "secrets": fresh})
            self._record_facts(session, resolution)
            if fresh:
                graph = self._lower(session.state, resolution, values)
            carried = saved.digest if saved is not None else ""
            if state.applying != carried:
                session.append({"kind": "applying", "plan": carried})
            outcome = self._apply(session, plan, graph, wishes, command, prove)
            if carried and outcome.exit_code == 0:
                session.append({"kind": "applying", "plan": ""})
            return plan, outcome

    @few_collections()
    def destroy(
        self, wishes: Wishes = NO_WISHES, *, confirm: Confirm | None = None, keep_data: bool = False
    ) -> tuple[Plan, Outcome]:
        """Remove what this deployment made. What holds data has to be named in `wishes.delete_data`, or is kept
        with all that it needs when `keep_data` is set; otherwise Refused."""
        wishes = replace(wishes, destroy=True)
        with self._session("destroy") as session:
            live = self._prepare(session)
            kept = self._kept(session.state, wishes) if keep_data else frozenset()
            plan = self._destruction(session.state, live, wishes, kept)
            self._refuse_blocked(plan)
            if confirm is not None and not plan.empty and not confirm(plan):
                raise Refused("nothing was changed", why="the plan was not confirmed", fix="give --yes")
            record(session, live)
            outcome = self._apply(session, plan, Graph.of(()), wishes, "destroy")
            return plan, outcome

    @few_collections()
    def destroy_plan(self, wishes: Wishes = NO_WISHES, *, keep_data: bool = False) -> Plan:
        """What destroy would do."""
        state = self.store.read(self.stack.stack, self.target.name)
        check_owner(state, self.look)
        live = self._refresh(state)
        wishes = replace(wishes, destroy=True)
        return self._destruction(state, live, wishes, self._kept(state, wishes) if keep_data else frozenset())

    def wanted(self, state: State, *, live: bool) -> tuple[Resource, ...]:
        """All resources that the stack asks for here, with the choices that a deploy would make; without `live`
        the provider is not asked. Raises Refused where there is no room for a choice."""
        ask = self.look.offers if live else None
        resolution = resolve_facts(self.adapter, self.legal.stack, self.target, state.facts, ask=ask)
        return tuple(self._lower(state, resolution, self._secrets(state, draw=False)).resources.values())

    # -- parts ---------------------------------------------------------------------------------------------

    def _session(self, command: str) -> AbstractContextManager[Session]:
        return self.store.open(self.stack.stack, self.target.name, command=command)

    def _refresh(self, state: State, only: tuple[str, ...] = ()) -> dict[str, Live | None]:
        present = (*state.resources.items(), *state.replaced.items())
        times = {key: _seconds(resource.created) for key, resource in present}
        if not only:
            return self.look.refresh(state, times=times)
        near = {urn: resource for urn, resource in state.resources.items() if named(resource.component, only)}
        known: dict[str, Live | None] = {key: Live(r.id, r.inputs, r.outputs) for key, r in present}
        return known | self.look.refresh(replace(state, resources=near, replaced={}), times=times)

    def _prepare(self, session: Session, only: tuple[str, ...] = ()) -> dict[str, Live | None]:
        """Owner checked, interrupted steps settled, the world read. State takes it over once it is acted on: until
        then the plan can tell drift from change."""
        state = session.state
        check_owner(state, self.look)
        if session.taken_over:
            told = f"took the lock over from a `rehost {session.taken_over}` of this machine that is not running"
            self.emit(Note(self.clock.time(), told))
        deleting = {intent.urn for intent in state.pending.values() if intent.action == "delete"}
        for text in settle(self.look, session):
            self.emit(Note(self.clock.time(), text))
        live = self._refresh(state, only)
        expected = deleting | state.replaced.keys()
        unexpected = {urn: now for urn, now in live.items() if now is not None or urn not in expected}
        refuse_if_most_is_gone(unexpected, self.accept_missing)
        return live

    def _plan(
        self,
        state: State,
        live: Mapping[str, Live | None] | None,
        wishes: Wishes,
        found: Mapping[str, Live],
        *,
        connected: bool,
    ) -> tuple[Plan, Resolution, Graph]:
        resolution = resolve_facts(
            self.adapter,
            self.legal.stack,
            self.target,
            state.facts,
            ask=self.look.offers if connected else None,
            upgrade=self.upgrade_facts,
            choices=_choices(wishes),
        )
        graph = self._lower(state, resolution, self._secrets(state, draw=False))
        planner = Planner(self.adapter, state, live, wishes, self._price, found)
        steps, notes, blocked = planner.plan(graph)
        if state.pending and live is None:
            notes.append(f"{len(state.pending)} step(s) of an interrupted run are open; deploy settles them first")
        plan = Plan(
            stack=self.stack.stack,
            target=self.target.name,
            deployment=state.deployment,
            serial=state.serial,
            steps=tuple(steps),
            facts=tuple(resolution.facts[key] for key in sorted(resolution.facts)),
            chosen=tuple(sorted(resolution.chosen)),
            dropped=resolution.dropped,
            unknown_facts=resolution.unknown,
            notes=tuple(notes),
            blocked=tuple(blocked),
            refreshed=live is not None,
            currency=self.adapter.currency,
        )
        self._refuse_circle(plan, graph, state)
        return plan, resolution, graph

    def _refuse_circle(self, plan: Plan, graph: Graph, state: State) -> None:
        """Refuse values that change hands where whoever uses the old resource would need the new one first."""
        if not any(step.takes_from for step in plan.steps):
            return
        stuck = circle(operations(plan, graph, state, self.adapter.rules))
        takers = [step for step in stuck if step.takes_from]
        if not takers:
            return
        old = sorted({name.split("::")[3] for step in takers for name in step.takes_from if "::" in name})
        users = ", ".join(sorted({s.address for s in stuck if s.action is Action.UPDATE})) or "by the others"
        raise Refused(
            f"{', '.join(step.address for step in takers)} can't take over from {', '.join(old)} in one go",
            why=f"the new one can't exist beside the old one, which is in use: {users}",
            fix="keep the old name, or take the users off it with a deploy of its own first",
        )

    def _destruction(
        self, state: State, live: Mapping[str, Live | None], wishes: Wishes, kept: frozenset[str]
    ) -> Plan:
        planner = Planner(self.adapter, state, live, wishes, self._price)
        steps, notes, _ = planner.plan(Graph.of(()))
        steps = [step for step in steps if step.urn not in kept]
        blocked = sorted(
            {
                step.component
                for step in steps
                if step.holds_data and not step.key and step.component in planner.blocked
            }
        )
        if kept:
            held = sorted({state.resources[urn].component for urn in kept if self._holds(state, urn)})
            notes.append(f"kept with their data: {', '.join(held)}")
        return Plan(
            stack=self.stack.stack,
            target=self.target.name,
            deployment=state.deployment,
            serial=state.serial,
            steps=tuple(steps),
            notes=tuple(notes),
            blocked=tuple(blocked),
            currency=self.adapter.currency,
        )

    def _holds(self, state: State, urn: str) -> bool:
        return self.adapter.rules(state.resources[urn].type).holds_data

    def _kept(self, state: State, wishes: Wishes) -> frozenset[str]:
        """What holds data and was not named, with everything it depends on, and with what only configures it."""
        planner = Planner(self.adapter, state, None, wishes, None)
        planner.plan(Graph.of(()))
        ours = {urn for urn, resource in state.resources.items() if resource.component in planner.blocked}
        kept: set[str] = set()
        pending = [urn for urn in ours if self._holds(state, urn)]
        while pending:
            urn = pending.pop()
            if urn not in kept and urn in state.resources:
                kept.add(urn)
                pending += state.resources[urn].dependencies
            if not pending:
                # A bucket's policy needs nothing but the bucket; a volume's attachment needs a server, which goes.
                pending = [u for u in ours - kept if {*state.resources[u].dependencies} <= kept]
        return frozenset(kept)

    def _apply(
        self,
        session: Session,
        plan: Plan,
        graph: Graph,
        wishes: Wishes,
        command: str,
        prove: Callable[[], Iterable[Row]] | None = None,
    ) -> Outcome:
        self.emit(Began(self.clock.time(), command, self.stack.stack, self.target.name, len(plan.changing)))
        began = self.clock.now()
        engine = Engine(self.adapter, self.connection, session, self.emit, self.clock, self.stop, self._limit)
        purge = frozenset(
            step.component
            for step in plan.steps
            if step.holds_data and step.action in (Action.DELETE, Action.REPLACE)
        )
        earlier = open_deletes(session.state)
        outcome = engine.apply(plan, graph, purge=purge)
        if not outcome.interrupted:
            close_deletes(session, earlier)
        made = 0
        for row in prove() if prove is not None and outcome.word == "done" else ():
            made += 1
            self.emit(Checked(self.clock.time(), row["check"], row["at"], row["ok"], row["said"]))
            if not row["ok"]:
                outcome.unproven.append(row["check"])
        self.emit(
            Ended(
                self.clock.time(),
                command,
                outcome.word,
                round(self.clock.now() - began, 3),
                dict(outcome.done),
                len(outcome.failed) + len(outcome.waiting),
                len(outcome.skipped),
                {"checks": made, "unproven": len(outcome.unproven)} if prove is not None else {},
            )
        )
        return outcome

    def _refuse_blocked(self, plan: Plan) -> None:
        if plan.blocked:
            raise Refused(
                f"{', '.join(plan.blocked)} would lose data",
                why="replacing or deleting what holds data needs the component named",
                fix="name it: " + " ".join(f"--delete-data {component}" for component in plan.blocked),
            )

    def _lower(self, state: State, resolution: Resolution, values: Mapping[str, Value]) -> Graph:
        return holding(lower(self.adapter, self._lowering(state, resolution, values)), self.hold, state)

    def _lowering(self, state: State, resolution: Resolution, values: Mapping[str, Value]) -> Lowering:
        return Lowering(
            self.legal.stack,
            self.target,
            resolution.values(),
            state.deployment or None,
            secrets=values,
            texts=self.legal.texts,
            roles=self.legal.roles,
            guards=self.legal.guards,
        )

    def _price(self, token: str, inputs: Mapping[str, Value]) -> Bill:
        return Bill.of(self.adapter.charges(token, inputs, self.target))

    def _secrets(self, state: State, *, draw: bool) -> dict[str, Value]:
        """Values of the stack's secrets: read from the environment where it has them, otherwise kept; with `draw`
        made, and asked for where there is none."""
        values: dict[str, Value] = {}
        for name, secret in self.legal.stack.secrets.items():
            kept = state.secrets.get(name)
            if isinstance(secret, ProviderKey):
                own = secret.value(self.environment)
                values[name] = Secret(own) if own is not None else (UNKNOWN if kept is None else kept)
                continue
            given = self.environment.get(secret.from_env) if secret.from_env is not None else None
            if secret.from_env is not None and (draw or given is not None):
                if given is None and kept is None:
                    raise InvalidInput(
                        f"the secret {name} has no value",
                        why=f"it is read from the environment variable {secret.from_env}, which is not set",
                        fix=f"set {secret.from_env}",
                    )
                values[name] = Secret(given) if given is not None else kept
            elif kept is not None:
                values[name] = kept
            else:
                values[name] = Secret(drawn(secret)) if draw else UNKNOWN
        return values

    def _record_facts(self, session: Session, resolution: Resolution) -> None:
        facts: dict[str, object] = {
            key: {"value": fact.value, "why": fact.why, "runner_up": fact.runner_up, "source": fact.source}
            for key, fact in resolution.chosen.items()
        }
        facts |= dict.fromkeys(resolution.dropped)
        if facts:
            session.append({"kind": "facts", "facts": facts})


def _choices(wishes: Wishes) -> dict[str, str]:
    """What was chosen by hand, by the need's key. Raises InvalidInput for what names no need."""
    found = {}
    for text in wishes.choose:
        key, sign, value = text.partition("=")
        if not sign or not value:
            raise InvalidInput(f"--choose: {text!r} names no choice", fix="write servers.app.type=NAME")
        found[key] = value
    return found


def new_deployment_id() -> str:
    """A random deployment id."""
    return uuid.uuid4().hex


def replace_deployment(state: State, deployment: str) -> State:
    """The state as it will be with this deployment id, for planning before anything is written."""
    return replace(state, deployment=deployment)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).astimezone(UTC).timestamp() if stamp else 0.0
