"""What record sets may hold: names, values by type, and what may stand beside what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from rehost.providers.sandbox.hcloud_api.errors import Record, invalid

_MOST_RECORDS = 50
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_SET_NAME = re.compile(rf"^(?:@|\*|(?:\*\.)?{_LABEL}(?:\.{_LABEL})*)$")
_HOST_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"^(?=.{{1,254}}$)(?:@|\.|{_HOST_LABEL}|(?:\*\.)?(?:{_HOST_LABEL}\.)+)$")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_HEX = re.compile(r"^[0-9A-Fa-f]+$")
_CAA_TAGS = ("issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone")


@dataclass(frozen=True)
class SetData:
    """A record set without what the API adds. A ttl of None means the zone's."""

    name: str
    type: str
    ttl: int | None
    records: list[Record]


def _number(text: str, most: int) -> bool:
    return text.isdigit() and int(text) <= most


def _hex(text: str) -> bool:
    return bool(_HEX.match(text.replace(" ", "")))


def _ipv4(value: str) -> bool:
    try:
        return str(IPv4Address(value)) == value
    except AddressValueError:
        return False


def _ipv6(value: str) -> bool:
    try:
        return "%" not in value and bool(IPv6Address(value))
    except AddressValueError:
        return False


def _host(value: str) -> bool:
    """Either ends with a dot or is one label that is relative to the zone."""
    return bool(_HOST.match(value))


def _txt(value: str) -> bool:
    rest = _QUOTED.sub("", value)
    parts = _QUOTED.findall(value)
    return bool(parts) and not rest.strip() and all(len(_plain(part).encode()) <= 255 for part in parts)


def _plain(quoted: str) -> str:
    return re.sub(r"\\(\d{3}|.)", lambda m: "x" if m[1].isdigit() else m[1], quoted[1:-1])


def _mx(value: str) -> bool:
    parts = value.split(" ")
    return len(parts) == 2 and _number(parts[0], 65535) and _host(parts[1])


def _srv(value: str) -> bool:
    parts = value.split(" ")
    return len(parts) == 4 and all(_number(part, 65535) for part in parts[:3]) and _host(parts[3])


def _caa(value: str) -> bool:
    parts = value.split(" ", 2)
    return len(parts) == 3 and _number(parts[0], 255) and parts[1] in _CAA_TAGS and _txt(parts[2])


def _ds(value: str) -> bool:
    parts = value.split(" ", 3)
    return (
        len(parts) == 4
        and _number(parts[0], 65535)
        and all(_number(p, 255) for p in parts[1:3])
        and _hex(parts[3])
    )


def _tlsa(value: str) -> bool:
    parts = value.split(" ", 3)
    return len(parts) == 4 and all(_number(part, 255) for part in parts[:3]) and _hex(parts[3])


def _hinfo(value: str) -> bool:
    return len(_QUOTED.findall(value)) == 2 and _txt(value)


def _rp(value: str) -> bool:
    parts = value.split(" ")
    return len(parts) == 2 and all(map(_host, parts))


def _svcb(value: str) -> bool:
    parts = value.split(" ")
    return (
        len(parts) >= 2 and _number(parts[0], 65535) and _host(parts[1]) and (parts[0] != "0" or len(parts) == 2)
    )


def _soa(value: str) -> bool:
    parts = value.split()
    return len(parts) == 7 and all(map(_host, parts[:2])) and all(_number(part, 2**32 - 1) for part in parts[2:])


_CHECKS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "A": (_ipv4, "must be an IPv4 address"),
    "AAAA": (_ipv6, "must be an IPv6 address"),
    "CAA": (_caa, 'must look like 0 issue "letsencrypt.org"'),
    "CNAME": (_host, "must be a host name; one that is not relative to the zone ends with a dot"),
    "DS": (_ds, "must be key tag, algorithm, digest type and digest"),
    "HINFO": (_hinfo, "must be two quoted strings"),
    "HTTPS": (_svcb, "must be priority, target and parameters"),
    "MX": (_mx, "must be priority and host name; one that is not relative to the zone ends with a dot"),
    "NS": (_host, "must be a host name; one that is not relative to the zone ends with a dot"),
    "PTR": (_host, "must be a host name; one that is not relative to the zone ends with a dot"),
    "RP": (_rp, "must be mailbox and text names"),
    "SOA": (_soa, "must be primary, mailbox, serial, refresh, retry, expire and minimum"),
    "SRV": (_srv, "must be priority, weight, port and target"),
    "SVCB": (_svcb, "must be priority, target and parameters"),
    "TLSA": (_tlsa, "must be usage, selector, matching type and data"),
    "TXT": (_txt, "must be quoted strings of at most 255 characters each"),
}

TYPES = tuple(_CHECKS)
"""All types of record sets."""


def checked_values(type_: str, rows: list[Record], field: str = "records") -> list[Record]:
    """Records of a set. Raises ApiError for values that the type does not take, and for repeated ones."""
    check, message = _CHECKS[type_]
    values = [row["value"] for row in rows]
    for number, value in enumerate(values):
        if not check(value):
            raise invalid(f"{field}[{number}].value" if field == "records" else field, f"'{value}': {message}")
    if len(set(values)) != len(values):
        raise invalid(field, "values must be distinct")
    if len(values) > _MOST_RECORDS:
        raise invalid(field, f"must be at most {_MOST_RECORDS}")
    if type_ in ("CNAME", "SOA") and len(values) > 1:
        raise invalid(field, f"a {type_} record stands alone")
    return [{"value": row["value"], "comment": row.get("comment") or ""} for row in rows]


def checked_set(zone: str, data: SetData, others: Iterable[tuple[str, str]], field: str = "name") -> None:
    """Raise ApiError for a name that does not fit the zone, and for a set that can't stand beside the others
    (names and types)."""
    name = data.name
    if not _SET_NAME.match(name) or len(name) + len(zone) + 1 > 253:
        raise invalid(field, "must be in lower case, relative to the zone and without a dot at its end")
    if name == zone or name.endswith(f".{zone}"):
        raise invalid(field, "must not end with the zone's name")
    beside = [type_ for other, type_ in others if other == name]
    if data.type in beside:
        raise invalid(field, "there is a record set with this name and type already")
    if data.type == "CNAME" and (name == "@" or beside):
        raise invalid(field, "a CNAME can't stand beside other records")
    if "CNAME" in beside:
        raise invalid(field, "no record can stand beside a CNAME")
    if data.type == "SOA" and name != "@":
        raise invalid(field, "a SOA record stands at the apex")
