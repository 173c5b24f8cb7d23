"""Accounts, posts and pictures in PostgreSQL."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from plaza.config import Config

WAIT_S = 3.0
"""So long a request waits for a connection before it is told to come again."""
SCHEMA_LOCK, WORKER_LOCK = 7_001, 7_002
PAGE = 30

Connection = psycopg.Connection[DictRow]
Answer = tuple[int, dict[str, Any]]

_POST = """select posts.id, posts.body, posts.version, posts.created, posts.edited, accounts.name as account,
                  pictures.key, pictures.url, pictures.sha256
           from posts join accounts on accounts.id = posts.account
           left join pictures on pictures.id = posts.picture"""


class Unavailable(Exception):
    """The database takes no connection, or no writes, at the moment. Nothing was done, unless `unknown`."""

    def __init__(self, why: str, *, unknown: bool = False) -> None:
        super().__init__(why)
        self.unknown = unknown


def connect(config: Config) -> Connection:
    """A connection for one of the platform's programs."""
    return psycopg.connect(config.database_url, row_factory=dict_row, autocommit=True, connect_timeout=5)


def await_tables(config: Config, seconds: float = 60.0) -> None:
    """Make the tables where they are missing, as soon as the database answers. Raises what it said at last."""
    ends = time.monotonic() + seconds
    while True:
        try:
            return prepare(config)
        except psycopg.OperationalError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)


def prepare(config: Config) -> None:
    """Make the tables where they are missing; programs that start at once wait for each other."""
    with connect(config) as connection, connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        found = connection.execute("select to_regclass('digests') as last").fetchone()
        if found is not None and found["last"] is None:
            connection.execute(files("plaza").joinpath("schema.sql").read_bytes())


class Store:
    """What the web program does with the database. Methods raise Unavailable."""

    def __init__(self, config: Config) -> None:
        self._media = config.media_url
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            config.database_url,
            min_size=1,
            max_size=8,
            timeout=WAIT_S,
            max_lifetime=600,
            reconnect_timeout=1,
            kwargs={"row_factory": dict_row, "autocommit": True, "connect_timeout": 3},
            check=ConnectionPool.check_connection,
            open=True,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()

    def ready(self) -> None:
        """Ask the database for a sign of life."""
        with self._connection() as connection:
            connection.execute("select 1")

    def once(self, key: str, work: Callable[[Connection], Answer]) -> Answer:
        """Do the work in one transaction with the record of its answer; a key that was seen gets the answer that
        was given."""
        with self._connection() as connection, connection.transaction():
            if key:
                taken = connection.execute(
                    "insert into answers (key, status, body) values (%s, 0, '{}') on conflict do nothing", (key,)
                )
                if taken.rowcount == 0:
                    row = connection.execute("select status, body from answers where key = %s", (key,)).fetchone()
                    assert row is not None
                    return row["status"], row["body"]
            status, body = work(connection)
            if key:
                connection.execute(
                    "update answers set status = %s, body = %s where key = %s", (status, json.dumps(body), key)
                )
            return status, body

    def post(self, id_: int) -> dict[str, Any] | None:
        """One post."""
        with self._connection() as connection:
            row = connection.execute(f"{_POST} where posts.id = %s", (id_,)).fetchone()
            return None if row is None else self._shown(row)

    def picture(self, id_: int) -> tuple[str, str] | None:
        """Key and type of a picture."""
        with self._connection() as connection:
            row = connection.execute("select key, type from pictures where id = %s", (id_,)).fetchone()
            return None if row is None else (row["key"], row["type"])

    def timeline(self, before: int | None = None) -> list[dict[str, Any]]:
        """The newest posts, or those before one of them."""
        with self._connection() as connection:
            where = "where posts.id < %s" if before is not None else ""
            found = connection.execute(
                f"{_POST} {where} order by posts.id desc limit {PAGE}", (before,) if before is not None else ()
            )
            return [self._shown(row) for row in found]

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        began = False
        try:
            with self._pool.connection() as connection:
                began = True
                yield connection
        except PoolTimeout as error:
            raise Unavailable("the database takes no connections") from error
        except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege) as error:
            raise Unavailable("the platform is read-only for a moment") from error
        except psycopg.OperationalError as error:
            raise Unavailable("the connection to the database was lost", unknown=began) from error

    def _shown(self, row: DictRow) -> dict[str, Any]:
        made = {key: row[key] for key in ("id", "account", "body", "version")}
        made["created"] = row["created"].isoformat()
        made["edited"] = row["edited"].isoformat() if row["edited"] else None
        if row["key"]:
            url = row["url"] or f"{self._media}/{row['key']}"
            made["picture"] = {"url": url, "sha256": row["sha256"]}
        return made


def account_of(connection: Connection, name: str) -> int:
    """The id of an account, made where there is none."""
    connection.execute("insert into accounts (name) values (%s) on conflict do nothing", (name,))
    row = connection.execute("select id from accounts where name = %s", (name,)).fetchone()
    assert row is not None
    return int(row["id"])


def create(connection: Connection, account: str, body: str, picture: int | None) -> Answer:
    """Make a post."""
    owner = account_of(connection, account)
    if (
        picture is not None
        and not connection.execute("select 1 from pictures where id = %s", (picture,)).fetchone()
    ):
        return 422, {"error": "there is no such picture"}
    row = connection.execute(
        "insert into posts (account, body, picture) values (%s, %s, %s) returning id, version",
        (owner, body, picture),
    ).fetchone()
    assert row is not None
    return 201, {"id": row["id"], "version": row["version"]}


def edit(connection: Connection, id_: int, body: str) -> Answer:
    """Change the text of a post."""
    row = connection.execute(
        "update posts set body = %s, edited = now(), version = version + 1 where id = %s returning id, version",
        (body, id_),
    ).fetchone()
    return (
        (200, {"id": row["id"], "version": row["version"]}) if row else (404, {"error": "there is no such post"})
    )


def delete(connection: Connection, id_: int) -> Answer:
    """Remove a post for good; one that is gone already is no error."""
    connection.execute("delete from posts where id = %s", (id_,))
    return 200, {"id": id_}


def add_picture(connection: Connection, account: str, key: str, type_: str, size: int, sha256: str) -> int:
    """Record a picture whose bytes are in the bucket."""
    owner = account_of(connection, account)
    row = connection.execute(
        "insert into pictures (account, key, type, bytes, sha256) values (%s, %s, %s, %s, %s) returning id",
        (owner, key, type_, size, sha256),
    ).fetchone()
    assert row is not None
    return int(row["id"])
