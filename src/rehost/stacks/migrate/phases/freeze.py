"""Stops what writes at the source."""

from __future__ import annotations

from rehost.stacks.errors import OperatorNeeded, Unproven
from rehost.stacks.hosts.resource import TOKEN
from rehost.stacks.migrate.contents.databases import carried
from rehost.stacks.migrate.move import FROZEN, RELEASED, Facts, Move
from rehost.stacks.migrate.stragglers import stop


class Freeze:
    """The fence: services at the source are stopped and kept from starting, whoever starts them, and nobody gets
    into its databases. From here on the platform accepts no writes, until the cutover lets the new side go or a
    rollback the old one."""

    name = "freeze"
    title = "stop the services at the source and fence its databases, after your go; prove that nobody writes"

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Stop. Raises OperatorNeeded without a go, Unproven where something still writes."""
        if move.marked(RELEASED):
            return earlier or {"services": []}
        old, new = move.source.target.name, move.target.target.name
        services = sorted(move.source.stack.services)
        left = sorted(move.source.stack.databases.keys() - carried(move.source.stack))
        if left and not move.marked(FROZEN):
            raise OperatorNeeded(
                f"the content of {', '.join(f'databases.{name}' for name in left)} has to be at {new} before"
                " anybody writes there",
                why="PostgreSQL is what is followed; the services at both sides are left as they are",
                fix="stop the writers, copy it with the database's own tools, deploy, and turn the names by hand",
            )
        if not move.marked(FROZEN):
            for content in move.contents:
                content.approach()
            if not move.go(_list(move, services)):
                raise OperatorNeeded(
                    "everything up to the freeze is done; it waits for your go",
                    why=f"the services at {old} stop then, and those at {new} start once all data is there",
                    fix="run the same command with --yes when the moment is right",
                )
            move.mark(FROZEN)
        # Services first: what they have begun is brought to its end.
        steps = stop(move, move.source, move.target) if services else {}
        running = _running(move)
        if running:
            raise Unproven(
                f"{', '.join(running)} at {old} still run",
                why="they were stopped a moment ago, and somebody started them",
                fix="run the same command again, or `rehost migrate rollback` to let everything go",
            )
        fences = {content.kind: content.freeze() for content in move.contents}
        return {"services": services, "steps": steps, "since": move.marks[FROZEN], **fences}


def _list(move: Move, services: list[str]) -> list[str]:
    """What a person decides about."""
    old, new = move.source.target.name, move.target.target.name
    told = []
    if services:
        told.append(f"stops at {old} and stays stopped there: {', '.join(services)}")
    databases = carried(move.source.stack)
    if databases:
        told.append(f"nobody gets into {', '.join(f'databases.{name}' for name in databases)} at {old} any more")
    zones = sorted(move.source.stack.dns)
    if zones:
        told.append(f"then the names of {', '.join(zones)} in the zone at {old} point to {new}")
    if services:
        told.append(f"then {', '.join(services)} start at {new}")
    return [*told, "until it is committed, `rehost migrate rollback` goes back"]


def _running(move: Move) -> list[str]:
    """Units at the source that run, as their hosts tell; what stands for a database or a cache goes on."""
    services = {f"services.{name}" for name in move.source.stack.services}
    state, live = move.source.status()
    return sorted(
        state.resources[urn].component
        for urn, now in live.items()
        if state.resources[urn].type == TOKEN
        and state.resources[urn].component.rpartition("-")[0] in services
        and now is not None
        and now.outputs.get("active") == "running"
    )
