"""What the phases of one move share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from rehost.stacks.data.buckets import NOTHING, Allowed, measure
from rehost.stacks.data.evidence import Evidence
from rehost.stacks.data.postgres.options import Options
from rehost.stacks.data.report import Report
from rehost.stacks.data.transfer import Tools
from rehost.stacks.data.work import Crew, Patience
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.events import Event, Note
from rehost.stacks.graph import reveal
from rehost.stacks.migrate.events import Found, Progress
from rehost.stacks.ports import ObjectStore
from rehost.stacks.state import ResourceState

Facts = dict[str, Any]
"""What a phase found out, fit for JSON: it goes into the journal and into the record."""

FROZEN, RELEASED, COMMITTED = "frozen", "released", "committed"
"""What a move has decided, in the journal before it is done: the source stops, the target may be written to, there
is no way back."""

PROGRESS_S = 0.25
"""Seconds between two events of progress."""


class Phase(Protocol):
    """One step of the state machine. It can be run again at any time: what is done is found done."""

    name: str
    title: str
    """What it does, for people who read a plan of the move."""

    def run(self, move: Move, earlier: Facts | None) -> Facts:
        """Do it, or check that it is done: `earlier` is what a finished run of it in this move found.

        Raises RehostError, whose exit code ends the run: Unproven, OperatorNeeded, Interrupted, ...
        """


class Content(Protocol):
    """Data of one kind that a move carries. Whatever is called can be called again, in another process too. Raises
    RehostError: Unproven where the sides differ."""

    kind: str

    def look(self, problems: list[str]) -> Facts:
        """What there is at the source; what stands in the way is added to `problems`."""

    def replicate(self) -> Facts:
        """Bring over what is there by now, while it is written to."""

    def verify(self) -> Facts:
        """Prove that it has arrived."""

    def approach(self) -> None:
        """Come as close as can be before the freeze."""

    def freeze(self) -> Facts:
        """Put up the fence at the source, and prove it."""

    def delta(self) -> Facts:
        """While nobody writes: bring over the rest and prove that both sides are the same."""

    def turn(self) -> Facts:
        """Prepare the way back, before anything is written to the new side."""

    def undo(self) -> None:
        """Before the cutover: leave the source as it was, with no fence."""

    def back(self) -> Facts:
        """After it: fence the new side, bring back what was written there, open the source."""

    def behind(self) -> str:
        """What `back` could not bring, and why; empty where there is nothing."""

    def end(self) -> None:
        """Give up the way back: nothing of the move is left at either side but the source's fence."""

    def close(self) -> None:
        """Give back what is held in this process."""


