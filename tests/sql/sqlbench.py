"""Database servers behind the SQL port, each with a way to act as others than rehost do."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psycopg

from rehost.providers.sandbox.postgres import PostgresServer
from rehost.stacks.sql.grants import Grant, Thing
from rehost.stacks.sql.memory import MemorySql
from rehost.stacks.sql.port import OpenSql, Place, RoleSpec
from rehost.stacks.sql.postgres import open_postgres

OWNER_PASSWORD = "owner's pass"


class Bench(Protocol):
    """What tests do to a server besides what the port offers."""

    place: Place
    open: OpenSql

    def table(self, name: str, owner: str = "shop") -> None:
        """Make `schema.table` as its owner would."""

    def may(self, spec: RoleSpec, verb: str, table: str) -> bool:
        """Whether a role may select from a table, insert into it, or alter it."""

    def lets_in(self, spec: RoleSpec) -> bool:
        """Whether the password of a role lets it in."""

    def seize(self, name: str) -> None:
        """Give a role what nobody asked for: the right to delete from public.posts."""

    def owner_of(self, table: str) -> str:
        """Whose `schema.table` is."""


class MemoryBench:
    """The server in memory."""

    def __init__(self) -> None:
        self.server = MemorySql(database="shop", admin="shop")
        self.place = Place("databases.main", "db-1", "10.0.0.9", 5432, "shop", "shop", OWNER_PASSWORD)
        self.open: OpenSql = self.server.open

    def table(self, name: str, owner: str = "shop") -> None:
        schema, _, table = name.partition(".")
        self.server.things.append(Thing("table", schema, table, owner))
        for role, rights in self.server.rights.items():
            given = [g for g in rights if (g.kind, g.schema, g.name) == ("default table", schema, owner)]
            self.server.rights[role] = rights | {Grant("table", g.right, schema, table) for g in given}

    def may(self, spec: RoleSpec, verb: str, table: str) -> bool:
        schema, _, name = table.partition(".")
        owns = self.owner_of(table) == spec.name
        given = Grant("table", verb.upper(), schema, name) in self.server.rights[spec.name]
        return owns or (given and verb != "alter")

    def lets_in(self, spec: RoleSpec) -> bool:
        kept = self.server.roles.get(spec.name)
        return kept is not None and kept.login and kept.password == spec.password

    def seize(self, name: str) -> None:
        self.server.rights[name].add(Grant("table", "DELETE", "public", "posts"))

    def owner_of(self, table: str) -> str:
        return next(t.owner for t in self.server.things if f"{t.schema}.{t.name}" == table)


class PostgresBench:
    """A real server, whose database belongs to somebody who is no superuser."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._ask(
            "postgres",
            "admin",
            f"create role shop login createrole password '{OWNER_PASSWORD.replace(chr(39), chr(39) * 2)}'",
            "create database shop owner shop",
        )
        self.place = Place("databases.main", "db-1", server.address, server.port, "shop", "shop", OWNER_PASSWORD)

    @contextlib.contextmanager
    def open(self, place: Place) -> Iterator[Any]:
        with open_postgres(place, place.address, place.port) as session:
            yield session

    def _ask(self, database: str, user: str, *queries: str) -> list[Any]:
        password = {"admin": "admin", "shop": OWNER_PASSWORD}[user]
        with psycopg.connect(self.server.url(user, password, database), autocommit=True) as connection:
            for query in queries:
                answer = connection.execute(query.encode())
            return answer.fetchall() if answer.description else []

    def clear(self) -> None:
        """Remove the database and all roles."""
        self._ask("postgres", "admin", "drop database shop with (force)")
        roles = "select format('drop role %I', rolname) from pg_roles where rolname !~ '^(pg_|admin$)'"
        for (query,) in self._ask("postgres", "admin", roles):
            self._ask("postgres", "admin", query)

    def log(self) -> str:
        return self.server.log.read_text()

    def table(self, name: str, owner: str = "shop") -> None:
        self._ask("shop", "admin", f"set role {owner}", f"create table {name} (id serial primary key)")

    def may(self, spec: RoleSpec, verb: str, table: str) -> bool:
        said = {
            "select": f"select count(*) from {table}",
            "insert": f"insert into {table} default values",
            "delete": f"delete from {table}",
            "alter": f"alter table {table} add column if not exists more text",
        }[verb]
        try:
            with self.enter(spec) as connection:
                connection.execute(said.encode())
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True

    def enter(self, spec: RoleSpec) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.url(spec.name, spec.password, "shop"), connect_timeout=5)

    def lets_in(self, spec: RoleSpec) -> bool:
        try:
            self.enter(spec).close()
        except psycopg.OperationalError:
            return False
        return True

    def seize(self, name: str) -> None:
        self._ask("shop", "admin", f"grant delete on public.posts to {name}")

    def owner_of(self, table: str) -> str:
        query = f"select pg_get_userbyid(relowner) from pg_class where oid = '{table}'::regclass"
        return str(self._ask("shop", "admin", query)[0][0])

    def run(self, query: str) -> list[Any]:
        """As the superuser, in the database."""
        return self._ask("shop", "admin", query)


@contextlib.contextmanager
def postgres(folder: Path, version: int) -> Iterator[PostgresServer]:
    """A server that is gone afterwards; it logs every statement."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = PostgresServer(folder, version, port=port)
    server.create("admin", superuser="admin", settings={"log_statement": "all", "log_min_messages": "info"})
    server.start()
    try:
        yield server
    finally:
        server.drop()
