"""Which rights a role's privileges stand for, given what is in the database. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rehost.stacks.sql.port import RoleSpec


class Level(StrEnum):
    """How much a role may do in its schemas."""

    READ = "read"
    WRITE = "write"
    OWNER = "owner"
    """It owns the tables that the database's owner has there, and may make others."""


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """A table (views are told among them) or a sequence."""

    kind: str
    """`table` or `sequence`."""
    schema: str
    name: str
    owner: str
    serial: bool = False
    """A sequence that belongs to a column, and goes with its table."""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One right.

    `kind` is database, schema, table, sequence, `default table` or `default sequence` (of what `name` will make
    in the schema), `member` (of the role `name`), `own` (it owns the table `name`) or `attribute`.
    """

    kind: str
    right: str
    schema: str = ""
    name: str = ""

    def __str__(self) -> str:
        if self.kind in ("member", "attribute"):
            return f"{self.kind} {self.name or self.right}".replace("member", "membership in")
        if self.kind.startswith("default"):
            return f"{self.right} on future {self.kind[8:]}s of {self.name} in {self.schema}"
        if self.kind == "own":
            return f"ownership of {self.schema}.{self.name}"
        where = f"{self.schema}.{self.name}" if self.schema and self.name else self.schema or self.name
        kind = "" if self.kind == "table" else f"{self.kind} "
        return f"{self.right} on {kind}{where}"


_TABLE = {
    Level.READ: ("SELECT",),
    Level.WRITE: ("SELECT", "INSERT", "UPDATE", "DELETE"),
    Level.OWNER: ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"),
}
_SEQUENCE = {
    Level.READ: ("SELECT",),
    Level.WRITE: ("USAGE", "SELECT", "UPDATE"),
    Level.OWNER: ("USAGE", "SELECT", "UPDATE"),
}


def wanted(spec: RoleSpec, database: str, admin: str, things: Sequence[Thing]) -> set[Grant]:
    """The rights of a role. `admin` is the database's owner."""
    return set(_wanted(spec, database, admin, things))


def _wanted(spec: RoleSpec, database: str, admin: str, things: Sequence[Thing]) -> Iterator[Grant]:
    if spec.login:
        yield Grant("database", "CONNECT", name=database)
    level = spec.privileges
    if level is None:
        return
    for schema in spec.schemas:
        for right in ("USAGE", "CREATE") if level is Level.OWNER else ("USAGE",):
            yield Grant("schema", right, schema)
        for creator in dict.fromkeys((admin, *spec.creators)):
            if creator != spec.name:
                yield from (Grant("default table", right, schema, creator) for right in _TABLE[level])
                yield from (Grant("default sequence", right, schema, creator) for right in _SEQUENCE[level])
    for thing in things:
        if thing.schema not in spec.schemas or thing.owner == spec.name:
            continue
        if level is Level.OWNER and thing.owner == admin:
            if not thing.serial:
                yield Grant("own", thing.kind, thing.schema, thing.name)
            continue
        rights = _TABLE if thing.kind == "table" else _SEQUENCE
        yield from (Grant(thing.kind, right, thing.schema, thing.name) for right in rights[level])
