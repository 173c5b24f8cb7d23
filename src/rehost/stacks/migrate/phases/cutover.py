"""Brings the names to the new side, as far as that can be done from here."""

from __future__ import annotations

from rehost.stacks.errors import Unproven
from rehost.stacks.migrate.addresses import changes, name_servers
from rehost.stacks.migrate.move import Facts, Move


class Cutover:
    """The zone at the target has the new addresses since it was provisioned: that is checked, and what is left to
    do at the registrar is said."""

    name = "cutover"
    title = "check the zone at the target, and say what to change at the registrar"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Look at what stands at the target. Raises Unproven where something is gone."""
        state, live = move.target.status()
        missing = sorted({state.resources[urn].component for urn, now in live.items() if now is None})
        if missing:
            raise Unproven(
                f"{', '.join(missing)} at {move.target.target.name} is gone",
                why="it was there a moment ago",
                fix="run the same command again: it is made anew",
            )
        move.record["addresses"] = changes(move.source, move.target)
        servers = name_servers(move.target)
        zones = sorted(move.target.stack.dns)
        for zone in zones:
            told = ", ".join(servers.get(zone, [])) or f"the name servers that {move.target.target.name} shows"
            what = f"move the delegation of {zone} at its registrar"
            move.remains(what, f"set its name servers to {told}; the old zone answers until then")
        return {"zones": zones, "resources": len(state.resources), "name_servers": servers}
