"""Repeating a failed call, and keeping what is secret secret in what it answers."""

from __future__ import annotations

import random
from collections.abc import Mapping

from rehost.stacks.engine.clock import Gate, StepCall
from rehost.stacks.engine.events import Emit, StepRetries
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Secret, Value, is_secret, reveal
from rehost.stacks.plan import Step


def veiled(outputs: Mapping[str, Value], inputs: Mapping[str, Value]) -> dict[str, Value]:
    """Outputs with those secret whose inputs are."""
    made = dict(outputs)
    for key in [key for key, value in inputs.items() if is_secret(value)]:
        if made.get(key) is not None:
            made[key] = Secret(reveal(made[key]))
    return made


class Attempts:
    """Decides whether a failed call is repeated, and waits before it: growing, with jitter, and never less than
    the provider asked for."""

    def __init__(
        self, gate: Gate, emit: Emit, jitter: random.Random, step: Step, action: str, call: StepCall
    ) -> None:
        self._gate, self._emit, self._jitter = gate, emit, jitter
        self._step, self._action, self._call = step, action, call
        self._count = 0

    def again(self, error: ProviderError) -> bool:
        """Whether to try once more, after having waited. Raises Interrupted when the run is being stopped."""
        if not error.retryable or self._call.clock.now() >= self._call.deadline:
            return False
        self._count += 1
        grown = min(30.0, 0.5 * 2 ** min(self._count, 8))
        seconds = grown * (0.5 + self._jitter.random() / 2)
        seconds = max(seconds, self._call.clock.asked(error.retry_after))
        # What the provider asks for is not the step's own time.
        self._call.deadline += error.retry_after or 0.0
        if error.reason is Reason.THROTTLED:
            self._gate.close(seconds)
        step = self._step
        self._emit(
            StepRetries(
                self._call.clock.time(),
                self._action,
                step.urn,
                step.address,
                error.summary,
                round(seconds / self._call.clock.pace, 2),
                self._count,
            )
        )
        self._call.pause(seconds)
        return True
