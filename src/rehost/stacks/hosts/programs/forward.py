"""Forward TCP connections: `forward.py ROUTE`, a JSON file {"listen": address, "ports": {port: [address, port]}}.

The file is looked at for every new connection and twice a second, so that replacing it switches new connections at
once, while those that are open stay with whom they are connected to.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

Taker = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PIECE = 256 * 1024


def say(text: str) -> None:
    """One line for the log."""
    sys.stderr.write(f"forward: {text}\n")
    sys.stderr.flush()


class Forwarder:
    """Listens at the ports that the file names."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.seen = (0, 0, 0)
        self.listen = "127.0.0.1"
        self.ports: dict[str, tuple[str, int]] = {}
        self.servers: dict[str, asyncio.AbstractServer] = {}

    def look(self) -> None:
        """Read the file when it was replaced."""
        try:
            found = self.path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self.seen:
                route = json.loads(self.path.read_text(encoding="utf-8"))
                self.listen = route["listen"]
                self.ports = {port: (address, int(real)) for port, (address, real) in route["ports"].items()}
                self.seen = seen
        except (OSError, ValueError, KeyError) as error:
            say(str(error))

    async def serve(self) -> None:
        """Open and close listening sockets until the route's ports are served."""
        for port in set(self.servers) - set(self.ports):
            self.servers.pop(port).close()
        for port in set(self.ports) - set(self.servers):
            try:
                self.servers[port] = await asyncio.start_server(
                    self.taker(port), self.listen, int(port), backlog=1024, limit=PIECE
                )
            except OSError as error:
                say(f"port {port}: {error}")

    def taker(self, port: str) -> Taker:
        """What is done with a connection to a port."""

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.look()
            try:
                address, real = self.ports[port]
                far_reader, far_writer = await asyncio.open_connection(address, real, limit=PIECE)
            except (OSError, KeyError) as error:
                say(f"port {port}: {error}")
                writer.transport.abort()
                return
            await joined((reader, writer), (far_reader, far_writer))

        return take

    async def run(self) -> None:
        """Until SIGTERM."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        end = asyncio.ensure_future(stopped.wait())
        while not end.done():
            self.look()
            await self.serve()
            await asyncio.wait([end], timeout=0.5)


async def joined(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter], far: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Copy both directions between two connections to their ends, and close them."""
    await asyncio.gather(pump(near[0], far[1]), pump(far[0], near[1]))
    near[1].close()
    far[1].close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end, and pass the end on."""
    try:
        while True:
            piece = await reader.read(PIECE)
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            # TLS has no half of a connection to close.
            writer.close()
    except OSError:
        writer.transport.abort()


if __name__ == "__main__":
    asyncio.run(Forwarder(sys.argv[1]).run())
