"""Folders for what belongs to a deployment: read by their owner only, and left alone by git."""

from __future__ import annotations

from pathlib import Path

NAME = ".rehost"
"""The folder beside a stack file."""


def make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing. Raises OSError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    for path in (folder, *folder.parents):
        if path.name == NAME:
            ignore_in_git(path)


def ignore_in_git(folder: Path) -> None:
    """Keep a folder out of git. Raises OSError."""
    path = folder / ".gitignore"
    # An empty one is left where the disk was full.
    if not path.exists() or not path.stat().st_size:
        path.write_text("*\n")
