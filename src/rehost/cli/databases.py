"""`rehost data` between two databases."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from rehost.cli.exits import Exit
from rehost.cli.options import stop_on_interrupt

if TYPE_CHECKING:
    from rehost.stacks.data.postgres.mover import Mover
    from rehost.stacks.data.postgres.report import DatabaseReport
    from rehost.stacks.data.report import Report

LINE_S = 2.0
"""Seconds between two lines of progress."""
PARALLEL = 4


def is_database(where: str) -> bool:
    """Whether a place is a database."""
    return urlsplit(where).scheme in ("postgres", "postgresql")


class Bytes(click.ParamType):  # type: ignore[type-arg]
    """`512MiB`, `16GiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from rehost.stacks.model import parse_size

        try:
            return value if isinstance(value, int) else parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def database_options(function: Callable[..., None]) -> Callable[..., None]:
    """Options that count between databases only."""
    for option in (
        click.option("--slot-patience", type=click.FloatRange(0), default=600.0, show_default=True,
                     help="Databases: seconds that a slot waits for open transactions."),
        click.option("--disk", type=Bytes(), default=None, help="Databases: size of the source's disk,"
                                                                " for --disk-floor."),
        click.option("--disk-floor", type=Bytes(), default=0,
                     help="Databases: drop the slot when less is free on the source's disk."),
        click.option("--wal-budget", type=Bytes(), default="16GiB", show_default=True,
                     help="Databases: drop the slot when it holds back more of the source's log."),
        click.option("--bandwidth", type=Bytes(), default=0, help="Databases: copy at most so much a second."),
        click.option("--leave", type=click.Choice(["unlogged", "large-objects", "triggers"]), multiple=True,
                     help="Databases: let this kind stay behind, or be, as it is."),
        click.option("--replica-identity-full", "identity", is_flag=True,
                     help="Databases: set REPLICA IDENTITY FULL for tables without a key, for the time of"
                          " the move."),
        click.option("--follow", is_flag=True, help="Databases: go on until Ctrl-C; the slot stays then."),
        click.option("--mode", type=click.Choice(["live", "dump", "auto"]), default="live", show_default=True,
                     help="Databases: follow changes, or dump one moment; auto dumps what can't be followed."),
    ):  # fmt: skip
        function = option(function)
    return function


@dataclass(frozen=True)
class Chosen:
    """What the options said."""

    evidence: Path
    format_: str
    parallel: int | None
    allow_foreign: bool
    mode: str
    follow: bool
    identity: bool
    leave: tuple[str, ...]
    bandwidth: int
    wal_budget: int
    disk_floor: int
    disk: int | None
    slot_patience: float


def opened(source: str, destination: str, chosen: Chosen) -> Mover:
    """The mover between two URLs."""
    from rehost.stacks.data.copies import keep_private
    from rehost.stacks.data.postgres.mover import Mover
    from rehost.stacks.data.postgres.options import Allowed, Options
    from rehost.stacks.data.postgres.session import Server
    from rehost.stacks.data.postgres.slots import free_of

    folder = chosen.evidence.resolve()
    keep_private(folder)
    options = Options(
        chosen.parallel or PARALLEL, chosen.bandwidth, chosen.wal_budget, chosen.disk_floor, free_of(chosen.disk),
        chosen.slot_patience, allowed=Allowed(chosen.allow_foreign, chosen.identity, frozenset(chosen.leave)),
    )  # fmt: skip
    watch = Watch(chosen.format_)
    return Mover(
        Server(source, "source"), Server(destination, "destination"), folder, options, stop_on_interrupt(),
        watch=watch, note=watch.note,
    )  # fmt: skip


def copy(source: str, destination: str, chosen: Chosen) -> None:
    """Make the destination hold what the source holds, and compare. Leaves with 5 where they differ."""
    from rehost.stacks.errors import RehostError

    with opened(source, destination, chosen) as mover:
        if chosen.mode == "dump" or (chosen.mode == "auto" and _unfit(mover)):
            _dump(mover, chosen)
            return
        try:
            mover.replicate()
            if chosen.follow:
                mover.follow(lambda: False)
            mover.verify()
            for text in mover.complete():
                mover.report.find("differences", text)
            mover.finish(forget=False)
        except RehostError:
            _left_behind(mover)
            raise
        _tell(mover.report, "copied", mover, chosen)


def verify(source: str, destination: str, chosen: Chosen) -> None:
    """Compare both sides; leaves with 5 where they differ."""
    with opened(source, destination, chosen) as mover:
        mover.compare()
        for text in mover.complete():
            mover.report.find("differences", text)
        _tell(mover.report, "verified", mover, chosen)


def show_slots(url: str, drop: str | None, format_: str) -> None:
    """All slots of a server. Raises Refused for one that is not ours."""
    from rehost.cli.render.units import size
    from rehost.stacks.data.postgres.session import Server
    from rehost.stacks.data.postgres.slots import PREFIX, drop_slot, slots_of
    from rehost.stacks.errors import InvalidInput, Refused

    server = Server(url, "source")
    link = server.connect()
    try:
        with server.speaking("look at slots"):
            if drop is not None:
                if not drop.startswith(PREFIX):
                    raise Refused(
                        f"the slot {drop} is not rehost's", fix=f"SELECT pg_drop_replication_slot('{drop}')"
                    )
                if not drop_slot(link, drop):
                    raise InvalidInput(f"there is no slot {drop}", fix="see `rehost data slots`")
            found = slots_of(link)
    finally:
        link.close()
    if format_ == "json":
        click.echo(json.dumps({"format_version": 1, "slots": [slot.as_dict() for slot in found]}, indent=2))
        return
    if drop is not None:
        click.echo(f"dropped {drop}: a move that used it compares everything when it is run again")
    for slot in found:
        state = "lost" if slot.lost else "in use" if slot.active else "unused"
        whose = "rehost's" if slot.ours else "of somebody else"
        told = f"{slot.name}  {whose}, database {slot.database or '-'}, {state}"
        click.echo(f"{told}, holds {size(slot.held)} of the log")
    if not found:
        click.echo("no slots")


def freeze(url: str) -> None:
    """Put the fence up. Raises Unproven."""
    from rehost.stacks.data.postgres.fence import Fence
    from rehost.stacks.data.postgres.session import Server

    server = Server(url, "source")
    proof = Fence(server).freeze()
    click.echo(f"{server.name} is frozen: {proof.ended} session(s) ended, nobody but the own role can connect")
    for name in proof.beyond:
        click.echo(f"superuser {name} can't be kept out by this role", err=True)
    click.echo("thaw it with: rehost data thaw URL")


def thaw(url: str) -> None:
    """Take the fence down."""
    from rehost.stacks.data.postgres.fence import Fence
    from rehost.stacks.data.postgres.session import Server

    server = Server(url, "source")
    stood = Fence(server).thaw()
    click.echo(f"{server.name} can be written to again" if stood else f"{server.name} was not frozen")


def _unfit(mover: Mover) -> bool:
    reasons = [finding.what for finding in mover.preflight() if finding.kind != "warning"]
    if reasons:
        mover.note(f"dumped, as it can't be followed: {'; '.join(reasons)}")
    return bool(reasons)


def _dump(mover: Mover, chosen: Chosen) -> None:
    from rehost.stacks.data.postgres.dump import move

    mover.note("what is written to the source from now on is not carried")
    found = move(mover.source, mover.destination, mover.folder, mover.options.parallel, mover.report, mover.stop)
    mover.report.objects = mover.report.copied = len(found.sums)
    mover.report.rows = found.rows
    for difference in found.differences:
        mover.report.find("differences", str(difference))
    for text in mover.complete():
        mover.report.find("differences", text)
    _tell(mover.report, "copied", mover, chosen)


def _left_behind(mover: Mover) -> None:
    """Say that a slot stays at the source, which fills its disk if nobody comes back."""
    from rehost.stacks.data.postgres.slots import slot_of
    from rehost.stacks.errors import RehostError

    try:
        slot = slot_of(mover.links[0], mover.slot)
    except RehostError:
        return
    if slot is not None:
        mover.note(
            f"the slot {slot.name} stays at the source and holds its log until the same command is run again;"
            f" without one: rehost data slots SRC --drop {slot.name}"
        )


def _tell(report: DatabaseReport, verb: str, mover: Mover, chosen: Chosen) -> None:
    from rehost.cli.render.units import count, size

    if chosen.format_ == "json":
        click.echo(json.dumps({"event": verb, "evidence": str(mover.folder), **report.as_dict()}))
    else:
        if verb == "copied":
            told = f"{count(report.copied, 'range')} copied ({size(report.copied_bytes)})"
            told += f", {report.adopted:,} there already"
            click.echo(f"{told}; {count(report.changes, 'change')} followed")
        click.echo(f"{count(report.rows, 'row')} in {count(report.read_back, 'range')} compared on both sides")
        for text in report.differences.first[:20]:
            click.echo(f"difference: {text}", err=True)
        if report.differences:
            click.echo("run `rehost data copy` again: what differs is copied anew", err=True)
        else:
            click.echo("both sides hold the same")
    if report.differences:
        sys.exit(Exit.UNPROVEN)


class Watch:
    """Says now and then how far it is, and at once what a person has to know."""

    def __init__(self, format_: str) -> None:
        self._format = format_
        self._told = self._began = time.monotonic()
        self._phase = ""

    def note(self, text: str) -> None:
        """Something worth knowing."""
        if self._format == "json":
            click.echo(json.dumps({"event": "note", "at": round(time.time(), 3), "text": text}))
        else:
            click.echo(text, err=True)

    def __call__(self, told: Report) -> None:
        from rehost.cli.render.units import duration, size
        from rehost.stacks.data.postgres.report import DatabaseReport

        assert isinstance(told, DatabaseReport)
        now = time.monotonic()
        if told.phase == self._phase and now - self._told < LINE_S:
            return
        if told.phase != self._phase:
            self._began = now
        self._told, self._phase = now, told.phase
        rate = told.passed_bytes / max(1e-3, now - self._began) if told.phase == "copy" else 0.0
        left = max(0, told.bytes - told.passed_bytes) / rate if rate else None
        done = told.copied + told.adopted
        if self._format == "json":
            row = {
                "event": "progress", "at": round(time.time(), 3), "phase": told.phase, "ranges": done,
                "of_ranges": told.objects, "bytes": told.passed_bytes, "of_bytes": told.bytes, "rate": round(rate),
                "eta_s": None if left is None else round(left, 1), "changes": told.changes, "lag": told.lag,
                "lag_s": told.lag_s, "held": told.held,
            }  # fmt: skip
            click.echo(json.dumps(row))
        elif told.phase == "copy":
            eta = f", {duration(left)} left" if left is not None else ""
            text = f"copy: {done:,} of {told.objects:,} ranges, {size(told.passed_bytes)}, {size(rate)}/s{eta}"
            click.echo(f"{text}, {told.changes:,} changes followed", err=True)
        else:
            click.echo(f"{told.phase}: {told.changes:,} changes followed, {size(told.lag)} behind", err=True)
