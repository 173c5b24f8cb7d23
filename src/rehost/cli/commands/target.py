"""rehost target"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from rehost.cli.exits import Exit
from rehost.cli.options import answer_option, load_deployment, stack_options, stop_on_interrupt, store_options


@click.group(help="Look at a target before anything is built there.")
def command() -> None:
    """Verbs of targets."""


@command.command(
    help="Prove with real calls that an account is ready: credentials, rights, limits, buckets, ports, addresses."
    "\n\nWhat counts against a limit is made as often as the stack needs it, and removed. Leaves with 5 when the "
    "target is not ready."
)
@click.argument("target")
@stack_options
@store_options
@click.option("--port", "ports", multiple=True, type=click.IntRange(1, 65535), help="Needed to the outside, too.")
@click.option("--opened", multiple=True, type=click.IntRange(1, 65535), help="The provider has opened this port.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@answer_option
def check(
    target: str,
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    state: str | None,
    sandbox: bool,
    ports: tuple[int, ...],
    opened: tuple[int, ...],
    yes: bool,
    format_: str,
) -> None:
    from rehost.cli.render import target as render
    from rehost.cli.render.console import show
    from rehost.stacks.checking import check as run
    from rehost.stacks.errors import Refused

    stop = stop_on_interrupt()
    deployment = load_deployment(files, sets, target, None, sandbox, state, stop=stop)

    def confirm(intends: list[str]) -> None:
        for line in ("for a moment this makes, marked as rehost's:", *(f"  {line}" for line in intends)):
            click.echo(line, err=True)
        if not (yes or (sys.stdin.isatty() and click.confirm("Go on?", err=True))):
            raise Refused("nothing was made", why="it was not confirmed", fix="give --yes")

    try:
        found = run(deployment, ports, opened, confirm)
    finally:
        deployment.close()
    if format_ == "json":
        click.echo(json.dumps(render.as_dict(found), indent=2))
    elif format_ == "markdown":
        click.echo(render.markdown(found), nl=False)
    else:
        show(render.ReadinessView(found))
    if not found.ready:
        sys.exit(Exit.UNPROVEN)
