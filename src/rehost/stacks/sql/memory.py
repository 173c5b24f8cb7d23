"""A database server in memory: its roles as values, its questions answered by SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.sql.grants import Grant, Thing, wanted
from rehost.stacks.sql.port import Place, RoleSeen, RoleSpec, SqlAway


@dataclass
class MemorySql:
    """One server with one database. `away` makes it unreachable."""

    database: str = "app"
    admin: str = "app"
    away: bool = False
    roles: dict[str, RoleSpec] = field(default_factory=dict)
    rights: dict[str, set[Grant]] = field(default_factory=dict)
    things: list[Thing] = field(default_factory=list)
    content: sqlite3.Connection = field(
        default_factory=lambda: sqlite3.connect(":memory:", check_same_thread=False)
    )
    lock: threading.RLock = field(default_factory=threading.RLock)

    @contextlib.contextmanager
    def open(self, place: Place) -> Iterator[MemorySession]:
        """A session."""
        if self.away:
            raise SqlAway(f"the database at {place.address}:{place.port} can't be reached from here")
        with self.lock:
            yield MemorySession(self)

    def wanted(self, spec: RoleSpec) -> set[Grant]:
        """The rights that a role should have."""
        return wanted(spec, self.database, self.admin, self.things)


class MemorySession:
    """A session of the database's owner."""

    def __init__(self, server: MemorySql) -> None:
        self._server = server

    def see(self, spec: RoleSpec) -> RoleSeen | None:
        """A role as it is."""
        kept = self._server.roles.get(spec.name)
        if kept is None:
            return None
        has, should = self._server.rights[spec.name], self._server.wanted(spec)
        return RoleSeen(
            kept.mark,
            kept.login,
            kept.connection_limit,
            kept.settings,
            tuple(map(str, sorted(should - has))),
            tuple(map(str, sorted(has - should))),
            kept.password == spec.password if spec.password and kept.login else None,
        )

    def put(self, spec: RoleSpec) -> None:
        """Make the role as it should be."""
        server = self._server
        kept = server.roles.get(spec.name)
        password = spec.password or (kept.password if kept else "")
        rights = server.wanted(spec)
        owned = {(right.schema, right.name) for right in rights if right.kind == "own"}
        server.things = [
            replace(thing, owner=spec.name) if (thing.schema, thing.name) in owned else thing
            for thing in server.things
        ]
        server.roles[spec.name] = replace(spec, password=password)
        server.rights[spec.name] = server.wanted(spec)

    def drop(self, name: str) -> None:
        """Remove the role; what it owns becomes the database's owner's."""
        server = self._server
        server.things = [
            replace(thing, owner=server.admin) if thing.owner == name else thing for thing in server.things
        ]
        server.roles.pop(name, None)
        server.rights.pop(name, None)

    def ask(self, query: str, seconds: float) -> Sequence[tuple[Any, ...]]:
        """The rows of a query."""
        del seconds
        content = self._server.content
        try:
            content.execute("pragma query_only = on")
            return content.execute(query).fetchall()
        except sqlite3.Error as error:
            raise ProviderError(f"the query fails: {error}", reason=Reason.INVALID) from error
        finally:
            content.execute("pragma query_only = off")
