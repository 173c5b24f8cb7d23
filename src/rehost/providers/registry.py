"""Which providers there are: the folders beside this file, and installed packages' `rehost.providers` entry
points. Looking needs no SDK."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from rehost.stacks.diagnostics import did_you_mean
from rehost.stacks.errors import InvalidInput
from rehost.stacks.ports import Adapter

_HERE = Path(__file__).parent


@cache
def names() -> tuple[str, ...]:
    """Names a target's `provider` may have."""
    folders = {path.parent.name for path in _HERE.glob("*/adapter.py")}
    return tuple(sorted(folders | {point.name for point in entry_points(group="rehost.providers")}))


@cache
def adapter(name: str) -> Adapter:
    """The adapter of a provider. Raises InvalidInput for a name that nobody provides."""
    if name.isidentifier() and (_HERE / name / "adapter.py").is_file():
        found = importlib.import_module(f"rehost.providers.{name}.adapter").ADAPTER
    else:
        points = [point for point in entry_points(group="rehost.providers") if point.name == name]
        if not points:
            raise InvalidInput(
                f"there is no provider {name!r}",
                why=f"there are {', '.join(names())}",
                fix=did_you_mean(name, names()),
            )
        found = points[0].load()
    made: Adapter = found
    return made
