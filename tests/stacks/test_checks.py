"""Checks of a stack: what is asked of a deployment, and which answers hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.stacks.checks import judged
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.engine.events import Checked, Ended, Event
from rehost.stacks.errors import Refused
from rehost.stacks.model import Stack
from rehost.stacks.state import Passphrase, file_store


@pytest.mark.parametrize(
    ("rows", "expect", "holds"),
    [
        ([(3,)], None, True),
        ([], None, True),
        ([(3,)], 3, True),
        ([(Decimal("3.0"),)], 3, True),
        ([(3,)], "3", False),
        ([("3",)], "3", True),
        ([(True,)], True, True),
        ([(1,)], True, False),
        ([(4,)], 3, False),
        ([], 3, False),
        ([(3,), (3,)], 3, False),
        ([(1, "a"), (2, "b")], [1, 2], True),
        ([(1, "a"), (2, "b")], [[1, "a"], [2, "b"]], True),
        ([(1, "a")], [[1, "b"]], False),
        ([], [], True),
        ([(1,)], [], False),
    ],
)
def test_an_answer_holds_where_it_says_what_is_expected(rows: Any, expect: Any, holds: bool) -> None:
    assert judged(rows, expect)[0] is holds


class World:
    def __init__(self, folder: Path) -> None:
        self.cloud, self.folder = MemoryCloud(), folder
        self.events: list[Event] = []

    def deployment(self, *checks: dict[str, Any]) -> Deployment:
        stack = Stack.model_validate(
            {
                "stack": "plaza",
                "targets": {"here": {"provider": "memory"}},
                "network": {},
                "servers": {"app": {}},
                "databases": {"main": {"version": "16"}},
                "checks": checks,
            }
        )
        store = file_store(self.folder, Passphrase("horse"))
        where, adapter = stack.targets["here"], MemoryAdapter(cloud=self.cloud)
        return Deployment(stack, where, adapter, store, {}, clock=Clock(pace=200), emit=self.events.append)

    def deploy(self, *checks: dict[str, Any], addresses: dict[str, str] | None = None) -> int:
        made = self.deployment(*checks)
        _, outcome = made.deploy(prove=lambda: made.checks(addresses or {}))
        return outcome.exit_code

    @property
    def told(self) -> list[tuple[str, bool, str]]:
        return [(e.check, e.ok, e.said) for e in self.events if isinstance(e, Checked)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def served() -> Iterator[int]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{self.headers['Host']} {self.path}".encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_database_is_asked_once_all_is_made(world: World) -> None:
    assert world.deploy({"sql": "main", "query": "select 1 + 1", "expect": 2}) == 0
    assert world.told == [("main: select 1 + 1", True, "2")]
    assert isinstance(world.events[-1], Ended) and world.events[-1].details == {"checks": 1, "unproven": 0}


def test_what_does_not_hold_leaves_with_5_and_everything_is_asked(world: World) -> None:
    checks = [{"sql": "main", "query": "select 1", "expect": 2}, {"sql": "main", "query": "select 2"}]
    assert world.deploy(*checks) == 5
    assert [ok for _, ok, _ in world.told] == [False, True]
    assert world.told[0][2] == "1 instead of 2"
    assert world.events[-1].outcome == "unproven"  # type: ignore[attr-defined]
    assert world.deploy(*checks) == 5, "nothing was to be done, and it still does not hold"


def test_a_query_may_change_nothing_and_one_that_fails_says_why(world: World) -> None:
    checks = [{"sql": "main", "query": "create table t (a)"}, {"sql": "main", "query": "select from"}]
    assert world.deploy(*checks) == 5
    assert all(not ok and said.startswith("no answer: the query fails") for _, ok, said in world.told)


def test_an_address_may_refer_to_what_was_deployed(world: World, served: int) -> None:
    check = {"http": f"http://${{servers.app.private_ip}}:{served}/healthz", "contains": f":{served} /healthz"}
    addresses = {f"10.0.0.{number}": "127.0.0.1" for number in range(20)}
    assert world.deploy(check, addresses=addresses) == 0, world.told
    assert world.told[0][0].startswith("http://10.0.0.")


def test_before_a_deploy_there_is_nothing_to_ask(world: World) -> None:
    with pytest.raises(Refused, match="not there yet"):
        list(world.deployment({"sql": "main", "query": "select 1"}).checks({}))
