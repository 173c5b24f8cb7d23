"""rehost deploy"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from rehost.cli.options import format_option, load_deployment, stack_options, stop_on_interrupt, target_options


@click.command(help="Make a target what the stack says.")
@stack_options
@target_options
@format_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--only", "--target", "only", multiple=True, metavar="COMPONENT", help="Only this component.")
@click.option("--replace", multiple=True, metavar="COMPONENT", help="Make this component anew.")
@click.option("--delete-data", multiple=True, metavar="COMPONENT", help="May lose its data.")
@click.option("--upgrade-facts", is_flag=True, help="Choose types, images and zones again.")
@click.option("--accept-missing", is_flag=True, help="Make anew what is gone, even if it is most of all.")
def command(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str,
    parallel: int | None,
    sandbox: bool,
    format_: str,
    yes: bool,
    only: tuple[str, ...],
    replace: tuple[str, ...],
    delete_data: tuple[str, ...],
    upgrade_facts: bool,
    accept_missing: bool,
) -> None:
    from rehost.cli.render.events import json_event, text_event
    from rehost.cli.render.plan import plan_text
    from rehost.stacks.plan import Plan, Wishes

    deployment = load_deployment(
        files,
        sets,
        target,
        parallel,
        sandbox,
        upgrade_facts=upgrade_facts,
        accept_missing=accept_missing,
        stop=stop_on_interrupt(),
        emit=json_event if format_ == "json" else text_event,
    )

    def confirm(plan: Plan) -> bool:
        if format_ == "text":
            click.echo(plan_text(plan, width=shutil.get_terminal_size().columns), err=True)
        return yes or (sys.stdin.isatty() and click.confirm("Go on?", err=True))

    try:
        _, outcome = deployment.deploy(Wishes(only, replace, delete_data), confirm=confirm)
    finally:
        deployment.close()
    sys.exit(outcome.exit_code)
