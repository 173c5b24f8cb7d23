"""Pass visitors on to where a platform has moved: `relay.py`, with the module `forward` beside it.

FORWARD is a JSON object {port: [address, port, name]}; with a name, TLS is spoken to there, and the name verified.
Every minute that had visitors gets a line in the log: whoever retires this side sees that nobody comes any more.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl

from forward import PIECE, Taker, joined, say  # type: ignore[import-not-found]

EVERY_S = 60
_PATIENCE_S = 10.0


class Relay:
    """Listens where the unit's ports are."""

    def __init__(self, routes: dict[str, tuple[str, int, str]]) -> None:
        self.routes = routes
        self.trust = ssl.create_default_context()
        self.visitors = 0

    def taker(self, port: str) -> Taker:
        """What is done with a visitor."""
        address, real, name = self.routes[port]
        trust = self.trust if name else None

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.visitors += 1
            try:
                far = await asyncio.wait_for(
                    asyncio.open_connection(address, real, limit=PIECE, ssl=trust, server_hostname=name or None),
                    _PATIENCE_S,
                )
            except (OSError, TimeoutError, ssl.SSLError) as error:
                say(f"port {port} to {address}:{real}: {error!r}")
                writer.transport.abort()
                return
            await joined((reader, writer), far)

        return take

    async def run(self) -> None:
        """Until SIGTERM."""
        for port in self.routes:
            at = int(os.environ.get(f"PORT_{port}", port))
            await asyncio.start_server(self.taker(port), os.environ["HOST"], at, backlog=1024, limit=PIECE)
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        end = asyncio.ensure_future(stopped.wait())
        while not end.done():
            await asyncio.wait([end], timeout=EVERY_S)
            if self.visitors:
                say(f"{self.visitors} connection(s) in the last minute")
                self.visitors = 0


if __name__ == "__main__":
    asyncio.run(Relay(json.loads(os.environ["FORWARD"])).run())
