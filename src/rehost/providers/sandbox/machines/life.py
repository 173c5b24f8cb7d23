"""Servers that are switched on and off, restarted, and taken away."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

from rehost.providers.sandbox.machines import places
from rehost.providers.sandbox.machines.pool import host
from rehost.stacks.errors import RehostError
from rehost.stacks.hosts.backend import SLOTS
from rehost.stacks.hosts.units import Restart


def on(folder: Path, place: places.Place) -> None:
    """Start what starts with a server: units that are not held, other than those that run once."""
    here = host(folder, place, watched=False)
    for name in here.units():
        record = here.record(name)
        if record is None or here.is_held(name) or record.restart == Restart.NEVER.value:
            continue
        with contextlib.suppress(RehostError):
            here.start(name)


def off(folder: Path, place: places.Place) -> None:
    """End all processes of a server; its files stay."""
    here = host(folder, place, watched=False)
    for name in here.units():
        for slot in ("front", *SLOTS):
            here.backend.stop(f"{name}.{slot}")


def again(folder: Path, place: places.Place) -> None:
    """Restart a server."""
    off(folder, place)
    on(folder, place)


def remove(folder: Path, place: places.Place) -> None:
    """End a server for good."""
    (folder / place.id / "machine.json").unlink(missing_ok=True)
    off(folder, place)
    shutil.rmtree(folder / place.id, ignore_errors=True)


def ports(folder: Path, place: places.Place) -> set[int]:
    """The ports that units of a server publish."""
    found: set[int] = set()
    for path in places.units(folder, place.id).glob("units/*/unit.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads(path.read_text())
            found |= {int(port) for port in record["ports"].get(record["slot"], {})}
    return found
