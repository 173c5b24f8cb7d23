"""The addresses of a sandbox: a block 127.N.0.0/16 of its own, so that several sandboxes don't meet.

The first half is for public addresses, a quarter for each provider; the second half for servers and databases.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection

FIRST, LAST = 16, 250
_CLAIM = ("255.254", 9)
"""Who listens here has the block."""
ROOM = 64 * 256 - 2


def claim(wanted: int = 0) -> tuple[int, socket.socket] | None:
    """The second number of a block that nobody has, and what holds it for as long as it is open: the wanted one,
    or one by chance. None where there are no such addresses."""
    order = [wanted] if wanted else []
    order += [FIRST + secrets.randbelow(LAST - FIRST) for _ in range(64)]
    for number in order:
        guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            guard.bind((f"127.{number}.{_CLAIM[0]}", 40000 + _CLAIM[1]))
            guard.listen(1)
        except OSError:
            guard.close()
            continue
        return number, guard
    return None


def public(block: int, provider: str, number: int) -> str:
    """A public address: the same for the same number."""
    place = 1 + number % ROOM + (0 if provider == "hetzner" else 64 * 256)
    return f"127.{block}.{place >> 8}.{place & 255}"


def inner(block: int, provider: str, taken: Collection[str]) -> str:
    """An address for a server that none of the others has."""
    first = 128 if provider == "hetzner" else 192
    for place in range(1, 48 * 256):
        address = f"127.{block}.{first + (place >> 8)}.{place & 255}"
        if address not in taken and 0 < place & 255 < 255:
            return address
    raise LookupError("the sandbox has no address left")


def servers(block: int) -> str:
    """The range that all servers are in."""
    return f"127.{block}.128.0/17"
