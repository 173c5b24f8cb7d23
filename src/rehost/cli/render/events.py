"""Events of an operation: lines for people on stderr, JSON Lines on stdout."""

from __future__ import annotations

import json

import click

from rehost.stacks.engine import events
from rehost.stacks.engine.events import Event


def text_event(event: Event) -> None:
    """One line for what a person wants to know."""
    match event:
        case events.StepDone():
            click.echo(
                f"[{event.done}/{event.total}] {event.action} {event.address} {event.id} ({event.seconds:.1f} s)",
                err=True,
            )
        case events.StepRetries():
            click.echo(f"  {event.address}: {event.reason}; again in {event.seconds:.1f} s", err=True)
        case events.StepFailed():
            word = "waiting for you" if event.waiting else "failed"
            click.echo(click.style(f"{word}: {event.action} {event.address}: {event.summary}", fg="red"), err=True)
            for label, text in (("why", event.why), ("fix", event.fix)):
                if text:
                    click.echo(f"  {label}: {text}", err=True)
        case events.StepSkipped():
            click.echo(f"not done: {event.action} {event.address}: {event.because}", err=True)
        case events.Note():
            click.echo(f"note: {event.text}", err=True)
        case events.Ended():
            done = ", ".join(f"{count} {action}" for action, count in event.counts.items()) or "nothing to do"
            click.echo(f"{event.operation} {event.outcome}: {done} in {event.seconds:.1f} s")


def json_event(event: Event) -> None:
    """One JSON line."""
    click.echo(json.dumps(event.as_dict()))
