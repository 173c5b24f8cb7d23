"""Keep one service running: `supervise.py FOLDER` leaves a supervisor behind and ends when it has begun.

FOLDER has `service.json` (command, environment, folder, restart, schedule, grace, held, tied, log) and gets
`state.json`. The supervisor starts the command in a process group of its own, starts it again as `restart` asks,
or at the times of its schedule, and writes what it says to the log, with the time. SIGTERM ends the group and the
supervisor, SIGUSR1 runs a scheduled command now. Nothing runs while the file that `held` names is there, or once
nobody holds the lock of the file that `tied` names."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FIRST_DELAY, LAST_DELAY = 0.2, 30.0
"""Seconds before a command that ended is started again: doubled each time, as long as it ends soon."""
STEADY = 10.0
"""A command that ran so many seconds starts from the first delay again."""
LONGEST_WAIT = 60.0
"""Seconds after which the clock is looked at again: it may have been set."""
MARK = "REHOST_SERVICE"
"""In the environment of all that the supervisor starts, so that processes which left the group are found."""


def birth(pid: int) -> str:
    """What tells a process from an earlier one with its number; empty when there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (
            "" if fields[0] in "ZX" else Path("/proc/sys/kernel/random/boot_id").read_text().strip() + fields[19]
        )
    except (OSError, IndexError):
        return ""


class Log:
    """A file that is renamed when it gets too large; `keep` older ones stay."""

    def __init__(self, path: str, size: int, keep: int) -> None:
        self.path, self.size, self.keep = path, size, keep
        self.rest = b""

    def feed(self, data: bytes, *, last: bool = False) -> None:
        """Write whole lines; a line longer than 64 KiB is written in parts."""
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        if last or len(self.rest) > 65536:
            lines += [self.rest] if self.rest else []
            self.rest = b""
        stamp = f"{time.time():.3f} ".encode()
        text = b"".join(stamp + line.rstrip(b"\r") + b"\n" for line in lines)
        if text:
            with contextlib.suppress(OSError):
                self.turn(len(text))
                with open(self.path, "ab") as file:
                    file.write(text)

    def turn(self, coming: int) -> None:
        """Rename when the file would get too large."""
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self.path).st_size + coming > self.size:
                for number in range(self.keep, 0, -1):
                    older = self.path if number == 1 else f"{self.path}.{number - 1}"
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(older, f"{self.path}.{number}")


