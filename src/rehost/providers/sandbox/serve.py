"""The process behind `rehost sandbox up`: starts every stand-in on loopback, watches over them, and ends them with
itself. Run as a module with the sandbox's folder; reads its settings as a line of JSON from standard input.

A stand-in that dies is started again where its state is kept. Where it is not, what it held is gone: then it stays
ended and `status` says so, as an empty cloud in its place would look like a disaster.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rehost.providers.sandbox import realism
from rehost.providers.sandbox.environment import MACHINES, ROOT, TIED, Secrets, environment
from rehost.providers.sandbox.internet import addresses
from rehost.providers.sandbox.machines import block
from rehost.providers.sandbox.machines.doors import LOW_PORTS

TITLES = {
    "aws": "AWS",
    "objects": "Hetzner Object Storage",
    "hcloud": "Hetzner Cloud API",
    "internet": "DNS and ACME",
}
RESTARTS = 5
"""A stand-in that died so often is not started again."""
POLL_SECONDS = 0.2
PORT_SECONDS = 5.0
"""A port of before is waited for so long: the stand-in of a killed sandbox may be about to leave."""
END_SECONDS = 20.0
"""A stand-in has so long to write its state and leave."""


@dataclass
class Part:
    """One stand-in's process."""

    kind: str
    listener: socket.socket
    address: str
    """Host and port."""
    process: subprocess.Popen[str] | None = None
    since: float = 0.0
    restarts: int = 0
    ended: str = ""

    def shown(self) -> dict[str, Any]:
        """As the record has it."""
        return {
            "title": TITLES[self.kind],
            "address": self.address,
            "pid": self.process.pid if self.process and not self.ended else None,
            "since": self.since,
            "restarts": self.restarts,
            "ended": self.ended,
        }


