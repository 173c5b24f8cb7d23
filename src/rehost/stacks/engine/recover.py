"""Before anything is planned: what interrupted runs left behind, and how the world looks now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar

from rehost.stacks.engine.attempts import veiled
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import Interrupted, ProviderError, Reason, Refused
from rehost.stacks.graph import reveal
from rehost.stacks.ports import Adapter, Candidate, Connection, Known, Live, Need
from rehost.stacks.state import Intent, ResourceState, Session, State

T = TypeVar("T")


@dataclass
class Look:
    """Reads through a connection, with repeats; nothing here changes anything at the provider."""

    adapter: Adapter
    connection: Connection
    clock: Clock
    stop: threading.Event
    parallel: int

    def refresh(self, state: State, *, times: Mapping[str, float] | None = None) -> dict[str, Live | None]:
        """All resources of the state as they are, by URN (replaced predecessors by their key); None for what is
        gone.

        Calls grow with the number of kinds. What was made a moment ago and is not seen is looked for again until
        it would have to be visible. `times` are creation times in seconds since 1970.
        """
        by_type: dict[str, dict[str, ResourceState]] = {}
        for key, resource in (*state.resources.items(), *state.replaced.items()):
            by_type.setdefault(resource.type, {})[key] = resource
        seen: dict[str, Live | None] = {}
        with ThreadPoolExecutor(max(1, min(self.parallel, len(by_type) or 1))) as pool:
            tasks = [
                pool.submit(self._read_kind, token, resources, times or {}) for token, resources in by_type.items()
            ]
            for task in tasks:
                seen.update(task.result())
        return seen

    def _read_kind(
        self, token: str, resources: Mapping[str, ResourceState], times: Mapping[str, float]
    ) -> dict[str, Live | None]:
        rules = self.adapter.rules(token)
        seen: dict[str, Live | None] = {}
        asked = dict(resources)
        while asked:
            known = [Known(r.urn, r.id, reveal(r.inputs), reveal(r.outputs)) for r in asked.values()]
            # An answer may be slow: what it does not show was not visible when it was asked for.
            moment = self.clock.time()
            answers = self.patiently(partial(self.connection.read, token, known))
            again: dict[str, ResourceState] = {}
            for (key, resource), live in zip(asked.items(), answers, strict=True):
                if live is not None:
                    secret_inputs = veiled(live.inputs, resource.inputs)
                    live = Live(live.id, secret_inputs, veiled(live.outputs, resource.inputs), live.unseen)
                elif moment < times.get(key, 0.0) + rules.visible_s / self.clock.pace:
                    again[key] = resource
                    continue
                seen[key] = live
            asked = again
            if asked:
                self._pause(rules.poll_s)
        return seen

    def find(self, intent: Intent, besides: frozenset[str]) -> Live | None:
        """What an interrupted create made, other than its predecessors, looked for until it would have to be
        visible."""
        rules = self.adapter.rules(intent.type)
        inputs = reveal(intent.inputs)
        until = intent.time + rules.visible_s / self.clock.pace
        while True:
            moment = self.clock.time()
            if intent.id:
                known = [Known(intent.urn, intent.id, inputs, {})]
                found = self.patiently(partial(self.connection.read, intent.type, known))[0]
            else:
                found = self.patiently(partial(self.connection.find, intent.type, inputs, besides))
            if found is not None or moment >= until:
                return found
            self._pause(rules.poll_s)

    def offers(self, need: Need) -> Sequence[Candidate] | None:
        """What the provider has now that meets a need; None where the catalog says it all."""
        return self.patiently(partial(self.connection.offers, need))

    def patiently(self, call: Callable[[], T]) -> T:
        """The answer of a read, repeated while its errors pass; gives up after some ten tries."""
        wait = 0.2
        for attempt in range(10):
            try:
                return call()
            except ProviderError as error:
                if not error.retryable or attempt == 9:
                    raise
                self._pause(max(wait, self.clock.asked(error.retry_after)))
                wait = min(wait * 2, 10.0)
        raise AssertionError("unreachable")

    def _pause(self, seconds: float) -> None:
        if self.clock.wait(self.stop, seconds):
            raise Interrupted("stopped by the operator", fix="run the same command again to go on")


def settle(look: Look, session: Session) -> list[str]:
    """Close the intents of interrupted runs: creates are found and taken over or known not to have happened.
    Updates stay open until they are made again, and so does what was taken over, since nobody knows how far the
    interrupted call came. Deletes stay open to the end of a whole run: one may have its effect after any look.
    Answers what was found, for people."""
    pending = list(session.state.pending.values())
    creates = [intent for intent in pending if intent.action == "create"]
    number = max(session.state.pending, default=0)
    told: list[str] = []
    with ThreadPoolExecutor(max(1, min(look.parallel, len(creates) or 1))) as pool:
        older = [session.state.predecessors(intent.urn) for intent in creates]
        for intent, found in zip(creates, pool.map(look.find, creates, older), strict=True):
            if found is None:
                session.append({"kind": "abandoned", "n": intent.n}, wait=False)
                continue
            number += 1
            take_over(session, intent, number, found, look.clock.time())
            told.append(f"took over {intent.component or intent.urn} ({found.id}), made by an interrupted run")
    for intent in pending:
        if intent.action == "delete" and intent.urn not in session.state.resources:
            session.append({"kind": "abandoned", "n": intent.n}, wait=False)
    session.flush()
    return told


def open_deletes(state: State) -> list[int]:
    """Numbers of the deletes that interrupted runs began and nobody knows the end of."""
    return [n for n, intent in state.pending.items() if intent.action == "delete"]


def close_deletes(session: Session, numbers: Iterable[int]) -> None:
    """Forget deletes of interrupted runs: a run that came to its end has done them again, or found them done."""
    for number in numbers:
        if number in session.state.pending:
            session.append({"kind": "abandoned", "n": number}, wait=False)
    session.flush()


def take_over(session: Session, intent: Intent, number: int, found: Live, time: float) -> None:
    """Own what an interrupted create made, and note first that it has to be finished by an update."""
    finish = {**asdict(intent), "kind": "intent", "n": number, "action": "update", "id": found.id}
    session.append({**finish, "inputs": dict(intent.inputs)}, wait=False)
    session.append(
        {
            "kind": "done",
            "n": intent.n,
            "id": found.id,
            "inputs": veiled(found.inputs, intent.inputs),
            "outputs": veiled(found.outputs, intent.inputs),
            "time": time,
        },
        wait=False,
    )


def found_creates(look: Look, state: State) -> dict[str, Live]:
    """For a plan without a lock: what interrupted creates made, by URN."""
    found: dict[str, Live] = {}
    for intent in state.pending.values():
        if intent.action == "create":
            live = look.find(intent, state.predecessors(intent.urn))
            if live is not None:
                found[intent.urn] = live
    return found


def record(session: Session, live: Mapping[str, Live | None]) -> None:
    """Write what a refresh found into state."""
    for urn, now in live.items():
        old = session.state.resources.get(urn)
        if now is None:
            session.append({"kind": "gone", "urn": urn}, wait=False)
        elif old is None:
            continue
        elif now.inputs != old.inputs or now.outputs != old.outputs:
            session.append(
                {"kind": "refreshed", "urn": urn, "inputs": dict(now.inputs), "outputs": dict(now.outputs)},
                wait=False,
            )
    session.flush()


def refuse_if_most_is_gone(live: Mapping[str, Live | None], accepted: bool) -> None:
    """Raise Refused when most of what state knows is not there: rather a wrong account than a disaster."""
    gone = [urn for urn, now in live.items() if now is None]
    if len(live) >= 4 and len(gone) * 2 > len(live) and not accepted:
        raise Refused(
            f"{len(gone)} of {len(live)} resources are not there any more",
            why="this looks more like another account or project than like single deletions",
            fix="check the credentials; if it is so indeed, give --accept-missing to make them anew",
        )


def check_owner(state: State, look: Look) -> tuple[str, str]:
    """Endpoint and account of the connection. Raises Refused where the state belongs to another one, or nobody
    lets these credentials in."""
    try:
        identity = look.patiently(lambda: look.connection.identify(state.deployment))
    except ProviderError as error:
        if error.reason is not Reason.DENIED:
            raise
        raise Refused(
            "the provider does not accept these credentials",
            why=error.summary,
            fix=error.fix or "check the credentials in the environment",
        ) from error
    bound = state.binding
    if bound is not None:
        for what, was, now in (
            ("endpoint", bound.endpoint, identity.endpoint),
            ("account", bound.account, identity.account),
        ):
            if was != now:
                raise Refused(
                    f"this state belongs to {what} {was}, the credentials are of {now or 'another one'}",
                    why="applying it there would make everything a second time and lose sight of the first",
                    fix="use the credentials that the deployment was made with",
                )
    anchored = any(resource.type == look.adapter.anchor for resource in state.resources.values())
    # A run that was killed while it removed the anchor, the last of all, can have done so.
    ending = any(
        intent.action == "delete" and intent.type == look.adapter.anchor for intent in state.pending.values()
    )
    if anchored and identity.anchored is False and not ending:
        raise Refused(
            "the anchor of this deployment is not in the project of these credentials",
            why="the token is of another project, or the anchor was deleted by hand",
            fix="use the token of the deployment's project, or restore the resource "
            f"labelled rehost-deployment={state.deployment}",
        )
    return identity.endpoint, identity.account
