"""Moves of platforms that run: never at both sides, and back until it is committed. Two clouds in memory."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.providers.memory.objects import MemoryObjects
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import OperatorNeeded, Refused, Unproven
from rehost.stacks.hosts.port import Active, Host
from rehost.stacks.migrate.addresses import addresses_of
from rehost.stacks.migrate.back import commit, committed, rollback
from rehost.stacks.migrate.contents.buckets import Buckets
from rehost.stacks.migrate.migration import Migration
from rehost.stacks.migrate.move import Facts, Move
from rehost.stacks.migrate.phases import NAMES, PHASES
from rehost.stacks.migrate.preview import preview
from rehost.stacks.model import Stack
from rehost.stacks.ports import ObjectMeta
from rehost.stacks.state import Passphrase, file_store

STACK: dict[str, Any] = {
    "stack": "plaza",
    "targets": {"old": {"provider": "memory"}, "new": {"provider": "memory"}},
    "servers": {"app": {"count": 2, "public": True}},
    "services": {
        "web": {"image": "plaza:1", "on": "app", "ports": [8080]},
        "worker": {"image": "plaza:1", "on": "app", "command": "work", "singleton": True},
        "nightly": {"image": "plaza:1", "on": "app", "command": "clean", "schedule": "30 3 * * *"},
    },
    "buckets": {"media": {}},
    "dns": {
        "plaza.example": [
            {"name": "@", "to": "servers.app"},
            {"name": "www", "cname": "plaza.example"},
            {"name": "api", "to": "servers.app"},
        ]
    },
}


class Platform:
    """A running stack on an old cloud, and its way to a new one."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.clouds = {"old": MemoryCloud(), "new": MemoryCloud()}
        self.stack = Stack.model_validate({**STACK, **changes})
        self.at("old").deploy()
        self.put("old", "a")
        self.both: set[str] = set()
        # Another cloud gives other addresses.
        self.clouds["new"]._ids = itertools.count(500)

    def at(self, target: str) -> Deployment:
        store = file_store(self.folder, Passphrase("horse"))
        adapter = MemoryAdapter(cloud=self.clouds[target])
        given = {"CHAIN": "a chain", "KEY": "a key"}
        return Deployment(self.stack, self.stack.targets[target], adapter, store, given, clock=Clock(pace=200))

    def put(self, target: str, key: str) -> None:
        self.bucket(target).put(key, ObjectMeta(), len(key), [key.encode()])

    def keys(self, target: str) -> set[str]:
        return {info.key for info in self.bucket(target).list()}

    def bucket(self, target: str) -> MemoryObjects:
        state = self.at(target).store.read("plaza", target)
        name = next(r.outputs["name"] for r in state.resources.values() if r.component == "buckets.media")
        return MemoryObjects(self.clouds[target].buckets.setdefault(str(name), {}))

    def move(self, go: bool = True) -> Move:
        made = Move(self.at("old"), self.at("new"), self.folder / "moves", parallel=4, go=lambda told: go)
        made.source.emit = made.target.emit = lambda event: self.look()
        return made

    def migrate(self, until: str = NAMES[-1], *, go: bool = True, phases: Any = None) -> dict[str, Any]:
        return Migration(self.move(go), until, phases).run()

    def running(self, target: str, *, forwarders: bool = False) -> list[str]:
        """Units that run, or would at their time, by service and server; or those that pass visitors on."""
        found = []
        for record in self.clouds[target].inventory():
            if record["token"].endswith(":Server"):
                host: Host = self.clouds[target].host(record["id"], {})
                for name, status in host.units().items():
                    passing_on = name.endswith("-forward")
                    if not status.held and status.active is Active.RUNNING and passing_on is forwarders:
                        found.append(f"{name}@{record['inputs']['name']}")
        return sorted(found)

    def look(self) -> None:
        """Note what runs at both sides at once; looked at with every event."""
        self.both |= {*self.running("old")} & {*self.running("new")}


