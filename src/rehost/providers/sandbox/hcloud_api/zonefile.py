"""Zone files in BIND's format (RFC 1035), read and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rehost.providers.sandbox.hcloud_api.errors import Record, invalid
from rehost.providers.sandbox.hcloud_api.records import TYPES, SetData, checked_values

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|;[^\n]*|[()]|[^\s;()"]+')
_UNITS = {"": 1, "S": 1, "M": 60, "H": 3600, "D": 86400, "W": 604800}
_TTL = re.compile(r"^(\d+)([SMHDW]?)$", re.IGNORECASE)
_NAMES = {"CNAME": (0,), "NS": (0,), "PTR": (0,), "MX": (1,), "SRV": (3,), "RP": (0, 1), "SOA": (0, 1)}
"""Where names stand in the values of a type; relative ones are completed."""


def _bad(number: int, message: str) -> Exception:
    return invalid("zonefile", f"line {number}: {message}")


def _entries(text: str) -> Iterator[tuple[int, bool, list[str], str]]:
    """Entries over their lines: number of the first, whether it starts with a blank, tokens, comment."""
    tokens: list[str] = []
    comment, depth, first, blank = "", 0, 0, False
    for number, line in enumerate(text.splitlines(), 1):
        if depth == 0:
            tokens, comment, first, blank = [], "", number, line[:1] in (" ", "\t")
        for token in _TOKEN.findall(line):
            if token == "(":
                depth += 1
            elif token == ")":
                depth -= 1
            elif token.startswith(";"):
                comment = token[1:].strip()
            else:
                tokens.append(token)
        if depth < 0:
            raise _bad(number, "a parenthesis is closed that was not opened")
        if depth == 0 and tokens:
            yield first, blank, tokens, comment
    if depth:
        raise _bad(first, "a parenthesis is not closed")


def _seconds(token: str) -> int | None:
    match = _TTL.match(token)
    return int(match[1]) * _UNITS[match[2].upper()] if match else None


def _relative(name: str, origin: str, number: int) -> str:
    name = name.lower()
    if name == "@" or name == f"{origin}.":
        return "@"
    if not name.endswith("."):
        return name
    if not name.endswith(f".{origin}."):
        raise _bad(number, f"'{name}' is not in the zone")
    return name.removesuffix(f".{origin}.")


def parse(text: str, origin: str) -> tuple[int | None, list[SetData]]:
    """The default TTL (None: not given) and the record sets of a zone file. Raises ApiError."""
    default: int | None = None
    owner: str | None = None
    sets: dict[tuple[str, str], tuple[int | None, list[Record]]] = {}
    for number, blank, tokens, comment in _entries(text):
        if tokens[0].startswith("$"):
            default = _directive(number, tokens, origin, default)
            continue
        rest = list(tokens)
        if not blank:
            owner = _relative(rest.pop(0), origin, number)
        if owner is None:
            raise _bad(number, "a record needs a name")
        ttl, type_, rest = _head(number, rest)
        value = _value(type_, rest, origin, number)
        known, rows = sets.setdefault((owner, type_), (ttl, []))
        if known != ttl and rows:
            raise _bad(number, "the records of a set must have the same TTL")
        rows.append({"value": value, "comment": comment})
    return default, [
        SetData(name, type_, ttl, checked_values(type_, rows, field="zonefile"))
        for (name, type_), (ttl, rows) in sets.items()
    ]


def _directive(number: int, tokens: list[str], origin: str, default: int | None) -> int | None:
    name, argument = tokens[0].upper(), tokens[1] if len(tokens) == 2 else ""
    if name == "$ORIGIN":
        if argument.lower() != f"{origin}.":
            raise _bad(number, "$ORIGIN must be the zone's name with a dot at its end")
        return default
    if name != "$TTL":
        raise _bad(number, f"{tokens[0]} is not supported")
    ttl = _seconds(argument)
    if ttl is None or not 60 <= ttl <= 2**31 - 1:
        raise _bad(number, "$TTL is not valid")
    return ttl


def _head(number: int, tokens: list[str]) -> tuple[int | None, str, list[str]]:
    ttl: int | None = None
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token.upper() in TYPES:
            if not rest:
                raise _bad(number, "a record needs a value")
            return ttl, token.upper(), rest
        seconds = _seconds(token)
        if seconds is not None:
            ttl = seconds
        elif token.upper() != "IN":
            raise _bad(number, f"'{token}' is neither a class nor a type that is supported")
    raise _bad(number, "a record needs a type")


def _value(type_: str, tokens: list[str], origin: str, number: int) -> str:
    parts = list(tokens)
    for place in _NAMES.get(type_, ()):
        if place >= len(parts):
            raise _bad(number, f"the value of a {type_} record has too few parts")
        if not parts[place].endswith("."):
            parts[place] = f"{origin}." if parts[place] == "@" else f"{parts[place]}.{origin}."
    return " ".join(parts)


def written(origin: str, ttl: int, sets: Iterable[Record]) -> str:
    """A zone file."""
    lines = [f"$ORIGIN\t{origin}.", f"$TTL\t{ttl}", ""]
    order = {"SOA": 0, "NS": 1}
    for rrset in sorted(sets, key=lambda row: (row["name"] != "@", order.get(row["type"], 2), row["id"])):
        for record in rrset["records"]:
            own = [str(rrset["ttl"])] if rrset["ttl"] is not None else []
            line = "\t".join([rrset["name"], "IN", *own, rrset["type"], record["value"]])
            lines.append(f"{line} ; {record['comment']}" if record["comment"] else line)
    return "\n".join(lines) + "\n"
