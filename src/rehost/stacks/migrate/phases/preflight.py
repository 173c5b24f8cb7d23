"""Finds what would fail later, before anything is written."""

from __future__ import annotations

from rehost.stacks.errors import Refused
from rehost.stacks.migrate.move import Facts, Move
from rehost.stacks.plan import Action, Plan


class Preflight:
    """Credentials and rights on both sides, drift at the source, the plan for the target, the size of the data."""

    name = "preflight"
    title = "look at both sides, and find what would fail later"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Look. All problems are reported at once. Raises Refused, InvalidInput, ProviderError."""
        plan, gone, drifted = self._source(move)
        old = move.source.target.name
        problems = [f"{component} is gone from {old}, and what it held with it" for component in gone]
        found = {content.kind: content.look(problems) for content in move.contents}
        target = move.target.plan()
        if target.blocked:
            problems.append(f"{', '.join(target.blocked)} at {move.target.target.name} would lose data")
        if problems:
            raise Refused(
                problems[0] if len(problems) == 1 else f"{len(problems)} things stand in the way",
                why="" if len(problems) == 1 else "; ".join(problems),
                fix="nothing was changed; put that right and run the same command again",
            )
        self._stays(move)
        for text in drifted:
            move.note(f"{move.source.target.name} is not what its state says: {text}")
        return {
            "source_resources": len(plan.steps),
            "source_drift": drifted,
            "target_steps": {action: count for action, count in target.counts().items() if count},
            **found,
        }

    def _source(self, move: Move) -> tuple[Plan, list[str], list[str]]:
        """The source as it is, seen through a plan that is never carried out; which components with data are gone;
        and where else it has drifted."""
        state = move.source.store.read(move.source.stack.stack, move.source.target.name)
        if not state.resources:
            raise Refused(
                f"nothing of this stack is deployed on {move.source.target.name}",
                why="there is nothing to take along",
                fix="check --from and --state, or deploy to the target directly",
            )
        plan = move.source.plan()
        gone = [s for s in plan.changing if s.action is Action.CREATE and s.urn in state.resources]
        told = [f"{step.address} is gone" for step in gone]
        told += [f"{step.address} was changed" for step in plan.changing if step.drifted and step not in gone]
        return plan, sorted({step.component for step in gone if step.holds_data}), told

    def _stays(self, move: Move) -> None:
        """Name the data that this move does not take along."""
        stack, old = move.source.stack, move.source.target.name
        if stack.volumes:
            volumes = ", ".join(f"volumes.{name}" for name in sorted(stack.volumes))
            move.remains(
                f"copy the content of {volumes}",
                f"buckets and databases are moved; the disks at {old} are untouched, so copy files with rsync",
            )
