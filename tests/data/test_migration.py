"""The state machine of a migration, between two clouds in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.providers.memory.objects import MemoryObjects
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.engine.events import Event
from rehost.stacks.errors import Interrupted, OperatorNeeded, Refused, RehostError, Unproven
from rehost.stacks.migrate.journal import progress_of, read
from rehost.stacks.migrate.migration import Migration
from rehost.stacks.migrate.move import Facts, Move
from rehost.stacks.migrate.phases import LIVE, NAMES
from rehost.stacks.migrate.phases import PHASES as ALL
from rehost.stacks.migrate.preview import preview
from rehost.stacks.model import Stack
from rehost.stacks.ports import ObjectMeta
from rehost.stacks.state import Passphrase, file_store

STACK: dict[str, Any] = {
    "stack": "plaza",
    "targets": {"old": {"provider": "memory"}, "new": {"provider": "memory"}},
    "servers": {"app": {"count": 2, "public": True}},
    "volumes": {"data": {"size": "10GiB", "on": "app"}},
    "buckets": {"media": {}, "site": {}},
    "dns": {"plaza.example": [{"name": "@", "to": "servers.app"}, {"name": "www", "cname": "plaza.example"}]},
}
PHASES = tuple(phase for phase in ALL if phase.name not in LIVE)
RESTING = [phase.name for phase in PHASES]
"""What a move goes through where nothing runs."""
META = ObjectMeta({"Content-Type": "text/html"}, {"n": "1"})


class Platform:
    """A stack on an old cloud and its way to a new one."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.clouds = {"old": MemoryCloud(), "new": MemoryCloud()}
        self.stack = Stack.model_validate({**STACK, **changes})
        self.events: list[Event] = []
        self.stop = threading.Event()
        self.at("old").deploy()
        for name in ("media", "site"):
            for n in range(30):
                self.put("old", name, f"{n:02}.html", f"{name} {n}".encode())

    def at(self, target: str) -> Deployment:
        return Deployment(
            self.stack,
            self.stack.targets[target],
            MemoryAdapter(cloud=self.clouds[target]),
            file_store(self.folder, Passphrase("horse")),
            {},
            clock=Clock(pace=200),
            emit=self.events.append,
            stop=self.stop,
        )

    def objects(self, target: str, bucket: str) -> MemoryObjects:
        state = self.at(target).store.read("plaza", target)
        found = next(r for r in state.resources.values() if r.component == f"buckets.{bucket}")
        return MemoryObjects(self.clouds[target].buckets.setdefault(str(found.outputs["name"]), {}))

    def put(self, target: str, bucket: str, key: str, data: bytes) -> None:
        self.objects(target, bucket).put(key, META, len(data), [data])

    def data(self, target: str, bucket: str) -> dict[str, bytes]:
        store = self.objects(target, bucket)
        return {info.key: b"".join(store.open(info.key)[2]) for info in store.list()}

    @property
    def home(self) -> Path:
        return self.folder / "moves"

    def move(self) -> Move:
        return Move(self.at("old"), self.at("new"), self.home, parallel=4)

    def migrate(self, until: str = NAMES[-1], phases: Any = None) -> dict[str, Any]:
        return Migration(self.move(), until, phases).run()

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "migration.json").read_text())
        return found


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def same(platform: Platform) -> bool:
    return all(platform.data("old", name) == platform.data("new", name) for name in ("media", "site"))


def test_everything_is_there_afterwards_and_the_record_says_so(platform: Platform) -> None:
    before = json.dumps(platform.clouds["old"].inventory(), sort_keys=True, default=str)
    told = platform.migrate()
    assert told == platform.record()
    assert same(platform)
    assert [entry["phase"] for entry in told["phases"]] == RESTING
    assert all(entry["outcome"] == "done" for entry in told["phases"])
    assert (told["outcome"], told["objects"], told["format_version"]) == ("done", 60, 1)
    assert told["bytes"] == sum(len(d) for n in ("media", "site") for d in platform.data("old", n).values())
    for bucket in told["buckets"].values():
        assert bucket["source_digest"] == bucket["destination_digest"] != ""
    row = next(row for row in told["addresses"] if row["type"] == "A")
    assert row["before"] != [] != row["after"]
    assert any("delegation" in row["what"] for row in told["remaining"])
    assert any("volumes.data" in row["what"] for row in told["remaining"])
    assert told["began"].endswith("Z")
    assert told["ended"] >= told["began"]
    assert before == json.dumps(platform.clouds["old"].inventory(), sort_keys=True, default=str)
    assert platform.events[-1].as_dict()["event"] == "migrated"