class Supervisor:
    """The state machine of one service; `run` is its loop."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.service: dict[str, Any] = json.loads((self.folder / "service.json").read_text(encoding="utf-8"))
        log = self.service["log"]
        self.log = Log(log["path"], log["size"], log["keep"])
        self.child: subprocess.Popen[bytes] | None = None
        self.started = self.delay = 0.0
        self.starts = 0
        self.exit_code: int | None = None
        self.due: float | None = None
        self.kill_at: float | None = None
        self.stopping = False
        self.selector = selectors.DefaultSelector()

    def tell(self) -> None:
        """Write the state for whoever asks."""
        child = self.child.pid if self.child else 0
        state = {
            "supervisor": [os.getpid(), birth(os.getpid())],
            "child": [child, birth(child) if child else ""],
            "waiting": bool(self.service["schedule"]) and not self.stopping,
            "restarts": max(0, self.starts - 1),
            "exit_code": self.exit_code,
        }
        temporary = self.folder / "state.json.new"
        temporary.write_text(json.dumps(state), encoding="utf-8")
        os.replace(temporary, self.folder / "state.json")

    def say(self, text: str) -> None:
        """A line of the supervisor's own in the log."""
        self.log.feed(f"[rehost] {text}\n".encode())

    def start(self) -> None:
        """Start the command."""
        self.due = None
        self.starts += 1
        self.started = time.monotonic()
        environment = {**self.service["environment"], MARK: str(self.folder)}
        try:
            self.child = subprocess.Popen(
                self.service["command"],
                cwd=self.service["folder"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self.say(f"can't be started: {error}")
            self.ended(127)
            return
        assert self.child.stdout
        os.set_blocking(self.child.stdout.fileno(), False)
        self.selector.register(self.child.stdout, selectors.EVENT_READ)
        self.tell()

    def drain(self) -> None:
        """Read what the command said."""
        if self.child and self.child.stdout:
            with contextlib.suppress(BlockingIOError):
                while True:
                    data = os.read(self.child.stdout.fileno(), 65536)
                    if not data:
                        self.selector.unregister(self.child.stdout)
                        self.child.stdout.close()
                        self.child.stdout = None
                        break
                    self.log.feed(data)

    def reap(self) -> None:
        """Notice that the command ended."""
        if self.child and self.child.poll() is not None:
            self.drain()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child.pid, signal.SIGKILL)
            if self.child.stdout:
                self.selector.unregister(self.child.stdout)
                self.child.stdout.close()
            self.log.feed(b"", last=True)
            code, self.child, self.kill_at = self.child.returncode, None, None
            self.ended(code)

    def ended(self, code: int) -> None:
        """Decide what follows."""
        self.exit_code = code
        if self.stopping:
            return
        if code:
            self.say(f"ended with exit code {code}")
        if self.service["schedule"]:
            self.due = self.next_time()
        elif self.service["restart"] == "always" or (self.service["restart"] == "on-failure" and code):
            steady = time.monotonic() - self.started >= STEADY
            self.delay = FIRST_DELAY if steady or not self.delay else min(self.delay * 2, LAST_DELAY)
            self.due = time.time() + self.delay
        else:
            self.stopping = True
        self.tell()

    def next_time(self) -> float:
        """When the schedule comes next, in seconds since 1970."""
        from zoneinfo import ZoneInfo

        from cronsim import CronSim

        expression, zone = self.service["schedule"]
        return float(next(CronSim(expression, datetime.datetime.now(ZoneInfo(zone)))).timestamp())

    def stop(self) -> None:
        """End the command: asked first, made to after the grace."""
        self.stopping, self.due = True, None
        if self.child and self.kill_at is None:
            self.kill_at = time.time() + self.service["grace"]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGTERM)

    def run(self, begun: Callable[[], object]) -> None:
        """Until stopped, or until the command came to its end."""
        wake, waker = os.pipe()
        for end in (wake, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.selector.register(wake, selectors.EVENT_READ)
        if self.service.get("tied"):
            threading.Thread(target=outlive, args=(self.service["tied"],), daemon=True).start()
        if self.service["schedule"]:
            self.due = self.next_time()
            self.tell()
        else:
            self.start()
        begun()
        while self.child or not self.stopping:
            until = min((moment for moment in (self.due, self.kill_at) if moment), default=None)
            self.selector.select(None if until is None else min(max(0.0, until - time.time()), LONGEST_WAIT))
            self.step(wake)
        self.tell()

    def step(self, wake: int) -> None:
        """All that has come up."""
        signals: bytes = b""
        with contextlib.suppress(BlockingIOError):
            signals = os.read(wake, 256)
        self.drain()
        self.reap()
        if signal.SIGTERM in signals:
            self.stop()
        if signal.SIGUSR1 in signals and not self.child and not self.stopping:
            self.start()
        if self.kill_at and time.time() >= self.kill_at and self.child:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.kill_at = time.time() + 5
        if self.due and time.time() >= self.due and not self.child:
            self.start()


def outlive(path: str) -> None:
    """Wait until nobody holds a file's lock; then this process is asked to end."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    os.kill(os.getpid(), signal.SIGTERM)


def leave_behind(folder: str, begin: Callable[[int], None]) -> int:
    """Fork a process that no terminal and no parent holds, and wait until it says how its begin went."""
    ear, mouth = os.pipe()
    if os.fork():
        os.close(mouth)
        with os.fdopen(ear, "rb") as file:
            answer = file.read().decode()
        sys.stdout.write(answer or "the supervisor died at once")
        return 0 if answer == "ok" else 1
    os.close(ear)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.chdir("/")
    try:
        begin(mouth)
    except (OSError, ValueError, ImportError) as error:
        with contextlib.suppress(OSError):
            os.write(mouth, (str(error) or type(error).__name__).encode())
    os._exit(0)


def main(folder: str) -> int:
    """What the module's text says."""

    def begin(mouth: int) -> None:
        lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        supervisor = Supervisor(folder)
        if os.path.exists(supervisor.service["held"]):
            os.write(mouth, b"held")
            return

        def begun() -> None:
            os.write(mouth, b"ok")
            os.close(mouth)

        supervisor.run(begun)

    return leave_behind(folder, begin)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
