"""Databases and caches."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from rehost.stacks.model.base import Bytes, Component, Override, complaint
from rehost.stacks.model.compute import Size
from rehost.stacks.model.edge import SecretText

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
"""A name in SQL that needs no quotes."""

Clock = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
"""A time of day in UTC: `03:30`."""


def _as_text(value: object) -> object:
    """A version may be written as a number where that says the same: `16`, and not `8.10`."""
    if isinstance(value, float):
        raise complaint("a version is text", "as a number 8.10 would be 8.1", f'write "{value}", in quotes')
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Version = Annotated[str, BeforeValidator(_as_text), StringConstraints(pattern=r"^\d{1,3}(\.\d{1,3}){0,2}$")]
"""`16`, or as exactly as need be: `16.4`."""


def _setting(value: object) -> object:
    if value is None:
        raise complaint("a parameter has no value", "", "write its value, or take it out")
    return value


def _parameter(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]{0,100}", name):
        why = "a parameter's name has letters, digits, _ and dots"
        raise complaint(f"{name[:40]!r} is no name of a parameter", why, "write the engine's own name for it")
    return name


Parameters = dict[
    Annotated[str, AfterValidator(_parameter)],
    Annotated[bool | int | float | str, BeforeValidator(_setting)],
]
"""Settings of an engine by its own names."""


Groups = tuple[str, ...]
"""Server groups: `servers.app`."""


class Backups(Component):
    """Backups that the target makes by itself, every day."""

    keep_days: int = Field(7, ge=0, le=35)
    """How many days they are kept; 0 makes none."""
    at: Clock = Field("03:30", examples=["03:30"])
    """When, in UTC."""


class Role(Component):
    """A user of a database other than its owner. Its rights are those of `privileges`, and no others."""

    login: bool = True
    """Whether somebody may log in as it."""
    password: SecretText | None = Field(None, examples=["${secrets.report}"])
    """`${secrets.<name>}`; without it one is drawn and kept as a secret of the stack."""
    privileges: Literal["read", "write", "owner"] | None = Field(None, examples=["read"])
    """What it may do with the tables of its schemas; an owner may alter them and make others."""
    schemas: tuple[Identifier, ...] = Field(("public",), min_length=1, examples=[["public"]])
    """The schemas that its privileges are for; made where there are none."""
    connection_limit: int | None = Field(None, ge=1, le=262_143, examples=[20])
    """How many connections it may have at once."""
    settings: Parameters = Field(default_factory=dict, examples=[{"statement_timeout": "30s"}])
    """Settings of its sessions by the engine's own names."""

    @model_validator(mode="after")
    def _logs_in(self) -> Role:
        if self.password is not None and not self.login:
            raise complaint("a role without login has a password", "nobody asks for it", "remove it", "password")
        if self.settings.keys() & {"role", "session_authorization"}:
            key = "role" if "role" in self.settings else "session_authorization"
            raise complaint(f"{key} can't be a setting", "the role would act as another", "remove it", "settings")
        return self


class Database(Component):
    """A database server with one database, reached from the private network only."""

    engine: Literal["postgres", "mysql"] = "postgres"
    """Which database it is."""
    version: Version = Field(examples=["16"])
    """`16`, or as exactly as need be: `16.4`."""
    size: Size = Size.model_construct(cpu=1, memory=2 * 1024**3, disk=10 * 1024**3)
    """What its server needs at least; `disk` has no meaning here."""
    storage: Bytes = Field(20 * 1024**3, examples=["100GiB"])
    """Room for data, at least. It can grow later, never shrink."""
    database: Identifier = Field("app", examples=["plaza"])
    """The name of the database inside."""
    owner: Identifier = Field("app", examples=["plaza"])
    """The role that owns the database."""
    password: SecretText | None = Field(None, examples=["${secrets.database}"])
    """The owner's password, `${secrets.<name>}`; without it one is drawn and kept as a secret of the stack."""
    reachable_from: Groups = Field((), examples=[["servers.app"]])
    """Server groups that may connect; without any, all of the private network may."""
    high_availability: bool = False
    """A standby in another zone, which takes over when the server fails."""
    backups: Backups = Backups()
    """Backups that the target makes by itself."""
    parameters: Parameters = Field(default_factory=dict)
    """Settings of the engine by its own names."""
    roles: dict[Identifier, Role] = Field(default_factory=dict)
    """Other users of the database, by name."""
    override: Override = Field(default_factory=dict)
    """Native properties, by provider or target."""

    @property
    def port(self) -> int:
        """The port that it answers on."""
        return 5432 if self.engine == "postgres" else 3306

    @property
    def scheme(self) -> str:
        """How a URL that leads to it begins."""
        return "postgresql" if self.engine == "postgres" else "mysql"


class Cache(Component):
    """A key-value store in memory, which may lose its content at any time."""

    engine: Literal["valkey", "redis"] = "valkey"
    """Which store it is."""
    version: Version = Field(examples=["8.0"])
    """`8.0`, or `7`."""
    memory: Bytes = Field(1024**3, examples=["1GiB"])
    """What it can hold, at least."""
    high_availability: bool = False
    """A second node, which takes over when the first one fails."""
    reachable_from: Groups = Field((), examples=[["servers.app"]])
    """Server groups that may connect; without any, all of the private network may."""
    override: Override = Field(default_factory=dict)
    """Native properties, by provider or target."""

    @property
    def port(self) -> int:
        """The port that it answers on."""
        return 6379
