"""rehost schema"""

from __future__ import annotations

import json
from pathlib import Path

import click

from rehost.cli.options import write_text


@click.command(help="Print the JSON Schema of stack files, for completion and checks in editors.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write it to a file.")
def command(out: Path | None) -> None:
    text = schema_text()
    if out is None:
        click.echo(text, nl=False)
        return
    write_text(out, text)
    click.echo(f"wrote {out}", err=True)
    click.echo(f"put this line first in your stack file: # yaml-language-server: $schema={out}", err=True)


def schema_text() -> str:
    """The schema with the providers that are installed, as a document."""
    from rehost.providers.registry import adapter, names
    from rehost.stacks.load.schema import stack_schema

    providers = {name: adapter(name) for name in names()}
    about = {
        name: {"title": found.title, "regions": list(found.regions()), "options": dict(found.options)}
        for name, found in providers.items()
    }
    return json.dumps(stack_schema(about), indent=2, ensure_ascii=False) + "\n"
