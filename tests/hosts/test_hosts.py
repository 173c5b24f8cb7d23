"""What every implementation of the host port has to do."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import pytest
from hostbench import ODD, Bench

from rehost.stacks.errors import InvalidInput, Refused
from rehost.stacks.hosts.port import Active, HostError, HostFile, ReleaseFailed
from rehost.stacks.hosts.units import Restart, Schedule, UnitSpec, Volume


def test_applying_twice_changes_nothing(bench: Bench) -> None:
    spec = bench.web()
    assert bench.host.preview(spec).changes == ("create",)
    assert bench.host.status("web") is None
    assert bench.host.apply(spec).changes == ("create",)
    before = bench.host.status("web")
    assert before is not None and before.active is Active.RUNNING and before.drift == ()
    assert not bench.host.preview(spec)
    assert not bench.host.apply(spec)
    after = bench.host.status("web")
    assert after is not None and after.pid == before.pid


def test_a_change_restarts_the_unit_and_its_fingerprint_changes(bench: Bench) -> None:
    bench.host.apply(bench.web())
    before = bench.host.units()["web"]
    assert bench.host.apply(bench.web(version="2")).changes == ("definition",)
    after = bench.host.units()["web"]
    assert after.pid != before.pid and after.fingerprint != before.fingerprint
    assert after.active is Active.RUNNING


def test_an_edited_file_is_seen_and_put_right(bench: Bench) -> None:
    spec = bench.web()
    bench.host.release(spec)
    path = bench.host.backend.layout.source("web", "a") + "/app.py"
    bench.host.put(HostFile(path, b"raise SystemExit('edited')"))
    assert bench.host.units()["web"].drift == ("a/source/app.py",)
    assert bench.host.apply(spec).changes == ("file a/source/app.py",)
    assert bench.host.fetch(path) == spec.files["app.py"]
    assert bench.host.units()["web"].drift == ()


def test_a_foreign_file_among_the_sources_is_removed(bench: Bench) -> None:
    spec = bench.web()
    bench.host.apply(spec)
    path = bench.host.backend.layout.source("web", "a") + "/stray.py"
    bench.host.put(HostFile(path, b"#"))
    assert bench.host.apply(spec).changes == ("extra file a/source/stray.py",)
    assert bench.host.fetch(path) is None


def test_a_stopped_unit_is_started_by_apply(bench: Bench) -> None:
    spec = bench.web()
    bench.host.apply(spec)
    bench.host.stop("web")
    stopped = bench.host.status("web")
    assert stopped is not None and stopped.active is Active.STOPPED and stopped.healthy is None
    assert bench.host.apply(spec).changes == ("start",)
    assert bench.host.units()["web"].active is Active.RUNNING


def test_start_and_stop_are_idempotent_and_restart_renews(bench: Bench) -> None:
    bench.host.apply(bench.web())
    pid = bench.host.units()["web"].pid
    bench.host.start("web")
    assert bench.host.units()["web"].pid == pid
    bench.host.restart("web")
    assert bench.host.units()["web"].pid != pid
    bench.host.stop("web")
    bench.host.stop("web")
    assert bench.host.units()["web"].active is Active.STOPPED


def test_a_held_unit_is_there_but_does_not_run(bench: Bench) -> None:
    spec = bench.web()
    bench.host.apply(spec, held=True)
    held = bench.host.units()["web"]
    assert held.held and held.active is Active.STOPPED
    for forbidden in (bench.host.start, bench.host.restart):
        with pytest.raises(Refused, match="held"):
            forbidden("web")
    assert not bench.host.apply(spec), "an apply that says nothing of holding leaves it held"
    bench.host.backend.start("web.a", scheduled=False, again=False)
    assert bench.real is False or bench.host.units()["web"].active is Active.STOPPED, "nobody can start it"
    bench.host.backend.stop("web.a")
    bench.host.enable("web")
    running = bench.host.units()["web"]
    assert not running.held and running.active is Active.RUNNING
    bench.host.hold("web")
    assert bench.host.units()["web"].active is Active.STOPPED
    assert bench.host.apply(spec, held=False).changes == ("enable", "start")


def test_release_switches_to_the_new_version(bench: Bench) -> None:
    bench.host.apply(bench.swapped("1"))
    before = bench.host.units()["web"]
    released = bench.host.release(bench.swapped("2"))
    after = bench.host.units()["web"]
    assert released.changes == ("definition",) and not released.interrupted and released.drained
    assert (before.slot, after.slot) == ("a", "b")
    assert not bench.host.preview(bench.swapped("2"))
    assert not bench.host.release(bench.swapped("2")).changes
    assert not bench.host.backend.tree(bench.host.backend.layout.slot("web", "a")), "the old version is gone"


@pytest.mark.parametrize("swap", [True, False])
def test_a_version_that_does_not_get_healthy_is_taken_back(bench: Bench, swap: bool) -> None:
    make = bench.swapped if swap else bench.web
    bench.host.release(make(version="1"))
    bench.host.apply(make(version="1"))
    broken = make(version="2", environment={"BROKEN": "1", "TOKEN": "do-not-tell"})
    broken = replace(broken, health=replace(broken.health, start_period=0.2))  # type: ignore[arg-type]
    with pytest.raises(ReleaseFailed, match="did not get healthy") as failure:
        bench.host.release(broken)
    assert "do-not-tell" not in failure.value.why
    status = bench.host.status("web")
    assert status is not None and status.active is Active.RUNNING and status.healthy
    assert not bench.host.preview(make(version="1")), "exactly the version before is there"


def test_a_unit_without_switching_is_released_with_an_interruption(bench: Bench) -> None:
    bench.host.release(bench.web(version="1"))
    assert bench.host.release(bench.web(version="2")).interrupted
    status = bench.host.status("web")
    assert status is not None and status.healthy


@pytest.mark.parametrize("swap", [True, False])
def test_a_version_that_the_host_will_not_start_is_taken_back(
    bench: Bench, swap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = bench.swapped if swap else bench.web
    bench.host.release(make(version="1"))
    start = bench.host.backend.start

    def refuses(service: str, *, scheduled: bool, again: bool) -> None:
        if service == "web.b":
            raise HostError("no", why="out of something")
        start(service, scheduled=scheduled, again=again)

    monkeypatch.setattr(bench.host.backend, "start", refuses)
    with pytest.raises(ReleaseFailed, match="out of something"):
        bench.host.release(make(version="2"))
    status = bench.host.status("web")
    assert status is not None and status.healthy and status.slot == "a"
    assert not bench.host.preview(make(version="1"))


def test_what_an_unfinished_release_left_is_removed(bench: Bench) -> None:
    spec = bench.swapped("1")
    bench.host.apply(spec)
    record = bench.host.record("web")
    assert record is not None
    half = bench.host.place(bench.swapped("2"), "b", record)
    bench.host.backend.prepare(half)
    bench.host.backend.write(list(bench.host.backend.render(half)))
    bench.host.backend.start(half.service, scheduled=False, again=True)
    assert bench.host.apply(spec).changes == ("unfinished release",)
    assert bench.host.backend.states(["web.b"])["web.b"].active is Active.STOPPED
    assert not bench.host.backend.tree(bench.host.backend.layout.slot("web", "b"))


def test_remove_leaves_nothing_but_volumes_unless_told_so(bench: Bench) -> None:
    prefix = bench.host.backend.layout.prefix
    bench.host.apply(bench.swapped(volumes=(Volume("data", "/data"),)))
    volume = bench.host.backend.layout.volumes("web") + "/data"
    bench.host.put(HostFile(f"{volume}/precious", b"1"))
    assert bench.host.remove("web")
    assert bench.host.fetch(f"{volume}/precious") == b"1"
    assert not bench.host.remove("web", data=True)
    assert bench.host.backend.tree(prefix) == []
    assert bench.host.units() == {} and bench.host.status("web") is None


def test_logs_are_kept_across_versions_and_bounded(bench: Bench) -> None:
    bench.host.release(bench.web(version="1"))
    bench.host.release(bench.web(version="2"))
    lines = bench.host.logs("web", tail=50)
    assert len(lines) >= 2
    assert bench.host.logs("web", tail=1) == lines[-1:]
    assert bench.host.logs("web", since=lines[-1].time + 3600) == []


def test_a_scheduled_unit_waits_for_its_time_or_is_triggered(bench: Bench) -> None:
    begin = time.time()
    spec = bench.web(ports=(), health=None, schedule=Schedule("0 4 1 1 *", "Europe/Berlin"))
    spec = replace(spec, command=(bench.host.backend.python, "-c", "print('ran once')"))
    bench.host.apply(spec)
    assert bench.host.units()["web"].active is Active.RUNNING
    assert not bench.host.apply(spec)
    bench.host.trigger("web")
    bench.until(lambda: [line for line in bench.host.logs("web", since=begin) if "ran" in line.text])
    assert bench.host.units()["web"].active is Active.RUNNING, "it waits for its next time"
    bench.host.hold("web")
    with pytest.raises(Refused):
        bench.host.trigger("web")


def test_values_and_arguments_arrive_as_they_are(bench: Bench) -> None:
    if not bench.real:
        pytest.skip("a host in memory starts no processes")
    words = ("", " ", ODD, "-", "--x=$y", ";", "@cmd", "a'b", "\x01\x7f")
    program = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['ODD'], os.environ['EMPTY']]))"
    spec = bench.web(
        ports=(),
        health=None,
        restart=Restart.NEVER,
        environment={"ODD": ODD, "EMPTY": ""},
        command=(bench.host.backend.python, "-c", program, *words),
    )
    begin = time.time()
    bench.host.apply(spec)
    bench.until(lambda: bench.host.logs("web", since=begin))
    assert json.loads(bench.host.logs("web", since=begin)[0].text) == [list(words), ODD, ""]
    bench.until(lambda: bench.host.units()["web"].exit_code == 0)
    assert not bench.host.apply(spec), "what came to its end is not started again"


def test_clients_see_no_interruption_while_versions_are_switched(bench: Bench) -> None:
    if not bench.real:
        pytest.skip("a host in memory serves nobody")
    bench.host.release(bench.swapped("1"))
    bench.until(lambda: bench.get() == b"1")
    open_connection = bench.connect()
    seen: list[bytes] = []
    done = threading.Event()

    def client() -> None:
        while not done.is_set():
            seen.append(bench.get())

    thread = threading.Thread(target=client)
    thread.start()
    try:
        released = threading.Thread(target=bench.host.release, args=(bench.swapped("2"),))
        released.start()
        bench.until(lambda: b"2" in seen)
        open_connection.request("GET", "/")
        assert open_connection.getresponse().read() == b"1", "an open connection stays with the old version"
        open_connection.close()
        released.join(30)
    finally:
        done.set()
        thread.join(30)
    assert set(seen) == {b"1", b"2"} and sorted(seen) == seen


def test_a_command_has_a_time_limit_and_gets_its_input(bench: Bench) -> None:
    if not bench.real:
        pytest.skip("a host in memory runs no commands")
    run = bench.host.run(["sh", "-c", "cat; echo $SECRET; exit 3"], input=b"in ", environment={"SECRET": ODD})
    assert run.code == 3 and run.stdout.startswith(b"in ")
    exact = bench.host.run(["printenv", "SECRET"], environment={"SECRET": ODD})
    assert exact.stdout.decode() == ODD + "\n"
    assert bench.host.run(["printf", "%s", ODD]).stdout.decode() == ODD
    with pytest.raises(HostError, match="longer than"):
        bench.host.run(["sleep", "60"], timeout=0.3)
    assert bench.host.run(["true"]).code == 0, "the host is still of use"


def test_a_schedule_that_is_none_is_said_before_anything_is_done(bench: Bench) -> None:
    spec = UnitSpec("job", command=("true",), schedule=Schedule("61 * * * *"))
    for forbidden in (bench.host.preview, bench.host.apply, bench.host.release):
        with pytest.raises(InvalidInput, match="no schedule"):
            forbidden(spec)
    assert bench.host.units() == {}


def test_a_spoiled_record_is_said(bench: Bench) -> None:
    bench.host.apply(bench.web())
    bench.host.put(HostFile(bench.host.backend.layout.record("web"), b"{"))
    with pytest.raises(HostError, match="can't be read"):
        bench.host.status("web")
    assert bench.host.remove("web")
    assert bench.host.apply(bench.web()).changes == ("create",)


def test_unknown_units_are_named(bench: Bench) -> None:
    bench.host.apply(bench.web())
    with pytest.raises(InvalidInput, match="has no unit nope"):
        bench.host.start("nope")
    with pytest.raises(InvalidInput, match="has no schedule"):
        bench.host.trigger("web")


def test_put_is_idempotent(bench: Bench) -> None:
    file = HostFile(f"{bench.host.backend.layout.prefix}/note", b"x\x00\xff", 0o600)
    assert bench.host.put(file)
    assert not bench.host.put(file)
    assert bench.host.put(replace(file, mode=0o640))
    assert bench.host.fetch(file.path) == b"x\x00\xff"
