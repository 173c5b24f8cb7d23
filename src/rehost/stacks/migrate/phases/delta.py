"""Carries what was written since the copy."""

from __future__ import annotations

from rehost.stacks.migrate.move import Facts, Move
from rehost.stacks.migrate.phases.replicate import Replicate
from rehost.stacks.migrate.phases.verify import Verify


class Delta:
    """The last pass, while nobody writes: what changed since is copied, and proven like everything before it."""

    name = "delta"
    title = "copy what was written since, now that nobody writes, and verify it"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Copy and compare. Raises what replicate and verify raise."""
        if not move.live:
            return earlier or {"buckets": {}}
        Replicate().run(move, earlier)
        return Verify().run(move, earlier)