UNITS = ["nightly@plaza-app-1", "web@plaza-app-1", "web@plaza-app-2", "worker@plaza-app-1"]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    made = Platform(tmp_path)
    assert made.running("old") == UNITS
    return made


def addresses(platform: Platform, target: str, name: str = "plaza.example") -> tuple[str, ...]:
    return addresses_of(platform.at(target))[name, "A"].values


def test_nothing_stops_without_a_go_and_nothing_runs_at_both_sides(platform: Platform) -> None:
    with pytest.raises(OperatorNeeded) as caught:
        platform.migrate(go=False)
    assert "--yes" in caught.value.fix
    assert (platform.running("old"), platform.running("new")) == (UNITS, [])
    assert platform.keys("new") == {"a"}
    platform.put("old", "b")
    told = platform.migrate()
    assert (told["outcome"], [entry["phase"] for entry in told["phases"]]) == ("done", list(NAMES))
    assert (platform.running("old"), platform.running("new")) == ([], UNITS)
    assert platform.keys("new") == {"a", "b"}
    assert platform.both == set()


def test_the_old_zone_sends_everybody_to_the_new_side(platform: Platform) -> None:
    for name in ("plaza.example", "api.plaza.example"):
        assert addresses(platform, "old", name) == addresses(platform, "old")
    before = addresses(platform, "old")
    platform.migrate()
    for name in ("plaza.example", "api.plaza.example"):
        assert before != addresses(platform, "old", name) == addresses(platform, "new", name)


def test_a_buckets_public_name_is_answered_at_both_sides_and_turned(tmp_path: Path) -> None:
    own = {
        "domains": ["*.plaza.example"],
        "issuer": "upload",
        "certificate": "${secrets.chain}",
        "private_key": "${secrets.key}",
    }
    platform = Platform(
        tmp_path,
        buckets={"media": {"public_read": True, "public_name": "media.plaza.example"}},
        certificates={"own": own},
        secrets={"chain": {"from_env": "CHAIN"}, "key": {"from_env": "KEY"}},
    )
    name, proxy = "media.plaza.example", "bucket-media@plaza-bucket-media-1"
    before = addresses(platform, "old", name)
    platform.migrate("freeze")
    assert [proxy] == platform.running("old") == platform.running("new")
    assert addresses(platform, "old", name) == before
    platform.migrate()
    assert platform.both == {proxy}
    assert before != addresses(platform, "old", name) == addresses(platform, "new", name)
    rollback(platform.move(), lose_writes=True)
    assert addresses(platform, "old", name) == before


def test_whoever_still_comes_to_the_old_side_is_passed_on(platform: Platform) -> None:
    assert platform.running("old", forwarders=True) == []
    platform.migrate("freeze")
    passing = platform.running("old", forwarders=True)
    assert passing == ["web-forward@plaza-app-1", "web-forward@plaza-app-2"]
    platform.migrate()
    assert (platform.running("old", forwarders=True), platform.running("new", forwarders=True)) == (passing, [])
    state = platform.at("old").store.read("plaza", "old")
    told = next(r.inputs for r in state.resources.values() if r.component == "services.web-forward-1")
    assert addresses(platform, "new")[0] in str(told["environment"])
    rollback(platform.move(), lose_writes=True)
    assert (platform.running("old", forwarders=True), platform.running("new", forwarders=True)) == ([], passing)
    platform.migrate()
    assert (platform.running("old", forwarders=True), platform.running("new", forwarders=True)) == (passing, [])


