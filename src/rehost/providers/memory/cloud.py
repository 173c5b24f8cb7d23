"""A cloud in memory: resources by id, with latency, faults and stale reads on demand."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.hosts.pool import in_memory
from rehost.stacks.hosts.port import Host, HostGone
from rehost.stacks.sql.memory import MemorySql
from rehost.stacks.sql.port import SqlAway

_T = TypeVar("_T")


@dataclass
class Faults:
    """What goes wrong. Rates are shares of calls; times are seconds; `latency` is by operation."""

    before: float = 0.0
    """No answer, no effect."""
    after: float = 0.0
    """No answer, although the effect took place."""
    throttled: float = 0.0
    retry_after: float | None = None
    latency: float = 0.0
    latencies: Mapping[str, float] = field(default_factory=dict)
    """Seconds by `operation token`; wins over `latency`."""
    lost: dict[str, int] = field(default_factory=dict)
    """How many answers are lost after the effect, by `operation token`; counts down."""
    refusals: dict[str, int] = field(default_factory=dict)
    """How many calls are refused for good, by `operation token`; counts down."""
    stale: float = 0.0
    """So long after a write, look-ups and reads answer as before it."""


@dataclass
class _Version:
    at: float
    record: dict[str, Any] | None


class MemoryCloud:
    """Thread-safe. `names` of a kind are unique where its rules say so, as real clouds have it."""

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        seed: int = 0,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.faults = faults or Faults()
        self.account = "memory"
        self.calls: dict[str, int] = {}
        self.buckets: dict[str, dict[str, tuple[bytes, dict[str, Any]]]] = {}
        self.ways: dict[str, str] = {}
        """Where real databases stand for this cloud's, by the variables that say so."""
        self._hosts = in_memory()
        self._databases: dict[str, MemorySql] = {}
        self._random = random.Random(seed)
        self._now = now
        self._wait = wait or threading.Event().wait
        self._lock = threading.RLock()
        self._ids = itertools.count(1)
        self._records: dict[str, list[_Version]] = {}

    def create(self, token: str, inputs: Mapping[str, Any], *, unique: bool) -> dict[str, Any]:
        """Make a record and answer it. Raises ProviderError EXISTS for a name that is taken."""
        with self._call("create", token), self._lock:
            if unique and any(
                r["token"] == token and r["inputs"].get("name") == inputs.get("name") for r in self._current()
            ):
                raise ProviderError("the name is taken", reason=Reason.EXISTS, code="uniqueness_error", status=409)
            number = next(self._ids)
            id_ = f"m-{number}"
            record = {"id": id_, "token": token, "inputs": _copied(dict(inputs)), "number": number}
            self._records[id_] = [_Version(self._now(), record)]
        return _copied(record)

    def read(self, token: str, ids: list[str]) -> list[dict[str, Any] | None]:
        """Records by id, as old as stale reads make them; one call for all."""
        with self._call("read", token), self._lock:
            return [_copied(self._seen(id_)) for id_ in ids]

    def find(self, token: str, mark: str | None, name: str | None) -> dict[str, Any] | None:
        """A record by its rehost-id tag, or by name."""
        with self._call("find", token), self._lock:
            for id_ in list(self._records):
                record = self._seen(id_)
                if record and record["token"] == token:
                    inputs = record["inputs"]
                    if (mark and inputs.get("tags", {}).get("rehost-id") == mark) or (
                        not mark and name and inputs.get("name") == name
                    ):
                        return _copied(record)
        return None

    def marked(self, token: str, mark: str | None) -> list[dict[str, Any]]:
        """All records with a rehost-id tag."""
        with self._call("find", token), self._lock:
            seen = [record for id_ in list(self._records) if (record := self._seen(id_)) is not None]
            ours = [
                r for r in seen if r["token"] == token and r["inputs"].get("tags", {}).get("rehost-id") == mark
            ]
            return _copied(ours)

    def update(self, token: str, id_: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Change a record. Raises ProviderError NOT_FOUND."""
        with self._call("update", token), self._lock:
            record = self._last(id_)
            if record is None:
                raise ProviderError(f"{id_} is not there", reason=Reason.NOT_FOUND, code="not_found", status=404)
            record = {**record, "inputs": _copied(dict(inputs))}
            self._records[id_].append(_Version(self._now(), record))
            return _copied(record)

    def delete(self, token: str, id_: str) -> None:
        """Remove a record. Raises ProviderError NOT_FOUND, and BUSY while another record refers to it."""
        with self._call("delete", token), self._lock:
            if self._last(id_) is None:
                raise ProviderError(f"{id_} is not there", reason=Reason.NOT_FOUND, code="not_found", status=404)
            for other in self._current():
                if other["id"] != id_ and _mentions(other["inputs"], id_):
                    raise ProviderError(
                        f"{id_} is used by {other['id']}", reason=Reason.BUSY, code="resource_in_use", status=409
                    )
            self._records[id_].append(_Version(self._now(), None))

    def host(self, server: str, connection: Mapping[str, Any]) -> Host:
        """What runs services on a server, by its id. Raises HostGone where there is no such server."""
        with self._lock:
            if self._last(server) is None:
                raise HostGone(f"there is no server {server}")
        return self._hosts(server, connection)

    def database(self, id_: str) -> MemorySql:
        """The content of a database, by its id. Raises SqlAway where there is no such database."""
        with self._lock:
            record = self._last(id_)
            if record is None:
                raise SqlAway(f"there is no database {id_}")
            about = record["inputs"]
            return self._databases.setdefault(id_, MemorySql(str(about["database"]), str(about["owner"])))

    def inventory(self) -> list[dict[str, Any]]:
        """All records that exist, without latency or faults."""
        with self._lock:
            return [_copied(record) for record in self._current()]

    def tamper(self, id_: str, inputs: Mapping[str, Any] | None) -> None:
        """Change or (None) delete a record behind everybody's back."""
        with self._lock:
            record = self._last(id_)
            assert record is not None
            changed = None if inputs is None else {**record, "inputs": {**record["inputs"], **inputs}}
            self._records[id_].append(_Version(self._now() - 1e6, changed))

    def _current(self) -> Iterator[dict[str, Any]]:
        for id_ in self._records:
            record = self._last(id_)
            if record is not None:
                yield record

    def _last(self, id_: str) -> dict[str, Any] | None:
        versions = self._records.get(id_)
        return versions[-1].record if versions else None

    def _seen(self, id_: str) -> dict[str, Any] | None:
        versions = self._records.get(id_, [])
        until = self._now() - self.faults.stale
        visible = [version for version in versions if version.at <= until]
        if not visible and self.faults.stale == 0:
            visible = versions
        return visible[-1].record if visible else None

    def _call(self, operation: str, token: str) -> _FaultyCall:
        with self._lock:
            key = f"{operation} {token}"
            self.calls[key] = self.calls.get(key, 0) + 1
            rolls = (self._random.random(), self._random.random(), self._random.random())
        seconds = self.faults.latencies.get(key, self.faults.latency)
        if seconds:
            self._wait(seconds)
        faults = self.faults
        if rolls[0] < faults.throttled:
            raise ProviderError(
                "too many requests",
                reason=Reason.THROTTLED,
                code="rate_limit_exceeded",
                status=429,
                retry_after=faults.retry_after,
            )
        with self._lock:
            refused, lost = faults.refusals.get(key, 0) > 0, faults.lost.get(key, 0) > 0
            for counts, hit in ((faults.refusals, refused), (faults.lost, lost)):
                if hit:
                    counts[key] -= 1
        if refused:
            raise ProviderError("this can't be done", reason=Reason.INVALID, code="invalid_input", status=422)
        if rolls[1] < faults.before:
            raise ProviderError("no answer", reason=Reason.UNCERTAIN, code="timeout")
        return _FaultyCall(lost or rolls[2] < faults.after)


class _FaultyCall:
    """Loses the answer after the effect where it is told to."""

    def __init__(self, lose: bool) -> None:
        self._lose = lose

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._lose and error is None:
            raise ProviderError("no answer", reason=Reason.UNCERTAIN, code="timeout")


def _copied(value: _T) -> _T:
    """A record's own copy; containers apart, its values don't change."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}  # type: ignore[return-value]
    if isinstance(value, list):
        return [_copied(item) for item in value]  # type: ignore[return-value]
    return value


def _mentions(value: object, id_: str) -> bool:
    if isinstance(value, dict):
        return any(_mentions(item, id_) for item in value.values())
    if isinstance(value, list):
        return any(_mentions(item, id_) for item in value)
    return value == id_
