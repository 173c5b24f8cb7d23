"""rehost state"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rehost.cli.options import (
    Place,
    answer_option,
    load_place,
    read_text,
    stack_options,
    store_options,
    write_private,
)

if TYPE_CHECKING:
    from rehost.stacks.state import LockInfo, State

F = TypeVar("F", bound=Callable[..., Any])


@click.group(help="Look at what a deployment owns, and repair it by hand.")
def command() -> None:
    """The verbs below."""


def _common(function: F) -> F:
    for option in (
        store_options,
        click.option("--on", "target", metavar="TARGET", help="Target; not needed if only one has a state."),
        stack_options,
    ):
        function = option(function)
    return function


def _show(
    format_: str, document: dict[str, Any], heads: Sequence[str], rows: list[list[str]], nothing: str
) -> None:
    from rehost.cli.render.console import show
    from rehost.cli.render.tables import markdown_table, text_table

    if format_ == "json":
        click.echo(json.dumps({"format_version": 1, **document}, indent=2))
    elif not rows:
        click.echo(nothing)
    elif format_ == "markdown":
        click.echo(markdown_table(heads, rows))
    else:
        show(text_table(heads, rows))


def _require(state: State, place: Place) -> None:
    """Leave with 3 where nothing is, rather than answer with nothing."""
    from rehost.stacks.errors import InvalidInput

    if not state.deployment and not state.holds_anything:
        raise InvalidInput(
            f"{state.stack} on {state.target} has no state in {place.store.url}",
            fix="deploy it first, or check --state and --on",
        )


@command.command("list", help="List resources, remains of replacements, and steps whose end is not known.")
@_common
@answer_option
def list_(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str | None,
    state: str | None,
    sandbox: bool,
    format_: str,
) -> None:
    from rehost.cli.render.state import HEADS, held_dict, held_rows
    from rehost.stacks.state.edit import held

    place = load_place(files, sets, state, sandbox)
    on = place.one(target)
    found = place.store.read(place.stack.stack, on)
    rows = held(found)
    document = {
        "stack": found.stack,
        "target": on,
        "deployment": found.deployment,
        "serial": found.serial,
        "resources": [held_dict(item) for item in rows],
    }
    _show(format_, document, HEADS, held_rows(rows), f"the state of {found.stack} on {on} is empty")


@command.command("show", help="Show all that is known of a resource, by component, name or URN.")
@_common
@answer_option
@click.option("--show-secrets", is_flag=True, help="Show secrets in plain; needs the passphrase.")
@click.argument("address")
def show_(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str | None,
    state: str | None,
    sandbox: bool,
    format_: str,
    show_secrets: bool,
    address: str,
) -> None:
    from rehost.cli.render.state import details_dict, details_text
    from rehost.stacks.state.crypt import no_passphrase
    from rehost.stacks.state.edit import find

    place = load_place(files, sets, state, sandbox)
    found = place.store.read(place.stack.stack, place.one(target))
    if show_secrets and found.locked:
        raise no_passphrase()
    rows = find(found, address)
    if format_ == "json":
        shown = [details_dict(item, shown=show_secrets) for item in rows]
        click.echo(json.dumps({"format_version": 1, "resources": shown}, indent=2))
    else:
        markdown = format_ == "markdown"
        click.echo("\n\n".join(details_text(item, shown=show_secrets, markdown=markdown) for item in rows))


@command.command(help="Write the state as Pulumi deployment JSON, for `pulumi stack import` or a copy.")
@_common
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File; otherwise stdout.")
@click.option("--show-secrets", is_flag=True, help="Write secrets in plain; they stay sealed otherwise.")
def export(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str | None,
    state: str | None,
    sandbox: bool,
    out: Path | None,
    show_secrets: bool,
) -> None:
    place = load_place(files, sets, state, sandbox)
    on = place.one(target)
    _require(place.store.read(place.stack.stack, on), place)
    text = place.store.export(place.stack.stack, on, show_secrets=show_secrets)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_private(out, text)
        click.echo(f"written to {out}", err=True)


def _supersede(place: Place, on: str, text: str, where: str, command_: str, *, force: bool, older: bool) -> None:
    from rehost.providers.registry import adapter
    from rehost.stacks.errors import InvalidInput
    from rehost.stacks.state.edit import held, parse_import, supersede

    if on not in place.stack.targets:
        raise InvalidInput(f"the stack has no target {on!r}", fix="add it to the stack file")
    provider = adapter(place.stack.targets[on].provider)

    def knows(token: str) -> bool:
        try:
            provider.rules(token)
        except KeyError:
            return False
        return True

    new = parse_import(text, place.stack.stack, on, place.passphrase, knows, where=where)
    with place.store.open(place.stack.stack, on, command=command_) as session:
        supersede(session, new, force=force, older=older)
        count = len(held(session.state))
    click.echo(
        f"{place.stack.stack} on {on}: {count} resources from {where}; what was there is a backup", err=True
    )


@command.command("import", help="Take a state from a file: an export, or one that Pulumi wrote.")
@_common
@click.option("--force", is_flag=True, help="Also if something would be lost sight of.")
@click.argument("file", type=click.Path(path_type=Path))
def import_(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str | None,
    state: str | None,
    sandbox: bool,
    force: bool,
    file: Path,
) -> None:
    place = load_place(files, sets, state, sandbox)
    only = next(iter(place.stack.targets)) if len(place.stack.targets) == 1 else None
    on = place.one(target or only)
    _supersede(place, on, read_text(file), str(file), "state import", force=force, older=False)


@command.command(help="Forget resources without deleting them.")
@_common
@click.option("--force", is_flag=True, help="Also if others depend on them.")
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
def rm(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str | None,
    state: str | None,
    sandbox: bool,
    force: bool,
    addresses: tuple[str, ...],
) -> None:
    from rehost.stacks.state.edit import forget

    place = load_place(files, sets, state, sandbox)
    with place.store.open(place.stack.stack, place.one(target), command="state rm") as session:
        gone = forget(session, addresses, force=force)
    for item in gone:
        click.echo(f"forgotten: {item.key} {item.resource.id}".rstrip())
    click.echo("they still exist at the provider, and are nobody's now", err=True)


@command.command(help="Take the lock from a holder that can't be running any more.")
@_common
@click.option("--yes", is_flag=True, help="Do not ask.")
def unlock(
    files: tuple[Path, ...], sets: tuple[str, ...], target: str | None, state: str | None, sandbox: bool, yes: bool
) -> None:
    place = load_place(files, sets, state, sandbox)
    on = target or place.one(target)
    holder = place.store.holder(place.stack.stack, on)
    if holder is None:
        click.echo(f"{place.stack.stack} on {on} is not locked")
        return
    _confirm(f"{place.stack.stack} on {on} is locked by {_told(holder)}", "Take the lock away?", yes)
    place.store.unlock(place.stack.stack, on)
    click.echo("unlocked")


def _told(holder: LockInfo) -> str:
    return f"{holder.told()} since {holder.since}"


def _confirm(what: str, question: str, yes: bool) -> None:
    from rehost.stacks.errors import Refused

    click.echo(what, err=True)
    if not yes and not (sys.stdin.isatty() and click.confirm(question, err=True)):
        raise Refused("nothing was changed", why="it was not confirmed", fix="give --yes")


@command.command(help="List earlier states that are kept.")
@_common
@answer_option
def backups(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str | None,
    state: str | None,
    sandbox: bool,
    format_: str,
) -> None:
    place = load_place(files, sets, state, sandbox)
    on = target or place.one(target)
    kept = place.store.backups(place.stack.stack, on)
    rows = [[str(backup.serial), f"{backup.size:,} bytes"] for backup in kept]
    document = {"backups": [{"serial": backup.serial, "size": backup.size} for backup in kept]}
    _show(format_, document, ["NUMBER", "SIZE"], rows, f"no backup of {place.stack.stack} on {on} is kept")


@command.command(help="Put an earlier state back; see `backups` for the numbers.")
@_common
@click.option("--force", is_flag=True, help="Also if something would be lost sight of.")
@click.argument("number", type=click.IntRange(min=0))
def restore(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str | None,
    state: str | None,
    sandbox: bool,
    force: bool,
    number: int,
) -> None:
    place = load_place(files, sets, state, sandbox)
    on = target or place.one(target)
    text = place.store.backup(place.stack.stack, on, number)
    _supersede(place, on, text, f"backup {number}", "state restore", force=force, older=True)


@command.command(help="Take the state to another place, and leave a pointer to it.")
@_common
@click.option("--to", required=True, metavar="FOLDER|URL", help="The new place, as --state takes it.")
@click.option("--force", is_flag=True, help="Overwrite a state that is there.")
def move(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str | None,
    state: str | None,
    sandbox: bool,
    to: str,
    force: bool,
) -> None:
    from rehost.stacks.state.edit import move as move_state

    place = load_place(files, sets, state, sandbox)
    on = place.one(target)
    new = place.open(to)
    moved = move_state(place.store, new, place.stack.stack, on, force=force)
    click.echo(f"the state of {moved.stack} on {on} is in {new.url} now: give --state, or set REHOST_STATE to it")
