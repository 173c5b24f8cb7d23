"""What DNS itself demands of names and values, whoever serves the zone (RFC 1035, 2782, 8659)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import idna

from rehost.stacks.diagnostics import Diagnostic, PathKey, did_you_mean

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"^(@|(\*|{_LABEL})(\.{_LABEL})*)$")
_HOST = re.compile(rf"^({_LABEL}\.)+[a-z0-9-]*[a-z][a-z0-9-]*\.?$", re.IGNORECASE)
_CAA = re.compile(r'^(\d+) ([a-z0-9]+) ("[^"]*"|[^\s"]+)$')
_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"')
_STRINGS = re.compile(r'^"((?:[^"\\]|\\.)*)"(?:\s+"((?:[^"\\]|\\.)*)")*$')
_STRING = 255
_FORMS = {
    "MX": ("priority and host", "10 mail.{zone}"),
    "SRV": ("priority, weight, port and host", "10 5 443 host.{zone}"),
    "CAA": ("flags, tag and value", '0 issue "letsencrypt.org"'),
}


def text_pieces(value: str) -> list[str]:
    """The quoted strings that a text is written in, as they stand between their quotes."""
    return _PIECE.findall(value)


def ascii_name(text: str) -> str:
    """A name as DNS has it: lower case, other letters in punycode (IDNA 2008). What can't be so stays."""
    try:
        return idna.encode(text, uts46=True, std3_rules=False).decode() if not text.isascii() else text.lower()
    except idna.IDNAError:
        return text


def normal(type_: str, value: str) -> str:
    """A value in the one form in which every provider takes it and tells it back: single blanks, host names in
    lower case, IPv6 at its shortest, the value of CAA in quotes. Texts stay as they are."""
    match type_:
        case "AAAA":
            try:
                return str(IPv6Address(value))
            except ValueError:
                return value
        case "CAA":
            match = _CAA.match(value)
            return value if match is None else f'{match[1]} {match[2]} "{match[3].strip(chr(34))}"'
        case "CNAME" | "MX" | "NS" | "SRV":
            return " ".join(value.split()).lower()
    return value


def strings(text: str) -> list[str]:
    """A text cut into pieces of at most 255 bytes, as DNS holds it; no character is cut in two."""
    pieces, piece, size = [], "", 0
    for character in text:
        width = len(character.encode())
        if size + width > _STRING:
            pieces.append(piece)
            piece, size = "", 0
        piece += character
        size += width
    return [*pieces, piece]


def check_name(name: str, zone: str, path: PathKey) -> Iterator[Diagnostic]:
    """Findings about a record's name, which is relative to its zone."""
    if name.rstrip(".") == zone or name.rstrip(".").endswith("." + zone):
        short = name.rstrip(".").removesuffix(zone).rstrip(".") or "@"
        why = f"names are relative to the zone: this would be {name.rstrip('.')}.{zone}"
        yield Diagnostic("record-name", f"{name!r} repeats the zone", why, f"write {short!r}", path)
    elif not _NAME.match(name):
        low = ascii_name(name).rstrip(".")
        fix = (
            f"write {low!r}" if _NAME.match(low) else "use @ for the zone itself, *, letters, digits, dashes and _"
        )
        why = "names are lower-case labels of at most 63 characters, separated by dots; * stands first"
        yield Diagnostic("record-name", f"{name!r} can't be a record's name", why, fix, path)
    elif len(name) + len(zone) + 1 > 253:
        why, fix = f"with .{zone} it has {len(name) + len(zone) + 1} characters, and DNS allows 253", "shorten it"
        yield Diagnostic("record-name", "the record's full name is too long", why, fix, path)


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
            why = f"a record of type {type_} has {form}"
            yield Diagnostic("record-value", f"{value!r} is no value of type {type_}", why, fix, path)
        elif count is not None and parts[-1] != ".":
            yield from _host(type_, parts[-1], zone, path)


def _address(type_: str, value: str, path: PathKey) -> Iterator[Diagnostic]:
    for own, make, key in (("A", IPv4Address, "a"), ("AAAA", IPv6Address, "aaaa")):
        try:
            make(value)
        except ValueError:
            continue
        if own != type_:
            why = f"a record of type {type_} holds the other version of IP"
            yield Diagnostic("address", f"{value} belongs in a record of type {own}", why, f"write {key}:", path)
        return
    version = 4 if type_ == "A" else 6
    why, fix = (
        f"a record of type {type_} holds one",
        f"write for example {'203.0.113.7' if version == 4 else '2001:db8::7'}",
    )
    yield Diagnostic("address", f"{value!r} is no IPv{version} address", why, fix, path)


def _host(type_: str, value: str, zone: str, path: PathKey) -> Iterator[Diagnostic]:
    try:
        IPv4Address(value)
    except ValueError:
        pass
    else:
        fix = "write a:" if type_ == "CNAME" else "give the address a name with an A record, and write that name"
        why = f"a record of type {type_} names a host"
        yield Diagnostic("record-value", f"{value} is an address", why, fix, path)
        return
    if len(value) > 254 or not _HOST.match(value):
        bare = re.match(rf"^{_LABEL}$", value, re.IGNORECASE)
        why = (
            "host names are written in full, with their domain"
            if bare
            else f"a record of type {type_} names a host"
        )
        fix = did_you_mean(value, [f"{value}.{zone}"]) if bare else f"write for example host.{zone}"
        if not value.isascii() and _HOST.match(ascii_name(value)):
            why, fix = "DNS has other letters in another form", f"write {ascii_name(value)}"
        yield Diagnostic("record-value", f"{value!r} is no full host name", why, fix, path)


def _text(value: str, path: PathKey) -> Iterator[Diagnostic]:
    if value.startswith('"'):
        if not _STRINGS.match(value):
            why = "a value that starts with a quote is taken as quoted strings"
            yield Diagnostic(
                "record-value", "the quotes of this text don't match", why, "leave the quotes out", path
            )
            return
        pieces = text_pieces(value)
        if any(len(re.sub(r"\\(.)", r"\1", piece).encode()) > 255 for piece in pieces):
            fix = "leave the quotes out: long text is split by itself"
            yield Diagnostic(
                "record-value", "a quoted string is longer than 255 bytes", "DNS allows no more", fix, path
            )
    elif not value:
        why, fix = "an empty text says nothing", "write a text, or remove the record"
        yield Diagnostic("record-value", "the text is empty", why, fix, path)
    if any(ord(character) < 32 for character in value):
        why = "providers take printable characters"
        yield Diagnostic("record-value", "the text holds a line end or control character", why, "remove it", path)
