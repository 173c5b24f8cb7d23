"""rehost destroy"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import click

from rehost.cli.options import format_option, load_deployment, stack_options, stop_on_interrupt, target_options


@click.command(help="Remove what a deployment made.")
@stack_options
@target_options
@format_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--delete-data", multiple=True, metavar="COMPONENT", help="Delete its data too; '*' is everything.")
@click.option("--keep-data", is_flag=True, help="Keep what holds data and was not named.")
def command(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str,
    parallel: int | None,
    state: str | None,
    sandbox: bool,
    format_: str,
    yes: bool,
    delete_data: tuple[str, ...],
    keep_data: bool,
) -> None:
    from rehost.cli.render.console import show
    from rehost.cli.render.events import reporting
    from rehost.cli.render.plan import PlanView
    from rehost.stacks.plan import Plan, Wishes

    deployment = load_deployment(
        files,
        sets,
        target,
        parallel,
        sandbox,
        state,
        stop=stop_on_interrupt(),
    )

    def confirm(plan: Plan) -> bool:
        if format_ == "text":
            show(PlanView(plan), stderr=True)
        return yes or (sys.stdin.isatty() and click.confirm("Destroy it?", err=True))

    with closing(deployment), reporting(format_) as deployment.emit:
        _, outcome = deployment.destroy(Wishes(delete_data=delete_data), confirm=confirm, keep_data=keep_data)
    sys.exit(outcome.exit_code)
