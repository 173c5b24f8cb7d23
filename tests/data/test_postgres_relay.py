"""TLS for client programs that have none: both directions at once, and verified as asked for."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from rehost.providers.sandbox.machines.authority import Authority
from rehost.stacks.data.postgres.relay import encrypted

NAME = "db.example"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What speaks TLS as PostgreSQL begins it and gives back what it gets; how a client would be told of it."""
    authority = Authority(tmp_path)
    authority.make()
    chain, key = authority.issue((NAME,))
    (tmp_path / "pair.pem").write_text(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    opened: Future[int] = Future()
    loop = asyncio.new_event_loop()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert len(await reader.readexactly(8)) == 8
        writer.write(b"S")
        await writer.start_tls(context)
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def serve() -> None:
        listening = await asyncio.start_server(echo, "127.0.0.1", 0)
        opened.set_result(listening.sockets[0].getsockname()[1])

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(), loop)
    port = str(opened.result(10))
    yield {"host": NAME, "hostaddr": "127.0.0.1", "port": port, "sslrootcert": str(tmp_path / "ca.pem")}
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.mark.parametrize("mode", ["prefer", "verify-ca", "verify-full"])
def test_both_directions_flow_at_once(server: dict[str, str], mode: str) -> None:
    sent = os.urandom(4 * 1024 * 1024)
    with encrypted({**server, "sslmode": mode}) as near, _connected(near) as client:
        writing = threading.Thread(target=client.sendall, args=(sent,))
        writing.start()
        got = bytearray()
        while len(got) < len(sent):
            got += client.recv(65536)
        writing.join()
    assert bytes(got) == sent


def test_another_name_is_not_taken(server: dict[str, str]) -> None:
    options = {**server, "host": "other.example", "sslmode": "verify-full"}
    with encrypted(options) as near, _connected(near) as client:
        assert client.recv(1) == b""


def _connected(near: dict[str, str]) -> socket.socket:
    return socket.create_connection((near["host"], int(near["port"])), 10)
