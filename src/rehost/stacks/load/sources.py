"""The folders that services bring along, read once: from then on the stack holds what is put on servers."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rehost.stacks.diagnostics import Diagnostic, PathKey
from rehost.stacks.load.loaded import Loaded

MOST_BYTES = 1024**2
"""What all files of a source may have together: they are kept in plans and states."""
MOST_FILES = 500

_ASIDE = {"__pycache__", "node_modules"}


def read_sources(data: dict[str, Any], loaded: Loaded) -> None:
    """Put the content of each service's `source` into its `files`, and add what is wrong to the findings."""
    services = data.get("services")
    for name, service in services.items() if isinstance(services, dict) else ():
        if not isinstance(service, dict):
            continue
        if "files" in service:
            at: PathKey = ("services", name, "files")
            why, fix = "files come from a folder", "name the folder with source"
            span = loaded.span(at, key=True)
            loaded.diagnostics.append(Diagnostic("unknown-key", "a service has no 'files'", why, fix, at, span))
            del service["files"]
        source = service.get("source")
        if isinstance(source, str) and source:
            _read(source, ("services", name, "source"), service, loaded)


def _read(source: str, path: PathKey, service: dict[str, Any], loaded: Loaded) -> None:
    span = loaded.span(path)
    beside = Path(span.file) if span.file in loaded.sources and Path(span.file).is_file() else Path(loaded.file)
    try:
        service["files"] = _files(beside.parent, source)
    except _Unfit as error:
        loaded.diagnostics.append(Diagnostic("source", error.summary, error.why, error.fix, path, span))
        del service["source"]
        # It is about the files that there are not.
        service.pop("setup", None)


class _Unfit(Exception):
    """A folder that can't be put on servers."""

    def __init__(self, summary: str, why: str, fix: str) -> None:
        super().__init__(summary)
        self.summary, self.why, self.fix = summary, why, fix


def _files(beside: Path, source: str) -> dict[str, Any]:
    relative = Path(source)
    if relative.is_absolute() or ".." in relative.parts or "\0" in source:
        why = "a stack is moved with its folder, so what it needs is in there"
        raise _Unfit(
            f"{source[:60]!r} is not inside the stack file's folder", why, "move it beside the stack file"
        )
    folder = beside / relative
    if not folder.is_dir():
        why = f"{folder} is {'no folder' if folder.exists() else 'not there'}"
        raise _Unfit(f"there is no folder {source[:60]!r}", why, "name a folder beside the stack file")
    found: dict[str, Any] = {}
    left = MOST_BYTES
    for path in _walk(folder):
        content = _content(path)
        left -= len(content)
        if left < 0 or len(found) == MOST_FILES:
            why = f"it may have {MOST_FILES} files and {MOST_BYTES // 1024} KiB, which plans and states hold"
            raise _Unfit(
                f"{source[:60]!r} is too large", why, "put it into an image, or leave out what is not run"
            )
        found[path.relative_to(folder).as_posix()] = _text(content)
    if not found:
        raise _Unfit(
            f"the folder {source[:60]!r} is empty", "there would be nothing to run", "put the source into it"
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """All files but hidden ones and what is made from others. Links to folders are not followed."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _ASIDE)
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _Unfit(f"{path} can't be read", str(error.strerror), "make it readable, or take it out") from None


def _text(content: bytes) -> Any:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
    return text if "\0" not in text else {"base64": base64.b64encode(content).decode()}
