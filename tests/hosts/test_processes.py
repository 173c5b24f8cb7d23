"""What only units that are processes on this machine have to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostbench import APP, Bench, processes

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.port import Active, HostError
from rehost.stacks.hosts.processes import ProcessHost
from rehost.stacks.hosts.programs import supervise
from rehost.stacks.hosts.programs.supervise import Log, birth
from rehost.stacks.hosts.units import Port, Restart, Schedule, UnitSpec


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield from processes()


def slot(bench: Bench) -> Path:
    return Path(bench.host.backend.layout.slot("web", "a"))


def state(bench: Bench) -> dict[str, list[object]]:
    found: dict[str, list[object]] = json.loads((slot(bench) / "state.json").read_text())
    return found


def test_units_outlive_the_process_that_started_them(bench: Bench) -> None:
    port = bench.port()
    prefix = bench.host.backend.layout.prefix
    program = (
        "import sys; from pathlib import Path\n"
        "from rehost.stacks.hosts.processes import ProcessHost\n"
        "from rehost.stacks.hosts.units import UnitSpec, Port\n"
        "host = ProcessHost('x', Path(sys.argv[1]), address='127.77.3.1')\n"
        "files = {'app.py': sys.stdin.buffer.read()}\n"
        "host.apply(UnitSpec('web', command=(sys.executable, 'app.py'), files=files,\n"
        "           ports=(Port(int(sys.argv[2])),), environment={'VERSION': '7'}))\n"
    )
    subprocess.run([sys.executable, "-c", program, prefix, str(port)], input=APP, check=True, timeout=60)
    bench.extra["port web"] = port
    assert bench.host.units()["web"].active is Active.RUNNING
    bench.until(lambda: bench.get() == b"7")


def test_what_ended_is_started_again(bench: Bench) -> None:
    bench.host.release(bench.web())
    pid = bench.host.units()["web"].pid
    os.kill(pid, signal.SIGKILL)
    bench.until(lambda: bench.host.units()["web"].pid not in (0, pid))
    status = bench.host.units()["web"]
    assert status.restarts == 1 and status.exit_code == -signal.SIGKILL


@pytest.mark.parametrize(("code", "active"), [(0, Active.STOPPED), (3, Active.FAILED)])
def test_what_is_not_to_be_started_again_tells_how_it_ended(bench: Bench, code: int, active: Active) -> None:
    command = ("sh", "-c", f"echo bye; exit {code}")
    bench.host.apply(UnitSpec("web", command=command, restart=Restart.NEVER))
    bench.until(lambda: bench.host.units()["web"].exit_code == code)
    bench.until(lambda: bench.host.units()["web"].active is active)
    assert bench.host.logs("web")[0].text == "bye"


def test_a_killed_supervisor_leaves_nothing_that_runs_twice(bench: Bench) -> None:
    spec = bench.web()
    bench.host.release(spec)
    before = state(bench)
    os.kill(int(str(before["supervisor"][0])), signal.SIGKILL)
    bench.until(lambda: bench.host.units()["web"].active is not Active.RUNNING)
    assert bench.host.apply(spec).changes == ("start",)
    assert birth(int(str(before["child"][0]))) != before["child"][1], "the orphan was ended"
    bench.until(lambda: bench.get() == b"1")


def test_a_process_that_left_its_group_is_found(bench: Bench) -> None:
    bench.host.apply(UnitSpec("web", command=("sh", "-c", "setsid sleep 300 & echo $!; wait")))
    bench.until(lambda: bench.host.logs("web"))
    stray = int(bench.host.logs("web")[0].text)
    born = birth(stray)
    assert born
    bench.host.stop("web")
    bench.until(lambda: birth(stray) != born)


def test_a_recycled_number_is_not_killed(bench: Bench) -> None:
    bench.host.apply(bench.web())
    bench.host.stop("web")
    with subprocess.Popen(["sleep", "300"]) as innocent:
        known = state(bench)
        known["supervisor"] = known["child"] = [innocent.pid, "another boot 1"]
        (slot(bench) / "state.json").write_text(json.dumps(known))
        assert bench.host.units()["web"].active is not Active.RUNNING
        bench.host.stop("web")
        bench.host.remove("web")
        assert innocent.poll() is None
        innocent.kill()


def test_what_does_not_heed_the_request_to_end_is_killed(bench: Bench) -> None:
    command = ("sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done")
    bench.host.apply(UnitSpec("web", command=command, stop_grace=0.2))
    bench.until(lambda: bench.host.logs("web"))
    pid = bench.host.units()["web"].pid
    bench.host.stop("web")
    assert not birth(pid)


def test_a_program_that_is_missing_is_said_in_the_log(bench: Bench) -> None:
    bench.host.apply(UnitSpec("web", command=("/no/such/program",)))
    assert bench.host.units()["web"].active is Active.FAILED
    assert "can't be started" in bench.host.logs("web")[0].text


def test_secrets_are_readable_by_their_keeper_only(bench: Bench) -> None:
    bench.host.apply(bench.web(environment={"TOKEN": "horse-battery"}))
    prefix = Path(bench.host.backend.layout.prefix)
    for path in prefix.rglob("*"):
        if path.is_file() and b"horse-battery" in path.read_bytes() and path.name != "log":
            assert path.stat().st_mode & 0o077 == 0, path
    assert b"horse-battery" not in Path(f"/proc/{bench.host.units()['web'].pid}/cmdline").read_bytes()


def test_a_schedule_runs_again_and_again_and_never_twice_at_once(bench: Bench) -> None:
    begin = slot(bench)
    busy = "mkdir busy || echo overlap; echo ran; rmdir busy"
    bench.host.apply(UnitSpec("web", command=("sh", "-c", busy), schedule=Schedule("0 4 1 1 *")))
    bench.host.stop("web")
    soon = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(supervise.__file__).parent)!r})\n"
        "import supervise\n"
        "supervise.Supervisor.next_time = lambda self: time.time() + 0.05\n"
        "sys.exit(supervise.main(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", soon, str(begin)], check=True, capture_output=True, timeout=60)
    bench.until(lambda: len(bench.host.logs("web")) >= 3)
    assert {line.text for line in bench.host.logs("web")} == {"ran"}


def test_spoiled_files_of_a_service_stop_nobody(bench: Bench) -> None:
    spec = bench.web()
    bench.host.release(spec)
    for name in ("state.json", "service.json"):
        (slot(bench) / name).write_text("{")
    assert bench.host.units()["web"].active is not Active.RUNNING
    bench.host.apply(spec)
    bench.until(lambda: bench.get() == b"1")
    assert not bench.host.apply(spec)


def test_a_folder_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    host = ProcessHost("x", tmp_path / "file")
    with pytest.raises(HostError, match="this machine did not"):
        host.apply(UnitSpec("web", command=("true",)))


def test_logs_rotate(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), size=1000, keep=2)
    for number in range(100):
        log.feed(b"line %d is about fifty characters long, more or less\n" % number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    log.feed(b"no end")
    log.feed(b" of line\n")
    assert (tmp_path / "log").read_bytes().endswith(b" no end of line\n")


def test_images_need_somebody_who_knows_them(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="can't run on this host"):
        bench.host.apply(UnitSpec("web", image="registry.example/app:1", ports=(Port(bench.port()),)))
