"""Makes the target what the stack says."""

from __future__ import annotations

from rehost.stacks.engine.embedded import Outcome
from rehost.stacks.errors import Interrupted, OperatorNeeded, RehostError
from rehost.stacks.migrate.addresses import changes
from rehost.stacks.migrate.move import Facts, Move


class Provision:
    """A deploy to the target, the zone with the new addresses included."""

    name = "provision"
    title = "make the target what the stack says, its zone with the new addresses included"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Deploy; where it is done, that is one look at the target. Raises RehostError with the outcome's code."""
        _, outcome = move.target.deploy(command="migrate")
        move.record["addresses"] = changes(move.source, move.target)
        if outcome.failed or outcome.interrupted or outcome.waiting:
            raise self._error(move, outcome)
        return {"steps": dict(outcome.done), "addresses": len(move.record["addresses"])}

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
