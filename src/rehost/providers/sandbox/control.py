"""Starting, finding and ending a sandbox. Light: the stand-ins themselves run in other processes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rehost.stacks.errors import Refused, RehostError

START_SECONDS = 60.0
"""After so long a start counts as failed; usually it takes two seconds."""
END_SECONDS = 30.0
_POLL_SECONDS = 0.02

PROVIDERS = {"aws": "aws", "objects": "objects", "hetzner": "hcloud"}
"""What people call a stand-in, and its name in the record."""


def default_folder() -> Path:
    """REHOST_SANDBOX_DIR, or `.rehost-sandbox` in the current folder."""
    return Path(os.environ.get("REHOST_SANDBOX_DIR") or ".rehost-sandbox").resolve()


def record(folder: Path) -> dict[str, Any] | None:
    """What a running sandbox wrote about itself; None where none runs."""
    if not _alive(folder):
        return None
    try:
        found: dict[str, Any] = json.loads((folder / "sandbox.json").read_text())
    except (OSError, ValueError):
        return None
    return found


def up(folder: Path, *, keep: bool = False, realism: Sequence[str] = ()) -> dict[str, Any]:
    """Start a sandbox unless one runs. Raises Refused if one runs in another way, RehostError with the end of its
    log if it does not start."""
    with _alone(folder):
        running = record(folder)
        if running is not None:
            if (running["keep"], sorted(running["realism"])) != (keep, sorted(realism)):
                raise Refused(
                    f"a sandbox runs here already, {_manner(running['keep'], running['realism'])}",
                    why=f"it can't become one that is {_manner(keep, realism)}",
                    fix="end it first: rehost sandbox down",
                )
            return running
        return _start(folder, {"keep": keep, "realism": list(realism)})


def _start(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    (folder / "sandbox.json").unlink(missing_ok=True)
    log_path = folder / "logs" / "supervisor.log"
    began = log_path.stat().st_size if log_path.exists() else 0
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rehost.providers.sandbox.serve", str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    with contextlib.suppress(OSError):
        _tell(process, settings)
    running = _until(START_SECONDS, lambda: process.poll() is not None or record(folder))
    if isinstance(running, dict):
        return running
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    lines = log_path.read_bytes()[began:].decode(errors="replace").splitlines()
    raise RehostError(
        "the sandbox did not start",
        why=lines[-1] if lines else f"nothing was heard of it for {START_SECONDS:g} seconds",
        fix=f"see {log_path}; is the extra installed? pip install 'rehost[sandbox]'",
    )


def _tell(process: subprocess.Popen[bytes], settings: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(settings).encode() + b"\n")
    process.stdin.close()


def down(folder: Path) -> bool:
    """End the sandbox of a folder and all of its processes; answers whether one ran."""
    if not folder.exists():
        return False
    with _alone(folder):
        running = record(folder)
        if running is None:
            return False
        os.kill(running["pid"], signal.SIGTERM)
        if not _until(END_SECONDS, lambda: not _alive(folder)):
            os.killpg(running["pid"], signal.SIGKILL)
            (folder / "sandbox.json").unlink(missing_ok=True)
    return True


def connection(folder: Path) -> dict[str, str]:
    """The environment that points every tool at the running sandbox. Raises RehostError if none runs or a part of
    it has died."""
    running = _running(folder)
    for part in running["parts"].values():
        if part["ended"]:
            raise RehostError(
                f"the sandbox's stand-in for {part['title']} has died",
                why=f"it was {part['ended']}, and what it held is gone with it",
                fix=f"see {folder / 'logs'}, then: rehost sandbox down && rehost sandbox up",
            )
    environment: dict[str, str] = running["environment"]
    return environment


def ask(folder: Path, provider: str, method: str, path: str, data: Any = None) -> dict[str, Any]:
    """Call a switch of a stand-in (`/_sandbox/faults`). `provider` is a key of PROVIDERS. Raises RehostError."""
    part = _running(folder)["parts"][PROVIDERS[provider]]
    request = urllib.request.Request(
        f"http://{part['address']}{path}", None if data is None else json.dumps(data).encode(), method=method
    )
    # A proxy of the environment is not for loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        with contextlib.suppress(ValueError):
            raise RehostError("the stand-in refuses", why=json.load(error)["error"]) from error
        raise RehostError("the stand-in refuses", why=str(error)) from error
    except OSError as error:
        raise RehostError(f"the stand-in for {part['title']} does not answer", why=str(error)) from error
    return answer


def _running(folder: Path) -> dict[str, Any]:
    running = record(folder)
    if running is None:
        raise RehostError("no sandbox is running here", fix="start one with `rehost sandbox up`")
    return running


def _manner(keep: bool, realism: Sequence[str]) -> str:
    return f"{'with' if keep else 'without'} --keep, realism: {', '.join(realism) or 'none'}"


def _alive(folder: Path) -> bool:
    """Whether a supervisor holds the folder's lock. The system lets go of it however the process ended."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One `up` or `down` of a folder at a time; a second one waits."""
    try:
        (folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        lock = (folder / "up.lock").open("w")
    except OSError as error:
        raise RehostError(
            f"the folder {folder} can't be used", why=str(error), fix="name another with --dir"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _until(seconds: float, done: Callable[[], Any]) -> Any:
    """What `done` answers once it is true; its last answer when time is up."""
    pause = threading.Event()
    for _ in range(int(seconds / _POLL_SECONDS)):
        found = done()
        if found:
            return found
        pause.wait(_POLL_SECONDS)
    return done()
