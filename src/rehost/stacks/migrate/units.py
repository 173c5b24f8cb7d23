"""Services of a side, let go or kept from running; and what of a side is changed besides, by parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.embedded import Outcome
from rehost.stacks.errors import Interrupted, OperatorNeeded, RehostError
from rehost.stacks.holding import FORWARD, SERVICES, service_of
from rehost.stacks.migrate.move import Move
from rehost.stacks.plan import Wishes


def set_units(move: Move, side: Deployment, hold: Mapping[str, bool], more: Iterable[str] = ()) -> dict[str, int]:
    """Bring services of a side into the state that `hold` says (True: kept from running), `more` components with
    them, and nothing else.

    Answers the steps by action. Raises RehostError with the outcome's code.
    """
    held = side.like(hold=hold)
    state = side.store.read(side.stack.stack, side.target.name)
    standing = sorted(
        {old.component for old in state.resources.values() if service_of(old.component).endswith(FORWARD)}
    )
    if standing and not all(hold.values()):
        # Who passes visitors on goes first: the ports are the services'.
        part(move, held, standing)
    return part(move, held, [*(f"{SERVICES}{name}" for name in hold), *more])


def part(move: Move, side: Deployment, components: Iterable[str]) -> dict[str, int]:
    """Deploy some components of a side; answers the steps by action. Raises RehostError with their code."""
    named = tuple(components)
    if not named:
        return {}
    # Nobody can write meanwhile: what has nothing to do with it is not waited for.
    _, outcome = side.like(hurried=True).deploy(Wishes(only=named), command="migrate")
    raise_for(move, outcome)
    return dict(outcome.done)


def raise_for(move: Move, outcome: Outcome) -> None:
    """Raise what a deploy that did not get to its end says: what failed goes before what waits for a person."""
    if outcome.interrupted:
        raise Interrupted("stopped by the operator", fix="run the same command again to go on")
    problems = [error for _, error in (outcome.failed or outcome.waiting)]
    if not problems:
        return
    first = problems[0]
    told = f"{first.summary} (and {len(problems) - 1} more)" if len(problems) > 1 else first.summary
    kind = RehostError if outcome.failed else OperatorNeeded
    for error in {error.summary: error for _, error in outcome.waiting}.values():
        move.remains(error.summary, error.fix)
    raise kind(told, why=first.why, fix=first.fix or "run the same command again", address=first.address)
