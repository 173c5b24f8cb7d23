"""rehost plan"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

from rehost.cli.exits import Exit
from rehost.cli.options import (
    asked_again,
    load_deployment,
    stack_options,
    target_options,
    wish_options,
    write_private,
)

_LOOKS = {"format_", "verbose", "no_refresh", "detailed_exitcode", "out"}
"""Options that say how to look, not what is to be."""
_SAVED = {"files", "sets", "state", "only", "replace", "delete_data", "upgrade_facts", "choose"}
"""Options whose meaning a saved plan holds."""


@click.command(help="Show what deploy would do at a target, and change nothing.")
@stack_options
@target_options
@click.option(
    "--format", "format_", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True
)
@click.option("-v", "--verbose", is_flag=True, help="Show every input of what is made.")
@click.option("--no-refresh", is_flag=True, help="Compare with the last known state; needs no credentials.")
@click.option("--detailed-exitcode", is_flag=True, help="Leave with 2 when changes are waiting.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Save the plan, for `deploy PLANFILE`."
)
@wish_options
def command(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str,
    parallel: int | None,
    state: str | None,
    sandbox: bool,
    format_: str,
    verbose: bool,
    no_refresh: bool,
    detailed_exitcode: bool,
    out: Path | None,
    only: tuple[str, ...],
    replace: tuple[str, ...],
    delete_data: tuple[str, ...],
    upgrade_facts: bool,
    choose: tuple[str, ...],
) -> None:
    from rehost.cli.render.console import show
    from rehost.cli.render.plan import PlanView, plan_dict, plan_markdown
    from rehost.stacks.plan import Wishes
    from rehost.stacks.savedplan import to_text

    deployment = load_deployment(files, sets, target, parallel, sandbox, state, upgrade_facts=upgrade_facts)
    wishes = Wishes(only, replace, delete_data, choose=choose)
    if out is not None and no_refresh:
        raise click.UsageError("--out needs a look at the target: leave out --no-refresh")
    try:
        plan = deployment.plan(wishes, refresh=not no_refresh, settled=out is not None)
    finally:
        deployment.close()
    if out is not None:
        asked = {"wishes": wishes, "upgrade_facts": upgrade_facts, "sandbox": sandbox}
        text = to_text(plan, deployment.stack, plan_dict(plan), store=deployment.store.url, **asked)
        write_private(out, text)
    then = asked_again("rehost deploy", without=_LOOKS if out is None else _LOOKS | _SAVED)
    if out is not None:
        then += f" {shlex.quote(str(out))}"
    if format_ == "json":
        click.echo(json.dumps(plan_dict(plan), indent=2))
    elif format_ == "markdown":
        click.echo(plan_markdown(plan), nl=False)
    else:
        show(PlanView(plan, verbose=verbose, then=then))
    if out is not None:
        click.echo(f"saved in {out}; carry it out with `{then}`", err=True)
    if detailed_exitcode and not plan.empty:
        sys.exit(Exit.CHANGES)
