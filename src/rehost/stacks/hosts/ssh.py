"""One SSH connection to a host, kept and reused: requests to the agent (`programs/agent.py`) and its answers.

The library is asyncssh and not the system's client: host keys can be pinned without a file, what went wrong is an
exception and not a text with exit code 255, and nothing but pip is needed. Commands and secrets go through the
channel's input; the command line on the other side is always the same and tells nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import itertools
import json
import shlex
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncssh

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.port import HostDenied, HostError, HostUnreachable
from rehost.stacks.hosts.programs.agent import pack, unpack

T = TypeVar("T")

_BOOT = (
    "import sys\nb = sys.stdin.buffer\n"
    'exec(compile(b.read(int(b.readline())), "agent", "exec"), {"__name__": "__main__"})'
)
_MARGIN = 20.0
"""Seconds that an answer may take beyond the time limit of what was asked for."""


@dataclass(frozen=True, slots=True)
class SshAddress:
    """Where a host is and how to get in. Times are seconds.

    `host_keys` are the public keys (`ssh-ed25519 AAAA...`) that the host may have; others can't be accepted.
    `private_key` is OpenSSH text; without one the operator's agent and keys are used. A user other than root needs
    sudo without password. `via` is a jump host.
    """

    host: str
    host_keys: tuple[str, ...]
    port: int = 22
    user: str = "root"
    private_key: str = field(default="", repr=False)
    via: SshAddress | None = None
    connect_timeout: float = 15.0
    keepalive: float = 15.0
    attempts: int = 3
    pause: float = 1.0
    """Before the second attempt; twice as long before each further one."""
    python: str = "/usr/bin/python3"

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


@dataclass
class _Session:
    """A connection with the agent that runs at its other end, and the requests that wait for an answer."""

    connection: asyncssh.SSHClientConnection
    process: asyncssh.SSHClientProcess[bytes]
    waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    ended: str | None = None
    """Why there will be no more answers."""

    async def listen(self) -> None:
        """Hand out answers until there are no more."""
        why = ""
        try:
            async for line in self.process.stdout:
                told = json.loads(line)
                future = self.waiting.pop(told["id"], None)
                if future and not future.done():
                    future.set_result(told)
            why = (await self.process.stderr.read()).decode("utf-8", "replace").strip()[-500:]
        except (asyncssh.Error, OSError, ValueError) as error:
            why = _said(error)
        self.ended = why
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(ConnectionError(why))
        self.connection.abort()


class Ssh:
    """A connection that is opened when it is first needed and opened again when it was lost.

    Its loop runs in a thread of its own, so that any thread may ask. Raises HostDenied, HostUnreachable and
    HostError.
    """

    def __init__(self, address: SshAddress) -> None:
        if not address.host_keys:
            raise InvalidInput(
                f"no host key is known for {address}",
                why="a host is never trusted because it answers",
                fix="give the host key that the server was made with",
            )
        self.address = address
        self._session: _Session | None = None
        self._jump: asyncssh.SSHClientConnection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._listener: asyncio.Task[None] | None = None
        self._guard = threading.Lock()
        self._opening = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._program = importlib.resources.files("rehost.stacks.hosts.programs").joinpath("agent.py").read_bytes()

    def ask(self, function: str, *, timeout: float = 60.0, repeat: bool = True, **arguments: Any) -> Any:
        """What a function of the agent answers. `repeat` says that asking twice does no harm, so that a lost
        connection costs nothing."""
        return self.wait(self._ask(function, pack(arguments), timeout + _MARGIN, repeat))

    def check(self) -> None:
        """Open a second connection and close it: whether a new one would get in."""
        self.wait(self._check())

    def close(self) -> None:
        """Close the connection and end its thread."""
        with self._guard:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine answers that runs in the connection's loop."""
        with self._guard:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._opening = asyncio.Lock()
                name = f"ssh {self.address}"
                self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
                self._thread.start()
            loop = self._loop
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _ask(self, function: str, arguments: Any, timeout: float, repeat: bool) -> Any:
        number = next(self._numbers)
        line = json.dumps({"id": number, "do": function, "with": arguments}).encode() + b"\n"
        for attempt in (1, 2):
            session = await self._opened()
            answer = asyncio.get_running_loop().create_future()
            session.waiting[number] = answer
            try:
                if session.ended is not None:
                    raise ConnectionError(session.ended)
                session.process.stdin.write(line)
                async with asyncio.timeout(timeout):
                    told = await answer
                break
            except TimeoutError:
                raise HostUnreachable(f"{self.address} did not answer within {timeout:g} s") from None
            except (asyncssh.Error, OSError) as error:
                if attempt == 2 or not repeat:
                    raise HostUnreachable(
                        f"the connection to {self.address} was lost",
                        why=_said(error),
                        fix=f"where it says nothing of the network: {self.address.python} 3.9 or later is needed "
                        "there, and sudo without password unless one is root",
                    ) from error
            finally:
                session.waiting.pop(number, None)
        if "error" in told:
            raise HostError(f"{self.address}: {told['error']}", why=told["kind"])
        return unpack(told["answer"])

    async def connection(self) -> asyncssh.SSHClientConnection:
        """The connection itself, for what goes beside the agent."""
        return (await self._opened()).connection

    async def _opened(self) -> _Session:
        async with self._opening:
            if self._session is None or self._session.ended is not None:
                connection = await self._open_patiently()
                command = f"{shlex.quote(self.address.python)} -I -c {shlex.quote(_BOOT)}"
                if self.address.user != "root":
                    command = f"sudo -n {command}"
                try:
                    process = await connection.create_process(command, encoding=None)
                except (asyncssh.Error, OSError) as error:
                    connection.abort()
                    raise HostUnreachable(f"{self.address} opens no channel", why=_said(error)) from error
                process.stdin.write(b"%d\n%s" % (len(self._program), self._program))
                self._session = _Session(connection, process)
                self._listener = asyncio.create_task(self._session.listen())
            return self._session

    async def _open_patiently(self) -> asyncssh.SSHClientConnection:
        pause = self.address.pause
        for attempt in range(1, self.address.attempts + 1):
            try:
                return await self._open(self.address)
            except HostUnreachable:
                if attempt == self.address.attempts:
                    raise
                await asyncio.sleep(pause)
                pause *= 2
        raise AssertionError("at least one attempt is made")

    async def _open(self, to: SshAddress) -> asyncssh.SSHClientConnection:
        tunnel = None
        if to.via:
            if self._jump is None or self._jump.is_closed():
                self._jump = await self._open(to.via)
            tunnel = self._jump
        try:
            keys = [asyncssh.import_public_key(key) for key in to.host_keys]
            own = [asyncssh.import_private_key(to.private_key)] if to.private_key else ()
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise InvalidInput(f"a key for {to} can't be read", why=str(error)) from None
        try:
            async with asyncio.timeout(to.connect_timeout):
                return await asyncssh.connect(
                    to.host,
                    to.port,
                    tunnel=tunnel,
                    config=None,
                    username=to.user,
                    known_hosts=(keys, [], []),
                    client_keys=own,
                    preferred_auth="publickey",
                    keepalive_interval=to.keepalive,
                    keepalive_count_max=3,
                )
        except asyncssh.HostKeyNotVerifiable as error:
            raise HostDenied(
                f"who answers at {to} is not the host that was expected",
                why="its host key is none of those it was made with",
                fix="if the server was made anew, so has to be its entry; otherwise somebody is in between",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise HostDenied(
                f"{to} does not let us in", why=_said(error), fix="give the private key that belongs to the server"
            ) from error
        except TimeoutError:
            raise HostUnreachable(f"{to} did not answer within {to.connect_timeout:g} s") from None
        except (asyncssh.Error, OSError) as error:
            raise HostUnreachable(f"{to} can't be reached", why=_said(error)) from error

    async def _check(self) -> None:
        connection = await self._open(self.address)
        connection.close()
        await connection.wait_closed()

    async def _close(self) -> None:
        for connection in (self._session and self._session.connection, self._jump):
            if connection:
                connection.close()
                await connection.wait_closed()
        if self._listener:
            await self._listener
        self._session = self._jump = self._listener = None


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
