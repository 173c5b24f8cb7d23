"""Proves that the target holds what the source held."""

from __future__ import annotations

from rehost.stacks.migrate.move import RELEASED, Facts, Move


class Verify:
    """Reads back what this move has not read back yet, compares all rows at one commit boundary, and looks for
    what nobody sent."""

    name = "verify"
    title = "compare all rows and objects with what was sent, and look for what nobody sent"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Compare. Raises Unproven, naming what differs; the next run copies that anew."""
        if move.marked(RELEASED):
            # The new side is the one that is written to: what the old one holds is older.
            return earlier or {}
        return {content.kind: content.verify() for content in move.contents}
