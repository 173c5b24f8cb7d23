"""rehost deploy"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from rehost.cli.options import (
    deployment_of,
    format_option,
    load_deployment,
    read_saved_plan,
    stack_options,
    stop_on_interrupt,
    target_options,
    wish_options,
)


@click.command(help="Make a target what the stack says.")
@stack_options
@target_options
@format_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@wish_options
@click.option("--accept-missing", is_flag=True, help="Make anew what is gone, even if it is most of all.")
@click.option("--check", is_flag=True, help="Make the stack's checks afterwards; exit code 5 if one fails.")
@click.argument("planfile", required=False, type=click.Path(path_type=Path, dir_okay=False))
def command(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str,
    parallel: int | None,
    state: str | None,
    sandbox: bool,
    format_: str,
    yes: bool,
    only: tuple[str, ...],
    replace: tuple[str, ...],
    delete_data: tuple[str, ...],
    upgrade_facts: bool,
    choose: tuple[str, ...],
    accept_missing: bool,
    check: bool,
    planfile: Path | None,
) -> None:
    from rehost.cli.render.console import show
    from rehost.cli.render.events import reporting
    from rehost.cli.render.plan import PlanView
    from rehost.stacks.migrate.addresses import hosts
    from rehost.stacks.plan import Plan, Wishes

    how: dict[str, Any] = {"accept_missing": accept_missing, "stop": stop_on_interrupt()}
    wishes, saved = Wishes(only, replace, delete_data, choose=choose), None
    if planfile is None:
        deployment = load_deployment(
            files, sets, target, parallel, sandbox, state, upgrade_facts=upgrade_facts, **how
        )
    else:
        if files or sets or upgrade_facts or wishes != Wishes():
            raise click.UsageError("a saved plan holds its stack and what was asked for: name only the plan")
        saved = read_saved_plan(planfile)
        if target != saved.target or sandbox != saved.sandbox:
            made_for = f"{saved.target}{' in the sandbox' if saved.sandbox else ''}"
            raise click.UsageError(f"{planfile} was made for {made_for}")
        wishes = saved.wishes
        where, beside = state or saved.store, Path.cwd()
        deployment = deployment_of(
            saved.stack, target, where, beside, parallel, sandbox, upgrade_facts=saved.upgrade_facts, **how
        )

    def confirm(plan: Plan) -> bool:
        if format_ == "text":
            show(PlanView(plan), stderr=True)
        return yes or planfile is not None or (sys.stdin.isatty() and click.confirm("Go on?", err=True))

    with closing(deployment), reporting(format_) as deployment.emit:
        prove = (lambda: deployment.checks(hosts(deployment))) if check else None
        _, outcome = deployment.deploy(wishes, confirm=confirm, saved=saved, prove=prove)
    sys.exit(outcome.exit_code)
