"""A port of loopback whose connections go on to somewhere else."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

PIECE = 256 * 1024
CONNECT_S = 10.0


@contextlib.contextmanager
def forwarded(dial: Callable[[], socket.socket]) -> Iterator[tuple[str, int]]:
    """The port, as long as the context is open. `dial` makes the other half of a connection; where it raises
    OSError the connection is closed."""

    class Connected(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError), dial() as far:
                far.settimeout(None)
                back = threading.Thread(target=_pass_on, args=(far, self.request), daemon=True)
                back.start()
                _pass_on(self.request, far)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connected) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield "127.0.0.1", int(server.server_address[1])
        finally:
            server.shutdown()


def _pass_on(source: socket.socket, destination: socket.socket) -> None:
    """All bytes of one direction, then its end."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            destination.sendall(piece)
    with contextlib.suppress(OSError):
        destination.shutdown(socket.SHUT_WR)
