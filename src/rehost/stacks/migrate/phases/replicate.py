"""Brings over what the source holds."""

from __future__ import annotations

from rehost.stacks.migrate.move import RELEASED, Facts, Move


class Replicate:
    """Databases begin to be followed, and every bucket is copied; each object is read back as soon as it is
    written."""

    name = "replicate"
    title = "copy databases and follow their changes; copy every bucket, hashing what is sent and what comes back"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Copy what is not there yet. Raises RehostError where something could not be copied."""
        if move.marked(RELEASED):
            # The new side is the one that is written to: what the old one holds is older.
            return earlier or {}
        # Databases first: while buckets are copied their changes are followed.
        return {content.kind: content.replicate() for content in reversed(move.contents)}
