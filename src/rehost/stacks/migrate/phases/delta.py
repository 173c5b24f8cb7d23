"""Carries what was written since the copy."""

from __future__ import annotations

from rehost.stacks.migrate.move import RELEASED, Facts, Move


class Delta:
    """The last pass, while nobody writes: what changed since is copied, and proven like everything before it."""

    name = "delta"
    title = "bring over what was written since, now that nobody writes, and verify it"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Copy and compare. Raises what the parts raise."""
        if move.marked(RELEASED):
            return earlier or {}
        return {content.kind: content.delta() for content in move.contents}
