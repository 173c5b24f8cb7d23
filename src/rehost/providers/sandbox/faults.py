"""Latency and faults for calls that match a pattern; one middleware round every stand-in.

`/_sandbox/faults` takes rules (POST, one rule or a list), shows them (GET) and drops them (DELETE, `?id=` for
one); `/_sandbox/calls` counts the calls by name; `/_sandbox/off` lets everything fall silent (POST) and go on
(DELETE), with what is real behind it.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from rehost.providers.sandbox.wire import CLOSED, Answer, App, Call, Dialect, Environ, body, drain, hang_up, run

KINDS = ("latency", "throttle", "error", "timeout_before", "timeout_after", "stale")


@dataclass
class Rule:
    """What happens to calls of a pattern. Raises ValueError for what makes no sense."""

    call: str
    """A glob over `service:Operation` or the operation alone; `POST /servers*` for Hetzner."""
    do: str
    """One of KINDS. timeout_before closes the connection without an effect, timeout_after closes it after the
    effect; stale hides from reads what was made less than `seconds` ago."""
    seconds: float = 0.0
    """How long a latency or the wait before a time-out is, or how old things are before reads show them."""
    times: int | None = None
    """For so many calls; None is for ever."""
    share: float = 1.0
    """The part of the calls that it hits, by a seeded generator."""
    after: int = 0
    """So many matching calls go through first."""
    code: str = ""
    """An error code in place of the usual one."""
    status: int = 0
    """An HTTP status in place of the usual one."""
    message: str = ""
    seed: int = 0
    group: str = ""
    """Which switch made it, so that the switch can take it away again."""
    id: int = 0
    matched: int = 0
    hits: int = 0
    chance: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.do not in KINDS:
            raise ValueError(f"do is one of {', '.join(KINDS)}, not {self.do!r}")
        if not self.call:
            raise ValueError("call is a pattern such as RunInstances or s3:Put*")
        if (
            self.seconds < 0
            or self.after < 0
            or not 0 < self.share <= 1
            or (self.times is not None and self.times < 1)
        ):
            raise ValueError("seconds and after are at least 0, times at least 1, share is above 0 and at most 1")
        if self.do in ("latency", "stale") and not self.seconds:
            raise ValueError(f"{self.do} needs seconds")
        self.chance = random.Random(f"{self.seed} {self.call} {self.do}")

    @classmethod
    def of(cls, data: Any) -> Rule:
        """A rule from JSON. Raises ValueError."""
        known = {f.name: f.type for f in fields(cls) if f.name not in ("chance", "id", "matched", "hits")}
        if not isinstance(data, dict):
            raise ValueError("a rule is an object")
        strange = sorted(data.keys() - known)
        if strange:
            raise ValueError(f"a rule has no {strange[0]!r}; it has {', '.join(known)}")
        for name, value in data.items():
            fits = {"str": str, "int": int, "int | None": int | None, "float": float | int}[str(known[name])]
            if not isinstance(value, fits) or isinstance(value, bool):
                raise ValueError(f"{name} can't be {value!r}")
        if "call" not in data or "do" not in data:
            raise ValueError("a rule needs call and do")
        return cls(**data)

    def fits(self, call: Call) -> bool:
        """Whether the pattern matches."""
        return fnmatchcase(call.operation, self.call) or fnmatchcase(call.name, self.call)

    def strikes(self) -> bool:
        """Count a matching call and say whether it is hit."""
        self.matched += 1
        if self.matched <= self.after or (self.times is not None and self.hits >= self.times):
            return False
        if self.share < 1 and self.chance.random() >= self.share:
            return False
        self.hits += 1
        return True

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {key: value for key, value in asdict(self).items() if key != "chance"}


class Faults:
    """The middleware. `pause` and `clock` are seconds and injected; `log` gets a line for each call."""

    def __init__(
        self,
        app: App,
        dialect: Dialect,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.rules: list[Rule] = []
        self._app, self._dialect, self._pause, self._clock = app, dialect, pause, clock
        self._log = log
        self._lock = threading.Lock()
        self._born: dict[str, float] = {}
        self._ids = 0
        self.off = False
        self.switched: Callable[[bool], object] = lambda off: None
        """Told when everything falls silent, and when it goes on."""

    def add(self, rule: Rule) -> Rule:
        """Put a rule in force, after those that are."""
        with self._lock:
            self._ids += 1
            rule.id = self._ids
            self.rules.append(rule)
        return rule

    def drop(self, wanted: Callable[[Rule], bool]) -> int:
        """Take rules away; answers how many."""
        with self._lock:
            before = len(self.rules)
            self.rules = [rule for rule in self.rules if not wanted(rule)]
            return before - len(self.rules)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in ("/_sandbox/faults", "/_sandbox/calls"):
            return self._control(environ, path).send(start_response)
        if path == "/_sandbox/off":
            return self._switch(environ["REQUEST_METHOD"]).send(start_response)
        if self.off:
            return hang_up(environ, start_response)
        if path.startswith(("/_sandbox/", "/moto-api/")):
            return self._app(environ, start_response)
        call = self._dialect.call(environ)
        if self._log is None:
            return self._answer(call, environ, start_response)
        began, told = time.monotonic(), "no answer"

        def start(status: str, headers: Any, *rest: Any) -> Any:
            nonlocal told
            told = "no answer" if status == CLOSED else status.partition(" ")[0]
            return start_response(status, headers, *rest)

        try:
            return self._answer(call, environ, start)
        finally:
            self._log(f"{call.name} {told} {(time.monotonic() - began) * 1000:.0f} ms")

    def _answer(self, call: Call, environ: Environ, start_response: Any) -> Iterable[bytes]:
        with self._lock:
            self.calls[call.name] += 1
            struck = self._struck(call)
            watching = any(rule.do == "stale" for rule in self.rules)
        after = None
        for rule in struck:
            if rule.do == "latency" or (rule.do == "timeout_before" and rule.seconds):
                self._pause(rule.seconds)
            if rule.do == "timeout_before":
                return hang_up(environ, start_response)
            if rule.do in ("throttle", "error"):
                drain(environ)
                failure = self._dialect.failure(call, rule.do, rule.code, rule.status, rule.message)
                return failure.send(start_response)
            if rule.do == "timeout_after":
                after = rule
        if not watching and after is None:
            return self._app(environ, start_response)
        if watching:
            # What was asked for is looked at again after the application has read it.
            body(environ)
        answer = run(self._app, environ)
        now = self._clock()
        if watching:
            with self._lock:
                stale = [rule.seconds for rule in struck if rule.do == "stale"]
                hidden = {name for name, then in self._born.items() if stale and now - then < max(stale)}
                if answer.status < 300:
                    self._born.update(dict.fromkeys(self._dialect.born(call, environ, answer), now))
            if hidden:
                answer = self._dialect.veil(call, environ, answer, hidden)
        if after is not None:
            if after.seconds:
                self._pause(after.seconds)
            return hang_up(environ, start_response)
        return answer.send(start_response)

    def _struck(self, call: Call) -> list[Rule]:
        """The rules that hit a call; of the latencies of one group the first that fits."""
        found: list[Rule] = []
        slowed: set[str] = set()
        for rule in self.rules:
            if rule.fits(call) and not (rule.do == "latency" and rule.group and rule.group in slowed):
                slowed |= {rule.group} if rule.do == "latency" else set()
                found += [rule] if rule.strikes() else []
        return found

    def _switch(self, method: str) -> Answer:
        """All of it off (POST) or on again (DELETE)."""
        if method in ("POST", "DELETE"):
            self.off = method == "POST"
            self.switched(self.off)
        return _json(200, {"off": self.off})

    def _control(self, environ: Environ, path: str) -> Answer:
        method = environ["REQUEST_METHOD"]
        if path == "/_sandbox/calls":
            if method == "DELETE":
                self.calls.clear()
            return _json(200, {"calls": dict(self.calls)})
        if method == "POST":
            try:
                data = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
                rules = [Rule.of(row) for row in (data if isinstance(data, list) else [data])]
            except ValueError as error:
                return _json(400, {"error": str(error)})
            return _json(200, {"rules": [self.add(rule).shown() for rule in rules]})
        if method == "DELETE":
            query = dict(pair.partition("=")[::2] for pair in environ.get("QUERY_STRING", "").split("&"))
            return _json(
                200,
                {
                    "dropped": self.drop(
                        lambda rule: (
                            query.get("id", str(rule.id)) == str(rule.id)
                            and query.get("group", rule.group) == rule.group
                        )
                    )
                },
            )
        with self._lock:
            return _json(200, {"rules": [rule.shown() for rule in self.rules]})


def _json(status: int, data: Any) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], json.dumps(data).encode())
