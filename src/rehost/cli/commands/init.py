"""rehost init"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from rehost.cli.exits import Exit
from rehost.cli.options import write_text

SCHEMA = "stack.schema.json"
_TEMPLATE = Path(__file__).parent.parent / "data" / "starter.yaml"


@click.command(help="Write a stack file to start from.")
@click.option("--name", help="Name of the stack  [default: that of the folder].")
@click.option(
    "targets",
    "--provider",
    multiple=True,
    metavar="NAME[:REGION]",
    help="Provider of a target, with its region; may be repeated  [default: all that need an account].",
)
@click.option("--domain", help="Domain of the zone  [default: <name>.example].")
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(path_type=Path),
    default=Path("stack.yaml"),
    show_default=True,
    help="Where to write it.",
)
@click.option(
    "--schema/--no-schema", default=True, help=f"Write {SCHEMA} beside it, for editors.", show_default=True
)
@click.option("--force", is_flag=True, help="Write over files that are there.")
def command(
    name: str | None, targets: tuple[str, ...], domain: str | None, file: Path, schema: bool, force: bool
) -> None:
    from rehost.cli.commands.schema import schema_text
    from rehost.stacks.errors import Refused

    beside = file.parent / SCHEMA
    for path in (file, beside) if schema else (file,):
        if path.exists() and not force:
            raise Refused(
                f"{path} is there already", fix="name another file with -f, or write over it with --force"
            )
    text = starter(name or _name_of(file.resolve().parent), _targets(targets), domain, schema)
    _refuse_invalid(text, str(file))
    write_text(file, text)
    click.echo(f"wrote {file}")
    if schema:
        write_text(beside, schema_text())
        click.echo(f"wrote {beside} (completion and hover in editors)")
    _next_steps(file, text)


def starter(name: str, targets: dict[str, tuple[str, str]], domain: str | None, schema: bool) -> str:
    """The text of a new stack file; `targets` has provider and region by target name."""
    lines = [f"  {key}: {{provider: {provider}, region: {region}}}" for key, (provider, region) in targets.items()]
    text = _TEMPLATE.read_text(encoding="utf-8")
    for word, value in (
        ("NAME", name),
        ("TARGETS", "\n".join(lines)),
        ("DOMAIN", domain or f"{name}.example"),
        ("FIRST", next(iter(targets))),
        ("LAST", list(targets)[-1]),
    ):
        text = text.replace(f"<{word}>", value)
    return f"# yaml-language-server: $schema={SCHEMA}\n{text}" if schema else text


def _name_of(folder: Path) -> str:
    made = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:20].strip("-")
    return made if made[:1].isalpha() else "plaza"


def _targets(chosen: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Provider and region by target name. Raises InvalidInput for a provider that nobody has."""
    from rehost.providers.registry import adapter, names
    from rehost.stacks.diagnostics import did_you_mean
    from rehost.stacks.errors import InvalidInput

    made: dict[str, tuple[str, str]] = {}
    for item in chosen or [name for name in names() if adapter(name).account]:
        provider, _, region = item.partition(":")
        if provider not in names():
            raise InvalidInput(f"there is no provider {provider!r}", fix=did_you_mean(provider, names()))
        known = adapter(provider).regions()
        if region and region not in known:
            raise InvalidInput(f"{provider} has no region {region!r}", fix=did_you_mean(region, known))
        region = region or known[0]
        key = provider if provider not in made else f"{provider}-{region}"
        if key in made:
            raise InvalidInput(f"{item} is named twice", fix="name another region")
        made[key] = (provider, region)
    return made


def _refuse_invalid(text: str, file: str) -> None:
    """A name or domain that can't be used is told as `validate` would, before anything is written."""
    from rehost.cli.render.diagnostics import show_text
    from rehost.providers.registry import adapter
    from rehost.stacks.load import load_text
    from rehost.stacks.validate import errors, validate

    loaded = load_text(text, file)
    found = errors(validate(loaded, adapter))
    if found:
        show_text(found, loaded.sources)
        sys.exit(Exit.INVALID)


def _next_steps(file: Path, text: str) -> None:
    named = "" if file.name == "stack.yaml" and file.parent == Path() else f" -f {file}"
    targets = re.findall(r"^  (\S+): \{provider:", text, re.MULTILINE)
    steps = [
        (f"rehost validate{named}", "what is wrong, at any time"),
        (f"rehost plan --on {targets[0]}{named} --no-refresh", "what would be made, without credentials"),
        (f"rehost deploy --on {targets[0]}{named}", "make it"),
    ]
    if len(targets) > 1:
        steps.append((f"rehost migrate --from {targets[0]} --to {targets[-1]}{named} --dry-run", "and move it"))
    width = max(len(line) for line, _ in steps)
    click.echo("\nNext:")
    for line, why in steps:
        click.echo(f"  {line:<{width}}  # {why}")
