"""Run a command for as long as whoever started it lives: `lifeline.py SIGNAL GRACE COMMAND...`.

Standard input is the lifeline: once its other end is closed, by whatever death, or on SIGTERM, the command gets
SIGNAL (a number), and SIGKILL after GRACE seconds. Its exit code is handed on. Needs the standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys


def main(ending: int, grace: float, command: list[str]) -> int:
    """Until the command ends, or is ended."""
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    told: list[int] = []
    # A terminal's Ctrl-C is for whoever holds the other end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while child.poll() is None:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 512)
        if told or (0 in ready and not os.read(0, 4096)):
            child.send_signal(ending)
            try:
                child.wait(grace)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
