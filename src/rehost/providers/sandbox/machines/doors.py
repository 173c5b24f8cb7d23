"""Listening sockets on addresses of loopback, and what goes through them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from collections.abc import Awaitable, Callable

from rehost.stacks.hosts.programs.forward import PIECE, pump

Taker = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOW_PORTS = 8000
"""What is added to a port below 1024 where that can't be had: 80 is at 8080, 443 at 8443."""


class Doors:
    """All that one process listens at. To be used in one event loop."""

    def __init__(self) -> None:
        self.real: dict[tuple[str, int], int] = {}
        """The ports that are really listened at, by those that were asked for."""
        self._servers: dict[tuple[str, int], asyncio.AbstractServer] = {}
        self._guests: dict[tuple[str, int], set[asyncio.StreamWriter]] = {}
        self._groups: dict[tuple[str, int], str] = {}

    def owned(self, group: str) -> set[tuple[str, int]]:
        """What was opened for a group and is open."""
        return {key for key, name in self._groups.items() if name == group}

    async def open(
        self, address: str, port: int, taker: Taker, tls: ssl.SSLContext | None = None, *, group: str = ""
    ) -> bool:
        """Listen; whoever listened at the same address and port before lets go first. Answers whether it could."""
        key = (address, port)
        self.shut(key)
        self._groups[key] = group
        guests = self._guests.setdefault(key, set())

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            guests.add(writer)
            try:
                await taker(reader, writer)
            except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
                writer.transport.abort()
            finally:
                guests.discard(writer)
                with contextlib.suppress(OSError, RuntimeError):
                    writer.close()

        for real in (port, port + LOW_PORTS) if port < 1024 else (port,):
            try:
                server = await asyncio.start_server(take, address, real, ssl=tls, backlog=512, limit=PIECE)
            except OSError as error:
                sys.stderr.write(f"{address}:{real} can't be listened at: {error.strerror}\n")
                continue
            self._servers[key], self.real[key] = server, real
            return True
        return False

    def shut(self, key: tuple[str, int]) -> None:
        """Listen no longer, and end what goes through."""
        server = self._servers.pop(key, None)
        if server is not None:
            server.close()
        self.real.pop(key, None)
        self._groups.pop(key, None)
        for writer in self._guests.pop(key, set()):
            writer.transport.abort()

    def close(self) -> None:
        """Shut all."""
        for key in list(self._servers):
            self.shut(key)


async def through(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    to: tuple[str, int],
    *,
    source: str = "",
    first: bytes = b"",
) -> None:
    """Connect, from an address of one's own where one is given, and pass on both directions. Raises OSError where
    nobody answers."""
    local = (source, 0) if source else None
    far_reader, far_writer = await asyncio.open_connection(*to, local_addr=local, limit=PIECE)
    try:
        far_writer.write(first)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
    finally:
        far_writer.close()
