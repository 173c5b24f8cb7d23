"""How a database is reached from the operator's machine: as told, through a server near it, or directly."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehost.stacks.errors import InvalidInput
from rehost.stacks.graph import Value
from rehost.stacks.hosts.port import Host, HostError
from rehost.stacks.hosts.streams import StreamHost
from rehost.stacks.sql.port import Place, SqlAway, SqlSession
from rehost.stacks.sql.postgres import open_postgres

FindHost = Callable[[str, Mapping[str, Value]], Host]


def variable(component: str) -> str:
    """The environment variable that says where a database is reached: `REHOST_SQL_MAIN` for `databases.main`."""
    return "REHOST_SQL_" + component.rpartition(".")[2].upper().replace("-", "_")


@dataclass(frozen=True)
class Reach:
    """Opens sessions to databases that are in private networks as a rule. `host_of` has the hosts of servers."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    host_of: FindHost | None = None

    @contextlib.contextmanager
    def open(self, place: Place) -> Iterator[SqlSession]:
        """A session. Raises SqlAway with what to do where no way leads to the database."""
        with contextlib.ExitStack() as opened:
            yield self._open(place, opened)[0]

    @contextlib.contextmanager
    def way(self, place: Place) -> Iterator[tuple[str, int]]:
        """Where a database is reached from this machine, for connections of the caller's own as long as the
        context is open; tried with one session. Raises what `open` does."""
        with contextlib.ExitStack() as opened:
            with contextlib.ExitStack() as tried:
                _, near, ways = self._open(place, tried)
                opened.push(ways.pop_all())
            yield near

    def _open(
        self, place: Place, opened: contextlib.ExitStack
    ) -> tuple[SqlSession, tuple[str, int], contextlib.ExitStack]:
        """A session, where it goes to, and what keeps the way there open; all close with `opened`."""
        tried: list[str] = []
        for name, route in self._routes(place, tried):
            ways = opened.enter_context(contextlib.ExitStack())
            try:
                near = ways.enter_context(route)
                return opened.enter_context(open_postgres(place, *near)), near, ways
            except (HostError, SqlAway) as error:
                ways.close()
                tried.append(f"{name}: {error.why or error.summary}")
        raise SqlAway(
            f"{place.component} can't be reached from here", why="; ".join(tried), fix=_way(place)
        ) from None

    def _routes(
        self, place: Place, tried: list[str]
    ) -> Iterator[tuple[str, contextlib.AbstractContextManager[tuple[str, int]]]]:
        given = self.environment.get(variable(place.component), "")
        if given:
            at, _, number = given.rpartition(":")
            if not at or not (number.isascii() and number.isdigit()):
                raise InvalidInput(f"{variable(place.component)} is {given!r}", fix="write host:port")
            yield f"as {variable(place.component)} says", contextlib.nullcontext((at.strip("[]"), int(number)))
            return
        host = self._host(place, tried)
        if host is not None:
            yield f"through {place.via and place.via.get('name')}", host.tunnel(place.address, place.port)
        yield "directly", contextlib.nullcontext((place.address, place.port))

    def _host(self, place: Place, tried: list[str]) -> StreamHost | None:
        via: Mapping[str, Any] = place.via or {}
        if self.host_of is None or not via:
            return None
        try:
            host = self.host_of(str(via.get("serverId", "")), via.get("connection") or {})
        except HostError as error:
            tried.append(f"through {via.get('name')}: {error.summary}")
            return None
        return host if isinstance(host, StreamHost) else None


def _way(place: Place) -> str:
    target = f"{place.address}:{place.port}"
    address = ((place.via or {}).get("connection") or {}).get("address")
    name = variable(place.component)
    if not address:
        return f"open a way to {target} (VPN, or a tunnel), set {name} to its host:port, and run this again"
    return f"ssh -N -L 15432:{target} {address}   then set {name}=127.0.0.1:15432, and run this again"