@dataclass
class Move:
    """One move from `source` to `target`. `folder` is its home: journal, record, evidence of every bucket."""

    source: Deployment
    target: Deployment
    folder: Path
    parallel: int = 16
    allowed: Allowed = NOTHING
    postgres: Options = field(default_factory=lambda: Options())
    """How databases are moved."""
    go: Callable[[list[str]], bool] = lambda told: False
    """Asks the operator whether to freeze, given what happens then."""
    id: str = ""
    marks: Mapping[str, float] = field(default_factory=dict)
    """What was decided, and when in seconds since 1970."""
    decide: Callable[[str], None] = lambda name: None
    """Puts a decision into the journal."""
    record: dict[str, Any] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    _evidence: dict[str, Evidence] = field(default_factory=dict)

    def emit(self, event: Event) -> None:
        """Tell whoever watches."""
        self.target.emit(event)

    def note(self, text: str) -> None:
        """Tell something worth knowing."""
        self.emit(Note(self.now, text))

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self.target.clock.time()

    def marked(self, name: str) -> bool:
        """Whether this was decided in this move, by whichever run of it."""
        return name in self.marks

    def mark(self, name: str) -> None:
        """Decide: on disk when this returns. A second time is nothing."""
        if name not in self.marks:
            self.decide(name)

    @property
    def live(self) -> bool:
        """Whether something runs, and has to be stopped at one side before it runs at the other."""
        return bool(self.source.stack.services or self.source.stack.databases)

    @cached_property
    def contents(self) -> list[Content]:
        """The data that it carries, by kind."""
        from rehost.stacks.migrate.contents import contents_of

        return contents_of(self)

    @cached_property
    def patience(self) -> Patience:
        """How calls to object stores are repeated."""
        return Patience(self.target.clock, self.target.stop)

    def remains(self, what: str, how: str) -> None:
        """Note something that a person has to do after this run."""
        row = {"what": what, "how": how}
        if row not in self.record["remaining"]:
            self.record["remaining"].append(row)

    def buckets(self, deployment: Deployment) -> dict[str, ResourceState]:
        """The buckets that a deployment made, by their names in the stack."""
        state = deployment.store.read(deployment.stack.stack, deployment.target.name)
        return {
            resource.component.removeprefix("buckets."): resource
            for resource in state.resources.values()
            if resource.component.startswith("buckets.") and deployment.adapter.rules(resource.type).holds_data
        }

    def store(self, deployment: Deployment, bucket: ResourceState) -> ObjectStore:
        """The content of a bucket. Raises OperatorNeeded where its keys are missing."""
        return deployment.connection.objects(reveal(bucket.outputs))

    def pairs(self) -> dict[str, tuple[ObjectStore, ObjectStore, ResourceState]]:
        """Source and destination of every bucket, and what state says of the destination."""
        old, new = self.buckets(self.source), self.buckets(self.target)
        return {
            name: (self.store(self.source, old[name]), self.store(self.target, new[name]), new[name])
            for name in sorted(old.keys() & new.keys())
        }

    def size_of(self, name: str) -> tuple[int, int]:
        """Objects and bytes of a bucket, as the preflight counted them."""
        found = self.record["buckets"].get(name) or {}
        return int(found.get("objects", 0)), int(found.get("bytes", 0))

    def tools(
        self, phase: str, name: str, crew: Crew, pair: tuple[ObjectStore, ObjectStore, ResourceState]
    ) -> Tools:
        """What moves one bucket."""
        source, destination, made = pair
        if name not in self._evidence:
            # A bucket that was removed and made again starts without evidence.
            of = {"source": source.name, "destination": destination.name, "made": made.created}
            self._evidence[name] = Evidence(self.folder / f"{name}.evidence.jsonl", of)
        report = self.reports.setdefault(name, Report())
        report.watch = Watcher(self, phase, name)
        return Tools(
            source, destination, self._evidence[name], report, self.patience, crew, self.id, self.target.clock
        )

    def tell_findings(self, name: str, report: Report) -> None:
        """Events for what was found in a bucket."""
        for what, names in (
            ("difference", report.differences),
            ("foreign", report.foreign),
            ("failure", report.failures),
        ):
            for text in names.first:
                self.emit(Found(self.now, what, name, text))
        for what, count in report.lost.items():
            self.emit(Found(self.now, "lost", name, f"{what} of {count} object(s): not kept by the destination"))

    def close(self) -> None:
        """Make all evidence durable, and hold nothing any more."""
        if "contents" in vars(self):
            for content in self.contents:
                content.close()
        for evidence in self._evidence.values():
            evidence.close()
        self._evidence.clear()


class Watcher:
    """Turns a report's counts into events of progress, not too many."""

    def __init__(self, move: Move, phase: str, bucket: str) -> None:
        self._move, self._phase, self._bucket = move, phase, bucket
        self._since = move.target.clock.now()
        self._told = self._since
        self._before: tuple[int, int] | None = None

    def __call__(self, report: Report) -> None:
        now = self._move.target.clock.now()
        if now - self._told >= PROGRESS_S:
            self._told = now
            self.tell(report)

    def tell(self, report: Report) -> None:
        """How far it is now."""
        of_objects, of_bytes = self._move.size_of(self._bucket)
        verifying = self._phase == "verify"
        if self._before is None:
            self._before = (report.passed_bytes, report.read_back)
        passed = report.passed_bytes - self._before[0]
        if verifying:
            objects, moved = report.destination_objects, min(of_bytes, report.destination_bytes)
        else:
            # Every byte passes twice: on its way and when it is read back.
            objects = report.copied + report.skipped + report.adopted
            moved, passed = min(of_bytes, report.skipped_bytes + passed // 2), passed // 2
        seconds = max(1e-3, self._move.target.clock.now() - self._since)
        rate = passed / seconds
        left = (of_bytes - moved) / rate if rate > 0 else None
        self._move.emit(
            Progress(
                self._move.now, self._phase, self._bucket, min(objects, of_objects), of_objects, moved, of_bytes,
                round(rate), None if left is None else round(left, 1),
            )
        )  # fmt: skip


def size_of(store: ObjectStore) -> dict[str, int]:
    """Objects and bytes of a store. Raises ProviderError."""
    objects, size = measure(store)
    return {"objects": objects, "bytes": size}
