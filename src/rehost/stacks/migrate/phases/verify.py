"""Proves that the destination returns what was sent."""

from __future__ import annotations

from rehost.stacks.data.buckets import verify_pass
from rehost.stacks.data.work import Crew
from rehost.stacks.errors import RehostError, Unproven
from rehost.stacks.migrate.move import RELEASED, Facts, Move
from rehost.stacks.migrate.phases.replicate import told

SHOWN = 5


class Verify:
    """Reads back what this move has not read back yet, and looks for what nobody sent."""

    name = "verify"
    title = "read back what was there already, compare it with the evidence, look for what nobody sent"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Compare. Raises Unproven, naming what differs; the next run copies that anew."""
        if move.marked(RELEASED):
            # The new side is the one that is written to: what the old one holds is older.
            return earlier or {"buckets": {}}
        wrong: list[str] = []
        count = foreign = 0
        for name, pair in move.pairs().items():
            with Crew(move.parallel) as crew:
                tools = move.tools(self.name, name, crew, pair)
                verify_pass(tools, allowed=move.allowed)
            report = tools.report
            move.record["buckets"][name] = {**move.record["buckets"].get(name, {}), **report.as_dict()}
            move.tell_findings(name, report)
            if report.failures:
                raise RehostError(
                    f"{report.failures.count} object(s) of {name} could not be read back",
                    why="; ".join(report.failures.first[:SHOWN]),
                    fix="run the same command again",
                )
            wrong += [f"{name}/{text}" for text in (*report.differences.first, *report.foreign.first)]
            count += report.differences.count + report.foreign.count
            foreign += report.foreign.count
        if count:
            move.record["differences"] = wrong
            raise Unproven(
                f"{count} object(s) at {move.target.target.name} are not what was sent",
                why="; ".join(wrong[:SHOWN]) + (f"; and {count - SHOWN} more" if count > SHOWN else ""),
                fix=_fix(foreign, count - foreign),
            )
        return {"buckets": told(move)}


def _fix(foreign: int, different: int) -> str:
    parts = []
    if different:
        parts.append("run the same command again: what differs is copied anew")
    if foreign:
        parts.append("remove what this move did not write, or let it stay with --allow-foreign")
    return "; ".join(parts)
