"""Makes the target what the stack says."""

from __future__ import annotations

from rehost.stacks.engine.embedded import Outcome
from rehost.stacks.errors import Interrupted, OperatorNeeded, RehostError
from rehost.stacks.graph import is_unknown, reveal
from rehost.stacks.migrate.addresses import changes
from rehost.stacks.migrate.move import Facts, Move
from rehost.stacks.state.crypt import no_passphrase


class Provision:
    """A deploy to the target, the zone with the new addresses included."""

    name = "provision"
    title = "make the target what the stack says, its zone with the new addresses included"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Deploy; where it is done, that is one look at the target. Raises RehostError with the outcome's code."""
        self._secrets(move)
        _, outcome = move.target.deploy(command="migrate")
        move.record["addresses"] = changes(move.source, move.target)
        if outcome.failed or outcome.interrupted or outcome.waiting:
            raise self._error(move, outcome)
        return {"steps": dict(outcome.done), "addresses": len(move.record["addresses"])}

    def _secrets(self, move: Move) -> None:
        """Give the target the secrets of the source: they belong to the stack. Raises InvalidInput where they
        can't be read."""
        old, new = (
            side.store.read(side.stack.stack, side.target.name).secrets for side in (move.source, move.target)
        )
        taken = {name: old[name] for name in move.target.legal.stack.secrets if name in old and name not in new}
        if any(is_unknown(value) for value in (*taken.values(), *new.values())):
            raise no_passphrase()
        for name in sorted(old.keys() & new.keys() & move.target.legal.stack.secrets.keys()):
            if reveal(old[name]) != reveal(new[name]):
                move.note(f"the secret {name} has another value at {move.target.target.name}, and keeps it")
        if taken:
            with move.target.store.open(
                move.target.stack.stack, move.target.target.name, command="migrate"
            ) as own:
                own.append({"kind": "secrets", "secrets": taken})

    def _error(self, move: Move, outcome: Outcome) -> RehostError:
        """What a run that did not get to its end says: what failed goes before what waits for a person."""
        if outcome.interrupted:
            return Interrupted("stopped by the operator", fix="run the same command again to go on")
        problems = [error for _, error in (outcome.failed or outcome.waiting)]
        first = problems[0]
        told = f"{first.summary} (and {len(problems) - 1} more)" if len(problems) > 1 else first.summary
        kind = RehostError if outcome.failed else OperatorNeeded
        for error in {error.summary: error for _, error in outcome.waiting}.values():
            move.remains(error.summary, error.fix)
        return kind(told, why=first.why, fix=first.fix or "run the same command again", address=first.address)
