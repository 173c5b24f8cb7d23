"""From a name to an address, as clients do it: asked once, kept for its TTL."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping

import dns.exception
import dns.resolver


class Names:
    """Looks names up. `fixed` has places of names that need no look-up; `ports` maps `address:port` to another
    place where a low port can't be had."""

    def __init__(self, resolver: str = "", fixed: Mapping[str, str] | None = None, ports: str = "") -> None:
        self._fixed = {name: _place(text) for name, text in (fixed or {}).items()}
        self._ports = {key: _place(text) for key, text in json.loads(ports or "{}").items()}
        self._kept: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._ask = dns.resolver.Resolver(configure=not resolver)
        if resolver:
            host, port = _place(resolver)
            self._ask.nameservers, self._ask.port = [host], port
        self._ask.lifetime = 3.0

    def place(self, host: str, port: int) -> tuple[str, int]:
        """Where to connect to. Raises OSError for a name that has no address now."""
        if host in self._fixed:
            return self._fixed[host]
        address = host if host.replace(".", "").isdecimal() else self._address(host)
        return self._ports.get(f"{address}:{port}", (address, port))

    def _address(self, host: str) -> str:
        with self._lock:
            kept = self._kept.get(host)
            if kept is not None and kept[1] > time.monotonic():
                return kept[0]
        try:
            found = self._ask.resolve(host, "A")
        except dns.exception.DNSException as error:
            raise OSError(f"{host} has no address: {error}") from error
        with self._lock:
            self._kept[host] = str(found[0]), time.monotonic() + (found.rrset.ttl if found.rrset else 0)
            return self._kept[host][0]


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
