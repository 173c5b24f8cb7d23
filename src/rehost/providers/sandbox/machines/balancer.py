"""Load balancers: each listener a port, whose connections go to targets that are healthy, one after the other."""

from __future__ import annotations

import asyncio
import itertools
import os
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

import h11

from rehost.providers.sandbox.machines.authority import Authority
from rehost.providers.sandbox.machines.relay import Headers, Relay
from rehost.providers.sandbox.machines.world import Listener, Pair, Target
from rehost.stacks.hosts.programs.forward import PIECE, pump

CHECK_S, LIMIT_S = 0.5, 2.0
"""Between two health checks, and how long one may take."""


class Balanced:
    """What goes through one listener. `where` answers the address of a machine, None for one that is off."""

    def __init__(self, listener: Listener, where: Callable[[str], str | None]) -> None:
        self.listener, self._where = listener, where
        self._turn = itertools.count()
        self.healthy: set[Target] = set()

    async def check(self) -> None:
        """Look at all targets."""
        answers = await asyncio.gather(*(self._works(target) for target in self.listener.targets))
        self.healthy = {t for t, works in zip(self.listener.targets, answers, strict=True) if works}

    async def _works(self, target: Target) -> bool:
        address = self._where(target.machine)
        if address is None:
            return False
        try:
            async with asyncio.timeout(LIMIT_S):
                reader, writer = await asyncio.open_connection(address, target.check_port)
                try:
                    if not target.check_path:
                        return True
                    asked = f"GET {target.check_path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
                    writer.write(asked.encode())
                    status = (await reader.readline()).split(b" ")
                    return len(status) > 1 and status[1][:1] in (b"2", b"3")
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):
            return False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.listener.http:
            peer = writer.get_extra_info("peername")[0]
            more = [
                (b"x-forwarded-for", str(peer).encode()),
                (b"x-forwarded-proto", b"https" if self.listener.tls else b"http"),
                (b"x-forwarded-port", str(self.listener.port).encode()),
            ]
            await Relay(reader, writer, answer=self._answer, more=more, connect=self._connect).run()
            return
        far = await self._connect()
        if far is None:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(pump(reader, far[1]), pump(far[0], writer))
        finally:
            far[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the next target that takes one."""
        chosen = [target for target in self.listener.targets if target in self.healthy]
        turn = next(self._turn)
        for number in range(len(chosen)):
            target = chosen[(turn + number) % len(chosen)]
            address = self._where(target.machine)
            if address is None:
                continue
            try:
                return await asyncio.open_connection(address, target.port, limit=PIECE)
            except ConnectionRefusedError:
                self.healthy.discard(target)
        return None

    def _answer(self, request: h11.Request) -> tuple[int, Headers] | None:
        """What a listener that only sends visitors elsewhere says."""
        if self.listener.redirect is None:
            return None
        port, status = self.listener.redirect
        named = next((value for name, value in request.headers if name == b"host"), b"").decode("latin-1")
        host = named.partition(":")[0]
        where = f"https://{host}{'' if port == 443 else f':{port}'}{request.target.decode('latin-1')}"
        return status, [(b"location", where.encode("latin-1"))]


def context(pairs: tuple[Pair, ...], authority: Authority) -> ssl.SSLContext | None:
    """TLS with the certificate that fits the name asked for, the first one otherwise."""
    made = [(pair, _context(pair, authority)) for pair in pairs]
    if not made:
        return None
    default = made[0][1]

    def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        for pair, other in made:
            if name and any(_fits(name.lower(), domain) for domain in pair.domains):
                tls.context = other
                return

    default.sni_callback = choose
    return default


def _fits(name: str, domain: str) -> bool:
    return name == domain or (domain.startswith("*.") and name.partition(".")[2] == domain[2:])


def _context(pair: Pair, authority: Authority) -> ssl.SSLContext:
    certificate, key = (pair.certificate, pair.key) if pair.key else authority.issue(pair.domains or ("sandbox",))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The library reads certificates from files only.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pair.pem"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(key.rstrip() + "\n" + certificate)
        made.load_cert_chain(path)
    return made
