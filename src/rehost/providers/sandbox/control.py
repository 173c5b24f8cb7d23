"""Starting, finding and ending a sandbox. Light: the stand-ins themselves run in another process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from rehost.stacks.errors import RehostError

START_SECONDS = 30.0
"""After so long a start counts as failed; usually it takes two seconds."""


def default_folder() -> Path:
    """REHOST_SANDBOX_DIR, or `.rehost-sandbox` in the current folder."""
    return Path(os.environ.get("REHOST_SANDBOX_DIR") or ".rehost-sandbox").resolve()


def record(folder: Path) -> dict[str, Any] | None:
    """What a running sandbox wrote about itself; None where none runs."""
    try:
        found: dict[str, Any] = json.loads((folder / "sandbox.json").read_text())
        command = Path(f"/proc/{found['pid']}/cmdline")
        if command.parent.parent.exists() and str(folder).encode() not in command.read_bytes():
            return None
        os.kill(found["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return found


def up(folder: Path) -> dict[str, Any]:
    """Start a sandbox unless one runs. Raises RehostError with the end of its log if it does not start."""
    running = record(folder)
    if running is not None:
        return running
    (folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    (folder / "sandbox.json").unlink(missing_ok=True)
    log_path = folder / "logs" / "supervisor.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rehost.providers.sandbox.serve", "supervise", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    pause = threading.Event()
    for _ in range(int(START_SECONDS / 0.05)):
        running = record(folder)
        if running is not None:
            return running
        if process.poll() is not None:
            break
        pause.wait(0.05)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    lines = log_path.read_text(errors="replace").splitlines()
    raise RehostError(
        "the sandbox did not start",
        why=lines[-1] if lines else "it said nothing",
        fix=f"see {log_path}; is the extra installed? pip install 'rehost[sandbox]'",
    )


def down(folder: Path) -> bool:
    """End the sandbox of a folder; answers whether one ran."""
    running = record(folder)
    if running is None:
        return False
    os.kill(running["pid"], signal.SIGTERM)
    pause = threading.Event()
    for _ in range(200):
        if record(folder) is None:
            return True
        pause.wait(0.05)
    os.killpg(running["pid"], signal.SIGKILL)
    (folder / "sandbox.json").unlink(missing_ok=True)
    return True


def connection(folder: Path) -> dict[str, str]:
    """The environment that points every tool at the running sandbox. Raises RehostError if none runs."""
    running = record(folder)
    if running is None:
        raise RehostError("no sandbox is running here", fix="start one with `rehost sandbox up`")
    environment: dict[str, str] = running["environment"]
    return environment
