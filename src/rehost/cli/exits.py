"""The documented exit codes."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the process says when it leaves."""

    DONE = 0
    FAILED = 1
    CHANGES = 2
    INVALID = 3
    REFUSED = 4
    UNPROVEN = 5
    WAITING = 6
    INTERRUPTED = 130
