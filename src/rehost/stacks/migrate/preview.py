"""What a migration would do, found out without writing anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rehost.stacks.migrate import record
from rehost.stacks.migrate.addresses import addresses_of
from rehost.stacks.migrate.journal import progress_of
from rehost.stacks.migrate.migration import JOURNAL
from rehost.stacks.migrate.move import Move
from rehost.stacks.migrate.phases import Preflight, phases_of
from rehost.stacks.model import Stack
from rehost.stacks.plan import Plan

UNKNOWN_YET = "known once it is made"
_SAMPLE = 20
"""Objects read of a bucket to measure how fast the source is."""
_SAMPLE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Preview:
    """The whole plan of a move. `seconds` is an estimate for the copy as measured, None without data."""

    plan: Plan
    buckets: dict[str, dict[str, int]]
    seconds: float | None
    addresses: list[dict[str, Any]]
    drift: list[str]
    manual: list[dict[str, str]]
    risks: list[str]
    phases: list[dict[str, str]]
    going_on: str

    def as_dict(self) -> dict[str, Any]:
        """For machines, without the plan."""
        return {name: value for name, value in vars(self).items() if name != "plan"}


def preview(move: Move) -> Preview:
    """Look at both sides as the preflight does, and hold nothing of it. Raises what it raises."""
    try:
        return _look(move)
    finally:
        # A way to a database that is left open keeps the process from ending.
        move.close()


def _look(move: Move) -> Preview:
    names = (move.source.stack.stack, move.source.target.name, move.target.target.name)
    move.record = record.fresh(*names, "", move.now, 0)
    facts = Preflight().run(move, None)
    progress = progress_of(move.folder / JOURNAL)
    zones = sorted(move.target.stack.dns)
    manual = list(move.record["remaining"])
    for zone in zones:
        what = f"move the delegation of {zone} at its registrar"
        manual.append({"what": what, "how": "the name servers to set are printed when the zone is made"})
    return Preview(
        plan=move.target.plan(),
        buckets=facts["buckets"],
        seconds=estimate(move),
        addresses=_addresses(move),
        drift=facts["source_drift"],
        manual=manual,
        risks=list(_risks(move)),
        phases=[{"phase": phase.name, "title": phase.title} for phase in phases_of(move)],
        going_on=progress.move if progress.open else "",
    )


def _addresses(move: Move) -> list[dict[str, Any]]:
    before, after = addresses_of(move.source), addresses_of(move.target)
    told = []
    for name, type_, ttl, values in _records(move.target.stack):
        old, new = before.get((name, type_)), after.get((name, type_))
        then = list(new.values) if new else list(values) if values else [UNKNOWN_YET]
        now = list(old.values) if old else []
        told.append({"name": name, "type": type_, "before": now, "after": then, "ttl": ttl})
    return told


def _records(stack: Stack) -> Iterator[tuple[str, str, int, tuple[str, ...]]]:
    for zone, entries in sorted(stack.dns.items()):
        for entry in entries:
            type_, values = entry.values() or ("A", ())
            known = () if any("${" in value for value in values) else values
            yield zone if entry.name == "@" else f"{entry.name}.{zone}", type_, entry.ttl, known


def _risks(move: Move) -> Iterator[str]:
    """What can't be undone, or is not what somebody may expect."""
    old, new = move.source.target.name, move.target.target.name
    if move.live:
        yield f"after your go the services at {old} stop, and its zone points to {new}; a rollback puts both back"
    else:
        yield f"nothing at {old} is changed; what is made at {new} is removed by `rehost destroy --on {new}`"
    if move.buckets(move.source):
        yield f"what is written to {old} after the last pass is not at {new}: run again, or stop writers first"
    if move.target.stack.dns:
        yield "once the delegation has moved, resolvers keep old answers until the TTLs are over"


def estimate(move: Move) -> float | None:
    """Seconds that the copy may take, from reading a few objects of every bucket at the source."""
    total = 0.0
    measured = False
    for bucket in move.buckets(move.source).values():
        store = move.store(move.source, bucket)
        sample = list(islice(store.list(), _SAMPLE))
        began, read = move.target.clock.now(), 0
        for info in sample:
            _, _, stream = store.open(info.key)
            for piece in stream:
                read += len(piece)
                if read > _SAMPLE_BYTES:
                    break
        if not sample:
            continue
        measured = True
        each = (move.target.clock.now() - began) / len(sample)
        objects, size = move.size_of(bucket.component.removeprefix("buckets."))
        mean = max(1.0, size / max(1, objects)) / max(1.0, read / len(sample))
        # Read, written, read back; larger objects than the sample's take longer in proportion.
        total += objects * each * max(1.0, mean) * 3 / move.parallel
    return round(total, 1) if measured else None
