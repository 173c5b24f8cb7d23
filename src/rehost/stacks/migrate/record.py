"""`migration.json`: what a move did, for people and programs, always whole on disk."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rehost.stacks.errors import RehostError

NAME = "migration.json"
FORMAT = 1


def fresh(stack: str, source: str, target: str, move: str, began: float, run: int) -> dict[str, Any]:
    """The record of a run that begins."""
    return {
        "format_version": FORMAT,
        "stack": stack,
        "from": source,
        "to": target,
        "move": move,
        "run": run,
        "outcome": "running",
        "began": utc(began),
        "ended": None,
        "seconds": 0.0,
        "objects": 0,
        "bytes": 0,
        "phases": [],
        "buckets": {},
        "databases": {},
        "pause": None,
        "addresses": [],
        "checks": [],
        "differences": [],
        "remaining": [],
    }


def utc(seconds: float) -> str:
    """A time as RFC 3339 in UTC, in milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write(folder: Path, record: dict[str, Any]) -> None:
    """Replace the record. Raises RehostError."""
    path = folder / NAME
    new = path.with_name(f"{NAME}.new")
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise RehostError(f"{path} can't be written", why=str(error), fix="make room on the disk") from error


def read(folder: Path) -> dict[str, Any] | None:
    """The record of the last run; None where there is none. Raises RehostError where it can't be read."""
    path = folder / NAME
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RehostError(
            f"{path} can't be read", why=str(error), fix="remove it; the next run writes it"
        ) from error
    return found
