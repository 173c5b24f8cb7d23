"""Public addresses and their reverse DNS. They come from the ranges of RFC 2544 and RFC 3849, so that nobody who
follows one out of a sandbox meets a stranger."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Network, ip_address

from rehost.providers.sandbox.hcloud_api import catalog
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid
from rehost.providers.sandbox.hcloud_api.store import Project, effect

_FIRST = IPv4Address("198.18.0.1")
_ROOM = 2**17 - 2
_HOST = re.compile(
    r"^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
)


_placed: list[Callable[[int], str]] = []


def place(given: Callable[[int], str]) -> None:
    """Give IPv4 addresses that somebody answers at, from now on."""
    _placed[:] = [given]


def public(type_: str, number: int) -> str:
    """The address (IPv4) or network (IPv6) that belongs to a number."""
    if type_ == "ipv4":
        return _placed[0](number) if _placed else str(_FIRST + number % _ROOM)
    return f"2001:db8:{number >> 16 & 0xFFFF:x}:{number & 0xFFFF:x}::/64"


def default_pointers(type_: str, ip: str) -> list[Record]:
    """The reverse DNS entries of a fresh address."""
    return [{"ip": ip, "dns_ptr": default_name(ip)}] if type_ == "ipv4" else []


def default_name(ip: str) -> str:
    """What the reverse DNS of an IPv4 address says until somebody changes it."""
    return f"static.{'.'.join(reversed(ip.split('.')))}.clients.your-server.de"


def pointer(record: Record, ip: str, name: str | None) -> list[Record]:
    """The reverse DNS entries of a record with `ip`, `type` and `dns_ptr` after a change; None resets. Raises
    ApiError for an address that is not the record's and for a name that is none."""
    if name is not None and not _HOST.match(name):
        raise invalid("dns_ptr", "must be a valid host name")
    try:
        address = ip_address(ip)
    except ValueError:
        raise invalid("ip", "must be a valid IP address") from None
    if record["type"] == "ipv4":
        if str(address) != record["ip"]:
            raise invalid("ip", "does not belong to the resource")
        return [{"ip": record["ip"], "dns_ptr": name or default_name(record["ip"])}]
    if address not in IPv6Network(record["ip"]):
        raise invalid("ip", "does not belong to the resource")
    others: list[Record] = [row for row in record["dns_ptr"] if row["ip"] != str(address)]
    if name is None:
        return others
    if len(others) >= catalog.limit("pointers_per_address"):
        raise invalid("ip", "the address has too many reverse DNS entries")
    return [*others, {"ip": str(address), "dns_ptr": name}]


def owns(record: Record, ip: str) -> bool:
    """Whether an address is the record's. Raises ApiError for what is no address."""
    try:
        address = ip_address(ip)
    except ValueError:
        raise invalid("ip", "must be a valid IP address") from None
    if record["type"] == "ipv4":
        return bool(str(address) == record["ip"])
    return address in IPv6Network(record["ip"])


@effect
def point(project: Project, kind: str, id: int, entries: list[Record]) -> None:
    """Set the reverse DNS entries of a primary or floating IP."""
    record = project.find(kind, id)
    if record is not None:
        record["dns_ptr"] = entries
