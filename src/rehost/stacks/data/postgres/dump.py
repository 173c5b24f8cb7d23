"""The other way: a parallel dump and restore of one snapshot, for what can't be followed while it is written to.

What is written to the source after the snapshot does not arrive. Large objects do.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from rehost.stacks.data.postgres.catalog import tables_of
from rehost.stacks.data.postgres.roles import carry
from rehost.stacks.data.postgres.schema import version
from rehost.stacks.data.postgres.session import Server
from rehost.stacks.data.postgres.tools import folder_for, run
from rehost.stacks.data.postgres.units import Unit
from rehost.stacks.data.postgres.verify import Comparison, Held, compare
from rehost.stacks.data.report import Report
from rehost.stacks.errors import Refused
from rehost.stacks.sql.lock import SCHEMA


def move(
    source: Server, destination: Server, folder: Path, parallel: int, report: Report, stop: threading.Event
) -> Comparison:
    """Dump one snapshot, restore it, and compare the destination with that snapshot. Raises RehostError; the
    destination then holds a part and has to be made anew."""
    work = folder / "dump"
    shutil.rmtree(work, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    there = destination.connect()
    try:
        with Held(source) as held:
            taken = tables_of(there)
            if taken:
                raise Refused(
                    f"the destination holds {len(taken)} table(s), such as {taken[0].label}",
                    why="a restore needs an empty database",
                    fix="name an empty database",
                )
            programs = folder_for(version(held.link), version(there))
            with destination.speaking("make roles"):
                carry(held.link, there)
            arguments = ["-Fd", "-j", str(parallel), f"--snapshot={held.id}", f"--exclude-schema={SCHEMA}"]
            arguments += ["--no-publications", "--no-subscriptions", "--compress=1", "-f", str(work)]
            run(programs / "pg_dump", arguments, source, stop)
            run(programs / "pg_restore", ["-j", str(parallel), "--exit-on-error", str(work)], destination, stop)
            units = [Unit(table) for table in tables_of(held.link)]
            with Held(destination) as other:
                return compare(held, other, units, parallel, report, lambda: None)
    finally:
        there.close()
        shutil.rmtree(work, ignore_errors=True)
