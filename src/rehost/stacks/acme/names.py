"""The DNS as the world sees it now: whose servers a name is delegated to, and what each of them answers.

The machine's resolver finds the way; delegations and proofs are then asked for where they are kept, since what a
resolver remembers may be of yesterday. `REHOST_DNS` (`host:port`) is asked in its place, and every name server at
its port: that is how a sandbox has a DNS of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rehost.stacks.acme.caa import Caa
from rehost.stacks.acme.errors import lacking
from rehost.stacks.errors import ProviderError, Reason

if TYPE_CHECKING:
    import dns.message
    import dns.resolver

VARIABLE = "REHOST_DNS"
_SECONDS = 5.0
"""A server has so long to answer."""
_HOPS = 8
"""Names that stand for another are followed so often."""


@dataclass(frozen=True)
class Authority:
    """The zone that a name is in, and its servers by name, each with its addresses. Names have no last dot."""

    zone: str
    servers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def addresses(self) -> list[str]:
        """Of all servers."""
        return sorted({address for addresses in self.servers.values() for address in addresses})


class Names:
    """Look-ups. All raise ProviderError(UNAVAILABLE) where nobody answers."""

    def __init__(self, server: str = "", seconds: float = _SECONDS) -> None:
        self._host, _, port = server.partition(":")
        self._port = int(port or 53)
        self._seconds = seconds

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Names:
        """As the environment asks for."""
        return cls(environment.get(VARIABLE, ""))

    def _resolver(self) -> dns.resolver.Resolver:
        import dns.resolver

        resolver = dns.resolver.Resolver(configure=not self._host)
        if self._host:
            resolver.nameservers = [self._host]
            resolver.port = self._port
        resolver.lifetime = 2 * self._seconds
        return resolver

    def target(self, name: str) -> str:
        """The name at the end of the CNAMEs that begin at a name; itself where there are none."""
        for _ in range(_HOPS):
            following = next(iter(self._ask(name, "CNAME")), None)
            if following is None:
                return name
            name = str(following.target).rstrip(".").lower()
        raise ProviderError(f"{name}: too many names stand for another", reason=Reason.FAILED)

    def authority(self, name: str) -> Authority:
        """The zone of a name and the servers that its parent names for it."""
        import dns.name
        import dns.resolver

        with _answered(name):
            zone = dns.resolver.zone_for_name(name, resolver=self._resolver())
            servers = self._delegation(zone) or {
                str(row.target).rstrip(".").lower() for row in self._ask(zone.to_text(), "NS")
            }
        return Authority(_text(zone), {server: self._addresses(server) for server in sorted(servers)})

    def _delegation(self, zone: Any) -> set[str]:
        """The name servers that the zone above names, empty where it does not answer."""
        import dns.exception
        import dns.name
        import dns.resolver

        if zone == dns.name.root:
            return set()
        try:
            above = dns.resolver.zone_for_name(zone.parent(), resolver=self._resolver())
            keepers = [
                address for row in self._ask(above.to_text(), "NS") for address in self._addresses(row.target)
            ]
        except (dns.exception.DNSException, ProviderError):
            return set()
        for address in keepers[:4]:
            answer = self._directly(address, zone.to_text(), "NS")
            sets = [*answer.answer, *answer.authority] if answer is not None else []
            named = {
                str(item.target).rstrip(".").lower()
                for found in sets
                if found.name == zone and found.rdtype.name == "NS"
                for item in found
            }
            if named:
                return named
        return set()

    def _addresses(self, server: Any) -> tuple[str, ...]:
        found: list[str] = [row.address for row in self._ask(str(server), "A")]
        return tuple(found or [row.address for row in self._ask(str(server), "AAAA")])

    def texts(self, address: str, name: str) -> frozenset[str] | None:
        """The TXT records of a name at one server, None where it does not answer."""
        answer = self._directly(address, name, "TXT")
        if answer is None:
            return None
        return frozenset(
            b"".join(item.strings).decode("latin-1")
            for rows in answer.answer
            if rows.rdtype.name == "TXT"
            for item in rows
        )

    def found(self, name: str) -> frozenset[str]:
        """The TXT records of a name, as a resolver finds them."""
        return frozenset(b"".join(row.strings).decode("latin-1") for row in self._ask(name, "TXT"))

    def caa(self, domain: str) -> list[Caa]:
        """The nearest CAA records when climbing from a domain; none where there are none at all."""
        name = domain.removeprefix("*.")
        while name:
            found = [
                Caa(name, row.flags, row.tag.decode("latin-1"), row.value.decode("latin-1"))
                for row in self._ask(name, "CAA")
            ]
            if found:
                return found
            name = name.partition(".")[2]
        return []

    def _ask(self, name: str, type_: str) -> list[Any]:
        """Records, none where there are none."""
        import dns.resolver

        with _answered(name):
            try:
                return list(self._resolver().resolve(name, type_, search=False))
            except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
                return []

    def _directly(self, address: str, name: str, type_: str) -> dns.message.Message | None:
        import dns.exception
        import dns.flags
        import dns.message
        import dns.query

        query = dns.message.make_query(name, type_)
        query.flags &= ~dns.flags.RD
        try:
            answer, _ = dns.query.udp_with_fallback(query, address, timeout=self._seconds, port=self._port)
        except (dns.exception.DNSException, OSError):
            return None
        return answer


def _text(zone: Any) -> str:
    return str(zone.to_text(omit_final_dot=True)).lower()


@contextmanager
def _answered(name: str) -> Iterator[None]:
    """The DNS's errors as the engine knows them."""
    try:
        import dns.exception
    except ImportError:
        raise lacking() from None
    try:
        yield
    except dns.exception.DNSException as error:
        raise ProviderError(
            f"the DNS gives no answer about {name}",
            reason=Reason.UNAVAILABLE,
            why=str(error) or type(error).__name__,
            fix="look at the zone's name servers and its delegation",
        ) from error
