"""Which provider a domain is delegated to, and what the providers' zones hold at this moment."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ELSEWHERE = "elsewhere"
"""A third provider, whose records are set through the registry itself."""
ELSEWHERE_SERVERS = ("ns1.elsewhere.sandbox", "ns2.elsewhere.sandbox")
Key = tuple[str, str]
"""A full name in lower case without its last dot, and a type."""


@dataclass(frozen=True)
class Zone:
    """A zone as its provider has it: its servers by name, values in the form of a zone file by name and type."""

    name: str
    servers: tuple[str, ...]
    records: Mapping[Key, tuple[int, tuple[str, ...]]]
    origin: str = ""
    """What names without a last dot in values are below."""


Source = Callable[[], Sequence[Zone]]


def zones_of(answer: Mapping[str, Any]) -> list[Zone]:
    """The zones in a stand-in's answer to `/_sandbox/zones`."""
    return [
        Zone(
            row["name"].lower().rstrip("."),
            tuple(server.lower().rstrip(".") for server in row["servers"]),
            {
                (item["name"].lower().rstrip("."), item["type"]): (item["ttl"], tuple(item["values"]))
                for item in row["records"]
            },
            row.get("origin", ""),
        )
        for row in answer["zones"]
    ]


def asked(address: str) -> Source:
    """The zones of the stand-in at an address, asked for each time; none while it does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def zones() -> list[Zone]:
        try:
            with opener.open(f"http://{address}/_sandbox/zones", timeout=5) as response:
                return zones_of(json.load(response))
        except OSError:
            return []

    return zones


@dataclass
class Registry:
    """Delegations by domain. A domain that nobody delegated goes to the first provider that is seen with a zone of
    it, as long as no other has one too, and stays there until it is delegated."""

    sources: Mapping[str, Source]
    path: Path | None = None
    """Where it is kept."""
    delegations: dict[str, str] = field(default_factory=dict)
    records: dict[Key, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    """Of zones elsewhere."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            kept = json.loads(self.path.read_text())
            self.delegations = kept["delegations"]
            self.records = {(name, type_): (ttl, tuple(v)) for name, type_, ttl, v in kept["records"]}

    def _keep(self) -> None:
        if self.path is not None:
            rows = [[*key, ttl, list(values)] for key, (ttl, values) in self.records.items()]
            self.path.write_text(json.dumps({"delegations": self.delegations, "records": rows}))

    def delegate(self, domain: str, provider: str) -> None:
        """Send the world to a provider. Raises ValueError for one that is not known."""
        known = [*self.sources, ELSEWHERE]
        if provider not in known:
            raise ValueError(f"{provider!r} is none of {', '.join(known)}")
        with self._lock:
            self.delegations[domain.lower().rstrip(".")] = provider
            self._keep()

    def set(self, name: str, type_: str, values: Sequence[str], ttl: int = 60) -> None:
        """The values of a record elsewhere; none remove it."""
        key = (name.lower().rstrip("."), type_.upper())
        with self._lock:
            self.records.pop(key, None)
            if values:
                self.records[key] = (ttl, tuple(values))
            self._keep()

    def zones(self, provider: str) -> Sequence[Zone]:
        """The zones that a provider's servers answer for."""
        if provider != ELSEWHERE:
            return self.sources[provider]()
        domains = [domain for domain, to in self.delegations.items() if to == ELSEWHERE]
        made = []
        for domain in domains:
            soa = f"{ELSEWHERE_SERVERS[0]}. hostmaster.{domain}. 1 3600 600 86400 60"
            own: dict[Key, tuple[int, tuple[str, ...]]] = {
                (domain, "SOA"): (60, (soa,)),
                (domain, "NS"): (3600, tuple(f"{server}." for server in ELSEWHERE_SERVERS)),
            }
            below = {k: v for k, v in self.records.items() if k[0] == domain or k[0].endswith("." + domain)}
            made.append(Zone(domain, ELSEWHERE_SERVERS, own | below))
        return made

    def delegated(self, name: str) -> tuple[str, str] | None:
        """The domain that a name belongs to and its provider, None where it is delegated to nobody."""
        with self._lock:
            fits = [domain for domain in self.delegations if within(name, domain)]
            if fits:
                domain = max(fits, key=len)
                return domain, self.delegations[domain]
            holders = {
                (zone.name, provider)
                for provider in self.sources
                for zone in self.sources[provider]()
                if within(name, zone.name)
            }
            # The shortest of nested zones is what a registry would know.
            first = min((zone for zone, _ in holders), key=len, default="")
            providers = {provider for zone, provider in holders if zone == first}
            if len(providers) != 1:
                return None
            self.delegations[first] = providers.pop()
            self._keep()
            return first, self.delegations[first]


def within(name: str, zone: str) -> bool:
    """Whether a name is a zone's own or below it."""
    return name == zone or name.endswith("." + zone)
