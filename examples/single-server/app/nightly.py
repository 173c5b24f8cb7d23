"""Keeps a copy of the notes of each of the last seven days beside them."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(os.environ.get("VOLUME_NOTES", "/var/lib/notes"))
KEPT = 7

if (FOLDER / "notes.txt").exists():
    shutil.copyfile(FOLDER / "notes.txt", FOLDER / f"notes-{datetime.now(UTC):%Y-%m-%d}.txt")
for old in sorted(FOLDER.glob("notes-*.txt"))[:-KEPT]:
    old.unlink()
