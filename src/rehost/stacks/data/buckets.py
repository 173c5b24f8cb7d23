"""The bucket mover: streams every object, hashes it on the way and again as the destination returns it."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rehost.stacks.errors import Interrupted, ProviderError, RehostError
from rehost.stacks.ports import ObjectInfo, ObjectMeta, ObjectStore

ATTEMPTS = 6
Pause = Callable[[float], bool]
"""Waits seconds; answers whether the run is being stopped."""


class Evidence:
    """What was copied: one JSON line for each object, only ever appended. The last line of a key counts."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.records: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        raw = path.read_bytes() if path.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        for line in whole.splitlines():
            row = json.loads(line)
            if row.get("gone"):
                self.records.pop(row["key"], None)
            else:
                self.records[row["key"]] = row
        self._file = path.open("ab")
        self._file.truncate(len(whole))

    def add(self, row: dict[str, Any]) -> None:
        """Append a record."""
        with self._lock:
            self._file.write(json.dumps(row).encode() + b"\n")
            self._file.flush()
            if row.get("gone"):
                self.records.pop(row["key"], None)
            else:
                self.records[row["key"]] = row

    def close(self) -> None:
        """Make everything durable."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


@dataclass
class Report:
    """What a pass did to one bucket; digests are over keys, sizes, content and metadata."""

    objects: int = 0
    bytes: int = 0
    copied: int = 0
    copied_bytes: int = 0
    skipped: int = 0
    removed: int = 0
    failures: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    source_digest: str = ""
    destination_digest: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def _about(meta: ObjectMeta) -> str:
    told = json.dumps([sorted(meta.headers.items()), sorted(meta.user.items())])
    return hashlib.sha256(told.encode()).hexdigest()


def _fingerprint(info: ObjectInfo) -> list[Any]:
    return [info.size, info.etag, info.modified]


def _digest(rows: Mapping[str, tuple[int, str, str]]) -> str:
    whole = hashlib.sha256()
    for key in sorted(rows):
        whole.update(json.dumps([key, *rows[key]]).encode())
    return whole.hexdigest()


def copy_bucket(
    source: ObjectStore, destination: ObjectStore, evidence: Evidence, *, parallel: int, pause: Pause
) -> Report:
    """Bring the destination to the source's content; only what changed since the evidence is copied.

    Failures of single objects are in the report. Objects that were never written from here are left alone and
    found by `verify_bucket`. Raises ProviderError when a bucket can't be listed, Interrupted when stopped.
    """
    report = Report()
    there = {info.key: info for info in destination.list()}
    here = {info.key: info for info in source.list()}

    def same(info: ObjectInfo) -> bool:
        row, copy = evidence.records.get(info.key), there.get(info.key)
        return bool(row and copy and row["source"] == _fingerprint(info) and row["destination"] == copy.etag)

    waiting = [info for info in here.values() if not same(info)]
    report.skipped = len(here) - len(waiting)

    def one(info: ObjectInfo) -> tuple[ObjectInfo, RehostError | None]:
        try:
            _patiently(lambda: _copy(source, destination, info, evidence), pause)
        except RehostError as error:
            return info, error
        return info, None

    with ThreadPoolExecutor(parallel) as pool:
        for info, error in pool.map(one, waiting):
            if isinstance(error, Interrupted):
                raise error
            if error is not None:
                report.failures.append(f"{info.key}: {error.summary}")
            else:
                report.copied += 1
                report.copied_bytes += info.size
    stale = [key for key in evidence.records if key not in here]
    destination.delete([key for key in stale if key in there])
    for key in stale:
        evidence.add({"key": key, "gone": True})
    report.removed = len(stale)
    report.objects, report.bytes = len(here), sum(info.size for info in here.values())
    return report


def _copy(source: ObjectStore, destination: ObjectStore, info: ObjectInfo, evidence: Evidence) -> None:
    now, meta, stream = source.open(info.key)
    seen = hashlib.sha256()

    def passing() -> Iterator[bytes]:
        for piece in stream:
            seen.update(piece)
            yield piece

    made = destination.put(info.key, meta, now.size, passing())
    evidence.add(
        {
            "key": info.key,
            "size": now.size,
            # Listed before it was read: if it changed in between, the next pass sees a difference.
            "source": _fingerprint(info) if info.etag == now.etag else _fingerprint(now),
            "sha256": seen.hexdigest(),
            "meta": _about(meta),
            "destination": made.etag,
        }
    )


def _patiently(call: Callable[[], None], pause: Pause) -> None:
    for attempt in range(ATTEMPTS):
        if pause(0.0):
            raise Interrupted("stopped by the operator", fix="run the same command again to go on")
        try:
            return call()
        except ProviderError as error:
            if not error.retryable or attempt == ATTEMPTS - 1:
                raise
            pause(max(0.2 * 2**attempt, error.retry_after or 0.0))


def verify_bucket(
    destination: ObjectStore, evidence: Evidence, report: Report, *, parallel: int, pause: Pause
) -> None:
    """Read every object back and compare it with the evidence; what does not agree is in `differences`."""
    there = {info.key for info in destination.list()}
    report.differences += [f"{key}: missing at the destination" for key in sorted(evidence.records.keys() - there)]
    report.differences += [f"{key}: not written by this move" for key in sorted(there - evidence.records.keys())]
    rows: dict[str, tuple[int, str, str]] = {}

    def one(key: str) -> None:
        _, meta, stream = destination.open(key)
        seen, size = hashlib.sha256(), 0
        for piece in stream:
            seen.update(piece)
            size += len(piece)
        rows[key] = (size, seen.hexdigest(), _about(meta))

    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(lambda key: _patiently(lambda: one(key), pause), sorted(there)))
    sent = {key: (row["size"], row["sha256"], row["meta"]) for key, row in evidence.records.items()}
    for key in sorted(sent.keys() & rows.keys()):
        if sent[key][:2] != rows[key][:2]:
            report.differences.append(f"{key}: the content differs")
        elif sent[key][2] != rows[key][2]:
            report.differences.append(f"{key}: type or metadata differ")
    report.source_digest, report.destination_digest = _digest(sent), _digest(rows)
