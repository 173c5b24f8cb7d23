"""Brings the platform to the new side."""

from __future__ import annotations

from rehost.stacks.errors import Unproven
from rehost.stacks.migrate.addresses import changes, name_servers
from rehost.stacks.migrate.move import FROZEN, RELEASED, Facts, Move
from rehost.stacks.migrate.names import parts_of, turned
from rehost.stacks.migrate.units import part, set_units


class Cutover:
    """The services of the new side are let go once the old side is frozen, and the zone at the source sends
    everybody to them. What is left to do at the registrar is said."""

    name = "cutover"
    title = "let the services at the target go, turn the names to them, say what to change at the registrar"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Let go, then turn the names. Raises Unproven where something is gone."""
        state, live = move.target.status()
        missing = sorted({state.resources[urn].component for urn, now in live.items() if now is None})
        if missing:
            raise Unproven(
                f"{', '.join(missing)} at {move.target.target.name} is gone",
                why="it was there a moment ago",
                fix="run the same command again: it is made anew",
            )
        told: Facts = {}
        if move.marked(FROZEN):
            # Before the first write there, every way back stands and is proven; afterwards it goes on.
            for content in move.contents:
                told[content.kind] = content.turn()
            # From here on the new side may accept writes: a rollback has to look at them.
            move.mark(RELEASED)
            told["released"] = set_units(move, move.target, dict.fromkeys(move.target.stack.services, False))
            if move.record["pause"] is None:
                move.record["pause"] = round(move.now - move.marks[FROZEN], 3)
            source = turned(move.source, move.target)
            told["turned"] = part(move, source, parts_of(source.stack))
        move.record["addresses"] = changes(move.source, move.target)
        servers = name_servers(move.target)
        zones = sorted(move.target.stack.dns)
        for zone in zones:
            names = ", ".join(servers.get(zone, [])) or f"the name servers that {move.target.target.name} shows"
            what = f"move the delegation of {zone} at its registrar"
            move.remains(what, f"set its name servers to {names}; the old zone answers until then")
        return {"zones": zones, "resources": len(state.resources), "name_servers": servers, **told}
