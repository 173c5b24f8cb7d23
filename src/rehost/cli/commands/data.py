"""rehost data"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rehost.cli.databases import database_options, is_database
from rehost.cli.exits import Exit
from rehost.cli.options import answer_option, format_option, stop_on_interrupt

if TYPE_CHECKING:
    from rehost.stacks.data.report import Report

LINE_S = 2.0
"""Seconds between two lines of progress."""


@click.group(help="Copy and verify objects and databases between any two places.")
def command() -> None:
    """Verbs of the movers."""


def _options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.argument("destination", metavar="DST"),
        click.argument("source", metavar="SRC"),
        click.option(
            "--evidence",
            type=click.Path(path_type=Path, file_okay=False),
            default=Path(".rehost/data"),
            show_default=True,
            help="Folder that keeps what was sent and read back.",
        ),
        click.option("--allow-foreign", is_flag=True, help="Let stay what is at DST already, and write over it."),
        click.option("--allow-empty", is_flag=True, help="Let DST become empty if SRC is."),
        click.option(
            "--parallel", type=click.IntRange(1, 256), default=None, help="At once: 16 objects, 4 tables."
        ),
        click.option("--sandbox", is_flag=True, help="With the keys and endpoints of the running sandbox."),
        format_option,
        database_options,
    ):
        function = option(function)
    return function


_PLACES = """SRC and DST are folders or s3://bucket/prefix?region=..&endpoint=..&profile=..&keys=NAME, where NAME
stands for NAME_ACCESS_KEY, NAME_SECRET_KEY and NAME_ENDPOINT; without it AWS's own variables count. Or both are
postgres://user@host:port/database (a password: in PGPASSWORD or ~/.pgpass, where one serves for both)."""


@command.command(help=f"Make DST hold what SRC holds; the same command again copies only changes.\n\n{_PLACES}")
@_options
def copy(source: str, destination: str, **how: Any) -> None:
    _run(source, destination, True, how)


@command.command(help=f"Read both sides and say what differs; leaves with 5 if anything does.\n\n{_PLACES}")
@_options
def verify(source: str, destination: str, **how: Any) -> None:
    _run(source, destination, False, how)


@command.command(help="Show the replication slots of a database server, and what they hold back.")
@click.argument("url")
@click.option("--drop", metavar="NAME", help="Drop one of rehost's.")
@answer_option
def slots(url: str, drop: str | None, format_: str) -> None:
    from rehost.cli.databases import show_slots

    show_slots(url, drop, format_)


@command.command(help="Let nobody but rehost write to a database, and prove it: logins end, sessions too.")
@click.argument("url")
def freeze(url: str) -> None:
    from rehost.cli.databases import freeze as put_up

    put_up(url)


@command.command(help="Let a database be written to again, whoever froze it.")
@click.argument("url")
def thaw(url: str) -> None:
    from rehost.cli.databases import thaw as take_down

    take_down(url)


def _run(source: str, destination: str, copy: bool, how: dict[str, Any]) -> None:
    """Objects or databases: each has options that the other has not."""
    from rehost.cli import databases
    from rehost.stacks.errors import InvalidInput

    own = {"mode", "follow", "identity", "leave", "bandwidth", "wal_budget", "disk", "disk_floor", "slot_patience"}
    if is_database(source) != is_database(destination):
        raise InvalidInput("a database goes into a database", fix="name two postgres:// URLs")
    if is_database(source):
        del how["allow_empty"], how["sandbox"]
        (databases.copy if copy else databases.verify)(source, destination, databases.Chosen(**how))
        return
    for name in own:
        del how[name]
    how["parallel"] = how["parallel"] or 16
    _objects(source, destination, copy=copy, **how)


def _objects(
    source: str,
    destination: str,
    *,
    copy: bool,
    evidence: Path,
    allow_foreign: bool,
    allow_empty: bool,
    parallel: int,
    sandbox: bool,
    format_: str,
) -> None:
    from rehost.cli.options import environment_of
    from rehost.providers.places import open_place
    from rehost.stacks.data.buckets import Allowed
    from rehost.stacks.data.copies import Copies
    from rehost.stacks.data.work import Patience
    from rehost.stacks.engine.clock import Clock
    from rehost.stacks.errors import InvalidInput

    environment = environment_of(sandbox)
    # The SDK looks for credentials in the environment of the process.
    os.environ.update({name: environment[name] for name in environment.keys() - os.environ.keys()})
    pair = tuple(where if "://" in where else str(Path(where).resolve()) for where in (source, destination))
    if pair[0] == pair[1]:
        raise InvalidInput("SRC and DST are the same place", fix="name two")
    old, new = open_place(source, environment, exists=True), open_place(destination, environment)
    clock = Clock()
    copies = Copies(
        old, new, (pair[0], pair[1]), evidence.resolve(), Patience(clock, stop_on_interrupt()), clock,
        _Watch(format_), parallel, Allowed(allow_foreign, allow_empty),
    )  # fmt: skip
    report = copies.run(copy=copy)
    verb = "copied" if copy else "verified"
    if format_ == "json":
        click.echo(json.dumps({"event": verb, "evidence": str(copies.path), **report.as_dict()}))
    else:
        _show(report, destination, verb)
    if report.differences or report.foreign:
        sys.exit(Exit.UNPROVEN)
    if report.failures or report.moved:
        sys.exit(Exit.FAILED)


class _Watch:
    """Says now and then how far it is."""

    def __init__(self, format_: str) -> None:
        self._format = format_
        self._told = self._began = time.monotonic()

    def __call__(self, report: Report) -> None:
        from rehost.cli.render.units import duration, size

        now = time.monotonic()
        if now - self._told < LINE_S:
            return
        self._told = now
        done = report.copied + report.skipped + report.adopted
        if self._format == "json":
            told = {"objects": done, "bytes": report.copied_bytes, "read_back": report.read_back}
            click.echo(json.dumps({"event": "progress", "at": round(time.time(), 3), **told}))
        else:
            rate = size(report.passed_bytes / (now - self._began))
            text = (
                f"{done:,} objects done, {report.read_back:,} read back, {rate}/s, {duration(now - self._began)}"
            )
            click.echo(text, err=True)


def _show(report: Report, where: str, verb: str) -> None:
    from rehost.cli.render.units import count, size

    if verb == "copied":
        told = f"{count(report.copied, 'object')} copied ({size(report.copied_bytes)})"
        told += f", {report.skipped:,} there already"
        told += f", {report.removed:,} removed" + (f", {report.adopted:,} taken over" if report.adopted else "")
        click.echo(f"{told}; {report.read_back:,} read back and compared")
    else:
        click.echo(
            f"{count(report.objects, 'object')} at the source, {report.destination_objects:,} at the destination, "
            f"{report.read_back:,} read and compared"
        )
    for name, number in report.lost.items():
        click.echo(f"lost: {name} of {count(number, 'object')}: not kept by {where}")
    for what, names in (
        ("difference", report.differences),
        ("foreign", report.foreign),
        ("failed", report.failures),
    ):
        for text in names.first[:20]:
            click.echo(f"{what}: {text}", err=True)
        if names.count > 20:
            click.echo(f"{what}: and {names.count - 20} more", err=True)
    if report.moved:
        click.echo(f"{report.moved} objects change faster than they can be read: run again", err=True)
    if report.differences and verb == "copied":
        click.echo("run the same command again: what differs is copied anew", err=True)
    if report.foreign:
        click.echo("remove what is foreign, or let it stay with --allow-foreign", err=True)
    if not report.problems and not report.moved:
        click.echo("both sides hold the same")
