"""A migration for people: what it would do, what it does, what it did; and its record as Markdown."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rehost.cli.render.console import console
from rehost.cli.render.events import json_event, reporting
from rehost.cli.render.plan import PlanView, plan_dict, plan_markdown
from rehost.cli.render.units import count, duration, size
from rehost.stacks.engine.events import Began, Emit, Ended, Event, Note
from rehost.stacks.migrate.events import Found, PhaseBegan, PhaseEnded, Progress
from rehost.stacks.migrate.preview import Preview

LINE_S = 5.0
"""Seconds between two lines of progress where there is no terminal."""
SHOWN = 10
"""Findings of a kind that the screen names; the record has all."""
_STYLES = {
    "done": "green",
    "until": "green",
    "waiting": "yellow",
    "interrupted": "yellow",
    "running": "yellow",
    "rolled back": "yellow",
    "committed": "green",
}
_WORDS = {
    "until": "stopped where it was told to",
    "unproven": "not proven",
    "waiting": "waiting for you",
    "rolled back": "taken back",
}


@contextmanager
def watching(format_: str) -> Iterator[Emit]:
    """What a migration's events are given to."""
    if format_ == "json":
        yield json_event
        return
    with _Screen(console(stderr=True)) as screen:
        yield screen


class _Screen:
    """Lines for phases and findings; progress as a live line in a terminal, as a line now and then elsewhere."""

    def __init__(self, out: Console) -> None:
        self._out = out
        # The engine's own view, while it works.
        self._engine: Emit | None = None
        self._view_of_engine = ExitStack()
        self._last = time.monotonic()
        self._found: dict[tuple[str, str], int] = {}
        self._progress: Progress | None = None
        self._live: Live | None = None

    def __enter__(self) -> _Screen:
        return self

    def __exit__(self, *problem: object) -> None:
        self._view_of_engine.close()
        self._end_live()

    def __call__(self, event: Event) -> None:
        match event:
            case PhaseBegan():
                self._last = time.monotonic()
                again = "  (finished before: checked again)" if event.again else ""
                head = Text(f"{event.number}/{event.of} {event.phase}", style="bold")
                self._out.print(head.append(again, style="not bold dim"))
            case PhaseEnded():
                self._end_live()
                word = word_of(event.outcome)
                style = _STYLES.get(event.outcome, "bold red")
                self._out.print(Text(f"    {word} in {duration(event.seconds)}", style=style))
            case Progress():
                self._show(event)
            case Found():
                self._tell(event)
            case Began():
                self._engine = self._view_of_engine.enter_context(reporting("text"))
                self._engine(event)
            case Ended():
                self._view_of_engine.close()
                self._engine = None
                steps = ", ".join(f"{number} {action}" for action, number in event.counts.items())
                self._out.print(Text(f"    {steps or 'nothing to do'}", style="dim"))
            case Note() if self._engine is None:
                self._out.print(Text(f"    {event.text}", style="cyan"), soft_wrap=True)
            case _ if self._engine is not None:
                self._engine(event)

    def _show(self, event: Progress) -> None:
        self._progress = event
        if self._out.is_terminal:
            if self._live is None:
                self._live = Live(
                    get_renderable=self._view, console=self._out, refresh_per_second=8, transient=True
                )
                self._live.start()
        elif time.monotonic() - self._last >= LINE_S:
            self._last = time.monotonic()
            self._out.print(f"    {event.where}: {_far(event)}", soft_wrap=True)

    def _view(self) -> Table:
        line = Table.grid(padding=(0, 1))
        event = self._progress
        if event is not None:
            bar = ProgressBar(total=max(1, event.of_bytes), completed=event.bytes, width=16)
            line.add_row(Text(f"    {event.where}"), bar, Text(_far(event), style="dim"))
        return line

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._progress = None

    def _tell(self, event: Found) -> None:
        seen = self._found[event.what, event.where] = self._found.get((event.what, event.where), 0) + 1
        if seen <= SHOWN:
            style = "yellow" if event.what == "lost" else "red"
            self._out.print(Text(f"    {event.what}: {event.where}: {event.text}", style=style), soft_wrap=True)
        elif seen == SHOWN + 1:
            self._out.print(Text("    more of them are in migration.json", style="dim"))


def _far(event: Progress) -> str:
    left = f", {duration(event.eta_s)} left" if event.eta_s is not None else ""
    objects = f"{event.objects:,}/{event.of_objects:,}"
    return f"{objects}, {size(event.bytes)}/{size(event.of_bytes)}, {size(event.rate)}/s{left}"


