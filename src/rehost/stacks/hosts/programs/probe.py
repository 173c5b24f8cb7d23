"""Look at a machine from inside: `probe.py http ADDRESS PORT PATH TIMEOUT`, `tcp ADDRESS PORT TIMEOUT`,
`connections PORT...`, `free COUNT`. The first two answer with their exit code."""

from __future__ import annotations

import http.client
import socket
import sys
from collections.abc import Collection, Sequence
from pathlib import Path


def http_ok(address: str, port: int, path: str, timeout: float) -> bool:
    """Whether GET answers with 2xx or 3xx."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"User-Agent": "rehost-probe", "Connection": "close"})
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tcp_ok(address: str, port: int, timeout: float) -> bool:
    """Whether somebody accepts connections."""
    try:
        socket.create_connection((address, port), timeout).close()
    except OSError:
        return False
    return True


def connections(ports: Collection[int]) -> int:
    """Established connections at these local ports, seen from the side that accepted them."""
    count = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        except OSError:
            continue
        count += sum(row[3] == "01" and int(row[1].rsplit(":", 1)[1], 16) in ports for row in rows)
    return count


def free(count: int) -> Sequence[int]:
    """Ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def main(what: str, *rest: str) -> int:
    """What the module's text says."""
    if what == "http":
        return 0 if http_ok(rest[0], int(rest[1]), rest[2], float(rest[3])) else 1
    if what == "tcp":
        return 0 if tcp_ok(rest[0], int(rest[1]), float(rest[2])) else 1
    numbers = [int(number) for number in rest]
    found = [connections(numbers)] if what == "connections" else free(numbers[0])
    sys.stdout.write(" ".join(str(number) for number in found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
