"""rehost providers"""

from __future__ import annotations

import json

import click


@click.command(help="Show which providers there are, and what one of them has.")
@click.argument("name", required=False)
@click.option("--format", "format_", type=click.Choice(["text", "json", "markdown"]), default="text")
def command(name: str | None, format_: str) -> None:
    from rehost.cli.render import providers as render
    from rehost.cli.render.console import show
    from rehost.providers.registry import adapter, names
    from rehost.stacks.diagnostics import did_you_mean
    from rehost.stacks.errors import InvalidInput

    if name is None:
        told = [render.summary(adapter(known)) for known in names()]
        if format_ == "json":
            click.echo(json.dumps({"format_version": 1, "providers": told}, indent=2))
        elif format_ == "markdown":
            click.echo(render.summary_markdown(told), nl=False)
        else:
            show(render.summary_table(told))
        return
    if name not in names():
        raise InvalidInput(f"there is no provider {name!r}", fix=did_you_mean(name, list(names())))
    page = render.page(adapter(name))
    if format_ == "json":
        click.echo(json.dumps({"format_version": 1, **page}, indent=2))
    elif format_ == "markdown":
        click.echo(render.page_markdown(page), nl=False)
    else:
        show(render.PageView(page))
