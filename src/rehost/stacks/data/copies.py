"""Copies between any two places, without a stack: one run of the bucket mover with evidence of its own."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from rehost.stacks.data.buckets import NOTHING, Allowed, copy_pass
from rehost.stacks.data.compare import compare_pass
from rehost.stacks.data.evidence import Evidence
from rehost.stacks.data.report import Report, Watch
from rehost.stacks.data.transfer import Tools
from rehost.stacks.data.work import Crew, Patience
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import RehostError
from rehost.stacks.ports import ObjectStore

PASSES = 5


@dataclass
class Copies:
    """What goes from one store to another. `folder` keeps the evidence of all pairs; `pair` is what the two places
    are called, which tells this pair's evidence from that of others."""

    source: ObjectStore
    destination: ObjectStore
    pair: tuple[str, str]
    folder: Path
    patience: Patience
    clock: Clock
    watch: Watch
    parallel: int = 16
    allowed: Allowed = NOTHING

    @property
    def path(self) -> Path:
        """The evidence of this pair."""
        name = hashlib.sha256("\n".join(self.pair).encode()).hexdigest()[:16]
        return self.folder / f"{name}.evidence.jsonl"

    def run(self, *, copy: bool) -> Report:
        """Copy what changed, or only verify. Findings are in the report. Raises RehostError."""
        keep_private(self.folder)
        evidence = Evidence(self.path, dict(zip(("source", "destination"), self.pair, strict=True)))
        report = Report(watch=self.watch)
        try:
            with Crew(self.parallel) as crew:
                move = secrets.token_hex(8)
                tools = Tools(
                    self.source, self.destination, evidence, report, self.patience, crew, move, self.clock
                )
                if not copy:
                    compare_pass(tools, allowed=self.allowed)
                    return report
                for _ in range(PASSES):
                    copy_pass(tools, allowed=self.allowed)
                    if not report.moved:
                        break
                return report
        finally:
            report.repeated = self.patience.repeated
            evidence.close()


def keep_private(folder: Path) -> None:
    """Make the folder of the evidence, unseen by version control."""
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        raise RehostError(
            f"the evidence can't be kept in {folder}", why=str(error), fix="see --evidence"
        ) from error
