"""Findings that providers share: names of buckets, sizes that nothing meets, records that any zone has itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rehost.stacks.diagnostics import Diagnostic, PathKey
from rehost.stacks.model import Server, Stack, show_size

SUFFIX = 11
"""Characters that the deployment adds to a bucket's name: a dash and ten hexadecimal digits."""

_BUCKET = 63
_RESERVED = ("xn--", "sthree-", "amzn-s3-demo-")


def bucket_names(stack: Stack) -> Iterator[Diagnostic]:
    """Names that S3 does not take (S3 user guide, bucket naming rules)."""
    for name in stack.buckets:
        path: PathKey = ("buckets", name)
        real = f"{stack.stack}-{name}"
        length = len(real) + SUFFIX
        if length > _BUCKET:
            yield Diagnostic(
                "name-length",
                f"the bucket's real name would have {length} characters",
                f"{real}- and {SUFFIX - 1} digits that make it unique; S3 takes at most {_BUCKET}",
                f"shorten the name of the bucket or of the stack by {length - _BUCKET}",
                path,
            )
        if real.startswith(_RESERVED):
            why = f"the real name is {real}-..., and S3 reserves names that start with {', '.join(_RESERVED)}"
            yield Diagnostic(
                "reserved-name", "the bucket's name can't be had", why, "rename the stack", ("stack",)
            )


def size_of(server: Server) -> dict[str, Any]:
    """What a server group needs, as needs have it."""
    return {
        "cpu": server.size.cpu,
        "memory": show_size(server.size.memory),
        "disk": show_size(server.size.disk),
        "architecture": server.architecture,
    }


def remembered(offered: Callable[[Mapping[str, Any]], bool]) -> Callable[[Mapping[str, Any]], bool]:
    """The same answers, each looked up once: many groups of a stack need the same."""
    known: dict[tuple[Any, ...], bool] = {}

    def answer(size: Mapping[str, Any]) -> bool:
        key = tuple(size.items())
        if key not in known:
            known[key] = offered(size)
        return known[key]

    return answer


def unmet(
    name: str, server: Server, place: str, offered: Callable[[Mapping[str, Any]], bool]
) -> Iterator[Diagnostic]:
    """A finding where nothing offered meets a group's needs, at the need that is too much by itself."""
    size = size_of(server)
    if offered(size):
        return
    other = "arm64" if server.architecture == "x86_64" else "x86_64"
    relaxed: dict[str, Any] = {"cpu": 1, "memory": "1MiB", "disk": "1MiB", "architecture": other}
    alone = [key for key in relaxed if offered({**size, key: relaxed[key]})]
    path: PathKey = ("servers", name)
    said = f"{size['cpu']} CPUs, {size['memory']} memory and {size['disk']} disk on {size['architecture']}"
    summary, fix = f"no server type in {place} has {said}", "ask for less, or choose another region"
    if alone == ["architecture"]:
        fix = f"write architecture: {other}, or choose another region"
        yield Diagnostic("size", summary, "the other architecture has one", fix, (*path, "architecture"))
    elif alone:
        key = next(key for key in alone if key != "architecture")
        yield Diagnostic("size", summary, f"with less {key} there would be one", fix, (*path, "size", key))
    else:
        why = "more than one of these is too much by itself"
        yield Diagnostic("size", summary, why, fix, (*path, "size"))


def apex_name_servers(stack: Stack) -> Iterator[Diagnostic]:
    """NS records of a zone's own name: whoever serves the zone writes them."""
    for zone, records in stack.dns.items():
        for number, record in enumerate(records):
            if record.ns is not None and record.name == "@":
                why = "they say who serves the zone, and the provider writes them itself"
                fix = "remove the record"
                path = ("dns", zone, number, "ns")
                yield Diagnostic("record-type", "the zone's own NS records can't be set", why, fix, path)
