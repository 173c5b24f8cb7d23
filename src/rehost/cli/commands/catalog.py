"""rehost catalog"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from rehost.cli.exits import Exit
from rehost.cli.options import answer_option, environment_of, informed


def _size(context: click.Context, parameter: click.Parameter, given: str | None) -> int | None:
    from rehost.stacks.model import parse_size

    del context
    try:
        return None if given is None else parse_size(given)
    except ValueError as error:
        raise click.BadParameter(f"{given!r}: {error}", param=parameter) from error


@click.command(help="Show what a provider has, what it costs, and since when that is known.")
@click.argument("provider")
@click.option(
    "--region", "regions", multiple=True, metavar="REGION", help="Of this region.  [default: the usual one]"
)
@click.option("--all-regions", is_flag=True, help="Of every region that is known.")
@click.option(
    "--family",
    type=click.Choice(["servers", "databases", "caches", "load_balancers"]),
    help="Only these types.",
)
@click.option("--cpu", type=click.IntRange(1), help="Types with so many CPUs, at least.")
@click.option("--memory", callback=_size, metavar="SIZE", help="Types with so much memory, at least: 4GiB.")
@click.option("--disk", callback=_size, metavar="SIZE", help="Types with such a disk, at least.")
@click.option("--architecture", type=click.Choice(["x86_64", "arm64"]), help="Types of this architecture.")
@click.option("--need", is_flag=True, help="Say which server type a need of this size would get, and why.")
@click.option("--retired", is_flag=True, help="Show types that can't be ordered any more, too.")
@click.option("--refresh", is_flag=True, help="Ask the provider now, and keep the answer.")
@click.option("--sandbox", is_flag=True, help="Ask the running sandbox.")
@answer_option
def command(
    provider: str,
    regions: tuple[str, ...],
    all_regions: bool,
    family: str | None,
    cpu: int | None,
    memory: int | None,
    disk: int | None,
    architecture: str | None,
    need: bool,
    retired: bool,
    refresh: bool,
    sandbox: bool,
    format_: str,
) -> None:
    from rehost.cli.render import catalog as render
    from rehost.cli.render.console import show
    from rehost.providers.registry import adapter, names
    from rehost.stacks.diagnostics import did_you_mean
    from rehost.stacks.errors import InvalidInput
    from rehost.stacks.ports import Catalogued

    if provider not in names():
        raise InvalidInput(f"there is no provider {provider!r}", fix=did_you_mean(provider, list(names())))
    chosen = adapter(provider)
    if not isinstance(chosen, Catalogued):
        raise InvalidInput(
            f"{provider} has no catalog", why="what it has is the same everywhere and costs nothing"
        )
    known = list(chosen.regions())
    for region in regions:
        if region not in known:
            raise InvalidInput(
                f"{provider} has no region {region!r} that is known", fix=did_you_mean(region, known)
            )
    environment = environment_of(sandbox)
    wanted = known if all_regions else list(dict.fromkeys(regions)) or known[:1]
    if refresh:
        chosen.ask(wanted, environment)
    chosen = informed(adapter(provider), environment)
    assert isinstance(chosen, Catalogued)
    asked = {"cpu": cpu, "memory": memory, "disk": disk, "architecture": architecture}
    wish = render.Wish(family, {key: value for key, value in asked.items() if value is not None}, retired)
    told: list[dict[str, Any]] = []
    for region in wanted:
        told.append(render.region(region, chosen.sheet(region), wish, chosen.currency))
        if need:
            told[-1]["choice"] = render.choice(chosen, region, wish)
    if format_ == "json":
        click.echo(json.dumps(render.as_dict(provider, chosen.currency, told), indent=2))
    elif format_ == "markdown":
        click.echo(render.markdown(chosen.title, chosen.currency, told), nl=False)
    else:
        show(render.CatalogView(chosen.title, chosen.currency, told))
    if need and any(row["choice"]["type"] is None for row in told):
        sys.exit(Exit.FAILED)
