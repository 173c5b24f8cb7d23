"""rehost migrate"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from rehost.stacks.data.buckets import Allowed
    from rehost.stacks.deployment import Deployment
    from rehost.stacks.migrate.move import Move

#: Named here so that `--help` imports no phase; a test compares it with the state machine.
PHASES = ("preflight", "provision", "replicate", "verify", "freeze", "delta", "cutover", "prove")
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
@click.option("--yes", is_flag=True, help="Freeze without asking: the services at the source stop.")
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
    yes: bool,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from rehost.cli.render.console import show
    from rehost.cli.render.migrate import RecordView, record_markdown, watching
    from rehost.stacks.data.buckets import Allowed
    from rehost.stacks.errors import RehostError
    from rehost.stacks.migrate import record as records
    from rehost.stacks.migrate.migration import Migration

    move = _move(files, sets, source, target, sandbox, state, parallel, Allowed(allow_foreign, allow_empty))
    move.go = (lambda told: True) if yes else _asked
    old, new = move.source, move.target
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


def _move(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    source: str | None,
    target: str | None,
    sandbox: bool,
    state: str | None,
    parallel: int | None = None,
    allowed: Allowed | None = None,
) -> Move:
    from rehost.stacks.data.buckets import NOTHING
    from rehost.stacks.migrate.move import Move

    if source is None or target is None:
        raise click.UsageError("say --from and --to: two targets of the stack")
    if source == target:
        raise click.UsageError("--from and --to name the same target")
    stop = stop_on_interrupt()
    old = load_deployment(files, sets, source, parallel, sandbox, state, stop=stop)
    new = load_deployment(files, sets, target, parallel, sandbox, state, stop=stop)
    return Move(old, new, home(new, source), parallel or PARALLEL, allowed or NOTHING)


def _asked(told: list[str]) -> bool:
    """Ask for the go, where there is somebody to ask."""
    if not sys.stdin.isatty():
        return False
    for line in told:
        click.echo(f"    - {line}", err=True)
    return click.confirm("    go?", default=False, err=True)


def _confirm(what: str, told: list[str], yes: bool) -> None:
    """Raise Refused unless the operator agrees, by --yes or an answer."""
    from rehost.stacks.errors import Refused

    if not yes and not _asked(told):
        raise Refused("nothing was changed", why=f"the {what} was not confirmed", fix="give --yes")


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


@command.command(help="Take a move back: the old side runs again.")
@stack_options
@_from
@_to
@store_options
@click.option("--lose-writes", is_flag=True, help="Also if what was written to the new side is lost.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def rollback(context: click.Context, /, lose_writes: bool, yes: bool, **given: Any) -> None:
    from rehost.cli.render.migrate import watching
    from rehost.stacks.migrate.back import rollback as back

    with _ended(context, given) as move:
        old, new = move.source.target.name, move.target.target.name
        told = [f"the services at {new} stop, those at {old} start, the names point to {old} again"]
        _confirm("rollback", told, yes)
        with watching("text") as move.source.emit:
            move.target.emit = move.source.emit
            back(move, lose_writes=lose_writes)
        _page(move)
    click.echo(f"taken back: {old} runs again, {new} is held")


@command.command(help="Decide that there is no way back.")
@stack_options
@_from
@_to
@store_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def commit(context: click.Context, /, yes: bool, **given: Any) -> None:
    from rehost.stacks.migrate.back import commit as decide

    with _ended(context, given) as move:
        old, new = move.source.target.name, move.target.target.name
        _confirm("commit", [f"{new} is where it runs from now on; `rehost migrate retire` may remove {old}"], yes)
        decide(move)
        _page(move)
    click.echo(f"committed: it runs on {new}")


@command.command(help="Remove what a committed move has left at the source, its data included.")
@stack_options
@_from
@_to
@store_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def retire(context: click.Context, /, yes: bool, **given: Any) -> None:
    from rehost.cli.render.events import reporting
    from rehost.stacks.errors import RehostError
    from rehost.stacks.migrate.back import committed
    from rehost.stacks.plan import Plan, Wishes

    with _ended(context, given) as move:
        committed(move)
        old = move.source.target.name

        def confirm(plan: Plan) -> bool:
            held = sorted({step.component for step in plan.steps if step.holds_data})
            return yes or _asked([f"{old}: {len(plan.changing)} resources go, with the data of {', '.join(held)}"])

        with reporting("text") as move.source.emit:
            _, outcome = move.source.destroy(Wishes(delete_data=("*",)), confirm=confirm)
        if outcome.exit_code:
            raise RehostError(f"not everything at {old} is gone", fix="run the same command again")
    click.echo(f"retired: nothing of this stack is left at {old}")


@contextmanager
def _ended(context: click.Context, given: dict[str, Any]) -> Iterator[Move]:
    """The move that a subcommand is about; options may stand before or after its name."""
    above = context.parent.params if context.parent is not None else {}
    names = ("files", "sets", "source", "target", "sandbox", "state")
    chosen: dict[str, Any] = {name: given.get(name) or above.get(name) for name in names}
    move = _move(**chosen)
    try:
        yield move
    finally:
        move.source.close()
        move.target.close()
