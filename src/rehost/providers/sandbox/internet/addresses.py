"""Where the sandbox's name servers answer. Light: the supervisor imports it."""

from __future__ import annotations

import contextlib
import socket

RESOLVER = "127.53.0.1"
"""The resolver, which is the registry's name server too."""
ADDRESSES = {"aws": "127.53.1.1", "hetzner": "127.53.2.1", "elsewhere": "127.53.3.1"}
"""The name servers of each provider; all answer at one port."""


def free(port: int) -> bool:
    """Whether a port can be had at all of the addresses."""
    with contextlib.ExitStack() as stack:
        for address in (RESOLVER, *ADDRESSES.values()):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                one = stack.enter_context(socket.socket(socket.AF_INET, kind))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    one.bind((address, port))
                except OSError:
                    return False
    return True
