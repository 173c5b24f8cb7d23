"""rehost adopt"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rehost.cli.exits import Exit
from rehost.cli.options import answer_option, deployment_of, store_options, write_text

if TYPE_CHECKING:
    from rehost.stacks.deployment import Deployment
    from rehost.stacks.lift import Lifted
    from rehost.stacks.model import Stack


@click.command(help="Write what runs in an account as a stack file, and take it into state.")
@click.option("--on", "target", required=True, metavar="TARGET", help="Target to look at, in the stack file.")
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(path_type=Path),
    default=Path("stack.yaml"),
    show_default=True,
    help="Stack file; one with a name and targets alone is completed, one that is not there is made.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the stack there instead.")
@click.option("--name", help="Name of the stack, where there is no file yet.")
@click.option("--provider", help="Provider of the target, where there is no file yet  [default: its name].")
@click.option("--region", help="Region of the target, where there is no file yet.")
@click.option("labels", "--label", "--tag", multiple=True, metavar="KEY[=VALUE]", help="Only what has this label.")
@click.option(
    "names", "--only", multiple=True, metavar="NAME", help="Only what is called so; * stands for any text."
)
@click.option("ids", "--id", multiple=True, metavar="ID", help="Only what has this id.")
@click.option("import_", "--import", is_flag=True, help="Take what was found into state, under its ids.")
@click.option("--force", is_flag=True, help="Write over components that the file has already.")
@store_options
@answer_option
def command(
    target: str,
    file: Path,
    out: Path | None,
    name: str | None,
    provider: str | None,
    region: str | None,
    labels: tuple[str, ...],
    names: tuple[str, ...],
    ids: tuple[str, ...],
    import_: bool,
    force: bool,
    state: str | None,
    sandbox: bool,
    format_: str,
) -> None:
    from rehost.cli.render.adopt import AdoptView, document, markdown
    from rehost.cli.render.console import show
    from rehost.stacks import adopt
    from rehost.stacks.errors import Refused

    stack = _stack(file, target, name, provider, region)
    full = adopt.written(stack)
    if full and out is None and not import_ and not force:
        raise Refused(
            f"{file} has components already",
            why="they would be written over",
            fix="write to another file with --out, take into state with --import, or give --force",
        )
    if full and not import_:
        stack = stack.model_copy(
            update={family: None if family == "network" else {} for family in _families(stack)}
        )
    deployment = deployment_of(stack, target, state, file.parent, None, sandbox)
    try:
        items = adopt.found(deployment, adopt.Chosen(labels, names, ids))
        result = adopt.lifted(deployment, items)
        where = out or (None if full and import_ else file)
        if where is not None:
            _write(where, deployment, result)
        taken = adopt.take(_valid(where or file, deployment), items, result) if import_ else 0
    finally:
        deployment.close()
    title = {item.key: deployment.adapter.rules(item.type).title for item in items}
    if format_ == "json":
        click.echo(json.dumps(document(result, items, title, str(where or file), taken), indent=2))
    elif format_ == "markdown":
        click.echo(markdown(result, items, title), nl=False)
    else:
        show(AdoptView(result, items, title, str(where or file), taken, target))


def _families(stack: Stack) -> list[str]:
    from rehost.stacks.adopt import written

    plain = ("stack", "targets", "checks", "secrets")
    return [name for name in type(stack).model_fields if name not in plain] if written(stack) else []


def _stack(file: Path, target: str, name: str | None, provider: str | None, region: str | None) -> Stack:
    """The stack in the file; or a new one, of a name and a target."""
    from rehost.cli.commands.init import _name_of
    from rehost.providers import registry
    from rehost.stacks.errors import InvalidInput
    from rehost.stacks.model import Stack

    if file.exists():
        if name or provider or region:
            raise click.UsageError(f"{file} is there and says name, provider and region itself")
        return _read(file)
    adapter = registry.adapter(provider or target)
    if region is None and len(adapter.regions()) != 1:
        raise InvalidInput(
            f"there is no {file}, and no region for {target}",
            why="what runs in one region is looked at",
            fix=f"give --region, for example {adapter.regions()[0]}",
        )
    about: dict[str, Any] = {"provider": provider or target, "region": region or adapter.regions()[0]}
    return Stack.model_validate({"stack": name or _name_of(file.resolve().parent), "targets": {target: about}})


def _write(where: Path, deployment: Deployment, result: Lifted) -> None:
    from rehost.stacks.lift.stackfile import to_text

    def kind(token: str) -> str:
        return deployment.adapter.rules(token).title if ":" in token else token

    left = [(item, kind(item.type)) for item in result.left]
    text = to_text(result.data, deployment.stack.targets.values(), result.notes, left)
    write_text(where, text)


def _valid(file: Path, deployment: Deployment) -> Deployment:
    """The deployment of what was written."""
    from rehost.stacks.adopt import adopting

    return adopting(deployment, _read(file))


def _read(file: Path) -> Stack:
    """The stack in a file, whatever its other targets would not take. Leaves with 3 where it is none."""
    from rehost.cli.options import load_stack
    from rehost.cli.render.diagnostics import show_text

    loaded = load_stack((file,), ())
    if loaded.stack is None:
        show_text(loaded.diagnostics, loaded.sources)
        sys.exit(Exit.INVALID)
    return loaded.stack
