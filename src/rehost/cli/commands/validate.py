"""rehost validate"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rehost import __version__
from rehost.cli.exits import Exit
from rehost.cli.options import load_stack, stack_options


@click.command(help="Report everything that is wrong with a stack file.")
@stack_options
@click.option(
    "--format", "format_", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True
)
def command(files: tuple[Path, ...], sets: tuple[str, ...], format_: str) -> None:
    from rehost.cli.render.diagnostics import show_text, to_json, to_sarif
    from rehost.providers.registry import adapter
    from rehost.stacks.validate import errors, validate

    loaded = load_stack(files, sets)
    found = validate(loaded, adapter)
    if format_ == "json":
        click.echo(to_json(found))
    elif format_ == "sarif":
        click.echo(to_sarif(found, __version__, loaded.file))
    else:
        show_text(found, loaded.sources, stderr=False)
        if loaded.stack is not None and not errors(found):
            click.echo(f"{loaded.file}: valid for {', '.join(loaded.stack.targets) or 'no target yet'}")
    if errors(found):
        sys.exit(Exit.INVALID)
