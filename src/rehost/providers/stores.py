"""Places for states by the scheme of their URL: a folder, what is shipped here, and installed packages'
`rehost.stores` entry points. Looking needs no SDK."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rehost.stacks.errors import InvalidInput
from rehost.stacks.state import FileStore, Passphrase, SharedStore, Store
from rehost.stacks.state.folders import NAME

_SHIPPED = {"s3": "rehost.providers.s3state"}


def open_store(
    where: str | None,
    beside: Path,
    passphrase: Passphrase,
    environment: Mapping[str, str],
    *,
    sandbox: bool = False,
) -> Store:
    """The store that `--state` names: a folder or a URL; None is the folder `.rehost` in `beside`.

    Raises InvalidInput for a scheme that nobody provides.
    """
    local = FileStore(beside / NAME, passphrase, sandbox=sandbox)
    if where is None:
        return local
    if "://" not in where:
        return FileStore(Path(where).expanduser(), passphrase, sandbox=sandbox)
    parts = urlsplit(where)
    if parts.scheme == "file":
        return FileStore(Path(unquote(parts.netloc + parts.path)), passphrase, sandbox=sandbox)
    return SharedStore(_opener(parts.scheme)(where, environment), local.folder, passphrase, sandbox=sandbox)


def _opener(scheme: str) -> Any:
    if scheme in _SHIPPED:
        return importlib.import_module(_SHIPPED[scheme]).open_blobs
    points = {point.name: point for point in entry_points(group="rehost.stores")}
    if scheme not in points:
        known = ", ".join(f"{name}://" for name in sorted({"file", *_SHIPPED, *points}))
        raise InvalidInput(f"states can't be kept at {scheme}://", fix=f"name a folder, or use one of {known}")
    return points[scheme].load()
