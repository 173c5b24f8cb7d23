"""Time, as the engine and the providers may use it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rehost.stacks.errors import Interrupted, ProviderError, Reason


@dataclass
class Clock:
    """Real time. `pace` divides every wait, so that stand-ins on loopback are not waited for as for a cloud."""

    pace: float = 1.0

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait, at most until `stop` is set; answers whether it is."""
        return stop.wait(max(0.0, seconds) / self.pace)

    def asked(self, seconds: float | None) -> float:
        """Seconds that a provider asked for, to be given to `wait`: they are real ones, whatever the pace."""
        return (seconds or 0.0) * self.pace


@dataclass
class StepCall:
    """The ports.Call of one attempt at a step."""

    client_token: str
    clock: Clock
    stop: threading.Event
    deadline: float
    poll_s: float
    what: str
    made: Callable[[str], None] = field(default=lambda _id: None)

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        return self.clock.now()

    def pause(self, seconds: float) -> None:
        """Wait. Raises Interrupted when the run is being stopped, ProviderError when the step's time is over."""
        if self.clock.now() >= self.deadline:
            raise ProviderError(
                f"{self.what} took too long",
                reason=Reason.FAILED,
                code="timeout",
                why="the provider did not finish in the time that this kind is given",
                fix="run the same command again: it looks at what became of it and goes on",
            )
        if self.clock.wait(self.stop, seconds):
            raise Interrupted("stopped by the operator", fix="run the same command again to go on")

    def poll(self, done: Callable[[], bool], what: str) -> None:
        """Call `done` at growing intervals until it is true; raises like `pause`."""
        interval = self.poll_s
        while not done():
            self.pause(interval)
            interval = min(interval * 1.3, self.poll_s * 10)


class Gate:
    """Holds all calls to a provider back after it said that there were too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = 0.0
        self._lock = threading.Lock()

    def close(self, seconds: float) -> None:
        """Let no call through for so long (in the clock's pace)."""
        with self._lock:
            self._until = max(self._until, self._clock.now() + seconds / self._clock.pace)

    def wait(self, stop: threading.Event) -> float:
        """Wait until calls may pass again or the run is being stopped; answers for how many seconds it did."""
        began = self._clock.now()
        while True:
            with self._lock:
                left = self._until - self._clock.now()
            if left <= 0 or self._clock.wait(stop, left * self._clock.pace):
                return self._clock.now() - began
