"""One object on its way: read from the source, hashed as it passes, written, read back from the destination.

The hash of an object is SHA-256. Objects above PART bytes travel in parts, several at once; theirs is the
SHA-256 of the parts' hashes in order, and the size of a part stands in the evidence.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rehost.stacks.data.evidence import Evidence, Row
from rehost.stacks.data.report import Report
from rehost.stacks.data.work import Crew, Patience
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import ObjectInfo, ObjectMeta, ObjectStore, Span

MIB = 1024 * 1024
BUFFER = MIB
"""Bytes up to which an object is held in memory whole, so that the destination checks its hash as well."""
PART = 16 * MIB
"""Bytes of a part, and of the largest object that goes in one request."""
MOST_PARTS = 10_000
REREAD = 3
"""So often an object is written and read back before its copy is given up."""


class Differs(Exception):
    """What was read back is not what was sent."""


def marker(info: ObjectInfo) -> list[Any]:
    """What tells one state of an object from another without reading it."""
    return [info.size, info.etag, info.modified]


def about(meta: ObjectMeta) -> dict[str, dict[str, str]]:
    """Metadata as it stands in the evidence."""
    told = {"headers": meta.headers, "user": meta.user, "tags": meta.tags}
    return {name: dict(sorted(values.items())) for name, values in told.items() if values}


def lost(sent: Mapping[str, Mapping[str, str]], kept: ObjectMeta) -> dict[str, list[str]]:
    """What of the metadata sent is not there: names by kind."""
    found = {}
    for kind, values in sent.items():
        there: Mapping[str, str] = getattr(kept, kind)
        names = [name for name, value in values.items() if there.get(name) != value]
        if names:
            found[kind] = names
    return found


@dataclass
class Tools:
    """What all transfers between two places share. `move` names the run that the evidence belongs to."""

    source: ObjectStore
    destination: ObjectStore
    evidence: Evidence
    report: Report
    patience: Patience
    crew: Crew
    move: str
    clock: Clock = field(default_factory=Clock)
    part: int = PART
    buffer: int = BUFFER

    def hashed(self, stream: Iterable[bytes], into: Any) -> Iterator[bytes]:
        """The stream, hashed as it passes, counted, and ended when the run is being stopped."""
        for piece in stream:
            into.update(piece)
            self.patience.check()
            self.report.count(passed_bytes=len(piece))
            yield piece

    def hash_of(self, stream: Iterable[bytes]) -> tuple[str, int]:
        """Hash and length of a stream."""
        seen, size = hashlib.sha256(), 0
        for piece in self.hashed(stream, seen):
            size += len(piece)
        return seen.hexdigest(), size

    def failed(self, key: str, error: ProviderError | Differs) -> None:
        """Write down what went wrong with an object. One that changed or vanished is left to the next pass."""
        if isinstance(error, ProviderError) and error.reason in (Reason.NOT_FOUND, Reason.CHANGED):
            self.report.count(moved=1)
        else:
            self.report.find("failures", f"{key}: {error}")

    def guarded(self, key: str, work: Callable[[], None]) -> Callable[[], None]:
        """The work on one object as a job: what goes wrong with it goes into the report."""

        def job() -> None:
            try:
                work()
            except (ProviderError, Differs) as error:
                self.failed(key, error)

        return job

    def done(
        self, info: ObjectInfo, now: ObjectInfo, meta: ObjectMeta, back: ObjectInfo, kept: ObjectMeta, how: Row
    ) -> None:
        """Write down that an object is at the destination as it was sent."""
        sent = about(meta)
        missing = lost(sent, kept)
        for kind, names in missing.items():
            for name in [kind] if kind == "tags" else names if kind == "headers" else ["user metadata"]:
                self.report.find("lost", name)
        row = {
            "key": info.key,
            "state": "copied",
            "size": now.size,
            **how,
            "meta": sent,
            # Listed before it was read: where it changed in between, the next pass sees a difference.
            "source": marker(info) if (info.etag, info.size) == (now.etag, now.size) else marker(now),
            "destination": [back.etag, int(back.modified)],
            "move": self.move,
            "at": round(self.clock.time(), 3),
        }
        if missing:
            row["lost"] = missing
        self.evidence.add(row)


def copy(tools: Tools, info: ObjectInfo, known: Row | None) -> None:
    """Copy one object; a large one adds jobs for its parts. Raises ProviderError, Differs, Interrupted."""
    if info.size > tools.part:
        _Large(tools, info, known).begin()
        return
    if known is None or known["state"] != "writing":
        tools.evidence.add({"key": info.key, "state": "writing", "move": tools.move})
    for attempt in range(1, REREAD + 1):
        now = tools.patience(lambda: _small(tools, info))
        if now is None:
            continue
        if attempt > 1:
            tools.report.count(repeated=attempt - 1)
        tools.report.count(copied=1, copied_bytes=now.size, read_back=1, read_back_bytes=now.size)
        return
    raise Differs("the destination returns other content than was sent")


def _small(tools: Tools, info: ObjectInfo) -> ObjectInfo | None:
    """The copy in one request; None where what was read back differs."""
    key = info.key
    now, meta, stream = tools.source.open(key)
    seen = hashlib.sha256()
    passing = tools.hashed(stream, seen)
    if now.size <= tools.buffer:
        content = b"".join(passing)
        if len(content) != now.size:
            raise ProviderError(f"{key}: {len(content)} bytes instead of {now.size}", reason=Reason.UNAVAILABLE)
        tools.destination.put(key, meta, now.size, [content], sha256=seen.hexdigest())
    else:
        tools.destination.put(key, meta, now.size, passing)
    sent = seen.hexdigest()
    back, kept, returned = tools.patience(lambda: tools.destination.open(key))
    read, size = tools.hash_of(returned)
    if (read, size) != (sent, now.size):
        return None
    tools.done(info, now, meta, back, kept, {"sha256": sent, "read": read})
    return now


class Parts:
    """Work on one object in parts: independent jobs, the last of which takes the next step. After the first
    failure nothing more is done."""

    def __init__(self, tools: Tools, key: str) -> None:
        self.tools, self.key = tools, key
        self.lock = threading.Lock()
        self.left = 0
        self.broken = False

    def each(self, numbers: Sequence[int], work: Callable[[int], None], then: Callable[[], None]) -> None:
        """A job for each part, and `then` after the last."""
        self.left = len(numbers)
        for number in numbers:
            self.tools.crew.urgent(lambda number=number: self._one(number, work, then))  # type: ignore[misc]
        if not numbers:
            self._safely(then)

    def _one(self, number: int, work: Callable[[int], None], then: Callable[[], None]) -> None:
        self._safely(lambda: work(number))
        with self.lock:
            self.left -= 1
            last = self.left == 0
        if last:
            self._safely(then)

    def _safely(self, work: Callable[[], None]) -> None:
        if self.broken:
            return
        try:
            work()
        except (ProviderError, Differs) as error:
            with self.lock:
                first, self.broken = not self.broken, True
            if first:
                self.tools.failed(self.key, error)


class _Large(Parts):
    """The copy of an object in parts, which an interrupted run leaves to be gone on with."""

    def __init__(self, tools: Tools, info: ObjectInfo, known: Row | None) -> None:
        super().__init__(tools, info.key)
        self.info, self.known = info, known

    def begin(self) -> None:
        """Find out what is to be sent, and add a job for each part. Raises ProviderError."""
        tools, key = self.tools, self.key
        self.now, self.meta = tools.patience(lambda: tools.source.about(key))
        if self.now.size <= tools.part:
            copy(tools, self.now, self.known)
            return
        smallest = -(-self.now.size // MOST_PARTS)
        self.size = tools.part if smallest <= tools.part else -(-smallest // MIB) * MIB
        self.spans = dict(enumerate(spans(self.now.size, self.size), 1))
        self.upload, self.parts = self._upload()
        tools.report.count(resumed_parts=len(self.parts))
        self.each([number for number in self.spans if number not in self.parts], self._send, self._finish)

    def _upload(self) -> tuple[str, dict[int, Row]]:
        """The upload to go on with: the one of an interrupted run if it is of the same content, or a new one."""
        tools, key = self.tools, self.key
        source = [self.now.size, self.now.etag, self.now.version]
        begun = tools.evidence.upload(key)
        # Uploads of this key at the destination, looked for where an earlier run may have left any.
        left = tools.patience(lambda: tools.destination.unfinished(key)) if begun or self.known else ()
        if begun is not None:
            row, parts = begun
            if row["source"] == source and row["part"] == self.size and row["upload"] in left:
                return row["upload"], parts
        for upload in left:
            self._abort(upload)
        tools.evidence.add({"key": key, "state": "writing", "move": tools.move})
        upload = tools.patience(lambda: tools.destination.begin(key, self.meta))
        row = {"key": key, "state": "upload", "upload": upload, "source": source, "part": self.size}
        tools.evidence.add(row)
        return upload, {}

    def _abort(self, upload: str) -> None:
        self.tools.patience(lambda: self.tools.destination.abort(self.key, upload))

    def _send(self, number: int) -> None:
        tools, span = self.tools, self.spans[number]

        def once() -> tuple[str, str]:
            _, _, stream = tools.source.open(self.key, span=span, pin=self.now)
            seen = hashlib.sha256()
            passing = tools.hashed(stream, seen)
            etag = tools.destination.put_part(self.key, self.upload, number, span, passing)
            return etag, seen.hexdigest()

        try:
            etag, digest = tools.patience(once)
        except ProviderError as error:
            if error.reason in (Reason.NOT_FOUND, Reason.CHANGED):
                self._abort(self.upload)
            raise
        row = {"key": self.key, "state": "part", "upload": self.upload, "number": number}
        row |= {"etag": etag, "sha256": digest}
        with self.lock:
            self.parts[number] = row
        tools.evidence.add(row)

    def _finish(self) -> None:
        tools, key = self.tools, self.key
        etags = [self.parts[number]["etag"] for number in sorted(self.spans)]
        try:
            tools.patience(lambda: tools.destination.finish(key, self.upload, etags))
        except ProviderError as error:
            # An answer that got lost leaves the object and no upload: reading it back decides.
            if error.reason is not Reason.NOT_FOUND:
                self._abort(self.upload)
                raise
        self.back, self.kept = tools.patience(lambda: tools.destination.about(key))
        if self.back.size != self.now.size:
            raise Differs(f"the destination has {self.back.size} bytes instead of {self.now.size}")
        self.read: dict[int, str] = {}
        self.each(sorted(self.spans), self._compare, self._proven)

    def _compare(self, number: int) -> None:
        self.read[number] = read_part(self.tools, self.tools.destination, self.back, self.spans[number])
        if self.read[number] != self.parts[number]["sha256"]:
            raise Differs("the destination returns other content than was sent")

    def _proven(self) -> None:
        size = self.now.size
        sent = joined(self.parts[number]["sha256"] for number in sorted(self.spans))
        read = joined(self.read[number] for number in sorted(self.spans))
        self.tools.report.count(copied=1, copied_bytes=size, read_back=1, read_back_bytes=size)
        how = {"sha256": sent, "read": read, "part": self.size}
        self.tools.done(self.info, self.now, self.meta, self.back, self.kept, how)


def spans(size: int, part: int) -> list[Span]:
    """The parts of an object."""
    return [Span(start, min(part, size - start)) for start in range(0, size, part)]


def read_part(tools: Tools, store: ObjectStore, pin: ObjectInfo, span: Span) -> str:
    """The hash of a part of an object as a store returns it. Raises ProviderError."""

    def once() -> str:
        _, _, stream = store.open(pin.key, span=span, pin=pin)
        return tools.hash_of(stream)[0]

    return tools.patience(once)


def joined(digests: Iterable[str]) -> str:
    """The hash of an object in parts, from those of its parts in order."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def read_object(tools: Tools, store: ObjectStore, key: str, part: int) -> tuple[str, ObjectInfo, ObjectMeta]:
    """The hash of an object as a store returns it, over parts of `part` bytes (0: in one), and what is known of
    it. Raises ProviderError."""
    if part:
        info, meta = tools.patience(lambda: store.about(key))
        return joined(read_part(tools, store, info, span) for span in spans(info.size, part)), info, meta

    def once() -> tuple[str, ObjectInfo, ObjectMeta]:
        info, meta, stream = store.open(key)
        return tools.hash_of(stream)[0], info, meta

    return tools.patience(once)
