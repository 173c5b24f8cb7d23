"""TLS for client programs that were built without it, as those of wheels are.

The first message of the protocol asks for encryption (PostgreSQL documentation, "SSL Session Encryption").
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Iterator, Mapping

from rehost.stacks.hosts.forward import forwarded

_REQUEST = struct.pack("!ii", 8, 80877103)
SIGNS = ("no encryption", "SSL support is not compiled in")
"""How servers and programs say that TLS is missing."""


@contextlib.contextmanager
def encrypted(options: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The same options for a program that speaks no TLS: it is added on the way, and verified as `sslmode`
    says."""
    mode = options.get("sslmode", "prefer")
    host = options.get("host", "localhost").split(",")[0]
    at = options.get("hostaddr", host).split(",")[0], int(options.get("port", "5432").split(",")[0])
    context = ssl.create_default_context(cafile=options.get("sslrootcert"))
    context.check_hostname = mode == "verify-full"
    if not mode.startswith("verify"):
        context.verify_mode = ssl.CERT_NONE

    async def dial() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*at)
        writer.write(_REQUEST)
        if await reader.readexactly(1) != b"S":
            writer.close()
            raise OSError("the server does not speak TLS")
        await writer.start_tls(context, server_hostname=host)
        return reader, writer

    with forwarded(dial) as (near, port):
        about = ("host", "hostaddr", "port", "sslmode", "sslrootcert", "channel_binding")
        kept = {key: value for key, value in options.items() if key not in about}
        yield {**kept, "host": near, "port": str(port)}
