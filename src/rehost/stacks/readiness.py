"""Whether an account is ready for a stack: proven with real calls, before anything is built on it.

What a check makes carries a mark of the stack and target. It is removed whatever happens; what a killed check left
behind, the next one finds by that mark and removes first.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event
from typing import Any, Protocol, TypeVar, runtime_checkable

from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import Interrupted, OperatorNeeded, ProviderError, RehostError
from rehost.stacks.graph import Resource
from rehost.stacks.model import Stack, Target
from rehost.stacks.state import State

T = TypeVar("T")
MAIL_PORTS = (25, 465, 587)
_PORT = re.compile(r"smtps?://[^\s/]*?:(\d{2,5})")
_SMTP = re.compile(r"(smtps?)://(?![^\s/]*:\d)")


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    UNPROVEN = "unproven"
    """It can't be told by a call; nothing speaks against it."""


@dataclass(frozen=True, slots=True)
class Result:
    """One check: of what (`credentials`, `rights`, `quota`, `buckets`, `ports`, ...), how it ended, and for what
    failed what to do."""

    check: str
    what: str
    verdict: Verdict
    told: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Wanted:
    """What a deployment would still make here: `missing` by type, `resources` of all types, outbound `ports`."""

    stack: Stack
    target: Target
    resources: tuple[Resource, ...]
    missing: Mapping[str, int]
    ports: tuple[int, ...] = ()

    @property
    def mark(self) -> str:
        """What all that a check makes is found by, the same for every check of this stack at this target."""
        text = f"{self.stack.stack}/{self.target.name}"
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def first(self, token: str) -> Resource | None:
        """One of the resources of a type, as an example."""
        return next((resource for resource in self.resources if resource.type == token), None)

    def those(self, token: str) -> list[Resource]:
        """All resources of a type that are still to be made, as far as they can be told apart."""
        found = [resource for resource in self.resources if resource.type == token]
        return found[: self.missing.get(token, 0)]


class Prober(Protocol):
    """A provider's checks. Their calls raise ProviderError; `checks` turns what they mean into results."""

    blocked: Mapping[int, str]
    """Outbound ports that the provider closes for new accounts, and how to have them opened."""

    def intends(self) -> Sequence[str]:
        """What the checks will make for a moment, and what that costs; a line each."""

    def checks(self) -> Iterator[Result]:
        """The checks, one after the other; each removes what it made."""

    def clean(self) -> Sequence[str]:
        """Remove everything with the mark; answers what that was. Works when a check was stopped anywhere."""


@runtime_checkable
class Checkable(Protocol):
    """What an adapter offers whose accounts can be checked."""

    def prober(self, wanted: Wanted, environment: Mapping[str, str], hands: Hands) -> Prober:
        """The checks. Raises InvalidInput without credentials, and imports the SDK."""


@dataclass
class Hands:
    """How probers wait and stop."""

    clock: Clock = field(default_factory=Clock)
    stop: Event = field(default_factory=Event)

    def patiently(self, call: Callable[[], T], *, tries: int = 8, heedless: bool = False) -> T:
        """The answer of a call, repeated while its errors pass. With `heedless` a stop does not end it: what was
        made has to go."""
        wait = 0.5
        never = Event()
        for attempt in range(tries):
            if self.stop.is_set() and not heedless:
                raise Interrupted("stopped by the operator", fix="nothing is left; run the check again")
            try:
                return call()
            except ProviderError as error:
                if not error.retryable or attempt == tries - 1:
                    raise
                self.clock.wait(never if heedless else self.stop, max(wait, self.clock.asked(error.retry_after)))
                wait = min(wait * 2, 10.0)
        raise AssertionError("unreachable")


def wanted(
    stack: Stack, target: Target, resources: Sequence[Resource], state: State, ports: Sequence[int] = ()
) -> Wanted:
    """What is still to be made: all resources but those that state has."""
    asked = Counter(resource.type for resource in resources)
    there = Counter(resource.type for resource in state.resources.values())
    missing = {token: number - there[token] for token, number in asked.items() if number > there[token]}
    return Wanted(stack, target, tuple(resources), missing, tuple(sorted({*ports, *outbound(stack)})))


def outbound(stack: Stack) -> set[int]:
    """Ports that the stack's services have to reach outside: of mail relays in their variables, and those that the
    rules of firewalls name for mail."""
    found: set[int] = set()
    for service in stack.services.values():
        for value in (service.environment or {}).values():
            text = str(value)
            found |= {int(port) for port in _PORT.findall(text)}
            found |= {465 if scheme == "smtps" else 25 for scheme in _SMTP.findall(text)}
    for firewall in stack.firewalls.values():
        for rule in firewall.egress:
            for low, high in rule.ranges():
                # A rule for nearly everything is about nothing in particular.
                found |= {port for port in MAIL_PORTS if low <= port <= high and high - low < 1000}
    return found


@contextmanager
def probing(prober: Prober) -> Iterator[list[str]]:
    """Remove what an earlier check left, and afterwards what this one made. Answers the former."""
    left = list(prober.clean())
    try:
        yield left
    finally:
        prober.clean()


def failed(check: str, what: str, error: RehostError, fix: str = "") -> Result:
    """A check that ended with an error."""
    told = error.summary + (f" ({error.why})" if error.why and isinstance(error, OperatorNeeded) else "")
    return Result(check, what, Verdict.FAILED, told, fix or error.fix or "see what the provider says")


def ports(wanted_: Wanted, blocked: Mapping[int, str], opened: Sequence[int]) -> Iterator[Result]:
    """Outbound ports. `blocked` has those that the provider closes for new accounts, and how to have them opened;
    `opened` are those that the operator says are open."""
    for port in wanted_.ports:
        what = f"port {port} to the outside"
        if port in opened:
            yield Result("ports", what, Verdict.OK, "open, as you say")
        elif port in blocked:
            told = "closed for accounts that have not asked for it"
            yield Result("ports", what, Verdict.FAILED, told, f"{blocked[port]}, and say so with --opened {port}")
        else:
            yield Result("ports", what, Verdict.OK, "not closed by the provider")


def reserved(wanted_: Wanted, addresses: Mapping[str, str]) -> Iterator[Result]:
    """Static addresses, which partners put on their lists before anything moves. `addresses` has those that are
    deployed, by component."""
    for name in wanted_.stack.static_addresses:
        component = f"static_addresses.{name}"
        if component in addresses:
            yield Result("addresses", component, Verdict.OK, f"reserved: {addresses[component]}")
        else:
            fix = (
                f"reserve it: rehost deploy --on {wanted_.target.name} --only {component}; then tell your partners"
            )
            yield Result("addresses", component, Verdict.FAILED, "not reserved yet", fix)


def as_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Results for machines."""
    return [
        {"check": r.check, "what": r.what, "verdict": r.verdict.value, "told": r.told, "fix": r.fix}
        for r in results
    ]
