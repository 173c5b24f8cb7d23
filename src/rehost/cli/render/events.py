"""Events of an operation: a live view in a terminal, lines elsewhere, both on stderr; JSON Lines on stdout."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rehost.cli.render.console import console
from rehost.stacks.engine import events
from rehost.stacks.engine.events import Emit, Event

_RUNNING = 6
"""Steps under way that the live view names; the others are counted."""


@contextmanager
def reporting(format_: str) -> Iterator[Emit]:
    """What an operation's events are given to, by format and by whether anybody watches."""
    if format_ == "json":
        yield json_event
        return
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _Lines(screen)
        return
    with _Watched(screen) as watched:
        yield watched


def json_event(event: Event) -> None:
    """One JSON line."""
    click.echo(json.dumps(event.as_dict()))


class _Lines:
    """A line for everything that a person wants to know; the summary goes to stdout."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen

    def __call__(self, event: Event) -> None:
        if isinstance(event, events.Ended):
            self._ended(event)
            return
        line = _line(event)
        if line is not None:
            self._screen.print(line, soft_wrap=True)

    def _ended(self, event: events.Ended) -> None:
        done = ", ".join(f"{count} {_past(action)}" for action, count in event.counts.items()) or "nothing to do"
        left = [f"{event.failed} failed"] if event.failed else []
        left += [f"{event.skipped} not done"] if event.skipped else []
        told = ", ".join([done, *left])
        click.echo(f"{event.operation} {event.outcome}: {told} in {event.seconds:.1f} s")
        if event.outcome == "unproven":
            click.echo(f"{event.details['unproven']} of {event.details['checks']} check(s) did not hold")
        elif event.outcome != "done":
            click.echo("the same command goes on from here")


def _past(action: str) -> str:
    return action + ("d" if action.endswith("e") else "ed")


def _line(event: Event) -> RenderableType | None:
    match event:
        case events.StepDone():
            count = f"[{event.done:>{len(str(event.total))}}/{event.total}]"
            about = Text(f" {event.id} {event.seconds:.1f} s", style="dim")
            return Text.assemble((count, "dim"), f" {_past(event.action)} {event.address}", about)
        case events.StepRetries():
            again = f"again in {event.seconds:.1f} s (attempt {event.attempt + 1})"
            return Text(f"  {event.address}: {event.reason}; {again}", style="yellow")
        case events.StepFailed():
            word = "waiting for you" if event.waiting else "failed"
            lines = [Text(f"{word}: {event.action} {event.address}: {event.summary}", style="bold red")]
            lines += [
                Text(f"  {label}: {text}") for label, text in (("why", event.why), ("fix", event.fix)) if text
            ]
            return Group(*lines)
        case events.StepSkipped():
            return Text(f"not done: {event.action} {event.address}: {event.because}", style="dim")
        case events.Checked():
            mark = Text("ok    ", style="green") if event.ok else Text("failed", style="bold red")
            return Text.assemble("check ", mark, f" {event.check} at {event.where}: {event.said}")
        case events.Note():
            return Text(f"note: {event.text}", style="cyan")
    return None


class _Watched(_Lines):
    """The lines, and below them what is under way: how far, what runs, for how long."""

    def __init__(self, screen: Console) -> None:
        super().__init__(screen)
        self._began: dict[tuple[str, str], tuple[float, str]] = {}
        self._done = 0
        self._total = 0
        self._since = 0.0
        self._live = Live(get_renderable=self._view, console=screen, refresh_per_second=8, transient=True)

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *problem: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case events.Began():
                self._total, self._done, self._since = event.steps, 0, time.monotonic()
                self._began.clear()
                self._live.start()
            case events.StepBegan():
                self._began.setdefault((event.action, event.urn), (time.monotonic(), event.address))
            case events.StepDone():
                self._done, self._total = event.done, event.total
                self._began.pop((event.action, event.urn), None)
            case events.StepFailed():
                self._began.pop((event.action, event.urn), None)
            case events.Ended():
                self._live.stop()
        super().__call__(event)

    def _view(self) -> RenderableType:
        now = time.monotonic()
        head = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(1, self._total), completed=self._done, width=30)
        head.add_row(bar, f"{self._done}/{self._total}", Text(f"{now - self._since:.0f} s", style="dim"))
        running = sorted((began, action, address) for (action, _), (began, address) in list(self._began.items()))
        lines = [
            Text(f"  {action} {address}  {now - began:.0f} s", style="dim") for began, action, address in running
        ]
        more = len(lines) - _RUNNING
        shown = lines[:_RUNNING] + ([Text(f"  and {more} more under way", style="dim")] if more > 0 else [])
        return Group(head, *shown)
