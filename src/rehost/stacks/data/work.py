"""Threads that share a queue, and the patience with which they repeat calls."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from rehost.stacks.engine.clock import Clock, Gate
from rehost.stacks.errors import Interrupted, ProviderError, Reason

T = TypeVar("T")
Job = Callable[[], None]
ATTEMPTS = 8
_FIRST_S = 0.2
_LONGEST_S = 20.0


class Patience:
    """Repeats calls that fail in a way that passes: growing waits with jitter, never shorter than the store asked
    for. A store that has too many calls holds all threads back."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._clock = clock
        self._stop = stop
        self._gate = Gate(clock)
        self._jitter = random.Random()
        self.repeated = 0

    def check(self) -> None:
        """Raises Interrupted when the run is being stopped."""
        if self._stop.is_set():
            raise Interrupted("stopped by the operator", fix="run the same command again to go on")

    def __call__(self, call: Callable[[], T]) -> T:
        """What `call` answers. Raises its last error, or Interrupted."""
        attempt = 0
        while True:
            self._gate.wait(self._stop)
            self.check()
            try:
                return call()
            except ProviderError as error:
                attempt += 1
                if not error.retryable or attempt == ATTEMPTS:
                    raise
                self.repeated += 1
                seconds = min(_LONGEST_S, _FIRST_S * 2.0**attempt) * (0.5 + self._jitter.random() / 2)
                seconds = max(seconds, self._clock.asked(error.retry_after))
                if error.reason is Reason.THROTTLED:
                    self._gate.close(seconds)
                self._clock.wait(self._stop, seconds)


class Crew:
    """`size` threads and their queue. `submit` blocks while `size * 4` jobs wait, so that a producer of millions
    stays small; what a job itself adds (`urgent`) goes first and never blocks. The first error ends the work."""

    def __init__(self, size: int) -> None:
        self._limit = size * 4
        self._jobs: deque[Job] = deque()
        self._urgent: deque[Job] = deque()
        self._busy = 0
        self._closed = False
        self._error: BaseException | None = None
        lock = threading.Lock()
        self._ready, self._room = threading.Condition(lock), threading.Condition(lock)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(size)]

    def __enter__(self) -> Crew:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._ready:
            self._closed = True
            self._jobs.clear()
            self._urgent.clear()
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(self, job: Job) -> None:
        """Hand a job over. Raises what an earlier one raised."""
        with self._room:
            while len(self._jobs) >= self._limit and self._error is None:
                self._room.wait()
            self._raise()
            self._jobs.append(job)
            self._ready.notify()

    def urgent(self, job: Job) -> None:
        """Hand over a job that belongs to one that is under way."""
        with self._ready:
            self._urgent.append(job)
            self._ready.notify()

    def drain(self) -> None:
        """Wait until everything is done. Raises what a job raised."""
        with self._room:
            while (self._jobs or self._urgent or self._busy) and self._error is None:
                self._room.wait()
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while True:
            with self._ready:
                while not (self._urgent or self._jobs or self._closed):
                    self._ready.wait()
                if self._closed:
                    return
                job = self._urgent.popleft() if self._urgent else self._jobs.popleft()
                self._busy += 1
            problem: BaseException | None = None
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for the work
                problem = error
            with self._ready:
                self._busy -= 1
                if problem is not None and self._error is None:
                    self._error = problem
                    self._jobs.clear()
                    self._urgent.clear()
                self._room.notify()