class PreviewView:
    """What a migration would do, the command that does it last."""

    def __init__(self, preview: Preview, source: str, target: str, then: str) -> None:
        self._preview, self._source, self._target, self._then = preview, source, target, then

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        seen = self._preview
        yield Text(f"{seen.plan.stack}: {self._source} -> {self._target}, not carried out", style="bold")
        if seen.going_on:
            yield Text("an earlier run of this move was not finished: this goes on with it", style="yellow")
        yield Text("")
        phases = Table.grid(padding=(0, 2))
        for number, phase in enumerate(seen.phases, 1):
            phases.add_row(Text(f"  {number} {phase['phase']}", style="bold"), Text(phase["title"]))
        yield phases
        yield Text("\nprovision", style="bold")
        yield Padding(PlanView(seen.plan), (0, 0, 0, 2))
        yield Text("\nreplicate and verify", style="bold")
        for name, found in seen.buckets.items():
            yield Text(f"  copy bucket {name}: {found['objects']} objects, {found['bytes']} bytes")
        if not seen.buckets:
            yield Text("  there are no buckets")
        if seen.seconds is not None:
            yield Text(
                f"  takes about {duration(seen.seconds)}, as measured by reading a few of them", style="dim"
            )
        if seen.addresses:
            yield Text("\ncutover", style="bold")
            yield Padding(_names(seen.addresses), (0, 0, 0, 2))
        yield from _todo(seen.manual)
        yield Text("\ngood to know", style="bold")
        for text in [*(f"{self._source} is not what its state says: {t}" for t in seen.drift), *seen.risks]:
            yield _item(text)
        yield Text("")
        yield Text(f"carry it out: {self._then}")


def _item(text: str) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_row("  -", Text(text))
    return row


