"""rehost migrate"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rehost.cli.options import (
    asked_again,
    environment_of,
    load_deployment,
    load_stack,
    open_state,
    stack_options,
    stop_on_interrupt,
    store_options,
)

if TYPE_CHECKING:
    from rehost.stacks.deployment import Deployment
    from rehost.stacks.migrate.move import Move

#: Named here so that `--help` imports no phase; a test compares it with the state machine.
PHASES = ("preflight", "provision", "replicate", "verify", "cutover", "prove")
PARALLEL = 16

_from = click.option("--from", "source", metavar="TARGET", help="Where it runs now; only read.")
_to = click.option("--to", "target", metavar="TARGET", help="Where it goes.")
_format = click.option(
    "--format", "format_", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True
)


@click.group(help="Take a stack with its data from one target to another.", invoke_without_command=True)
@stack_options
@_format
@_from
@_to
@store_options
@click.option("--parallel", type=click.IntRange(1, 256), default=None, help="Calls at once, at most.")
@click.option("--until", type=click.Choice(PHASES), default=PHASES[-1], help="Stop after this phase.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--allow-foreign", is_flag=True, help="Let stay what is in a bucket already, and write over it.")
@click.option("--allow-empty", is_flag=True, help="Let a bucket become empty if its source is.")
@click.pass_context
def command(
    context: click.Context,
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    format_: str,
    source: str | None,
    target: str | None,
    sandbox: bool,
    state: str | None,
    parallel: int | None,
    until: str,
    dry_run: bool,
    allow_foreign: bool,
    allow_empty: bool,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from rehost.cli.render.console import show
    from rehost.cli.render.migrate import RecordView, record_markdown, watching
    from rehost.stacks.data.buckets import Allowed
    from rehost.stacks.errors import RehostError
    from rehost.stacks.migrate import record as records
    from rehost.stacks.migrate.migration import Migration
    from rehost.stacks.migrate.move import Move

    if source is None or target is None:
        raise click.UsageError("say --from and --to: two targets of the stack")
    if source == target:
        raise click.UsageError("--from and --to name the same target")
    stop = stop_on_interrupt()
    old = load_deployment(files, sets, source, parallel, sandbox, state, stop=stop)
    new = load_deployment(files, sets, target, parallel, sandbox, state, stop=stop)
    move = Move(old, new, home(new, source), parallel or PARALLEL, Allowed(allow_foreign, allow_empty))
    try:
        if dry_run:
            _preview(move, format_, asked_again("rehost migrate", without={"format_", "dry_run"}))
            return
        try:
            with watching(format_) as new.emit:
                Migration(move, until).run()
            _page(move)
        except RehostError:
            _page(move)
            if format_ == "text" and move.record:
                show(RecordView(move.record, str(move.folder / records.NAME), error=False))
            raise
    finally:
        old.close()
        new.close()
    if format_ == "text":
        show(RecordView(move.record, str(move.folder / records.NAME)))
    elif format_ == "markdown":
        click.echo(record_markdown(move.record), nl=False)


def _page(move: Move) -> None:
    """The record as a page beside it, for those who were not there."""
    from rehost.cli.render.report import record_html
    from rehost.stacks.errors import RehostError

    if move.record:
        path = move.folder / "migration.html"
        try:
            path.write_text(record_html(move.record), encoding="utf-8")
            path.chmod(0o600)
        except OSError as error:
            raise RehostError(f"{path} can't be written", why=str(error), fix="make room on the disk") from error


def _preview(move: Move, format_: str, then: str) -> None:
    from rehost.cli.render.console import show
    from rehost.cli.render.migrate import PreviewView, preview_dict, preview_markdown
    from rehost.stacks.migrate.preview import preview

    names = (move.source.target.name, move.target.target.name)
    seen = preview(move)
    if format_ == "json":
        click.echo(json.dumps(preview_dict(seen, *names), indent=2))
    elif format_ == "markdown":
        click.echo(preview_markdown(seen, *names), nl=False)
    else:
        show(PreviewView(seen, *names, then))


def home(target: Deployment, source: str) -> Path:
    """The folder of the moves from `source` to this target: beside the state."""
    return target.store.folder / target.stack.stack / f"{source}-{target.target.name}"


@command.command(help="Say where a migration stands.")
@stack_options
@_format
@_from
@_to
@store_options
@click.pass_context
def status(
    context: click.Context,
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    format_: str,
    source: str | None,
    target: str | None,
    sandbox: bool,
    state: str | None,
) -> None:
    from rehost.cli.render.console import show
    from rehost.cli.render.migrate import RecordView, record_markdown, state_of
    from rehost.stacks.errors import InvalidInput
    from rehost.stacks.migrate import record as records
    from rehost.stacks.migrate.lock import running

    above = context.parent.params if context.parent is not None else {}
    files, sets = files or above["files"], sets or above["sets"]
    source, target = source or above["source"], target or above["target"]
    format_ = format_ if format_ != "text" else above["format_"]
    loaded = load_stack(files, sets)
    if loaded.stack is None:
        raise InvalidInput("the stack file has errors", fix="see `rehost validate`")
    sandbox = sandbox or above["sandbox"]
    store = open_state(state or above["state"], Path(loaded.file).parent, environment_of(sandbox), sandbox)
    moves = [path.parent for path in sorted((store.folder / loaded.stack.stack).glob(f"*/{records.NAME}"))]
    found = []
    for path in moves:
        record = records.read(path)
        if record is not None and source in (None, record["from"]) and target in (None, record["to"]):
            found.append((path, record, running(path)))
    if format_ == "json":
        told = [{**record, "outcome": state_of(record, active), "running": active} for _, record, active in found]
        click.echo(json.dumps({"format_version": 1, "migrations": told}, indent=2))
        return
    if not found:
        click.echo("no migration has been run")
    for path, record, active in found:
        if format_ == "markdown":
            click.echo(record_markdown(record, active))
        else:
            show(RecordView(record, str(path / records.NAME), active))
