"""Whether two places hold the same, found out by reading: the destination always, the source where there is no
evidence of what it holds now. Nothing is written but evidence of what differs."""

from __future__ import annotations

from functools import partial

from rehost.stacks.data.buckets import NOTHING, Allowed, check, merged
from rehost.stacks.data.evidence import Row
from rehost.stacks.data.transfer import Tools, about, lost, marker, read_object
from rehost.stacks.ports import ObjectInfo


def compare_pass(tools: Tools, *, allowed: Allowed = NOTHING) -> None:
    """Compare everything; findings are in `tools.report`. Raises ProviderError when a side can't be listed."""
    report = tools.report
    for key, here, there, row in merged(tools.source.list(), tools.destination.list(), tools.evidence.rows()):
        tools.patience.check()
        if here is not None:
            report.count(objects=1, bytes=here.size)
        if there is not None:
            report.count(destination_objects=1, destination_bytes=there.size)
        if here is not None and there is not None:
            work = partial(_compare, tools, here, there, row)
            tools.crew.submit(tools.guarded(key, work))
        elif here is not None:
            report.find("differences", f"{key}: missing at the destination")
        elif there is not None and not (allowed.foreign and row is None):
            report.find("foreign", f"{key}: not at the source")
    tools.crew.drain()


def _compare(tools: Tools, here: ObjectInfo, there: ObjectInfo, row: Row | None) -> None:
    if row is not None and row["state"] == "copied" and row["source"] == marker(here):
        check(tools, row, there)
    else:
        _both(tools, here, there)


def _both(tools: Tools, here: ObjectInfo, there: ObjectInfo) -> None:
    if here.size != there.size:
        tools.report.find("differences", f"{here.key}: {there.size} bytes instead of {here.size}")
        return
    part = tools.part if here.size > tools.part else 0
    sent, _, meta = read_object(tools, tools.source, here.key, part)
    read, _, kept = read_object(tools, tools.destination, here.key, part)
    tools.report.count(read_back=1, read_back_bytes=there.size)
    comparable = {kind: values for kind, values in about(meta).items() if kind in tools.destination.keeps}
    if sent != read:
        tools.report.find("differences", f"{here.key}: the content differs")
    elif lost(comparable, kept):
        tools.report.find("differences", f"{here.key}: type or metadata differ")
