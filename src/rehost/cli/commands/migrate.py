"""rehost migrate"""

from __future__ import annotations

import json
from pathlib import Path

import click

from rehost.cli.options import (
    format_option,
    load_deployment,
    stack_options,
    stop_on_interrupt,
    store_options,
)


@click.command(help="Take a stack with its data from one target to another.")
@stack_options
@format_option
@click.option("--from", "source", required=True, metavar="TARGET", help="Where it runs now; only read.")
@click.option("--to", "target", required=True, metavar="TARGET", help="Where it goes.")
@store_options
@click.option("--parallel", type=click.IntRange(1, 256), default=None, help="Calls at once, at most.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
def command(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    format_: str,
    source: str,
    target: str,
    sandbox: bool,
    state: str | None,
    parallel: int | None,
    dry_run: bool,
) -> None:
    from rehost.cli.render.events import reporting
    from rehost.stacks.migrate.migration import Migration

    stop = stop_on_interrupt()
    old = load_deployment(files, sets, source, parallel, sandbox, state, stop=stop)
    new = load_deployment(files, sets, target, parallel, sandbox, state, stop=stop)
    folder = new.store.folder / new.stack.stack / f"{source}-{target}"
    migration = Migration(old, new, folder, parallel or 16)
    try:
        if dry_run:
            told = migration.preview()
            if format_ == "json":
                click.echo(json.dumps({"format_version": 1, **told}, indent=2))
            else:
                made = ", ".join(f"{count} to {action}" for action, count in told["steps"].items() if count)
                click.echo(f"provision {target}: {made}")
                for name, size in told["buckets"].items():
                    click.echo(f"copy bucket {name}: {size['objects']} objects, {size['bytes']} bytes")
            return
        with reporting(format_) as new.emit:
            record = migration.run()
    finally:
        old.close()
        new.close()
    if format_ == "json":
        click.echo(json.dumps({"event": "migrated", **record}))
        return
    for entry in record["phases"]:
        click.echo(f"{entry['phase']:<10} {entry['seconds']:>8.2f} s")
    for name, report in next(e for e in record["phases"] if e["phase"] == "verify")["buckets"].items():
        click.echo(f"bucket {name}: {report['objects']} objects, {report['bytes']} bytes")
        click.echo(f"  {report['copied']} copied, {report['skipped']} there already, {report['removed']} removed")
        click.echo(f"  sha256 sent      {report['source_digest']}")
        click.echo(f"  sha256 read back {report['destination_digest']}")
    click.echo(f"record: {folder / 'migration.json'}")