def test_a_preview_leaves_nothing_open(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, closed = [], []
    for name, told in (("look", opened), ("close", closed)):
        before = getattr(Buckets, name)
        monkeypatch.setattr(
            Buckets,
            name,
            lambda self, *rest, _before=before, _told=told: (_told.append(self), _before(self, *rest))[1],
        )
    preview(platform.move())
    assert opened
    assert closed == opened


def test_an_ordinary_deploy_in_the_middle_of_a_move_starts_nothing(platform: Platform) -> None:
    platform.migrate("delta")
    for target in ("old", "new"):
        assert platform.at(target).plan().empty
        platform.at(target).deploy()
        assert platform.running(target) == []


def test_run_again_after_its_end_it_changes_nothing(platform: Platform) -> None:
    platform.migrate()
    platform.put("new", "c")
    for _ in range(2):
        assert platform.migrate()["outcome"] == "done"
        assert (platform.running("old"), platform.running("new")) == ([], UNITS)
    assert platform.keys("new") == {"a", "c"}
    assert platform.at("new").plan().empty


@pytest.mark.parametrize("phase", NAMES)
def test_killed_in_or_after_any_phase_the_same_command_ends_the_same(platform: Platform, phase: str) -> None:
    class Killed(BaseException):
        pass

    class Dies:
        def __init__(self, inner: Any, early: bool) -> None:
            self.name, self.title, self.inner, self.early = inner.name, inner.title, inner, early

        def run(self, move: Move, earlier: Facts | None) -> Facts:
            if not self.early:
                self.inner.run(move, earlier)
            raise Killed

    for early in (True, False):
        with pytest.raises(Killed):
            platform.migrate(phases=[Dies(p, early) if p.name == phase else p for p in PHASES])
    assert platform.migrate()["outcome"] == "done"
    assert (platform.running("old"), platform.running("new")) == ([], UNITS)
    assert platform.both == set()


@pytest.mark.parametrize("until", ["freeze", "delta"])
def test_before_the_cutover_a_rollback_lets_everything_go_on_as_before(platform: Platform, until: str) -> None:
    platform.migrate(until)
    assert platform.running("old") == []
    before = addresses(platform, "old")
    rollback(platform.move())
    assert (platform.running("old"), platform.running("new")) == (UNITS, [])
    assert addresses(platform, "old") == before
    assert platform.at("old").plan().empty
    with pytest.raises(Refused, match="nothing to take back"):
        rollback(platform.move())
    assert platform.migrate()["outcome"] == "done"
    assert (platform.running("old"), platform.running("new")) == ([], UNITS)
    assert platform.both == set()


def test_after_the_cutover_a_rollback_says_what_would_be_lost(platform: Platform) -> None:
    before = addresses(platform, "old")
    platform.migrate()
    with pytest.raises(Refused, match="accepts writes since"):
        rollback(platform.move())
    assert platform.running("new") == UNITS
    rollback(platform.move(), lose_writes=True)
    assert (platform.running("old"), platform.running("new")) == (UNITS, [])
    assert addresses(platform, "old") == before
    assert platform.both == set()


def test_what_is_committed_stays_and_only_then_the_source_may_go(platform: Platform) -> None:
    with pytest.raises(Refused, match="nothing to take back"):
        rollback(platform.move())
    platform.migrate("delta")
    for refused in (commit, committed):
        with pytest.raises(Refused):
            refused(platform.move())
    platform.migrate()
    commit(platform.move())
    commit(platform.move())
    assert json.loads((platform.folder / "moves" / "migration.json").read_text())["outcome"] == "committed"
    assert "committed" in committed(platform.move()).marks
    with pytest.raises(Refused, match="is committed"):
        rollback(platform.move(), lose_writes=True)


def test_somebody_who_starts_a_service_again_is_found(platform: Platform) -> None:
    platform.migrate("delta")
    server = next(r for r in platform.clouds["old"].inventory() if r["inputs"].get("name") == "plaza-app-1")
    host = platform.clouds["old"].host(server["id"], {})
    freeze = next(phase for phase in PHASES if phase.name == "freeze")

    class Meddled:
        name, title = freeze.name, freeze.title

        def run(self, move: Move, earlier: Facts | None) -> Facts:
            ask, move.source.status = move.source.status, lambda: (host.enable("worker"), ask())[1]  # type: ignore
            return freeze.run(move, earlier)

    with pytest.raises(Unproven, match=r"services\.worker-1"):
        platform.migrate(phases=[Meddled() if p.name == "freeze" else p for p in PHASES])
    assert platform.running("new") == []
    assert platform.migrate()["outcome"] == "done"
    assert (platform.running("old"), platform.running("new")) == ([], UNITS)
