"""Where a proof is put: into the zone that is authoritative now, whichever target of the stack has it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from rehost.stacks.acme.names import Authority, Names
from rehost.stacks.errors import OperatorNeeded, RehostError
from rehost.stacks.ports import Call, Connection, HostedZone, ZoneEditor


@dataclass(frozen=True)
class Elsewhere:
    """Another target of the stack: its name servers by pattern, and how to get there with its credentials."""

    name: str
    pattern: str
    """Of the names of its name servers, as a regular expression; empty for one that has none."""
    connect: Callable[[], Connection]


@dataclass(frozen=True)
class Place:
    """A record: its name, who serves it, and who of ours can write it (None: a person has to)."""

    at: str
    authority: Authority
    editor: ZoneEditor | None = None
    zone: HostedZone | None = None
    why: str = ""
    """Why nobody of ours can."""


@dataclass
class Desk:
    """Finds and keeps the editors. Other targets are asked only where their own name servers have the zone, so
    that one that is gone, and has nothing to do with it, is not called."""

    names: Names
    own: Connection
    others: Sequence[Elsewhere] = ()
    _open: ExitStack = field(default_factory=ExitStack)
    _connected: dict[str, Connection] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _held: dict[str, threading.RLock] = field(default_factory=dict)

    def place(self, name: str) -> Place:
        """Where the record of a name really is, aliases followed, and who can write it."""
        at = self.names.target(name)
        authority = self.names.authority(at)
        problems: list[str] = []
        for editor, title in self._editors(authority, problems):
            found = editor.hosted_zones(at)
            for zone in found:
                if zone.name == authority.zone and not authority.servers.keys().isdisjoint(zone.servers):
                    return Place(at, authority, editor, zone)
            problems += [
                f"{title} has a zone {zone.name}, but the world is not sent there; its name servers are "
                f"{', '.join(sorted(zone.servers))}"
                for zone in found
            ]
        served = ", ".join(authority.servers) or "nobody"
        why = f"{at} is in the zone {authority.zone}, served by {served}, which no target of the stack has"
        return Place(at, authority, why="; ".join([why, *problems]))

    def _editors(self, authority: Authority, problems: list[str]) -> Iterator[tuple[ZoneEditor, str]]:
        if isinstance(self.own, ZoneEditor):
            yield self.own, "this target"
        for other in self.others:
            if other.pattern and any(re.search(other.pattern, server) for server in authority.servers):
                try:
                    connection = self._connect(other)
                except RehostError as error:
                    problems.append(f"its name servers are those of the target {other.name}: {error.summary}")
                    continue
                if isinstance(connection, ZoneEditor):
                    yield connection, f"the target {other.name}"

    def _connect(self, other: Elsewhere) -> Connection:
        with self._lock:
            if other.name not in self._connected:
                connection = other.connect()
                self._open.callback(connection.close)
                self._connected[other.name] = connection
            return self._connected[other.name]

    @contextmanager
    def held(self, place: Place) -> Iterator[None]:
        """Only one at a time changes a record: proofs of one name stand in one record set."""
        with self._lock:
            lock = self._held.setdefault(place.at, threading.RLock())
        with lock:
            yield

    def put(self, call: Call, place: Place, text: str) -> None:
        """Add a text to a record."""
        assert place.editor is not None and place.zone is not None
        with self.held(place):
            place.editor.add_text(call, place.zone, place.at, text)

    def drop(self, call: Call, place: Place, text: str) -> None:
        """Take a text off a record; one that is not there is no error."""
        if place.editor is not None and place.zone is not None:
            with self.held(place):
                place.editor.drop_text(call, place.zone, place.at, text)

    def unseen(self, place: Place, text: str) -> list[str]:
        """Name servers that do not answer with a text yet."""
        return [
            server
            for server, addresses in place.authority.servers.items()
            if not addresses or any(text not in (self.names.texts(a, place.at) or ()) for a in addresses)
        ]

    def close(self) -> None:
        """Give back what was opened."""
        self._open.close()


def left_to_people(places: Mapping[tuple[str, str], Place]) -> OperatorNeeded:
    """The records that a person has to set, by name and text."""
    records = [f'{place.at}. TXT "{text}"' for (_, text), place in sorted(places.items())]
    many = len(records) > 1
    return OperatorNeeded(
        f"the certificate authority waits for {'records' if many else 'a record'}: {'; '.join(records)}",
        why="; ".join(dict.fromkeys(place.why for place in places.values() if place.why)),
        fix=f"set {'them' if many else 'it'} there (values of the same name stand side by side), and run the same "
        f"command again; take {'them' if many else 'it'} away afterwards",
    )
