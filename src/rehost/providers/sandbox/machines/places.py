"""The folders of a provider's servers, which the stand-in keeps and whoever deploys reads.

`<id>/machine.json` says what a server is, `names.json` beside the folders what every address and host name of the
provider stands for here, by the network that it is valid in. Both are written whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Place:
    """A server as it is here: `address` is where its units listen."""

    id: str
    name: str
    address: str
    on: bool
    boots: int
    networks: tuple[str, ...] = ()


def read(folder: Path, id_: str) -> Place | None:
    """A server, None where there is none."""
    found = _read(folder / id_ / "machine.json")
    return Place(**{**found, "networks": tuple(found["networks"])}) if found else None


def write(folder: Path, place: Place) -> None:
    """Make or change a server."""
    (folder / place.id).mkdir(parents=True, exist_ok=True)
    _write(folder / place.id / "machine.json", asdict(place))


def all_of(folder: Path) -> dict[str, Place]:
    """All servers by id."""
    ids = [path.parent.name for path in folder.glob("*/machine.json")]
    return {id_: place for id_ in ids if (place := read(folder, id_)) is not None}


def names(folder: Path, networks: Iterable[str] = ()) -> dict[str, str]:
    """What addresses, ranges and host names of the provider stand for here, seen from these networks; and public
    host names of the others."""
    found = _read(folder / "names.json") or {}
    others = {path: _read(path) or {} for path in folder.parent.glob("*/names.json")}
    public = {name: to for known in others.values() for name, to in known.get("", {}).items()}
    return {**public, **{name: to for network in ("", *networks) for name, to in found.get(network, {}).items()}}


def names_by_network(folder: Path) -> dict[str, dict[str, str]] | None:
    """All of them as they are written."""
    return _read(folder / "names.json")


def write_names(folder: Path, names: Mapping[str, Mapping[str, str]]) -> None:
    """Say what they stand for."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "names.json", dict(names))


def units(folder: Path, id_: str) -> Path:
    """Where the units of a server are."""
    return folder / id_ / "rehost"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found


def _write(path: Path, data: Mapping[str, Any]) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(data, file, indent=1, sort_keys=True)
    fresh.replace(path)
