"""What rehost asks of a database server: roles, and answers to questions.

Sessions raise ProviderError and SqlAway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from rehost.stacks.errors import RehostError
from rehost.stacks.sql.grants import Level


class SqlAway(RehostError):
    """The database server can't be reached from here: nobody knows whether it works."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is, and who makes its roles: its owner, who need not be a superuser.

    `component` is its address in the stack (`databases.main`), `holder` what it lives and ends with. `via` names a
    server that reaches it, by `serverId` and `connection`.
    """

    component: str
    holder: str
    address: str
    port: int
    database: str
    user: str
    password: str = field(repr=False, default="")
    via: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """A role as it should be. `connection_limit` -1 is none; `creators` are other roles whose future tables it may
    use too, besides the database's owner's; `mark` says whose it is."""

    name: str
    login: bool = True
    password: str = field(repr=False, default="")
    privileges: Level | None = None
    schemas: tuple[str, ...] = ("public",)
    creators: tuple[str, ...] = ()
    connection_limit: int = -1
    settings: Mapping[str, str] = field(default_factory=dict)
    mark: str = ""


@dataclass(frozen=True, slots=True)
class RoleSeen:
    """A role as it is, compared with what it should be where only a comparison is of use.

    `missing` and `surplus` are rights for people to read (`SELECT on public.posts`); `fits` says whether the
    password lets it in, None where nobody can tell.
    """

    mark: str
    login: bool
    connection_limit: int
    settings: Mapping[str, str]
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    fits: bool | None = None


class SqlSession(Protocol):
    """An open connection of a database's owner."""

    def see(self, spec: RoleSpec) -> RoleSeen | None:
        """A role as it is, None where there is none."""

    def put(self, spec: RoleSpec) -> None:
        """Make the role, or whatever of it is not as it should be; all or nothing. Schemas that it names are made
        where there are none."""

    def drop(self, name: str) -> None:
        """End the role's sessions, give what it owns to the database's owner, and remove it; none is no error."""

    def ask(self, query: str, seconds: float) -> Sequence[tuple[Any, ...]]:
        """The rows that a query answers, which may change nothing."""


class OpenSql(Protocol):
    """Opens sessions."""

    def __call__(self, place: Place) -> AbstractContextManager[SqlSession]:
        """A session of the database's owner, closed with the context."""