class Supervisor:
    """All stand-ins of one folder."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.keep, self.realism = folder, bool(settings["keep"]), list(settings["realism"])
        kept = self._kept()
        self.machines = folder / "machines"
        if not kept:
            shutil.rmtree(self.machines, ignore_errors=True)
        self._claimed = block.claim(kept.get("block", 0))
        self.block = self._claimed[0] if self._claimed else 0
        self.secrets = Secrets(**kept["secrets"]) if kept else _fresh()
        ports = kept.get("ports", {})
        self.parts: dict[str, Part] = {}
        for kind in TITLES:
            listener = _listen(ports.get(kind, 0), everywhere=kind == "internet")
            self.parts[kind] = Part(kind, listener, f"127.0.0.1:{listener.getsockname()[1]}")
        self.started = time.time()

    def run(self) -> None:
        """Serve until a signal."""
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        tied = (self.folder / TIED).open("w")
        fcntl.flock(tied, fcntl.LOCK_EX)
        for part in self.parts.values():
            self._start(part)
        for part in self.parts.values():
            self._await(part)
        if self.keep:
            ports = {kind: int(part.address.rpartition(":")[2]) for kind, part in self.parts.items()}
            write_private(
                self.folder / "kept" / "sandbox.json",
                {"secrets": asdict(self.secrets), "ports": ports, "block": self.block},
            )
        self._record()
        while not ended.wait(POLL_SECONDS):
            for part in self.parts.values():
                if not part.ended and part.process is not None and part.process.poll() is not None:
                    self._died(part, part.process.returncode)
                    self._record()
        for part in self.parts.values():
            if part.process is not None and part.process.stdin is not None:
                with contextlib.suppress(OSError):
                    part.process.stdin.close()
        until = time.monotonic() + END_SECONDS
        for part in self.parts.values():
            if part.process is not None:
                try:
                    part.process.wait(max(0.1, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    _say(f"{part.kind} does not end by itself and is killed")
                    part.process.kill()
        if not self.keep:
            shutil.rmtree(self.machines, ignore_errors=True)
        (self.folder / "sandbox.json").unlink(missing_ok=True)
        tied.close()

    def _start(self, part: Part) -> None:
        with (self.folder / "logs" / f"{part.kind}.log").open("ab") as log:
            part.process = subprocess.Popen(
                [sys.executable, "-m", "rehost.providers.sandbox.part"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=(part.listener.fileno(),),
                text=True,
            )
        part.since = time.time()
        keys = {
            "aws": {self.secrets.aws_key: self.secrets.aws_secret},
            "objects": {self.secrets.s3_key: self.secrets.s3_secret},
            "hcloud": {self.secrets.hcloud_token: "sandbox"},
            # Whose zones it answers for, and where they are.
            "internet": {"aws": self.parts["aws"].address, "hetzner": self.parts["hcloud"].address},
        }
        settings = {
            "kind": part.kind,
            "socket": part.listener.fileno(),
            "keys": keys[part.kind],
            "rules": realism.rules(part.kind, self.realism),
            "switches": realism.switches(part.kind, self.realism),
            "kept": str(self.folder / "kept" / part.kind) if self.keep else "",
            "machines": str(self.machines),
            "block": self.block,
        }
        assert part.process.stdin is not None
        part.process.stdin.write(json.dumps(settings) + "\n")
        part.process.stdin.flush()

    def _await(self, part: Part) -> None:
        assert part.process is not None and part.process.stdout is not None
        if part.process.stdout.readline() != "ready\n":
            log = self.folder / "logs" / f"{part.kind}.log"
            lines = log.read_text(errors="replace").splitlines() or ["it said nothing"]
            raise SystemExit(f"the stand-in for {TITLES[part.kind]} did not start: {lines[-1]} (see {log})")

    def _died(self, part: Part, code: int) -> None:
        how = f"killed by signal {-code}" if code < 0 else f"left with code {code}"
        _say(f"{part.kind} {how}")
        if not self.keep or part.restarts >= RESTARTS:
            part.ended = how
            # Callers are refused from now on rather than left waiting.
            part.listener.close()
            return
        part.restarts += 1
        self._start(part)

    def _kept(self) -> dict[str, Any]:
        if not self.keep:
            return {}
        (self.folder / "kept").mkdir(mode=0o700, exist_ok=True)
        try:
            found: dict[str, Any] = json.loads((self.folder / "kept" / "sandbox.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def _record(self) -> None:
        record = {
            "format_version": 1,
            "pid": os.getpid(),
            "since": self.started,
            "keep": self.keep,
            "realism": self.realism,
            "parts": {kind: part.shown() for kind, part in self.parts.items()},
            "environment": {
                **environment(self.secrets, **{k: part.address for k, part in self.parts.items()}),
                **({MACHINES: str(self.machines)} if self.block else {}),
                "REHOST_CA_FILE": str(self.folder / ROOT),
                "REHOST_LOW_PORTS": str(LOW_PORTS),
            },
        }
        write_private(self.folder / "sandbox.json", record)


def write_private(path: Path, data: Any) -> None:
    """Write JSON whole or not at all, for its owner's eyes."""
    fresh = path.with_name(path.name + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _fresh() -> Secrets:
    return Secrets(
        sandbox=secrets.token_hex(6),
        aws_key="AKIASANDBOX" + secrets.token_hex(5)[:9].upper(),
        aws_secret=secrets.token_hex(20),
        hcloud_token=secrets.token_hex(32),
        s3_key="SANDBOX" + secrets.token_hex(7)[:13].upper(),
        s3_secret=secrets.token_hex(20),
    )


def _listen(port: int, *, everywhere: bool = False) -> socket.socket:
    """A listening socket on loopback, on the port of before unless somebody else took it; with `everywhere` name
    servers can have the same port at their addresses."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    until = time.monotonic() + PORT_SECONDS
    while True:
        try:
            listener.bind(("127.0.0.1", port))
            if not everywhere or addresses.free(listener.getsockname()[1]):
                break
            listener.close()
            listener, port = socket.socket(socket.AF_INET, socket.SOCK_STREAM), 0
        except OSError as error:
            if time.monotonic() < until:
                time.sleep(0.05)
                continue
            _say(f"port {port} can't be had again ({error.strerror}); another is taken")
            port = 0
    listener.listen(512)
    return listener


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def main() -> None:
    """Hold the folder's lock for as long as this process lives: that is how others see that it does."""
    folder = Path(sys.argv[1])
    settings = json.loads(sys.stdin.readline())
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Supervisor(folder, settings).run()
        # The lock is let go of with the process, not before.
        os._exit(0)


if __name__ == "__main__":
    main()
