"""What DNS itself demands of names and values, whoever serves the zone (RFC 1035, 2782, 8659)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from rehost.stacks.diagnostics import Diagnostic, PathKey, did_you_mean

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"^(@|(\*|{_LABEL})(\.{_LABEL})*)$")
_HOST = re.compile(rf"^({_LABEL}\.)+[a-z0-9-]*[a-z][a-z0-9-]*\.?$", re.IGNORECASE)
_CAA = re.compile(r'^(\d+) ([a-z0-9]+) ("[^"]*"|[^\s"]+)$')
_STRINGS = re.compile(r'^"((?:[^"\\]|\\.)*)"(?:\s+"((?:[^"\\]|\\.)*)")*$')
_FORMS = {
    "MX": ("priority and host", "10 mail.{zone}"),
    "SRV": ("priority, weight, port and host", "10 5 443 host.{zone}"),
    "CAA": ("flags, tag and value", '0 issue "letsencrypt.org"'),
}


def check_name(name: str, zone: str, path: PathKey) -> Iterator[Diagnostic]:
    """Findings about a record's name, which is relative to its zone."""
    if name.rstrip(".") == zone or name.rstrip(".").endswith("." + zone):
        short = name.rstrip(".").removesuffix(zone).rstrip(".") or "@"
        why = f"names are relative to the zone: this would be {name.rstrip('.')}.{zone}"
        yield Diagnostic("record-name", f"{name!r} repeats the zone", why, f"write {short!r}", path)
    elif not _NAME.match(name):
        low = name.lower().rstrip(".")
        fix = (
            f"write {low!r}" if _NAME.match(low) else "use @ for the zone itself, *, letters, digits, dashes and _"
        )
        why = "names are lower-case labels of at most 63 characters, separated by dots; * stands first"
        yield Diagnostic("record-name", f"{name!r} can't be a record's name", why, fix, path)
    elif len(name) + len(zone) + 1 > 253:
        yield Diagnostic("record-name", "the record's full name is longer than 253 characters", path=path)


def check_value(type_: str, value: str, zone: str, path: PathKey) -> Iterator[Diagnostic]:
    """Findings about one value of a record."""
    if type_ in ("A", "AAAA"):
        yield from _address(type_, value, path)
    elif type_ in ("CNAME", "NS"):
        yield from _host(type_, value, zone, path)
    elif type_ == "TXT":
        yield from _text(value, path)
    elif type_ in _FORMS:
        form, example = _FORMS[type_]
        parts = value.split()
        numbers = {"MX": 1, "SRV": 3, "CAA": 1}[type_]
        count = {"MX": 2, "SRV": 4}.get(type_)
        limit = 255 if type_ == "CAA" else 65535
        whole = bool(_CAA.match(value)) if count is None else len(parts) == count
        if not whole or not all(p.isascii() and p.isdigit() and int(p[:9]) <= limit for p in parts[:numbers]):
            fix = f"write {form}: {example.format(zone=zone)}"
            yield Diagnostic(
                "record-value", f"{value!r} is no value of a record of type {type_}", fix=fix, path=path
            )
        elif count is not None and parts[-1] != ".":
            yield from _host(type_, parts[-1], zone, path)


def _address(type_: str, value: str, path: PathKey) -> Iterator[Diagnostic]:
    for own, make, key in (("A", IPv4Address, "a"), ("AAAA", IPv6Address, "aaaa")):
        try:
            make(value)
        except ValueError:
            continue
        if own != type_:
            yield Diagnostic(
                "address", f"{value} belongs in a record of type {own}", fix=f"write {key}:", path=path
            )
        return
    version = 4 if type_ == "A" else 6
    yield Diagnostic(
        "address", f"{value!r} is no IPv{version} address", f"a record of type {type_} holds one", path=path
    )


def _host(type_: str, value: str, zone: str, path: PathKey) -> Iterator[Diagnostic]:
    try:
        IPv4Address(value)
    except ValueError:
        pass
    else:
        fix = "write a:" if type_ == "CNAME" else "give the address a name with an A record, and write that name"
        yield Diagnostic(
            "record-value", f"{value} is an address; a {type_} record names a host", fix=fix, path=path
        )
        return
    if len(value) > 254 or not _HOST.match(value):
        bare = re.match(rf"^{_LABEL}$", value, re.IGNORECASE)
        why = "host names are written in full, with their domain" if bare else ""
        fix = did_you_mean(value, [f"{value}.{zone}"]) if bare else f"write for example host.{zone}"
        yield Diagnostic("record-value", f"{value!r} is no full host name", why, fix, path)


def _text(value: str, path: PathKey) -> Iterator[Diagnostic]:
    if value.startswith('"'):
        if not _STRINGS.match(value):
            why = "a value that starts with a quote is taken as quoted strings"
            yield Diagnostic(
                "record-value", "the quotes of this text don't match", why, "leave the quotes out", path
            )
            return
        pieces = re.findall(r'"((?:[^"\\]|\\.)*)"', value)
        if any(len(re.sub(r"\\(.)", r"\1", piece).encode()) > 255 for piece in pieces):
            fix = "leave the quotes out: long text is split by itself"
            yield Diagnostic(
                "record-value", "a quoted string is longer than 255 bytes", "DNS allows no more", fix, path
            )
    elif not value:
        yield Diagnostic("record-value", "the text is empty", fix="write a text, or remove the record", path=path)
    if any(ord(character) < 32 for character in value):
        yield Diagnostic(
            "record-value", "the text holds a line end or control character", fix="remove it", path=path
        )
