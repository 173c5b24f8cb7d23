"""The state machine: runs the phases in order, journals each before and after, keeps the record true.

The journal says what was begun and what was finished, `migration.json` what the phases of the last run found. A
run after a kill or a failure belongs to the same move: finished phases are run again, which finds them done by
looking. A move ends when it is proven, or when data was found to differ; the next run then begins a new one, which
trusts nothing that it has not read itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from rehost.stacks.errors import Interrupted, OperatorNeeded, RehostError, Unproven
from rehost.stacks.migrate import record
from rehost.stacks.migrate.events import Migrated, PhaseBegan, PhaseEnded
from rehost.stacks.migrate.journal import MoveJournal
from rehost.stacks.migrate.lock import only_one
from rehost.stacks.migrate.move import Facts, Move, Phase
from rehost.stacks.migrate.phases import NAMES, phases_of

JOURNAL = "journal"
BACK = "rolled back"
"""The outcome of a move that was taken back."""


class Migration:
    """One run of a move, up to and including the phase `until`."""

    def __init__(self, move: Move, until: str = NAMES[-1], phases: Sequence[Phase] | None = None) -> None:
        self._move = move
        self._until = until
        self._phases = phases_of(move) if phases is None else phases

    def run(self) -> dict[str, Any]:
        """All phases; answers the record, which is also the last event and on disk, whatever happens.

        Raises RehostError: Refused while another run works, Unproven where data or checks do not agree,
        OperatorNeeded, Interrupted.
        """
        move = self._move
        with only_one(move.folder, f"{move.source.target.name} to {move.target.target.name}"):
            journal = MoveJournal(move.folder / JOURNAL)
            try:
                self._begin(journal)
                return self._run(journal)
            finally:
                move.close()
                journal.close()

    def _begin(self, journal: MoveJournal) -> None:
        move, progress = self._move, journal.progress
        if not progress.open:
            marks = dict(progress.marks) if progress.outcome != BACK else {}
            entry = {"kind": "move", "move": secrets.token_hex(8), "at": move.now, "marks": marks}
            journal.append({**entry, "from": move.source.target.name, "to": move.target.target.name})
        elif progress.runs:
            move.note("going on with the move that an earlier run left")
        move.id, move.marks = progress.move, journal.progress.marks
        move.decide = lambda name: journal.append({"kind": "mark", "name": name, "at": move.now})
        journal.append({"kind": "run", "at": move.now})
        names = (move.source.stack.stack, move.source.target.name, move.target.target.name)
        move.record = record.fresh(*names, move.id, move.now, progress.runs)

    def _run(self, journal: MoveJournal) -> dict[str, Any]:
        move = self._move
        began, outcome = move.now, "done"
        try:
            for number, phase in enumerate(self._phases, 1):
                self._phase(journal, phase, number)
                if phase.name == self._until:
                    if phase is not self._phases[-1]:
                        outcome = "until"
                        left = " > ".join(p.name for p in self._phases[number:])
                        move.remains(f"go on with {left}", "run the same command without --until")
                    break
        except RehostError as error:
            outcome = outcome_of(error)
            told = {"summary": error.summary, "why": error.why, "fix": error.fix, "exit_code": error.exit_code}
            move.record["error"] = told
            raise
        except BaseException:
            outcome = "failed"
            raise
        finally:
            move.record["outcome"] = outcome
            move.record["ended"] = record.utc(move.now)
            move.record["seconds"] = round(move.now - began, 3)
            self._save()
            over = outcome == "done" or bool(move.record["differences"])
            journal.append({"kind": "ended", "outcome": outcome, "over": over, "at": move.now})
            move.emit(Migrated(move.now, move.record))
        return move.record

    def _phase(self, journal: MoveJournal, phase: Phase, number: int) -> None:
        move = self._move
        earlier: Facts | None = journal.progress.done.get(phase.name)
        began = move.now
        entry: dict[str, Any] = {"phase": phase.name, "began": record.utc(began), "outcome": "running"}
        move.record["phases"].append(entry)
        journal.append({"kind": "began", "phase": phase.name, "at": began})
        self._save()
        move.emit(PhaseBegan(began, phase.name, number, len(self._phases), earlier is not None))
        outcome, said = "failed", ""
        try:
            move.patience.check()
            facts = phase.run(move, earlier)
            outcome = "done"
            entry |= facts
            journal.append({"kind": "done", "phase": phase.name, "at": move.now, "facts": facts})
        except RehostError as error:
            outcome, said = outcome_of(error), error.summary
            raise
        finally:
            seconds = round(move.now - began, 3)
            entry |= {"outcome": outcome, "ended": record.utc(move.now), "seconds": seconds}
            self._total()
            self._save()
            move.emit(PhaseEnded(move.now, phase.name, outcome, seconds, said))

    def _total(self) -> None:
        buckets = self._move.record["buckets"].values()
        for name in ("objects", "bytes"):
            self._move.record[name] = sum(bucket.get(name, 0) for bucket in buckets)

    def _save(self) -> None:
        record.write(self._move.folder, self._move.record)


def outcome_of(error: RehostError) -> str:
    """The word for how a run ended."""
    kinds = ((Unproven, "unproven"), (OperatorNeeded, "waiting"), (Interrupted, "interrupted"))
    return next((word for kind, word in kinds if isinstance(error, kind)), "failed")
