"""A zone as a whole: what may stand beside what, and which records nobody will ever see (RFC 1034, 2181)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rehost.stacks.diagnostics import Diagnostic, PathKey, Severity
from rehost.stacks.model import Record, Stack
from rehost.stacks.records import check_name, check_value, normal
from rehost.stacks.references import references


def check_zone(stack: Stack, zone: str, line: Callable[[PathKey], int]) -> Iterator[Diagnostic]:
    """Findings about the records of a zone; `line` tells where something is written."""
    seen: dict[tuple[str, str], int] = {}
    values: dict[tuple[str, str], set[str]] = {}
    for number, record in enumerate(stack.dns[zone]):
        path: PathKey = ("dns", zone, number)
        key = (record.name.lower(), record.type)
        yield from check_name(record.name, zone, (*path, "name"))
        if key in seen:
            first = stack.dns[zone][seen[key]]
            yield from _joined(first, record, line(("dns", zone, seen[key])), path)
        yield from _beside(seen, record, path)
        seen.setdefault(key, number)
        yield from _hidden(stack, zone, record, path)
        yield from _values(zone, record, values.setdefault(key, set()), path)
    yield from _aliases(stack, zone)


def _key(record: Record) -> str:
    """The key that holds a record's values."""
    return "to" if record.values() is None else record.type.lower()


def _joined(first: Record, record: Record, line: int, path: PathKey) -> Iterator[Diagnostic]:
    """Records of one name and type are one set: with one TTL, and only one value where the type says so."""
    if record.type == "CNAME":
        summary = f"{record.name} has two records of type CNAME"
        why = f"it stands for one name; the first is in line {line}"
        yield Diagnostic("duplicate-record", summary, why, "remove one of them", (*path, "cname"))
    elif first.ttl != record.ttl:
        summary = f"{record.name} has two TTLs for its records of type {record.type}"
        why = f"they are one set, and a set has one; the first, in line {line}, has {first.ttl} s"
        at: PathKey = (*path, "ttl") if "ttl" in record.model_fields_set else (*path, _key(record))
        yield Diagnostic("duplicate-record", summary, why, f"write ttl: {first.ttl}", at)


def _beside(seen: dict[tuple[str, str], int], record: Record, path: PathKey) -> Iterator[Diagnostic]:
    name, at = record.name.lower(), (*path, _key(record))
    if record.type == "CNAME" and name == "@":
        why = "it has NS and SOA records already, and a CNAME stands alone"
        yield Diagnostic("cname-apex", "the zone's own name can't be a CNAME", why, "use `to` or `a`", at)
    elif any(n == name and "CNAME" in (t, record.type) and t != record.type for n, t in seen):
        summary = f"{name} is a CNAME and has other records too"
        yield Diagnostic("cname-beside", summary, "a CNAME stands alone", "remove one of them", at)


def _hidden(stack: Stack, zone: str, record: Record, path: PathKey) -> Iterator[Diagnostic]:
    below = stack.overshadowed(zone, record)
    if below is not None and record.type != "NS":
        yield Diagnostic(
            "overshadowed",
            f"the zone {below} has a record for {record.full(zone)} too",
            f"once {below} is delegated, nobody asks {zone} for its names",
            "keep the one in the zone further down",
            (*path, "name"),
            severity=Severity.WARNING,
        )
    given = {r.name.lower(): r for r in stack.dns[zone] if r.type == "NS" and r.name != "@"}
    name = record.name.lower()
    away = next((other for other in given if name == other or name.endswith(f".{other}")), None)
    if away is None or (record.type == "NS" and name == away):
        return
    # Addresses of the name servers themselves are asked for here.
    servers = {normal("NS", host).rstrip(".") for host in given[away].ns or ()}
    if record.type in ("A", "AAAA") and record.full(zone) in servers:
        return
    yield Diagnostic(
        "overshadowed",
        f"{away}.{zone} is delegated, and {record.full(zone)} is a name in it",
        "whoever asks for it is sent to the name servers that it is delegated to",
        "put the record into their zone",
        (*path, "name"),
        severity=Severity.WARNING,
    )


def _values(zone: str, record: Record, before: set[str], path: PathKey) -> Iterator[Diagnostic]:
    type_, given = record.values() or ("to", (record.to or "",))
    for position, value in enumerate(given):
        at: PathKey = (*path, type_.lower(), position) if type_ != "to" else (*path, "to")
        same = normal(type_, value)
        if same in before:
            why = "the values of a record are a set"
            yield Diagnostic("repeated", f"{value!r} is named twice", why, "remove one of the two", at)
        elif type_ != "to" and not references(value):
            yield from check_value(type_, value, zone, at)
        before.add(same)


def _aliases(stack: Stack, zone: str) -> Iterator[Diagnostic]:
    """Hosts that are to be reached by an address of their own, and are another name for something (RFC 2181)."""
    other_names = {
        record.full(name) for name, records in stack.dns.items() for record in records if record.type == "CNAME"
    }
    for number, record in enumerate(stack.dns[zone]):
        if record.type not in ("MX", "NS", "SRV"):
            continue
        for position, value in enumerate((record.values() or ("", ()))[1]):
            host = normal(record.type, value).split(" ")[-1].rstrip(".")
            if host in other_names:
                yield Diagnostic(
                    "record-value",
                    f"{host} is a CNAME",
                    f"a record of type {record.type} names a host with addresses of its own",
                    f"give {host} an A record",
                    ("dns", zone, number, record.type.lower(), position),
                    severity=Severity.WARNING,
                )
