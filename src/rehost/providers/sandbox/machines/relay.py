"""Requests over HTTP/1.1 between a client that stays connected and targets that get a connection for each, so that
every request is spread. What becomes another protocol is passed on as it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable

import h11

from rehost.stacks.hosts.programs.forward import PIECE, pump

IDLE_S = 60.0
"""A client that asks for nothing so long is let go, as by Amazon's load balancers."""
_HEAD = 64 * 1024
_OURS = {b"connection", b"keep-alive", b"proxy-connection"}
"""Headers of one connection, which are not passed on."""

Headers = list[tuple[bytes, bytes]]
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None]]


class Relay:
    """One client's connection. `answer` has what is said without asking anybody (a status, with headers, or None),
    `more` the headers that a target is given, `connect` a connection to the next one, None where there is none."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answer: Callable[[h11.Request], tuple[int, Headers] | None],
        more: Headers,
        connect: Connect,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._answer, self._more, self._connect = answer, more, connect
        self._client = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD)

    async def run(self) -> None:
        """Answer one request after the other."""
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    request = await self._next(self._client, self._reader)
            except TimeoutError:
                return
            except h11.RemoteProtocolError as error:
                await self._say(error.error_status_hint, [])
                return
            if not isinstance(request, h11.Request):
                return
            own = self._answer(request)
            if own is not None:
                await self._say(*own)
            elif not await self._passed(request):
                return
            if self._client.our_state is not h11.DONE or self._client.their_state is not h11.DONE:
                return
            self._client.start_next_cycle()

    async def _next(self, side: h11.Connection, reader: asyncio.StreamReader) -> h11.Event:
        while True:
            event = side.next_event()
            if event is not h11.NEED_DATA:
                assert not isinstance(event, type) or event is h11.PAUSED
                return event  # type: ignore[return-value]
            side.receive_data(await reader.read(PIECE))

    async def _say(self, status: int, headers: Headers, text: bytes = b"") -> None:
        """An answer of our own."""
        length = (b"content-length", str(len(text)).encode())
        for event in (
            h11.Response(status_code=status, headers=[*headers, length]),
            h11.Data(data=text),
            h11.EndOfMessage(),
        ):
            self._writer.write(self._client.send(event) or b"")
        # A body that nobody asked for is not to be taken for the next request.
        if self._client.their_state is h11.SEND_BODY:
            while not isinstance(await self._next(self._client, self._reader), h11.EndOfMessage):
                pass
        await self._writer.drain()

    async def _passed(self, request: h11.Request) -> bool:
        """Have a request answered by a target; answers whether the client may ask again."""
        far = await self._connect()
        if far is None:
            await self._say(503, [], b"no target is healthy\n")
            return True
        far_reader, far_writer = far
        side = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
        changes = any(name == b"upgrade" for name, _ in request.headers)
        close = [] if changes else [(b"connection", b"close")]
        kept = [(n, v) for n, v in request.headers if changes or n not in _OURS]
        names = {name for name, _ in self._more}
        headers = [*((n, v) for n, v in kept if n not in names), *self._more, *close]
        asked = h11.Request(method=request.method, target=request.target, headers=headers)
        try:
            far_writer.write(side.send(asked) or b"")
            if changes:
                far_writer.write(self._client.trailing_data[0])
                await asyncio.gather(pump(self._reader, far_writer), pump(far_reader, self._writer))
                return False
            return await self._exchanged(side, far_reader, far_writer)
        finally:
            far_writer.close()

    async def _exchanged(
        self, side: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        upload = asyncio.ensure_future(self._upload(side, writer))
        try:
            await self._download(side, reader)
        except (OSError, h11.RemoteProtocolError):
            if self._client.our_state is not h11.SEND_RESPONSE:
                # What was begun can't be taken back.
                self._writer.transport.abort()
                return False
            await self._say(502, [(b"connection", b"close")])
            return False
        finally:
            upload.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, h11.ProtocolError):
                await upload
        return True

    async def _upload(self, side: h11.Connection, writer: asyncio.StreamWriter) -> None:
        event: h11.Event | None = None
        while not isinstance(event, h11.EndOfMessage):
            event = await self._next(self._client, self._reader)
            if isinstance(event, h11.Data | h11.EndOfMessage):
                writer.write(side.send(event) or b"")
                await writer.drain()
            else:
                # The client has gone.
                writer.transport.abort()
                return

    async def _download(self, side: h11.Connection, reader: asyncio.StreamReader) -> None:
        while True:
            event = await self._next(side, reader)
            match event:
                case h11.Response():
                    headers = _passing(event.headers.raw_items())
                    self._write(h11.Response(status_code=event.status_code, headers=headers, reason=event.reason))
                case h11.InformationalResponse() | h11.Data():
                    self._write(event)
                case h11.EndOfMessage():
                    self._write(event)
                    await self._writer.drain()
                    return
                case _:
                    raise h11.RemoteProtocolError("it said nothing")
            await self._writer.drain()

    def _write(self, event: h11.Event) -> None:
        self._writer.write(self._client.send(event) or b"")


def _passing(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return [(name, value) for name, value in headers if name.lower() not in _OURS]
