"""rehost diff"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from rehost import __version__
from rehost.cli.exits import Exit
from rehost.cli.options import deployment_of, environment_of, informed, stack_options, store_options, valid_stack

_FAIL = {"lost": 3, "operator": 2, "substituted": 1}


def _sizes(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, int]:
    from rehost.stacks.model import parse_size

    del context
    sizes = {}
    for item in given:
        component, sign, size = item.partition("=")
        try:
            sizes[component] = parse_size(size)
        except ValueError as error:
            raise click.BadParameter(f"{item!r}: {error}", param=parameter) from error
        if not sign:
            raise click.BadParameter(f"{item!r}: write buckets.media=200GiB", param=parameter)
    return sizes


@click.command(help="Show how a stack fits two targets: what is native, substituted, lost, or needs you.")
@stack_options
@click.option("--from", "source", required=True, metavar="TARGET", help="Where it runs now.")
@click.option("--to", "target", required=True, metavar="TARGET", help="Where it would go.")
@click.option(
    "--size", "sizes", multiple=True, callback=_sizes, metavar="COMPONENT=SIZE", help="Data to be moved."
)
@click.option(
    "--bandwidth", type=click.FloatRange(min=0, min_open=True), metavar="MBIT/S", help="Of the way there."
)
@click.option("--measure", is_flag=True, help="Measure the deployed buckets where it runs now; needs credentials.")
@store_options
@click.option("--fail-on", type=click.Choice(list(_FAIL)), help="Leave with 1 if anything fits as badly as this.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "markdown", "sarif"]),
    default="text",
    show_default=True,
)
def command(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    source: str,
    target: str,
    sizes: dict[str, int],
    bandwidth: float | None,
    measure: bool,
    state: str | None,
    sandbox: bool,
    fail_on: str | None,
    format_: str,
) -> None:
    from rehost.cli.render import portability as render
    from rehost.cli.render.console import show
    from rehost.cli.render.diagnostics import to_sarif
    from rehost.providers.registry import adapter
    from rehost.stacks.diagnostics import did_you_mean
    from rehost.stacks.errors import InvalidInput
    from rehost.stacks.portability import compare, components

    loaded, stack = valid_stack(files, sets)
    for name in (source, target):
        if name not in stack.targets:
            raise InvalidInput(f"the stack has no target {name!r}", fix=did_you_mean(name, list(stack.targets)))
    known = [address for address, _ in components(stack)]
    for address in sizes:
        if address not in known:
            raise InvalidInput(f"--size: there is no component {address!r}", fix=did_you_mean(address, known))
    if measure:
        from rehost.stacks.measuring import measured

        deployment = deployment_of(stack, source, state, Path(loaded.file).parent, None, sandbox)
        try:
            sizes = {**measured(deployment), **sizes}
        finally:
            deployment.close()
    here, there = stack.targets[source], stack.targets[target]
    environment = environment_of(sandbox)
    found = compare(
        stack,
        (informed(adapter(here.provider), environment), here),
        (informed(adapter(there.provider), environment), there),
        sizes=sizes,
        bandwidth=bandwidth * 1e6 / 8 if bandwidth else None,
    )
    match format_:
        case "json":
            click.echo(json.dumps(render.as_dict(found), indent=2))
        case "markdown":
            click.echo(render.markdown(found), nl=False)
        case "sarif":
            click.echo(to_sarif(render.diagnostics(found, loaded), __version__, loaded.file))
        case _:
            show(render.PortabilityView(found))
    if fail_on and found.worst >= _FAIL[fail_on]:
        sys.exit(Exit.FAILED)