def _names(addresses: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for column in ("name", "type", "before", "after"):
        table.add_column(column, overflow="fold")
    for row in addresses:
        table.add_row(row["name"], row["type"], ", ".join(row["before"]) or "-", ", ".join(row["after"]) or "-")
    return table


def _todo(rows: list[dict[str, str]]) -> Iterator[Text | Table]:
    if rows:
        yield Text("\nleft to you", style="bold")
        for row in rows:
            yield _item(f"{row['what']}: {row['how']}" if row["how"] else row["what"])


def preview_dict(preview: Preview, source: str, target: str) -> dict[str, Any]:
    """One JSON document."""
    plan = plan_dict(preview.plan)
    about = {"format_version": 1, "stack": preview.plan.stack, "from": source, "to": target}
    return {**about, "steps": preview.plan.counts(), **preview.as_dict(), "plan": plan}


def preview_markdown(preview: Preview, source: str, target: str) -> str:
    """For pull requests."""
    lines = [f"### {preview.plan.stack}: {source} → {target} (dry run)", ""]
    lines += [f"{n}. **{row['phase']}**: {row['title']}" for n, row in enumerate(preview.phases, 1)]
    lines += ["", plan_markdown(preview.plan).rstrip(), "", "| bucket | objects | size |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {row['objects']:,} | {size(row['bytes'])} |" for name, row in preview.buckets.items()]
    if preview.seconds is not None:
        lines += ["", f"The copy takes about {duration(preview.seconds)}."]
    lines += _names_markdown(preview.addresses)
    lines += _todo_markdown(preview.manual)
    lines += ["", *(f"- {text}" for text in (*preview.drift, *preview.risks))]
    return "\n".join(lines) + "\n"


def _names_markdown(addresses: list[dict[str, Any]]) -> list[str]:
    if not addresses:
        return []
    rows = [
        f"| {row['name']} | {row['type']} | {', '.join(row['before'])} | {', '.join(row['after'])} |"
        for row in addresses
    ]
    return ["", "| name | type | before | after |", "| --- | --- | --- | --- |", *rows]


def _todo_markdown(rows: list[dict[str, str]]) -> list[str]:
    return ["", "Left to do:", "", *(f"- [ ] {row['what']}: {row['how']}" for row in rows)] if rows else []


class RecordView:
    """What a move did and where it stands; what is left to do comes last."""

    def __init__(self, record: Mapping[str, Any], where: str, running: bool = False, error: bool = True) -> None:
        self._record, self._where, self._running, self._error = record, where, running, error

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        record = self._record
        outcome = state_of(record, self._running)
        head = Text(f"{record['stack']}: {record['from']} -> {record['to']}: ", style="bold")
        yield head.append(word_of(outcome), style=_STYLES.get(outcome, "red"))
        yield _phases(record)
        for name, bucket in record["buckets"].items():
            yield from _bucket(name, bucket)
        moved = [row for row in record["addresses"] if row["before"] != row["after"]]
        if moved:
            yield Text("\nnames", style="bold")
            yield Padding(_names(moved), (0, 0, 0, 2))
        if record["checks"]:
            yield Text("\nchecks", style="bold")
            for row in record["checks"]:
                mark, style = ("ok    ", "green") if row["ok"] else ("failed", "red")
                yield Text.assemble("  ", (mark, style), f" {row['check']} at {row['at']}: {row['said']}")
        if record["differences"]:
            yield Text(f"\n{count(len(record['differences']), 'difference')}", style="bold red")
            for text in record["differences"][:SHOWN]:
                yield _item(text)
        error = record.get("error")
        if error and self._error:
            yield Text("\nwhat went wrong", style="bold")
            yield from (_item(error[name]) for name in ("summary", "why", "fix") if error[name])
        yield from _todo(record["remaining"])
        yield Text(f"\nrecord: {self._where}, and as a page: migration.html", style="dim", overflow="fold")


def state_of(record: Mapping[str, Any], running: bool) -> str:
    """The outcome; a run that left none was killed."""
    if record["outcome"] == "running" and not running:
        return "interrupted"
    return str(record["outcome"])


def word_of(outcome: str) -> str:
    """An outcome as people say it."""
    return _WORDS.get(outcome, outcome)


def _phases(record: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    for entry in record["phases"]:
        outcome = entry["outcome"]
        seconds = duration(entry["seconds"]) if "seconds" in entry else ""
        table.add_row(
            f"  {entry['phase']}",
            Text(seconds, justify="right"),
            Text(word_of(outcome), style=_STYLES.get(outcome, "red")),
            Text(phase_told(entry), style="dim"),
        )
    return table


def phase_told(entry: Mapping[str, Any]) -> str:
    """What a phase found, in a few words."""
    match entry:
        case {"phase": "preflight", "buckets": buckets}:
            found = sum(row["objects"] for row in buckets.values())
            return f"{count(len(buckets), 'bucket')}, {count(found, 'object')}"
        case {"phase": "provision", "steps": steps}:
            return ", ".join(f"{number} {action}" for action, number in steps.items()) or "nothing to do"
        case {"phase": "replicate", "buckets": buckets}:
            copied = sum(row["copied"] for row in buckets.values())
            moved = sum(row["copied_bytes"] for row in buckets.values())
            return f"{count(copied, 'object')} copied, {size(moved)}"
        case {"phase": "verify", "buckets": buckets}:
            return f"{sum(row['read_back'] for row in buckets.values()):,} read back in this run"
        case {"phase": "freeze", "services": services}:
            return f"{count(len(services), 'service')} stopped at the source"
        case {"phase": "delta", "buckets": buckets}:
            copied = sum(row["copied"] for row in buckets.values())
            return f"{count(copied, 'object')} copied in all, and compared"
        case {"phase": "cutover", "zones": zones}:
            return f"{count(len(zones), 'zone')} at the target"
        case {"phase": "prove", "checks": number}:
            return count(number, "check") + " passed" if number else "the stack has no checks"
    return ""


def _bucket(name: str, bucket: Mapping[str, Any]) -> Iterator[Text]:
    if "copied" not in bucket:
        return
    yield Text(f"\nbucket {name}: {bucket['objects']} objects, {bucket['bytes']} bytes", style="bold")
    told = f"{bucket['copied']} copied, {bucket['skipped']} there already, {bucket['removed']} removed"
    if bucket["adopted"]:
        told += f", {bucket['adopted']} taken over"
    if bucket["resumed_parts"]:
        told += f", {bucket['resumed_parts']} parts kept from an earlier run"
    yield Text(f"  {told}")
    if bucket["source_digest"]:
        there = f"{bucket['destination_objects']} objects, {bucket['destination_bytes']} bytes"
        yield Text(f"  at the destination: {there}")
        same = bucket["source_digest"] == bucket["destination_digest"]
        yield Text("  sha256 of all objects, as sent and as read back:")
        yield Text(f"    {bucket['source_digest']}")
        yield Text(f"    {bucket['destination_digest']}", style="green" if same else "red")
    for what, number in bucket["lost"].items():
        yield Text(f"  lost: {what} of {count(number, 'object')}: not kept by the destination", style="yellow")


def record_markdown(record: Mapping[str, Any], running: bool = False) -> str:
    """A move as Markdown."""
    outcome = state_of(record, running)
    lines = [f"### {record['stack']}: {record['from']} → {record['to']}: {word_of(outcome)}", ""]
    lines += ["| phase | outcome | time | |", "| --- | --- | ---: | --- |"]
    for entry in record["phases"]:
        seconds = duration(entry["seconds"]) if "seconds" in entry else ""
        lines.append(f"| {entry['phase']} | {entry['outcome']} | {seconds} | {phase_told(entry)} |")
    for name, bucket in record["buckets"].items():
        if "copied" in bucket:
            lines += ["", f"Bucket `{name}`: {count(bucket['objects'], 'object')}, {size(bucket['bytes'])};"]
            lines += [
                f"{bucket['copied']} copied, {bucket['skipped']} there already, {bucket['removed']} removed."
            ]
            lines += [f"SHA-256 sent `{bucket['source_digest']}`, read back `{bucket['destination_digest']}`."]
    lines += _names_markdown(record["addresses"])
    lines += ["", *(f"- difference: {text}" for text in record["differences"])] if record["differences"] else []
    lines += _todo_markdown(record["remaining"])
    return "\n".join(lines) + "\n"