@pytest.mark.parametrize("phase", RESTING)
def test_killed_in_or_after_any_phase_the_same_command_ends_the_same(platform: Platform, phase: str) -> None:
    class Killed(BaseException):
        pass

    class Dies:
        def __init__(self, inner: Any, early: bool) -> None:
            self.name, self.title, self.inner, self.early = inner.name, inner.title, inner, early

        def run(self, move: Move, earlier: Facts | None) -> Facts:
            if self.early:
                raise Killed
            self.inner.run(move, earlier)
            raise Killed

    for early in (True, False):
        with pytest.raises(Killed):
            platform.migrate(phases=[Dies(p, early) if p.name == phase else p for p in PHASES])
    move = progress_of(platform.home / "journal").move
    told = platform.migrate()
    assert (told["outcome"], told["move"], told["run"]) == ("done", move, 3)
    assert same(platform)
    assert platform.at("new").plan().empty
    assert len(platform.clouds["new"].inventory()) == len(platform.clouds["old"].inventory())


def test_a_journal_that_a_crash_tore_is_gone_on_with(platform: Platform) -> None:
    platform.migrate("replicate")
    path = platform.home / "journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b"deadbeef {half a li")
    assert platform.migrate()["outcome"] == "done"
    lines = path.read_bytes().splitlines(keepends=True)
    assert read(path)[1] == path.stat().st_size
    path.write_bytes(b"".join([lines[0], b"x" + lines[1][1:], *lines[2:]]))
    with pytest.raises(RehostError, match="damaged in line 2"):
        platform.migrate()


def test_until_stops_there_and_the_next_run_goes_on_with_the_same_move(platform: Platform) -> None:
    first = platform.migrate("replicate")
    assert (first["outcome"], len(first["phases"])) == ("until", 3)
    assert any("without --until" in row["how"] for row in first["remaining"])
    platform.put("old", "site", "new.html", b"new")
    second = platform.migrate("replicate")
    assert second["move"] == first["move"]
    assert second["buckets"]["site"]["copied"] == 1
    last = platform.migrate()
    assert (last["move"], last["outcome"]) == (first["move"], "done")
    assert last["buckets"]["site"]["read_back"] == 0, "what this move has read back is not read again"
    fresh = platform.migrate()
    assert fresh["move"] != first["move"]
    assert fresh["buckets"]["site"]["read_back"] == 31, "a new move reads everything"


def test_a_changed_object_is_found_and_repaired_by_running_again(platform: Platform) -> None:
    platform.migrate()
    store = platform.objects("new", "site")
    data, fields = store._content["07.html"]
    store._content["07.html"] = (b"sitf 7", fields)
    assert len(data) == 6
    with pytest.raises(Unproven, match="1 object"):
        platform.migrate()
    told = platform.record()
    assert told["outcome"] == "unproven"
    assert told["differences"] == ["site/07.html: the content differs"]
    assert [entry["outcome"] for entry in told["phases"]] == ["done", "done", "done", "unproven"]
    assert platform.migrate()["buckets"]["site"]["copied"] == 1
    assert same(platform)


def test_a_foreign_object_is_refused_until_it_is_gone(platform: Platform) -> None:
    platform.migrate()
    platform.put("new", "media", "stranger", b"?")
    for _ in range(2):
        with pytest.raises(Unproven) as caught:
            platform.migrate()
        assert "media/stranger" in caught.value.why
    platform.objects("new", "media").delete(["stranger"])
    assert platform.migrate()["outcome"] == "done"


def test_secrets_go_along_unchanged(tmp_path: Path) -> None:
    app = {"count": 1, "public": True, "user_data": "token=${secrets.token}"}
    platform = Platform(tmp_path, servers={"app": app}, secrets={"token": {"generate": 16}})
    platform.migrate()
    given = {
        target: next(r["inputs"]["userData"] for r in cloud.inventory() if r["token"].endswith(":Server"))
        for target, cloud in platform.clouds.items()
    }
    assert given["old"] == given["new"] != "token="
    for path in platform.folder.rglob("*"):
        assert not path.is_file() or given["old"].removeprefix("token=") not in path.read_text("latin-1")


def test_two_at_once_are_refused(platform: Platform) -> None:
    seen: list[RehostError] = []

    class Second:
        name, title = "second", ""

        def run(self, move: Move, earlier: Facts | None) -> Facts:
            with pytest.raises(Refused, match="being migrated already") as caught:
                platform.migrate()
            seen.append(caught.value)
            return {}

    platform.migrate("second", [Second()])
    assert "process" in seen[0].summary


def test_what_a_person_has_to_do_ends_the_run_with_its_code_after_everything_else(platform: Platform) -> None:
    adapter = platform.at("new").adapter
    make = platform.clouds["new"].create

    def create(token: str, *rest: Any, **how: Any) -> Any:
        if token.endswith("Bucket"):
            raise OperatorNeeded("there are no keys", why="only the console makes them", fix="make a pair")
        return make(token, *rest, **how)

    platform.clouds["new"].create = create  # type: ignore[method-assign]
    with pytest.raises(OperatorNeeded) as caught:
        platform.migrate()
    assert (caught.value.exit_code, caught.value.fix) == (6, "make a pair")
    told = platform.record()
    assert told["outcome"] == "waiting"
    assert {"what": "there are no keys", "how": "make a pair"} in told["remaining"]
    others = [r for r in platform.clouds["old"].inventory() if not r["token"].endswith("Bucket")]
    assert len(platform.clouds["new"].inventory()) == len(others)
    platform.clouds["new"].create = make  # type: ignore[method-assign]
    assert platform.migrate()["outcome"] == "done"
    assert same(platform)
    assert adapter.name == "memory"


def test_ctrl_c_ends_with_its_code_and_the_same_command_goes_on(platform: Platform) -> None:
    class Pressed:
        name, title = "pressed", ""

        def run(self, move: Move, earlier: Facts | None) -> Facts:
            platform.stop.set()
            return {}

    with pytest.raises(Interrupted) as caught:
        platform.migrate(phases=[*PHASES[:2], Pressed(), *PHASES[2:]])
    assert caught.value.exit_code == 130
    assert platform.record()["outcome"] == "interrupted"
    platform.stop.clear()
    assert platform.migrate()["outcome"] == "done"


@pytest.mark.parametrize("missing", ["bucket", "everything"])
def test_a_source_that_has_lost_its_data_is_refused_before_anything_is_made(
    platform: Platform, missing: str
) -> None:
    if missing == "bucket":
        row = next(r for r in platform.clouds["old"].inventory() if r["token"].endswith("Bucket"))
        platform.clouds["old"].delete(row["token"], row["id"])
        said = "gone"
    else:
        platform.stack = Stack.model_validate({**STACK, "stack": "other"})
        said = "nothing of this stack"
    with pytest.raises(Refused, match=said):
        platform.migrate()
    assert platform.clouds["new"].inventory() == []


def test_a_preview_changes_nothing_and_says_everything(platform: Platform) -> None:
    seen = preview(platform.move())
    assert seen.plan.counts()["create"] == len(platform.clouds["old"].inventory())
    assert seen.buckets["site"] == {"objects": 30, "bytes": sum(map(len, platform.data("old", "site").values()))}
    assert seen.seconds is not None
    row = next(row for row in seen.addresses if row["type"] == "A")
    assert row["after"] == ["known once it is made"]
    assert len(row["before"]) == 2
    assert any("delegation" in row["what"] for row in seen.manual)
    assert seen.risks
    assert platform.clouds["new"].inventory() == []
    assert not platform.home.exists()
    json.dumps(seen.as_dict())


@pytest.fixture
def web() -> Iterator[Callable[[int, str], int]]:
    servers: list[ThreadingHTTPServer] = []

    def serve(status: int, text: str) -> int:
        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"{self.headers['Host']} {self.path} {text}".encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *rest: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def checked(tmp_path: Path, port: int, **check: Any) -> Platform:
    """A platform whose name leads to loopback on the new side, and nowhere in public."""
    records = [{"name": "@", "a": ["127.0.0.1"]}, {"name": "www", "cname": "plaza.example"}]
    url = f"http://www.plaza.example:{port}/healthz"
    return Platform(tmp_path, dns={"plaza.example": records}, checks=[{"http": url, **check}])


def test_checks_ask_the_new_side_by_its_address_under_the_public_name(
    tmp_path: Path, web: Callable[[int, str], int]
) -> None:
    port = web(200, "all well")
    told = checked(tmp_path, port, contains=f"www.plaza.example:{port} /healthz all well").migrate()
    assert told["checks"] == [
        {
            "check": f"http://www.plaza.example:{port}/healthz",
            "http": f"http://www.plaza.example:{port}/healthz",
            "at": "127.0.0.1",
            "ok": True,
            "said": "status 200",
        }
    ]


@pytest.mark.parametrize(
    ("status", "text", "said"), [(503, "", "status 503 instead of 200"), (200, "other", "not the text 'well'")]
)
def test_a_check_that_fails_leaves_the_move_unproven(
    tmp_path: Path, web: Callable[[int, str], int], status: int, text: str, said: str
) -> None:
    platform = checked(tmp_path, web(status, text), contains="well")
    with pytest.raises(Unproven) as caught:
        platform.migrate()
    assert caught.value.exit_code == 5
    assert said in caught.value.why
    assert platform.record()["outcome"] == "unproven"
    with pytest.raises(Unproven):
        platform.migrate()
    again = platform.record()
    assert (again["run"], again["buckets"]["site"]["read_back"]) == (2, 0), "the data is proven already"


def test_a_side_that_does_not_answer_is_said_to(tmp_path: Path, web: Callable[[int, str], int]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unproven) as caught:
        checked(tmp_path, port).migrate()
    assert "no answer" in caught.value.why
