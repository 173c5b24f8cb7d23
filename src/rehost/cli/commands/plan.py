"""rehost plan"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from rehost.cli.exits import Exit
from rehost.cli.options import format_option, load_deployment, stack_options, target_options


@click.command(help="Show what deploy would do at a target, and change nothing.")
@stack_options
@target_options
@format_option
@click.option("--no-refresh", is_flag=True, help="Compare with the last known state; needs no credentials.")
@click.option("--detailed-exitcode", is_flag=True, help="Leave with 2 when changes are waiting.")
@click.option("--only", "--target", "only", multiple=True, metavar="COMPONENT", help="Only this component.")
@click.option("--replace", multiple=True, metavar="COMPONENT", help="Make this component anew.")
@click.option("--delete-data", multiple=True, metavar="COMPONENT", help="May lose its data.")
@click.option("--upgrade-facts", is_flag=True, help="Choose types, images and zones again.")
def command(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str,
    parallel: int | None,
    sandbox: bool,
    format_: str,
    no_refresh: bool,
    detailed_exitcode: bool,
    only: tuple[str, ...],
    replace: tuple[str, ...],
    delete_data: tuple[str, ...],
    upgrade_facts: bool,
) -> None:
    from rehost.cli.render.plan import plan_dict, plan_text
    from rehost.stacks.plan import Wishes

    deployment = load_deployment(files, sets, target, parallel, sandbox, upgrade_facts=upgrade_facts)
    plan = deployment.plan(Wishes(only, replace, delete_data), refresh=not no_refresh)
    if format_ == "json":
        click.echo(json.dumps(plan_dict(plan), indent=2))
    else:
        click.echo(plan_text(plan, width=shutil.get_terminal_size().columns))
    if detailed_exitcode and not plan.empty:
        sys.exit(Exit.CHANGES)
