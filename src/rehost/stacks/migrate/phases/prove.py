"""Asks the new side whether it works."""

from __future__ import annotations

from rehost.stacks.errors import Unproven
from rehost.stacks.migrate.addresses import hosts
from rehost.stacks.migrate.events import Found
from rehost.stacks.migrate.move import Facts, Move

SETTLING_S = 60.0
"""Seconds that load balancers and services have until they answer as they should."""
LEAST_S = 8.0
"""The same where waits are made short: processes on loopback start no faster for it."""
AGAIN_S = 2.0


class Prove:
    """The stack's checks, sent to the new side's addresses: the public names may still point to the old one."""

    name = "prove"
    title = "run the stack's checks against the new side"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Ask. Raises Unproven where an answer is not what the stack says."""
        addresses = hosts(move.target)
        clock = move.target.clock
        until = clock.now() + max(SETTLING_S / clock.pace, LEAST_S)
        while True:
            results = []
            for row in move.target.checks(addresses):
                move.patience.check()
                results.append(row)
            if all(row["ok"] for row in results) or clock.now() >= until:
                break
            clock.wait(move.target.stop, AGAIN_S)
        move.record["checks"] = results
        failed = [row for row in results if not row["ok"]]
        for row in failed:
            move.emit(Found(move.now, "difference", row["check"], row["said"]))
        if failed:
            raise Unproven(
                f"{len(failed)} of {len(results)} check(s) fail on the new side",
                why="; ".join(f"{row['check']} at {row['at']}: {row['said']}" for row in failed[:5]),
                fix="see to the service there and run the same command again",
            )
        return {"checks": len(results)}
