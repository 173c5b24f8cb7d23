from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from databases import Pair, started
from movers import Bench

from rehost.providers.sandbox.postgres import PostgresServer


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two empty stores and a folder for evidence."""
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def two_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """PostgreSQL 16 and 18, for all tests of a process."""
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as leaving:
        servers = []
        for version in (16, 18):
            server = started(folder / str(version), version)
            leaving.callback(server.drop)
            servers.append(server)
        yield servers[0], servers[1]


@pytest.fixture
def pair(two_servers: tuple[PostgresServer, PostgresServer], tmp_path: Path) -> Iterator[Pair]:
    """A fresh database at each of them."""
    made = Pair(*two_servers, f"d{uuid.uuid4().hex[:8]}", tmp_path)
    made.make()
    with ExitStack() as leaving:
        leaving.callback(made.drop)
        yield made
