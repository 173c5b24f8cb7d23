"""The bucket mover: a pass brings a destination to the source's content, a verification proves that it has it.

Source, destination and evidence are three streams in key order, merged: no pass holds all keys. What a pass does
with a key follows from who knows it:

| source | destination | evidence | |
| --- | --- | --- | --- |
| changed | any | ours | copied |
| same | same | ours | nothing |
| same | differs or is missing | ours | a difference: read, named, copied anew by the next run |
| yes | no | none | copied |
| yes | yes | none | compared: taken over where equal, else foreign |
| no | any | ours | removed |
| no | yes | none | foreign: named and never touched |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from rehost.stacks.data.evidence import Evidence, Row
from rehost.stacks.data.report import Names
from rehost.stacks.data.transfer import (
    Parts,
    Tools,
    copy,
    joined,
    lost,
    marker,
    read_object,
    read_part,
    spans,
)
from rehost.stacks.errors import ProviderError, Reason, Refused, RehostError
from rehost.stacks.ports import ObjectInfo, ObjectMeta, ObjectStore

_DELETE = 500
"""Objects removed in one call."""


@dataclass(frozen=True)
class Allowed:
    """What a pass may do beyond the usual: let `foreign` objects stay and write over those in the way; make
    the destination `empty` when its source is."""

    foreign: bool = False
    empty: bool = False


NOTHING = Allowed()
Keyed = tuple[str, ObjectInfo | None, ObjectInfo | None, Row | None]


def merged(
    source: Iterable[ObjectInfo], destination: Iterable[ObjectInfo], evidence: Iterable[Row]
) -> Iterator[Keyed]:
    """The three streams joined by key. Raises RehostError for a listing that is not in key order."""
    here, there = _ordered(source, "source"), _ordered(destination, "destination")
    rows = iter(evidence)
    a, b, c = next(here, None), next(there, None), next(rows, None)
    while a is not None or b is not None or c is not None:
        keys = [info.key for info in (a, b) if info is not None]
        key = min([*keys, str(c["key"])] if c is not None else keys)
        one = a if a is not None and a.key == key else None
        two = b if b is not None and b.key == key else None
        three = c if c is not None and c["key"] == key else None
        # The next ones are fetched first: what happens to this key must not reach the evidence read so far.
        if one is not None:
            a = next(here, None)
        if two is not None:
            b = next(there, None)
        if three is not None:
            c = next(rows, None)
        yield key, one, two, three


def _ordered(infos: Iterable[ObjectInfo], side: str) -> Iterator[ObjectInfo]:
    before = None
    for info in infos:
        if before is not None and info.key <= before:
            raise RehostError(
                f"the {side} does not list its objects in the order of their keys",
                why=f"{info.key!r} came after {before!r}",
                fix="directory buckets list that way: copy them with another tool, or prefix by prefix",
            )
        before = info.key
        yield info


def same(info: ObjectInfo, row: Row) -> bool:
    """Whether a destination's object is, as far as a listing tells, what was written."""
    etag, modified = row["destination"]
    return (info.etag, info.size, int(info.modified)) == (etag, row["size"], modified)


def copy_pass(tools: Tools, *, allowed: Allowed = NOTHING) -> None:
    """One pass; counts and findings are in `tools.report`, failures of single objects too.

    Raises ProviderError when a side can't be listed, Interrupted when stopped.
    """
    report, evidence = tools.report, tools.evidence
    report.objects = report.bytes = report.skipped = report.moved = 0
    report.failures, report.differences, report.foreign = Names(), Names(), Names()
    gone: list[str] = []
    listed = merged(tools.source.list(), tools.destination.list(), evidence.rows())
    for key, here, there, row in listed:
        tools.patience.check()
        if here is None:
            if row is not None:
                gone.append(key)
            elif not allowed.foreign:
                report.find("foreign", f"{key}: not written by this move")
            continue
        report.count(objects=1, bytes=here.size)
        _decide(tools, here, there, row, allowed.foreign)
    tools.crew.drain()
    if gone and not report.objects and not allowed.empty:
        raise Refused(
            f"{tools.source.name} is empty, and {len(gone)} object(s) that were copied from it would be removed",
            why="a source that was lost or not mounted looks like this",
            fix="if it is meant to be empty, say so with --allow-empty",
        )
    for start in range(0, len(gone), _DELETE):
        some = gone[start : start + _DELETE]
        tools.patience(lambda some=some: tools.destination.delete(some))  # type: ignore[misc]
        for key in some:
            evidence.add({"key": key, "state": "gone", "move": tools.move})
        report.count(removed=len(some))
    report.passes += 1


def _decide(
    tools: Tools, here: ObjectInfo, there: ObjectInfo | None, row: Row | None, allow_foreign: bool
) -> None:
    key = here.key
    if row is None:
        if there is not None:
            tools.crew.submit(tools.guarded(key, lambda: _adopt(tools, here, there, allow_foreign)))
        else:
            tools.crew.submit(tools.guarded(key, lambda: copy(tools, here, None)))
    elif row["state"] == "copied" and row["source"] == marker(here):
        if there is not None and same(there, row):
            tools.report.count(skipped=1, skipped_bytes=here.size)
        else:
            tools.crew.submit(tools.guarded(key, lambda: check(tools, row, there)))
    elif row["state"] == "spoiled" and row["move"] == tools.move:
        tools.report.find("differences", f"{key}: {row['found']}")
    else:
        tools.crew.submit(tools.guarded(key, lambda: copy(tools, here, row)))


