"""The ends of a move: back to the source, or for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rehost.stacks.errors import Refused, RehostError
from rehost.stacks.migrate import record as records
from rehost.stacks.migrate.journal import MoveJournal, Progressed, progress_of
from rehost.stacks.migrate.lock import only_one
from rehost.stacks.migrate.migration import BACK, JOURNAL
from rehost.stacks.migrate.move import COMMITTED, FROZEN, RELEASED, Move
from rehost.stacks.migrate.names import parts_of
from rehost.stacks.migrate.stragglers import stop
from rehost.stacks.migrate.units import part, set_units


def rollback(move: Move, *, lose_writes: bool = False) -> dict[str, Any]:
    """Hold the new side, bring back what was written there, turn the names back, let the old side go; a second
    time, or after a kill, it goes on.

    Raises Refused for a move that is committed or has not begun, and where something that was written to the new
    side can't be brought back, unless `lose_writes` says that it may be lost; and what the parts raise.
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
        if not journal.progress.runs or journal.progress.outcome == BACK:
            raise Refused(
                f"there is nothing to take back: nothing at {old} was touched",
                fix=f"what was made at {new} is removed by `rehost destroy --on {new}`",
            )
        # By kind, what could not be brought back.
        left = {
            content.kind: text for content in move.contents if RELEASED in marks and (text := content.behind())
        }
        if left and not lose_writes:
            raise Refused(
                f"{new} accepts writes since {records.utc(marks[RELEASED])}, and not all can be brought back",
                why="; ".join(left.values()),
                fix="give --lose-writes where that is worse than staying, or move back with a move of its own",
            )
        began, told = move.now, dict[str, Any]()
        if RELEASED in marks:
            told["held"] = stop(move, move.target, move.source)
        elif FROZEN in marks:
            told["held"] = set_units(move, move.target, dict.fromkeys(move.target.stack.services, True))
        for content in move.contents:
            if RELEASED in marks and content.kind not in left:
                told[content.kind] = content.back()
            else:
                content.undo()
        if RELEASED in marks:
            told["names"] = part(move, move.source, parts_of(move.source.stack))
        if FROZEN in marks:
            released = dict.fromkeys(move.source.stack.services, False)
            told["released"] = set_units(move, move.source, released)
            told["pause"] = round(move.now - began, 3)
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
        for content in move.contents:
            try:
                content.end()
            except RehostError as error:
                # The decision stands. What is left at a side that is gone is gone with it.
                move.note(f"{content.kind}: what the move has left could not be removed: {error.summary}")
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
        move.decide = lambda name: journal.append({"kind": "mark", "name": name, "at": move.now})
        try:
            yield journal
        finally:
            move.close()
            journal.close()


def _noted(move: Move, outcome: str) -> None:
    if move.record:
        move.record["outcome"] = outcome
        records.write(move.folder, move.record)
