"""The ends of a move: back to the source, or for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rehost.stacks.errors import Refused
from rehost.stacks.migrate import record as records
from rehost.stacks.migrate.journal import MoveJournal, Progressed, progress_of
from rehost.stacks.migrate.lock import only_one
from rehost.stacks.migrate.migration import BACK, JOURNAL
from rehost.stacks.migrate.move import COMMITTED, FROZEN, RELEASED, Move
from rehost.stacks.migrate.units import part, set_units


def rollback(move: Move, *, lose_writes: bool = False) -> dict[str, Any]:
    """Hold the new side, turn the names back, let the old side go; a second time, or after a kill, it goes on.

    Raises Refused for a move that is committed, that stopped nothing, or that has let the new side accept writes,
    unless `lose_writes` says that those may be lost; and what the parts raise.
    """
    old, new = move.source.target.name, move.target.target.name
    with _journal(move) as journal:
        marks = journal.progress.marks
        if COMMITTED in marks:
            raise Refused(
                f"the move from {old} to {new} is committed",
                why="from then on nothing is kept ready for a way back",
                fix=f"go back with a move of its own: rehost migrate --from {new} --to {old}",
            )
        if FROZEN not in marks or journal.progress.outcome == BACK:
            raise Refused(
                f"there is nothing to take back: {old} was not stopped",
                fix=f"what was made at {new} is removed by `rehost destroy --on {new}`",
            )
        if RELEASED in marks and not lose_writes:
            raise Refused(
                f"{new} accepts writes since {records.utc(marks[RELEASED])}",
                why=f"what was written there is not at {old}, and a rollback does not carry it",
                fix="give --lose-writes where that is worse than staying, or move back with a move of its own",
            )
        told: dict[str, Any] = {
            "held": set_units(move, move.target, dict.fromkeys(move.target.stack.services, True))
        }
        if RELEASED in marks:
            told["names"] = part(move, move.source, [f"dns.{zone}" for zone in move.source.stack.dns])
        told["released"] = set_units(move, move.source, dict.fromkeys(move.source.stack.services, False))
        journal.append({"kind": "ended", "outcome": BACK, "over": True, "at": move.now})
        _noted(move, BACK)
        return told


def commit(move: Move) -> None:
    """Decide that there is no way back. Raises Refused before the move is proven; a second time is nothing."""
    with _journal(move) as journal:
        progress = journal.progress
        if COMMITTED in progress.marks:
            return
        if progress.outcome != "done":
            raise Refused(
                "there is no proven move to commit",
                why=f"the last one ended as: {progress.outcome or 'it runs, or was killed'}",
                fix="run `rehost migrate` to its end first",
            )
        journal.append({"kind": "mark", "name": COMMITTED, "at": move.now})
        _noted(move, COMMITTED)


def committed(move: Move) -> Progressed:
    """Where the move stands. Raises Refused unless it is committed: only then may the source be removed."""
    progress = progress_of(move.folder / JOURNAL)
    if COMMITTED not in progress.marks:
        raise Refused(
            f"the move to {move.target.target.name} is not committed",
            why=f"{move.source.target.name} is the way back until then",
            fix="`rehost migrate commit` first",
        )
    return progress


@contextmanager
def _journal(move: Move) -> Iterator[MoveJournal]:
    with only_one(move.folder, f"{move.source.target.name} to {move.target.target.name}"):
        journal = MoveJournal(move.folder / JOURNAL)
        move.id, move.marks = journal.progress.move, journal.progress.marks
        move.record = records.read(move.folder) or move.record
        try:
            yield journal
        finally:
            journal.close()


def _noted(move: Move, outcome: str) -> None:
    if move.record:
        move.record["outcome"] = outcome
        records.write(move.folder, move.record)
