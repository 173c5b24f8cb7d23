"""One real server of each version for all tests of a process; the database on it is made anew for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlbench import Bench, MemoryBench, PostgresBench, postgres

from rehost.providers.sandbox.postgres import VERSIONS, PostgresServer

Servers = Callable[[int], PostgresServer]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made: dict[int, PostgresServer] = {}
    with ExitStack() as leaving:

        def server(version: int) -> PostgresServer:
            if version not in made:
                folder = tmp_path_factory.mktemp("postgres") / "server"
                made[version] = leaving.enter_context(postgres(folder, version))
            return made[version]

        yield server


@pytest.fixture(params=VERSIONS)
def real(request: pytest.FixtureRequest, servers: Servers) -> Iterator[PostgresBench]:
    bench = PostgresBench(servers(request.param))
    yield bench
    bench.clear()


@pytest.fixture(params=["memory", *VERSIONS])
def bench(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Bench]:
    if request.param == "memory":
        yield MemoryBench()
        return
    made = PostgresBench(servers(request.param))
    yield made
    made.clear()
