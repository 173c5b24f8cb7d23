"""Long ways over SSH: each command in a channel of its own, beside the agent's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

import asyncssh

from rehost.stacks.hosts.port import HostUnreachable
from rehost.stacks.hosts.programs.forward import PIECE
from rehost.stacks.hosts.ssh import Ssh
from rehost.stacks.hosts.streams import judge

_BOOT = (
    "import json, os\n"
    "line = b''\n"
    "while not line.endswith(b'\\n'): line += os.read(0, 1)\n"
    "told = json.loads(line)\n"
    "try: os.setsid()\n"
    "except OSError: pass\n"
    "os.write(1, b'%d\\n' % os.getpid())\n"
    "os.execvpe(told['command'][0], told['command'], {**os.environ, **told['environment']})"
)
"""Reads one line and no byte more, tells its number, and becomes the command, which reads the rest: no argument
tells anything. The number is for ending it, since sshd passes no signals on for root."""


class SshStreams:
    """The StreamHost at the other end of a connection."""

    def __init__(self, ssh: Ssh) -> None:
        self._ssh = ssh

    def stream(
        self,
        command: Sequence[str],
        *,
        input: Iterable[bytes] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[bytes]:
        """Run a command with a flow in and out, in a channel of its own."""
        header = json.dumps({"command": list(command), "environment": dict(environment or {})}).encode() + b"\n"
        wait = self._ssh.wait
        process, errors = wait(self._open())
        failures: list[BaseException] = []

        async def write(piece: bytes) -> None:
            process.stdin.write(piece)
            await process.stdin.drain()

        def feed() -> None:
            try:
                with contextlib.suppress(OSError, asyncssh.Error):
                    wait(write(header))
                    for piece in input:
                        wait(write(piece))
                    wait(_ended(process))
            except BaseException as error:  # noqa: BLE001 - raised where the output is read
                failures.append(error)
                wait(_abort(process))

        feeder = threading.Thread(target=feed)
        feeder.start()
        said = b""
        pid = 0
        try:
            pid = int(wait(process.stdout.readline()) or 0)
            while piece := wait(process.stdout.read(PIECE)):
                yield piece
            wait(process.wait_closed())
            said = wait(_told(errors))
        except (asyncssh.Error, OSError) as error:
            raise HostUnreachable(f"the connection to {self._ssh.address} was lost", why=str(error)) from error
        finally:
            if pid and process.exit_status is None and process.exit_signal is None:
                self._ssh.ask("end", pid=pid)
            wait(_abort(process))
            feeder.join()
        if process.returncode is None:
            raise HostUnreachable(f"the connection to {self._ssh.address} was lost")
        judge(command, process.returncode, said, failures)

    async def _open(self) -> tuple[asyncssh.SSHClientProcess[bytes], asyncio.Task[bytes]]:
        connection = await self._ssh.connection()
        line = f"{shlex.quote(self._ssh.address.python)} -I -c {shlex.quote(_BOOT)}"
        if self._ssh.address.user != "root":
            line = f"sudo -n {line}"
        try:
            process = await connection.create_process(line, encoding=None)
        except (asyncssh.Error, OSError) as error:
            raise HostUnreachable(f"{self._ssh.address} opens no channel", why=str(error)) from error
        return process, asyncio.create_task(_tail(process.stderr))

    @contextlib.contextmanager
    def tunnel(self, address: str, port: int) -> Iterator[tuple[str, int]]:
        """A port of this machine's loopback that leads to one that the host can reach."""

        async def listen() -> asyncssh.SSHListener:
            connection = await self._ssh.connection()
            return await connection.forward_local_port("127.0.0.1", 0, address, port)

        async def close(listener: asyncssh.SSHListener) -> None:
            listener.close()
            await listener.wait_closed()

        listener = self._ssh.wait(listen())
        try:
            yield "127.0.0.1", listener.get_port()
        finally:
            self._ssh.wait(close(listener))


async def _ended(process: asyncssh.SSHClientProcess[bytes]) -> None:
    process.stdin.write_eof()


async def _abort(process: asyncssh.SSHClientProcess[bytes]) -> None:
    process.close()


async def _tail(stream: asyncssh.SSHReader[bytes]) -> bytes:
    """The last of a stream that has to be read, or its sender would wait."""
    kept = b""
    while piece := await stream.read(PIECE):
        kept = (kept + piece)[-2000:]
    return kept


async def _told(task: asyncio.Task[bytes]) -> bytes:
    return await task
