"""Makes the target what the stack says."""

from __future__ import annotations

from rehost.stacks.graph import is_unknown, reveal
from rehost.stacks.migrate.addresses import changes
from rehost.stacks.migrate.move import RELEASED, Facts, Move
from rehost.stacks.migrate.units import raise_for
from rehost.stacks.model import ProviderKey
from rehost.stacks.state.crypt import no_passphrase


class Provision:
    """A deploy to the target, the zone with the new addresses included; services are put and do not run yet."""

    name = "provision"
    title = "make the target what the stack says, its zone with the new addresses included"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Deploy; where it is done, that is one look at the target. Raises RehostError with the outcome's code."""
        self._secrets(move)
        if not move.marked(RELEASED):
            # What runs at the source does not run here as well.
            move.target.hold = dict.fromkeys(move.target.stack.services, True)
        _, outcome = move.target.deploy(command="migrate")
        move.target.hold = {}
        move.record["addresses"] = changes(move.source, move.target)
        raise_for(move, outcome)
        return {"steps": dict(outcome.done), "addresses": len(move.record["addresses"])}

    def _secrets(self, move: Move) -> None:
        """Give the target the secrets of the source: they belong to the stack. Raises InvalidInput where they
        can't be read."""
        old, new = (
            side.store.read(side.stack.stack, side.target.name).secrets for side in (move.source, move.target)
        )
        wanted = move.target.legal.stack.secrets.items()
        ours = {name for name, secret in wanted if not isinstance(secret, ProviderKey)}
        taken = {name: old[name] for name in sorted(ours & old.keys() - new.keys())}
        if any(is_unknown(value) for value in (*taken.values(), *new.values())):
            raise no_passphrase()
        for name in sorted(old.keys() & new.keys() & ours):
            if reveal(old[name]) != reveal(new[name]):
                move.note(f"the secret {name} has another value at {move.target.target.name}, and keeps it")
        if taken:
            with move.target.store.open(
                move.target.stack.stack, move.target.target.name, command="migrate"
            ) as own:
                own.append({"kind": "secrets", "secrets": taken})
