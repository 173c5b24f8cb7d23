"""What stands for the entry point of the image `postgres`: real PostgreSQL from the wheel, with the same variables
and arguments. Run as a program.

PostgreSQL itself listens at a port that nobody is told. In front of it stands who finds out which server of the
sandbox a client runs on, and comes from that one's address, so that pg_hba.conf means what it means elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

SHARED_BUFFERS = "32MB"
"""In place of what a server of the asked-for size would have."""


def hidden(port: int) -> int:
    """Where PostgreSQL itself listens, given the port that it is known by."""
    return port + 20000 if port < 40000 else port - 20000


def settings(arguments: Sequence[str]) -> dict[str, str]:
    """The `-c name=value` of a command line."""
    pairs = [word.partition("=") for before, word in itertools.pairwise(arguments) if before in ("-c", "--set")]
    return {name: value for name, _, value in pairs}


def prepare(arguments: Sequence[str]) -> object:
    """A server as variables and arguments ask for, running, with its user and database."""
    from rehost.providers.sandbox.postgres import HBA, PostgresServer

    asked = settings(arguments)
    hba = asked.pop("hba_file", "")
    user = os.environ.get("POSTGRES_USER", "postgres")
    database, password = os.environ.get("POSTGRES_DB", user), os.environ["POSTGRES_PASSWORD"]
    port = int(os.environ["PORT"])
    server = PostgresServer(
        Path(os.environ["PGDATA"]),
        int(os.environ["REHOST_POSTGRES"]),
        address=os.environ["HOST"],
        port=hidden(port),
    )
    server.create(password, superuser=user)
    # Once the database is there, a first start is over.
    begun = server.folder / "begun"
    if not begun.exists():
        server.configure({}, HBA)
        server.start()
        _make(server.url(user, password), database)
        begun.touch()
        server.stop()
    rules = Path(hba).read_text() if hba else HBA
    server.configure({**asked, "shared_buffers": SHARED_BUFFERS}, rules)
    server.start()
    return server


def _make(url: str, database: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(url, autocommit=True) as connection:
        there = connection.execute("select 1 from pg_database where datname = %s", (database,)).fetchone()
        if there is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))


async def serve(arguments: Sequence[str]) -> None:
    """Until SIGTERM, or until PostgreSQL ends."""
    from rehost.providers.sandbox.machines.doors import Doors
    from rehost.providers.sandbox.machines.gate import Gate
    from rehost.providers.sandbox.postgres import PostgresServer

    server = prepare(arguments)
    assert isinstance(server, PostgresServer)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    machines = Path(os.environ["REHOST_MACHINES"])
    gate = Gate(machines, (server.address, server.port), None)
    doors = Doors()
    await doors.open(server.address, int(os.environ["PORT"]), gate)
    end = asyncio.ensure_future(ended.wait())
    while not end.done() and server.running:
        await asyncio.wait([end], timeout=0.5)
    doors.close()
    server.stop()


def main(arguments: Sequence[str]) -> None:
    """As the image's own entry point: `postgres` is set up and run, anything else is run as it is."""
    if list(arguments[:1]) != ["postgres"]:
        os.execvp(arguments[0], list(arguments))
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[4])
    main(sys.argv[1:])
