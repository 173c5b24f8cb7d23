"""DNS on loopback: a resolver that is the registry's name server too, and the name servers of each provider.

Each provider's servers have an address of their own in 127.53.0.0/16, at the port of the resolver, and answer for
the zones that the provider has, whether the world is sent there or not. Nothing is remembered: answers are of this
moment.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Mapping, Sequence

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from rehost.providers.sandbox.internet.addresses import ADDRESSES, RESOLVER
from rehost.providers.sandbox.internet.registry import ELSEWHERE, ELSEWHERE_SERVERS, Registry, Zone, within

SERVERS = {
    "aws": re.compile(r"\.awsdns-\d+\.(com|net|org|co\.uk)$"),
    "hetzner": re.compile(r"\.ns\.hetzner\.(com|de)$"),
    ELSEWHERE: re.compile(r"\.elsewhere\.sandbox$"),
}
REGISTRY = "ns.registry.sandbox"
_DELEGATION_TTL = 3600
_HOPS = 8
_UDP = 1232


def provider_of(server: str) -> str | None:
    """Whose name server a name is."""
    return next((name for name, pattern in SERVERS.items() if pattern.search(server.lower().rstrip("."))), None)


class Answers:
    """What is said to a question, whoever asks."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def to(self, query: dns.message.Message, provider: str | None) -> dns.message.Message:
        """The answer of a provider's servers, or of the resolver and registry (None)."""
        response = dns.message.make_response(query, recursion_available=provider is None)
        if len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
            return response
        asked = query.question[0]
        name, type_ = _plain(asked.name), dns.rdatatype.to_text(asked.rdtype)
        if provider is not None:
            self._authoritative(response, provider, name, type_)
        elif query.flags & dns.flags.RD:
            self._resolved(response, name, type_)
        else:
            self._referral(response, name, type_)
        return response

    def _zone(self, provider: str, name: str) -> Zone | None:
        fits = [zone for zone in self._registry.zones(provider) if within(name, zone.name)]
        return max(fits, key=lambda zone: len(zone.name), default=None)

    def _authoritative(self, response: dns.message.Message, provider: str, name: str, type_: str) -> None:
        zone = self._zone(provider, name)
        if zone is None:
            response.set_rcode(dns.rcode.REFUSED)
            return
        cut = _cut(zone, name)
        if cut and not (cut == name and type_ == "DS"):
            response.authority.append(_rrset(cut, "NS", *zone.records[cut, "NS"], zone.origin))
            return
        response.flags |= dns.flags.AA
        owner = _owner(zone, name)
        for kind in dict.fromkeys((type_, "CNAME")):
            if (owner, kind) in zone.records:
                response.answer.append(_rrset(name, kind, *zone.records[owner, kind], zone.origin))
                return
        response.authority += _soa(zone)
        if not _exists(zone, owner):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def _resolved(self, response: dns.message.Message, name: str, type_: str) -> None:
        for _ in range(_HOPS):
            own = self._own(name, type_)
            if own is not None:
                response.answer += own.answer
                response.authority += own.authority
                response.set_rcode(own.rcode())
                return
            delegated = self._registry.delegated(name)
            assert delegated is not None, "what nobody has is the registry's own"
            found = self._from(delegated[1], name, type_)
            response.answer += found.answer
            response.authority = list(found.authority)
            response.set_rcode(found.rcode())
            last = found.answer[-1] if found.answer else None
            if last is None or type_ == "CNAME" or last.rdtype != dns.rdatatype.CNAME:
                return
            name = _plain(next(iter(last)).target)
        response.set_rcode(dns.rcode.SERVFAIL)

    def _from(self, provider: str, name: str, type_: str) -> dns.message.Message:
        """What a provider says, referrals to other providers followed."""
        for _ in range(_HOPS):
            query = dns.message.make_query(name, type_)
            found = dns.message.make_response(query)
            self._authoritative(found, provider, name, type_)
            referred = [row for row in found.authority if row.rdtype == dns.rdatatype.NS]
            if found.answer or not referred:
                break
            following = next(filter(None, (provider_of(_plain(item.target)) for item in referred[0])), None)
            if following is None or following == provider:
                found.set_rcode(dns.rcode.SERVFAIL)
                break
            provider = following
        if found.rcode() == dns.rcode.REFUSED:
            found.set_rcode(dns.rcode.SERVFAIL)
        return found

    def _own(self, name: str, type_: str) -> dns.message.Message | None:
        """What the registry says by itself, of top-level domains and name servers; None for the rest."""
        found = dns.message.make_response(dns.message.make_query(name, type_))
        address = RESOLVER if name == REGISTRY else ADDRESSES.get(provider_of(name) or "")
        if address is not None:
            if type_ == "A":
                found.answer.append(_rrset(name, "A", _DELEGATION_TTL, [address]))
            return found
        if self._registry.delegated(name) is not None:
            return None
        top = name.rpartition(".")[2]
        soa = _rrset(top or ".", "SOA", 60, [f"{REGISTRY}. hostmaster.sandbox. 1 3600 600 86400 60"])
        if name == top and type_ in ("SOA", "NS"):
            rows = {"SOA": soa, "NS": _rrset(top or ".", "NS", _DELEGATION_TTL, [REGISTRY + "."])}
            found.answer.append(rows[type_])
            return found
        found.authority.append(soa)
        if name != top:
            found.set_rcode(dns.rcode.NXDOMAIN)
        return found

    def _referral(self, response: dns.message.Message, name: str, type_: str) -> None:
        delegated = None if provider_of(name) or name == REGISTRY else self._registry.delegated(name)
        if delegated is None:
            own = self._own(name, type_)
            assert own is not None
            response.flags |= dns.flags.AA
            response.answer, response.authority = list(own.answer), list(own.authority)
            response.set_rcode(own.rcode())
            return
        domain, provider = delegated
        zone = next((zone for zone in self._registry.zones(provider) if zone.name == domain), None)
        servers = zone.servers if zone else ELSEWHERE_SERVERS if provider == ELSEWHERE else ()
        if not servers:
            response.set_rcode(dns.rcode.SERVFAIL)
            return
        response.authority.append(_rrset(domain, "NS", _DELEGATION_TTL, [f"{server}." for server in servers]))


