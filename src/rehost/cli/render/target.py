"""Whether a target is ready, for people and for machines."""

from __future__ import annotations

from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from rehost.stacks.checking import Readiness
from rehost.stacks.readiness import Verdict, as_rows

_STYLES = {Verdict.OK: "green", Verdict.FAILED: "red", Verdict.UNPROVEN: "yellow"}


def headline(found: Readiness) -> str:
    """The answer in a sentence."""
    bad = sum(result.verdict is Verdict.FAILED for result in found.results)
    open_ = sum(result.verdict is Verdict.UNPROVEN for result in found.results)
    told = f"{found.target} is ready" if found.ready else f"{found.target} is not ready: {bad} to be put right"
    return told + (f", {open_} can't be proven beforehand" if open_ else "")


class ReadinessView:
    """Each check with what was found and what to do; the answer comes last."""

    def __init__(self, found: Readiness) -> None:
        self._found = found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"{self._found.stack} on {self._found.target}\n", style="bold")
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for result in self._found.results:
            told = Text(result.told)
            if result.fix:
                told.append(f"\nto do: {result.fix}", style="dim")
            table.add_row(
                result.check, Text(result.verdict.value, style=_STYLES[result.verdict]), result.what, told
            )
        yield table
        for text in self._found.left:
            yield Text(f"removed what an earlier check had left: {text}", style="dim")
        yield Text("")
        yield Text(headline(self._found), style="bold")


def markdown(found: Readiness) -> str:
    """A table for a page or a pull request."""
    lines = [f"### {headline(found)}", "", "| check | | what | found | to do |", "| --- | --- | --- | --- | --- |"]
    for row in as_rows(found.results):
        cells = (row["check"], row["verdict"], row["what"], row["told"], row["fix"])
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def as_dict(found: Readiness) -> dict[str, Any]:
    """One JSON document."""
    return {
        "format_version": 1,
        "stack": found.stack,
        "target": found.target,
        "ready": found.ready,
        "left_by_an_earlier_check": list(found.left),
        "intended": list(found.intended),
        "checks": as_rows(found.results),
    }
