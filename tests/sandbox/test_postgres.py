"""PostgreSQL servers from the wheel: made, set up, ended, found again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from rehost.providers.sandbox.postgres import VERSIONS, PostgresServer, environment, program
from rehost.stacks.errors import RehostError


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PostgresServer]:
    made = PostgresServer(tmp_path / "it's here", request.param, address="127.83.0.7", port=_port())
    with ExitStack() as leaving:
        leaving.callback(made.drop)
        yield made


def _ask(server: PostgresServer, query: str, password: str = "so'me \\ secret") -> str:
    with psycopg.connect(server.url("admin", password), connect_timeout=5) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def test_a_life(server: PostgresServer, tmp_path: Path) -> None:
    server.create("so'me \\ secret", superuser="admin", settings={"work_mem": "7MB"})
    server.start()
    server.start()
    assert _ask(server, "show server_version").startswith(f"{server.version}.")
    assert (_ask(server, "show work_mem"), _ask(server, "show server_encoding")) == ("7MB", "UTF8")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _ask(server, "select 1", "a guess")
    with psycopg.connect(server.url("admin", "so'me \\ secret")) as connection:
        connection.execute("create table kept as select 42 as n")

    server.configure({"work_mem": "9MB", "wal_level": "logical", "cluster_name": "it's"})
    server.reload()
    until = time.monotonic() + 10
    while _ask(server, "show work_mem") != "9MB" and time.monotonic() < until:
        pass
    assert (_ask(server, "show work_mem"), _ask(server, "show wal_level")) == ("9MB", "replica")
    server.restart()
    assert (_ask(server, "show wal_level"), _ask(server, "show cluster_name")) == ("logical", "it's")

    # Another object, as in another process, finds it, and may end it.
    other = PostgresServer(server.folder, server.version, address=server.address, port=server.port)
    assert other.running and other.exists
    other.create("not this one")
    other.stop()
    assert not server.running
    server.start()
    assert _ask(server, "select n from kept") == "42"

    os.kill(server.pid or 0, signal.SIGKILL)
    server.stop("immediate")
    server.start()
    assert _ask(server, "select n from kept") == "42"
    dump = subprocess.run(
        [program(server.version, "pg_dump"), server.url("admin", "so'me \\ secret")],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "COPY public.kept" in dump.stdout
    server.drop()
    assert not server.folder.exists()


def test_it_ends_with_who_started_it(tmp_path: Path) -> None:
    program_text = (
        "import sys, time\nfrom pathlib import Path\n"
        "from rehost.providers.sandbox.postgres import PostgresServer\n"
        "server = PostgresServer(Path(sys.argv[1]), 18, port=int(sys.argv[2]))\n"
        "server.create('x')\nserver.start()\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    port = _port()
    with subprocess.Popen(
        [sys.executable, "-c", program_text, str(tmp_path), str(port)], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "up\n"
        server = PostgresServer(tmp_path, 18, port=port)
        assert server.running
        starter.kill()
    until = time.monotonic() + 20
    while server.running and time.monotonic() < until:
        os.sched_yield()
    assert not server.running


def test_failures_say_what_postgresql_said(tmp_path: Path) -> None:
    with pytest.raises(RehostError, match="no PostgreSQL 9 is here"):
        PostgresServer(tmp_path, 9, port=1).create("x")
    server = PostgresServer(tmp_path, 18, port=_port())
    server.create("x", settings={"no_such_setting": 1})
    with pytest.raises(RehostError) as caught:
        server.start()
    assert "no_such_setting" in (caught.value.why or "")
    server.configure({})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        with pytest.raises(RehostError) as caught:
            server.start()
    assert "Address already in use" in (caught.value.why or "")
    server.drop()
