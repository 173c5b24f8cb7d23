"""Copies what the buckets hold."""

from __future__ import annotations

from typing import Any

from rehost.stacks.data.buckets import copy_pass
from rehost.stacks.data.work import Crew
from rehost.stacks.errors import RehostError
from rehost.stacks.migrate.move import RELEASED, Facts, Move

PASSES = 5
"""So many passes in one run follow a source that changes while it is read."""


class Replicate:
    """Passes over every bucket; each object is read back as soon as it is written."""

    name = "replicate"
    title = "copy every bucket, hashing what is sent and what comes back"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Copy what changed since the evidence. Raises RehostError where single objects could not be copied."""
        if move.marked(RELEASED):
            # The new side is the one that is written to: what the old one holds is older.
            return earlier or {"buckets": {}}
        failed: list[str] = []
        for name, pair in move.pairs().items():
            with Crew(move.parallel) as crew:
                tools = move.tools(self.name, name, crew, pair)
                for _ in range(PASSES):
                    copy_pass(tools, allowed=move.allowed)
                    if not tools.report.moved:
                        break
                    move.note(
                        f"{name}: {tools.report.moved} object(s) changed while they were read: one more pass"
                    )
            report = tools.report
            report.repeated = move.patience.repeated
            move.record["buckets"][name] = {**move.record["buckets"].get(name, {}), **report.as_dict()}
            move.tell_findings(name, report)
            failed += [f"{name}/{text}" for text in report.failures.first]
            if report.moved:
                failed.append(f"{name}: {report.moved} object(s) change faster than they can be read")
        if failed:
            raise RehostError(
                f"{len(failed)} object(s) could not be copied",
                why="; ".join(failed[:3]),
                fix="run the same command again: it copies the rest",
            )
        return {"buckets": told(move)}


def told(move: Move) -> dict[str, Any]:
    """What is known of every bucket by now."""
    return {name: report.as_dict() for name, report in move.reports.items()}
