"""Long ways through a host: commands whose input and output flow, and connections made from there.

Optional capabilities of a Host, for movers of data. Nothing is kept in memory beyond a few pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from rehost.stacks.hosts.forward import forwarded
from rehost.stacks.hosts.port import HostError
from rehost.stacks.hosts.programs.forward import PIECE


@runtime_checkable
class StreamHost(Protocol):
    """A host through which data can flow."""

    def stream(
        self,
        command: Sequence[str],
        *,
        input: Iterable[bytes] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[bytes]:
        """Run a command, give it the pieces of `input`, and give its output in pieces as it comes. Ends with
        HostError when the command fails. Ending early ends the command."""

    def tunnel(self, address: str, port: int) -> contextlib.AbstractContextManager[tuple[str, int]]:
        """Where on this machine a TCP port that the host can reach is to be had, as long as the context is
        open."""


class LocalStreams:
    """The StreamHost of this machine. `address` is the host's own, where it has one of loopback."""

    address = ""

    def stream(
        self,
        command: Sequence[str],
        *,
        input: Iterable[bytes] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[bytes]:
        """Run a command with a flow in and out."""
        try:
            process = subprocess.Popen(
                list(command),
                env={**os.environ, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise HostError(f"{command[0]} can't be run", why=str(error)) from error
        assert process.stdin and process.stdout and process.stderr
        failures: list[BaseException] = []
        said: list[bytes] = []

        def feed() -> None:
            assert process.stdin
            try:
                with contextlib.suppress(BrokenPipeError), process.stdin:
                    for piece in input:
                        process.stdin.write(piece)
            except BaseException as error:  # noqa: BLE001 - raised where the output is read
                failures.append(error)
                process.kill()

        threads = [
            threading.Thread(target=feed),
            threading.Thread(target=lambda: said.append(_tail(process.stderr))),
        ]
        for thread in threads:
            thread.start()
        try:
            while piece := os.read(process.stdout.fileno(), PIECE):
                yield piece
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            for thread in threads:
                thread.join()
            process.stdout.close()
            process.stderr.close()
        judge(command, code, b"".join(said), failures)

    @contextlib.contextmanager
    def tunnel(self, address: str, port: int) -> Iterator[tuple[str, int]]:
        """A way that leaves from the host's own address, so that whoever is asked can tell who asks."""
        with forwarded(lambda: asyncio.open_connection(address, port, local_addr=(self.address, 0))) as near:
            yield near


def _tail(stream: Any) -> bytes:
    kept = b""
    while piece := stream.read1(PIECE):
        kept = (kept + piece)[-2000:]
    return kept


def judge(command: Sequence[str], code: int, said: bytes, failures: list[BaseException]) -> None:
    """Raise what a command's end means, first of all what went wrong with its input."""
    if failures:
        raise failures[0]
    if code:
        why = said.decode("utf-8", "replace").strip()[-500:]
        raise HostError(f"{command[0]} ended with exit code {code}", why=why)
