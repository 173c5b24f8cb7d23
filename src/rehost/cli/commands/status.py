"""rehost status"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

import click

from rehost.cli.exits import Exit
from rehost.cli.options import answer_option, load_deployment, load_place, stack_options, store_options


@click.command(help="Show what is deployed where, and what has changed since.")
@stack_options
@store_options
@click.option("--on", "target", metavar="TARGET", help="Target; without it all that have a state.")
@click.option("--parallel", type=click.IntRange(1, 256), default=None, help="Calls at once, at most.")
@answer_option
@click.option("--no-refresh", is_flag=True, help="Do not ask the provider; needs no credentials.")
@click.option("--detailed-exitcode", is_flag=True, help="Leave with 2 on drift, or when changes are waiting.")
def command(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    state: str | None,
    sandbox: bool,
    target: str | None,
    parallel: int | None,
    format_: str,
    no_refresh: bool,
    detailed_exitcode: bool,
) -> None:
    from rehost.cli.render.status import status_dict, status_text
    from rehost.stacks.status import status_of

    if target is None:
        if detailed_exitcode:
            raise click.UsageError("--detailed-exitcode needs --on: all targets are listed without a look at them")
        _overview(files, sets, state, sandbox, format_)
        return
    deployment = load_deployment(files, sets, target, parallel, sandbox, state)
    with closing(deployment):
        status = status_of(deployment, refresh=not no_refresh)
    if format_ == "json":
        click.echo(json.dumps(status_dict(status), indent=2))
    else:
        click.echo(status_text(status, markdown=format_ == "markdown"))
    if detailed_exitcode and status.plan is not None and not status.plan.empty:
        sys.exit(Exit.CHANGES)


def _overview(
    files: tuple[Path, ...], sets: tuple[str, ...], state: str | None, sandbox: bool, format_: str
) -> None:
    from rehost.cli.render.console import show
    from rehost.cli.render.status import HEADS, summary_dict, summary_row
    from rehost.cli.render.tables import markdown_table, text_table
    from rehost.stacks.status import summarize

    place = load_place(files, sets, state, sandbox)
    name = place.stack.stack
    found = [summarize(place.store, name, on) for on in place.store.targets(name)]
    if format_ == "json":
        targets = [summary_dict(summary) for summary in found]
        click.echo(json.dumps({"format_version": 1, "stack": name, "targets": targets}, indent=2))
    elif not found:
        click.echo(f"{name} is not deployed anywhere, as far as {place.store.url} knows")
    elif format_ == "markdown":
        click.echo(markdown_table(HEADS, [summary_row(summary) for summary in found]))
    else:
        show(text_table(HEADS, [summary_row(summary) for summary in found]))
