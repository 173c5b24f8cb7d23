"""rehost sandbox"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

from rehost.cli.exits import Exit

_folder = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="The sandbox's folder; default: .rehost-sandbox here.",
)


@click.group(help="Stand-ins for the providers on loopback.")
def command() -> None:
    """Verbs of the sandbox."""


def _chosen(folder: Path | None) -> Path:
    from rehost.providers.sandbox.control import default_folder

    return folder.resolve() if folder else default_folder()


@command.command(help="Start the stand-ins in the background.")
@_folder
def up(folder: Path | None) -> None:
    from rehost.providers.sandbox import control

    where = _chosen(folder)
    was = control.record(where)
    running = control.up(where)
    click.echo(
        f"the sandbox is {'up already' if was else 'up'} (process {running['pid']}, logs in {where / 'logs'})"
    )
    click.echo('point any tool at it with: eval "$(rehost sandbox env)"', err=True)


@command.command(help="End the stand-ins.")
@_folder
def down(folder: Path | None) -> None:
    from rehost.providers.sandbox import control

    click.echo("the sandbox is down" if control.down(_chosen(folder)) else "no sandbox was running")


@command.command(help="Say whether the stand-ins run; leaves with 1 if not.")
@_folder
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
def status(folder: Path | None, format_: str) -> None:
    from rehost.providers.sandbox import control

    running = control.record(_chosen(folder))
    if format_ == "json":
        click.echo(json.dumps({"format_version": 1, "up": running is not None, "pid": (running or {}).get("pid")}))
    else:
        click.echo(f"up (process {running['pid']})" if running else "down")
    if running is None:
        sys.exit(Exit.FAILED)


@command.command(help="Print the variables that point any tool at the stand-ins.")
@_folder
@click.option("--format", "format_", type=click.Choice(["shell", "json", "dotenv"]), default="shell")
def env(folder: Path | None, format_: str) -> None:
    from rehost.providers.sandbox import control

    variables = control.connection(_chosen(folder))
    if format_ == "json":
        click.echo(json.dumps(variables, indent=2))
        return
    prefix = "export " if format_ == "shell" else ""
    for name, value in variables.items():
        click.echo(f"{prefix}{name}={shlex.quote(value)}")
