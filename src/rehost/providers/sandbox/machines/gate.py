"""Who stands in front of a database: only servers of the sandbox get through, each from its own address.

TLS ends here too, as the wheel's PostgreSQL is built without it. The protocol's first message is either a request
for encryption or the start itself (PostgreSQL documentation, "Frontend/Backend Protocol", Message Flow)."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

from rehost.providers.sandbox.machines import identity, places
from rehost.providers.sandbox.machines.doors import through

SSL_REQUEST, GSS_REQUEST, CANCEL = 80877103, 80877104, 80877102
_LONGEST = 10_000
"""Bytes of a first message, at most, as PostgreSQL has it."""


class Gate:
    """Passes connections on to `to`. `allowed` says whether a server (its id; empty for whoever is none) may come
    through; None leaves that to who is behind it. `tls` is offered where there is one, and demanded if `forced`
    says so."""

    def __init__(
        self,
        machines: Path,
        to: tuple[str, int],
        allowed: Callable[[str], bool] | None,
        *,
        tls: ssl.SSLContext | None = None,
        forced: Callable[[], bool] = lambda: False,
    ) -> None:
        self._machines, self._to, self._allowed = machines, to, allowed
        self._tls, self._forced = tls, forced

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer, here = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        id_ = await asyncio.to_thread(self._who, peer, here)
        if self._allowed is not None and not self._allowed(id_):
            # As if a packet filter had dropped it: no answer, until the client gives up.
            while await reader.read(65536):
                pass
            writer.transport.abort()
            return
        first = await self._begin(reader, writer)
        if first:
            place = places.read(self._machines, id_) if id_ else None
            await through(reader, writer, self._to, source=place.address if place else "", first=first)

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The message that begins a session, after encryption was asked for and given; empty where none may
        begin."""
        encrypted = False
        while True:
            length, code = struct.unpack("!ii", await reader.readexactly(8))
            if code == SSL_REQUEST and self._tls is not None and not encrypted:
                writer.write(b"S")
                await writer.start_tls(self._tls)
                encrypted = True
            elif code in (SSL_REQUEST, GSS_REQUEST):
                writer.write(b"N")
            elif not 8 <= length <= _LONGEST:
                return b""
            else:
                first = struct.pack("!ii", length, code) + await reader.readexactly(length - 8)
                if encrypted or code == CANCEL or not self._forced():
                    return first
                writer.write(_refusal("no pg_hba.conf entry for this host, no encryption"))
                await writer.drain()
                return b""

    def _who(self, peer: tuple[str, int], here: tuple[str, int]) -> str:
        known = {place.address: id_ for id_, place in places.all_of(self._machines).items()}
        return known.get(peer[0]) or identity.owner(self._machines, peer[:2], here[:2])


def _refusal(text: str) -> bytes:
    fields = b"SFATAL\0VFATAL\0C28000\0M" + text.encode() + b"\0\0"
    return b"E" + struct.pack("!i", len(fields) + 4) + fields
