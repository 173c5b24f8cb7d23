"""Load balancers: each listener a port, whose connections go to targets that are healthy, one after the other."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import ssl
import tempfile
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from rehost.providers.sandbox.machines.authority import Authority
from rehost.providers.sandbox.machines.doors import through
from rehost.providers.sandbox.machines.world import Listener, Pair, Target

CHECK_S, LIMIT_S = 0.5, 2.0
"""Between two health checks, and how long one may take."""
_HEAD = 64 * 1024
_HOP = re.compile(rb"(?im)^(?:connection|x-forwarded-(?:for|proto|port)):[^\r\n]*\r\n")


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
        first = b""
        if self.listener.http:
            head = await reader.readuntil(b"\r\n\r\n")
            if self.listener.redirect is not None:
                writer.write(_redirect(head, *self.listener.redirect))
                await writer.drain()
                return
            first = self._forwarded(head, writer)
        chosen = [target for target in self.listener.targets if target in self.healthy]
        turn = next(self._turn)
        for number in range(len(chosen)):
            target = chosen[(turn + number) % len(chosen)]
            address = self._where(target.machine)
            if address is None:
                continue
            try:
                await through(reader, writer, (address, target.port), first=first)
                return
            except ConnectionRefusedError:
                self.healthy.discard(target)
        if self.listener.http:
            writer.write(_answer(503, "no target is healthy\n"))
            await writer.drain()
        else:
            writer.transport.abort()

    def _forwarded(self, head: bytes, writer: asyncio.StreamWriter) -> bytes:
        """The head of a request as the target gets it. One request goes over a connection, so that each is
        spread; a connection that becomes another protocol stays as it is."""
        peer = writer.get_extra_info("peername")[0]
        proto = "https" if self.listener.tls else "http"
        more = (
            f"X-Forwarded-For: {peer}\r\nX-Forwarded-Proto: {proto}\r\nX-Forwarded-Port: {self.listener.port}\r\n"
        )
        if re.search(rb"(?im)^upgrade:", head):
            return head[:-2] + more.encode() + b"\r\n"
        return _HOP.sub(b"", head)[:-2] + more.encode() + b"Connection: close\r\n\r\n"


def _redirect(head: bytes, port: int, status: int) -> bytes:
    words = head.split(b"\r\n", 1)[0].split(b" ")
    path = words[1].decode("latin-1") if len(words) > 1 else "/"
    named = re.search(rb"(?im)^host:[ \t]*([^\r\n:]+)", head)
    host = named[1].decode("latin-1") if named else ""
    where = f"https://{host}{'' if port == 443 else f':{port}'}{path}"
    return _answer(status, "", f"Location: {where}\r\n")


def _answer(status: int, text: str, more: str = "") -> bytes:
    first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{more}"
    return f"{first}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode("latin-1")


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
