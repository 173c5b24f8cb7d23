"""Buckets: passes over the objects, with evidence of each."""

from __future__ import annotations

from rehost.stacks.data.buckets import copy_pass, verify_pass
from rehost.stacks.data.work import Crew
from rehost.stacks.errors import OperatorNeeded, ProviderError, RehostError, Unproven
from rehost.stacks.migrate.move import RELEASED, Facts, Move, size_of

PASSES = 5
"""So many passes in one run follow a source that changes while it is read."""
SHOWN = 5


class Buckets:
    """The buckets of a stack."""

    kind = "buckets"

    def __init__(self, move: Move) -> None:
        self._move = move

    def look(self, problems: list[str]) -> Facts:
        """Objects and bytes of every bucket; the first object of each is read, since listing may be allowed where
        reading is not."""
        move = self._move
        sizes: dict[str, dict[str, int]] = {}
        for name, bucket in sorted(move.buckets(move.source).items()):
            try:
                store = move.store(move.source, bucket)
                sizes[name] = move.patience(lambda store=store: size_of(store))  # type: ignore[misc]
                for info in store.list():
                    _, _, stream = store.open(info.key)
                    next(iter(stream), b"")
                    break
            except OperatorNeeded:
                raise
            except (ProviderError, RehostError) as error:
                problems.append(f"the bucket {name} at {move.source.target.name}: {error.summary}")
        move.record["buckets"] = sizes
        self._older()
        return sizes

    def _older(self) -> None:
        move = self._move
        for name, bucket in sorted(move.buckets(move.source).items()):
            known = move.source.stack.buckets.get(name)
            if known is not None and known.versioning:
                older = move.patience(move.store(move.source, bucket).versions)
                if older:
                    move.remains(
                        f"decide about {older} older version(s) and delete marker(s) in the bucket {name}",
                        f"only current objects are moved; the older ones stay at {move.source.target.name}",
                    )

    def replicate(self) -> Facts:
        """Copy what changed since the evidence. Raises RehostError where single objects could not be copied."""
        move = self._move
        failed: list[str] = []
        for name, pair in move.pairs().items():
            with Crew(move.parallel) as crew:
                tools = move.tools("replicate", name, crew, pair)
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
        return self._told()

    def verify(self) -> Facts:
        """Read back what this move has not read back yet. Raises Unproven, naming what differs."""
        move = self._move
        wrong: list[str] = []
        count = foreign = 0
        for name, pair in move.pairs().items():
            with Crew(move.parallel) as crew:
                tools = move.tools("verify", name, crew, pair)
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
            move.record["differences"] += wrong
            raise Unproven(
                f"{count} object(s) at {move.target.target.name} are not what was sent",
                why="; ".join(wrong[:SHOWN]) + (f"; and {count - SHOWN} more" if count > SHOWN else ""),
                fix=_fix(foreign, count - foreign),
            )
        return self._told()

    def approach(self) -> None:
        """One more pass, so that the one within the freeze is short."""
        self.replicate()

    def freeze(self) -> Facts:
        """Who writes to buckets are services, and those are stopped."""
        return {}

    def delta(self) -> Facts:
        """The last pass, proven."""
        self.replicate()
        return self.verify()

    def turn(self) -> Facts:
        """There is nothing to prepare."""
        return {}

    def undo(self) -> None:
        """Nothing of the move is at the source."""

    def back(self) -> Facts:
        """What was written to the new side stays there. Raises nothing; `behind` says it."""
        return {}

    def behind(self) -> str:
        """What a rollback after the cutover would leave at the new side."""
        return "" if not self._move.marked(RELEASED) else "objects"

    def end(self) -> None:
        """Nothing of the move is left to be removed."""

    def close(self) -> None:
        """Nothing is held."""

    def _told(self) -> Facts:
        return {name: report.as_dict() for name, report in self._move.reports.items()}


def _fix(foreign: int, different: int) -> str:
    parts = []
    if different:
        parts.append("run the same command again: what differs is copied anew")
    if foreign:
        parts.append("remove what this move did not write, or let it stay with --allow-foreign")
    return "; ".join(parts)
