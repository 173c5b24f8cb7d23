"""What a server of Amazon's is told about itself, in version 2 of the protocol: a token first, then questions.

Source: EC2 user guide, "Use the Instance Metadata Service to access instance metadata" and "Retrieve security
credentials from instance metadata". Only processes of the server itself are answered, as the address that this
stands for (169.254.169.254) leads nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

PORT = 1338
"""Where it listens, at the address of each server."""
LONGEST_S = 21_600
"""Seconds that a token is good for, at most."""
_LARGEST = 16_384
_TTL, _TOKEN = "x-aws-ec2-metadata-token-ttl-seconds", "x-aws-ec2-metadata-token"
_TOKEN_PATH = "/latest/api/token"
_ROOT = "/latest/"


@dataclass(frozen=True)
class Told:
    """What a server may know: texts by path below `/latest/`. `tokens` says whether questions need one, `on`
    whether there is an answer at all."""

    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    tokens: bool = True
    on: bool = True


Answered = tuple[int, dict[str, str], str]


class Metadata:
    """The service of one server. `told` answers what there is to tell now, None for a server that is gone; `mine`
    whether a connection comes from the server itself."""

    def __init__(
        self, told: Callable[[], Told | None], mine: Callable[[tuple[str, int], tuple[str, int]], bool]
    ) -> None:
        self._told, self._mine = told, mine
        self._tokens: dict[str, float] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer, here = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        if not await asyncio.to_thread(self._mine, peer[:2], here[:2]):
            writer.transport.abort()
            return
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = headers.get("content-length", "0")
            if not length.isdecimal() or int(length) > _LARGEST:
                return
            await reader.readexactly(int(length))
            method, path, *_ = [*first.split(" "), "", ""]
            status, more, text = await asyncio.to_thread(self.answer, method, path, headers)
            more = {"Content-Type": "text/plain", "Content-Length": str(len(text.encode())), **more}
            shown = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{shown}\r\n{text}".encode())
            await writer.drain()
            if headers.get("connection", "").lower() == "close":
                return

    def answer(self, method: str, path: str, headers: Mapping[str, str]) -> Answered:
        """Status, headers and text."""
        told = self._told()
        if told is None or not told.on or "x-forwarded-for" in headers:
            return _plain(403)
        now = time.monotonic()
        self._tokens = {token: until for token, until in self._tokens.items() if until > now}
        path = path.partition("?")[0]
        if path == _TOKEN_PATH:
            return self._token(method, headers, now)
        if method not in ("GET", "HEAD"):
            return _plain(405)
        token = headers.get(_TOKEN)
        if (token is None and told.tokens) or (token is not None and token not in self._tokens):
            return _plain(401)
        text = _at(told.texts, path)
        return _plain(404) if text is None else (200, {}, text if method == "GET" else "")

    def _token(self, method: str, headers: Mapping[str, str], now: float) -> Answered:
        if method != "PUT":
            return _plain(405)
        asked = headers.get(_TTL, "")
        if not asked.isdecimal() or not 1 <= int(asked) <= LONGEST_S:
            return _plain(400)
        token = secrets.token_urlsafe(40)
        self._tokens[token] = now + int(asked)
        return 200, {_TTL: asked}, token


def _plain(status: int) -> Answered:
    return status, {}, HTTPStatus(status).phrase


def _at(texts: Mapping[str, str], path: str) -> str | None:
    """The text at a path, or the names below it; None where there is nothing."""
    if not f"{path}/".startswith(_ROOT):
        return None
    below = path.removeprefix(_ROOT.rstrip("/")).strip("/")
    if below in texts:
        return texts[below]
    start = f"{below}/" if below else ""
    rests = [key.removeprefix(start) for key in texts if key.startswith(start)]
    names = {first + slash for first, slash, _ in (rest.partition("/") for rest in rests)}
    return "\n".join(sorted(names)) if names else None


def keys_text(access: str, secret: str, token: str, since: str, until: str) -> str:
    """Keys of a role as servers are told them."""
    told = {
        "Code": "Success",
        "LastUpdated": since,
        "Type": "AWS-HMAC",
        "AccessKeyId": access,
        "SecretAccessKey": secret,
        "Token": token,
        "Expiration": until,
    }
    return json.dumps(told, indent=2)
