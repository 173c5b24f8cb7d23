"""A port of loopback whose connections go on to somewhere else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future

from rehost.stacks.hosts.programs.forward import PIECE, joined

CONNECT_S = 10.0

Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Makes the other half of a connection; where it raises OSError the connection is closed."""


@contextlib.contextmanager
def forwarded(dial: Dial) -> Iterator[tuple[str, int]]:
    """The port, as long as the context is open. One thread serves it: TLS has no room for two."""
    opened: Future[tuple[str, int]] = Future()
    loop = asyncio.new_event_loop()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far = await asyncio.wait_for(dial(), CONNECT_S)
        except (OSError, EOFError):
            writer.transport.abort()
            return
        await joined((reader, writer), far)

    async def serve() -> None:
        try:
            server = await asyncio.start_server(take, "127.0.0.1", 0, limit=PIECE)
        except OSError as error:
            opened.set_exception(error)
            return
        opened.set_result(server.sockets[0].getsockname()[:2])
        await server.serve_forever()

    task = loop.create_task(serve())

    def run() -> None:
        # Its end ends all that is open with it.
        with contextlib.suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop().run_until_complete(task)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield opened.result()
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