def _cut(zone: Zone, name: str) -> str:
    """Where a zone hands names below it on to others, empty where it does not."""
    parts = name.removesuffix(zone.name).rstrip(".").split(".")
    below = [".".join([*parts[n:], zone.name]) for n in reversed(range(len(parts))) if parts[n]]
    return next((one for one in below if (one, "NS") in zone.records), "")


def _owner(zone: Zone, name: str) -> str:
    """The name whose records answer: its own, or that of the nearest wildcard."""
    if _exists(zone, name):
        return name
    parent = name
    while parent != zone.name:
        parent = parent.partition(".")[2]
        if any(owner == f"*.{parent}" for owner, _ in zone.records):
            return f"*.{parent}"
        if _exists(zone, parent):
            break
    return name


def _exists(zone: Zone, name: str) -> bool:
    return any(within(owner, name) for owner, _ in zone.records)


def _soa(zone: Zone) -> list[dns.rrset.RRset]:
    found = zone.records.get((zone.name, "SOA"))
    return [_rrset(zone.name, "SOA", *found, zone.origin)] if found else []


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _rrset(name: str, type_: str, ttl: int, values: Sequence[str], origin: str = "") -> dns.rrset.RRset:
    kind, below = dns.rdatatype.from_text(type_), dns.name.from_text(origin or ".")
    made = dns.rrset.RRset(dns.name.from_text(name), dns.rdataclass.IN, kind)
    for value in values:
        # What a stand-in took and DNS would not is left out rather than the whole answer.
        with contextlib.suppress(dns.exception.DNSException):
            row = dns.rdata.from_text(dns.rdataclass.IN, kind, value, origin=below, relativize=False)
            made.add(row, ttl)
    return made


class NameServers:
    """The sockets. `port` is the same at every address; 0 takes one that is free everywhere."""

    def __init__(self, answers: Answers, port: int = 0) -> None:
        self._answers = answers
        self._sockets: list[socket.socket] = []
        addresses: Mapping[str, str | None] = {RESOLVER: None, **{a: name for name, a in ADDRESSES.items()}}
        for attempt in range(20):
            try:
                self.port = self._bind(addresses, port)
                break
            except OSError:
                self.close()
                if attempt == 19:
                    raise
                port = 0 if attempt > 3 else port

    def _bind(self, addresses: Mapping[str, str | None], port: int) -> int:
        self._bound: list[tuple[socket.socket, str | None]] = []
        for address, provider in addresses.items():
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                one = socket.socket(socket.AF_INET, kind)
                self._sockets.append(one)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind((address, port))
                port = one.getsockname()[1]
                if kind == socket.SOCK_STREAM:
                    one.listen(64)
                self._bound.append((one, provider))
        return port

    @property
    def address(self) -> str:
        """Host and port of the resolver."""
        return f"{RESOLVER}:{self.port}"

    def start(self) -> None:
        """Answer in threads until `close`."""
        for one, provider in self._bound:
            work = self._datagrams if one.type == socket.SOCK_DGRAM else self._streams
            threading.Thread(target=work, args=(one, provider), daemon=True).start()

    def close(self) -> None:
        """Let go of the addresses."""
        for one in self._sockets:
            one.close()
        self._sockets.clear()

    def _datagrams(self, one: socket.socket, provider: str | None) -> None:
        while True:
            try:
                data, peer = one.recvfrom(4096)
            except OSError:
                return
            threading.Thread(target=self._datagram, args=(one, provider, data, peer), daemon=True).start()

    def _datagram(self, one: socket.socket, provider: str | None, data: bytes, peer: object) -> None:
        answer = self._reply(data, provider, _UDP)
        if answer:
            with contextlib.suppress(OSError):
                one.sendto(answer, peer)  # type: ignore[call-overload]

    def _streams(self, one: socket.socket, provider: str | None) -> None:
        while True:
            try:
                peer, _ = one.accept()
            except OSError:
                return
            threading.Thread(target=self._stream, args=(peer, provider), daemon=True).start()

    def _stream(self, peer: socket.socket, provider: str | None) -> None:
        with contextlib.suppress(OSError, struct.error), peer, peer.makefile("rb") as reader:
            peer.settimeout(10)
            while size := reader.read(2):
                answer = self._reply(reader.read(struct.unpack("!H", size)[0]), provider, 65535)
                peer.sendall(struct.pack("!H", len(answer)) + answer)

    def _reply(self, data: bytes, provider: str | None, size: int) -> bytes:
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return b""
        try:
            answer = self._answers.to(query, provider)
        except Exception:  # noqa: BLE001 - a fault of this server is no reason to leave others waiting
            answer = dns.message.make_response(query)
            answer.set_rcode(dns.rcode.SERVFAIL)
        try:
            return answer.to_wire(max_size=size)
        except dns.exception.TooBig:
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.TC
            return answer.to_wire()