def spoil(tools: Tools, row: Row, found: str, read: str = "") -> None:
    """Name a difference, and have the next run copy the object anew."""
    tools.report.find("differences", f"{row['key']}: {found}")
    tools.evidence.add({**row, "state": "spoiled", "found": found, "read": read, "move": tools.move})


def _adopt(tools: Tools, here: ObjectInfo, there: ObjectInfo, overwrite: bool) -> None:
    """Compare an object that both sides have and nobody wrote down; take it over if it is the same."""
    part = tools.part if here.size > tools.part else 0
    if here.size == there.size:
        read, back, kept = read_object(tools, tools.destination, here.key, part)
        sent, now, meta = read_object(tools, tools.source, here.key, part)
        if sent == read and not lost(_kept(tools, meta), kept):
            tools.done(here, now, meta, back, kept, {"sha256": sent, "read": read, "part": part})
            tools.report.count(adopted=1, read_back=1, read_back_bytes=now.size)
            return
    if overwrite:
        copy(tools, here, None)
    else:
        tools.report.find("foreign", f"{here.key}: there already with other content, not written by this move")


def _kept(tools: Tools, meta: ObjectMeta) -> dict[str, dict[str, str]]:
    return {kind: dict(getattr(meta, kind)) for kind in tools.destination.keeps - {"tags"}}


def check(tools: Tools, row: Row, there: ObjectInfo | None) -> None:
    """Read an object back and compare it with the evidence; a large one adds jobs for its parts. `there` is what
    the listing says of it."""
    try:
        if row.get("part"):
            _LargeCheck(tools, row, there).begin()
        else:
            _judge(tools, row, there, *read_object(tools, tools.destination, row["key"], 0))
    except ProviderError as error:
        if error.reason is not Reason.NOT_FOUND:
            raise
        spoil(tools, row, "missing at the destination")


def _judge(
    tools: Tools, row: Row, there: ObjectInfo | None, read: str, back: ObjectInfo, kept: ObjectMeta
) -> None:
    tools.report.count(read_back=1, read_back_bytes=back.size)
    if read != row["sha256"] or back.size != row["size"]:
        spoil(tools, row, "the content differs", read)
    elif lost(row["meta"], kept) != row.get("lost", {}):
        spoil(tools, row, "type or metadata differ", read)
    else:
        # As it is listed: some stores list another marker than they answer a read with.
        listed = there or back
        fresh = {"destination": [listed.etag, int(listed.modified)], "read": read, "move": tools.move}
        tools.evidence.add({**row, **fresh, "at": round(tools.clock.time(), 3)})


class _LargeCheck(Parts):
    def __init__(self, tools: Tools, row: Row, there: ObjectInfo | None) -> None:
        super().__init__(tools, row["key"])
        self.row, self.there = row, there

    def begin(self) -> None:
        tools, row = self.tools, self.row
        self.back, self.kept = tools.patience(lambda: tools.destination.about(row["key"]))
        self.spans = spans(self.back.size, row["part"])
        self.read: dict[int, str] = {}
        self.each(range(len(self.spans)), self._part, self._end)

    def _part(self, number: int) -> None:
        self.read[number] = read_part(self.tools, self.tools.destination, self.back, self.spans[number])

    def _end(self) -> None:
        read = joined(self.read[number] for number in range(len(self.spans)))
        _judge(self.tools, self.row, self.there, read, self.back, self.kept)


def verify_pass(tools: Tools, *, allowed: Allowed = NOTHING, trust: bool = True) -> None:
    """Compare the destination with the evidence, by reading. With `trust`, what this move has read back already
    and the listing shows untouched is not read again.

    Findings are in `tools.report`, and the digests over both sides.
    """
    report = tools.report
    report.destination_objects = report.destination_bytes = 0
    report.differences, report.foreign = Names(), Names()
    for key, _, there, row in merged((), tools.destination.list(), tools.evidence.rows()):
        tools.patience.check()
        if there is not None:
            report.count(destination_objects=1, destination_bytes=there.size)
        if row is None:
            if not allowed.foreign:
                report.find("foreign", f"{key}: not written by this move")
        elif row["state"] == "spoiled":
            report.find("differences", f"{key}: {row['found']}")
        elif row["state"] != "copied":
            report.find("differences", f"{key}: its copy was not finished")
        elif there is None or not (trust and row["move"] == tools.move and same(there, row)):
            tools.crew.submit(tools.guarded(key, partial(check, tools, row, there)))
    tools.crew.drain()
    report.source_digest, report.destination_digest = digests(tools.evidence)


def digests(evidence: Evidence) -> tuple[str, str]:
    """One hash each over all objects as they were sent and as they were read back."""
    sent, back = hashlib.sha256(), hashlib.sha256()
    for row in evidence.rows():
        if row["state"] in ("copied", "spoiled"):
            told = [row["key"], row["size"], row["meta"]]
            sent.update(json.dumps([*told, row["sha256"]]).encode())
            back.update(json.dumps([*told, row["read"]]).encode())
    return sent.hexdigest(), back.hexdigest()


def measure(store: ObjectStore) -> tuple[int, int]:
    """How many objects a store has, and their bytes. Raises ProviderError."""
    objects = size = 0
    for info in store.list():
        objects, size = objects + 1, size + info.size
    return objects, size
