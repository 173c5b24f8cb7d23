"""What a unit needs made before it starts, on every implementation of the host port."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hostbench import Bench

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.port import Active, Completed, HostFile, ReleaseFailed
from rehost.stacks.hosts.setup import Made
from rehost.stacks.hosts.units import Setup, UnitSpec

SCRIPT = """
mkdir -p lib static
cp needs.txt lib/kept.txt
date +%s%N > lib/stamp
echo made > static/made.txt
echo "$TOKEN at $HOME"
"""
SETUP = Setup(SCRIPT, reads=("needs.txt",), timeout=20)


def unit(bench: Bench, version: str = "1", needs: bytes = b"one", **changes: Any) -> UnitSpec:
    setup = changes.pop("setup", SETUP)
    made = bench.swapped(version, **changes)
    files = {**made.files, "needs.txt": needs, "static/own.txt": version.encode()}
    return replace(made, files=files, setup=setup)


def source(bench: Bench, path: str) -> str:
    status = bench.host.units()["web"]
    place = f"{bench.host.backend.layout.source('web', status.slot)}/{path}"
    return (bench.host.fetch(place) or b"").decode().strip()


def real(bench: Bench) -> None:
    if not bench.real:
        pytest.skip("nothing is made in memory")


def test_a_setup_is_done_once_for_what_it_reads(bench: Bench) -> None:
    real(bench)
    bench.host.release(unit(bench))
    first = source(bench, "lib/stamp")
    assert first and source(bench, "lib/kept.txt") == "one"
    assert (source(bench, "static/made.txt"), source(bench, "static/own.txt")) == ("made", "1")
    assert not bench.host.preview(unit(bench)), "what was made is no drift"
    bench.host.release(unit(bench, "2"))
    assert bench.get() == b"2" and source(bench, "static/own.txt") == "2"
    assert source(bench, "lib/stamp") == first, "nothing that it reads was changed"
    bench.host.release(unit(bench, "2", needs=b"two"))
    assert source(bench, "lib/stamp") != first and source(bench, "lib/kept.txt") == "two"
    made = bench.host.backend.layout.made("web")
    stamps = [path for path in bench.host.backend.tree(made) if path.endswith("/stamp")]
    assert len(stamps) == 1, "what only the old version needed is gone"
    bench.host.remove("web")
    assert not bench.host.backend.tree(made)


def test_a_setup_sees_what_it_reads_and_the_variables_that_it_names(bench: Bench) -> None:
    real(bench)
    look = Setup('ls > seen; env | sort > variables; : "$TOKEN"', reads=("needs.txt",))
    bench.host.release(unit(bench, setup=look, environment={"TOKEN": "a b", "OTHER": "hidden"}))
    assert source(bench, "seen").split() == ["needs.txt", "seen"]
    told = source(bench, "variables")
    assert "TOKEN=a b" in told and "hidden" not in told and "VERSION" not in told
    wide = Setup("ls > seen")
    bench.host.release(unit(bench, "2", setup=wide))
    assert source(bench, "seen").split() == ["app.py", "needs.txt", "seen", "static"]


def test_a_setup_that_fails_leaves_the_version_before_it(bench: Bench) -> None:
    real(bench)
    bench.host.release(unit(bench))
    broken = Setup("echo no such library $TOKEN\nfalse\necho never", reads=("needs.txt",))
    with pytest.raises(ReleaseFailed, match=r"setup of web .* failed: it ended with 1") as failed:
        bench.host.release(unit(bench, "2", setup=broken, environment={"TOKEN": "do-not-tell"}))
    assert "no such library ***" in failed.value.why and "never" not in failed.value.why
    assert "needs.txt only" in failed.value.fix
    bench.until(lambda: bench.get() == b"1")
    slow = Setup("sleep 60", timeout=0.3)
    with pytest.raises(ReleaseFailed, match=r"took longer than 0\.3 s"):
        bench.host.release(unit(bench, "2", setup=slow))
    assert bench.get() == b"1" and not bench.host.preview(unit(bench))
    bench.host.release(unit(bench, "3"))
    assert bench.get() == b"3"


def test_a_first_version_whose_setup_fails_is_made_by_the_next_try(bench: Bench) -> None:
    real(bench)
    with pytest.raises(ReleaseFailed, match="setup"):
        bench.host.release(unit(bench, setup=Setup("exit 3")))
    bench.host.release(unit(bench))
    bench.until(lambda: bench.get() == b"1")


def test_what_was_taken_away_is_seen_and_put_right(bench: Bench) -> None:
    real(bench)
    spec = unit(bench)
    bench.host.release(spec)
    pid = bench.host.units()["web"].pid
    layout, slot = bench.host.backend.layout, bench.host.units()["web"].slot
    bench.host.run(["rm", f"{layout.source('web', slot)}/lib"])
    assert bench.host.apply(spec).changes == ("setup",)
    assert source(bench, "lib/kept.txt") == "one" and bench.host.units()["web"].pid != pid
    bench.host.run(["rm", "-r", layout.made("web")])
    assert bench.host.apply(spec).changes[0] == "setup"
    assert source(bench, "lib/kept.txt") == "one" and not bench.host.preview(spec)


def test_a_held_unit_is_made_ready(bench: Bench) -> None:
    real(bench)
    bench.host.apply(unit(bench), held=True)
    assert source(bench, "lib/kept.txt") == "one"
    first = source(bench, "lib/stamp")
    bench.host.enable("web")
    bench.until(lambda: bench.get() == b"1")
    assert source(bench, "lib/stamp") == first


def test_what_a_killed_setup_left_is_in_nobodys_way(bench: Bench) -> None:
    real(bench)
    spec = unit(bench)
    bench.host.apply(spec)
    record = bench.host.record("web")
    assert record is not None
    made = Made(bench.host, bench.host.place(spec, record.slot, record), record)
    folder = made._folder
    bench.host.run(["rm", f"{folder}/done"])
    bench.host.put(HostFile(f"{folder}/half/lib/kept.txt", b"half"))
    assert "setup" in bench.host.apply(spec).changes
    assert source(bench, "lib/kept.txt") == "one"


def test_in_memory_the_runner_says_how_a_setup_ends(bench: Bench) -> None:
    if bench.real:
        pytest.skip("this is about the host in memory")
    said: list[list[str]] = []

    def runner(command: Any, content: bytes, environment: Any) -> Completed:
        said.append(list(command))
        return Completed(len(said) - 1, b"no", b"")

    bench.host.backend.runner = runner  # type: ignore[attr-defined]
    bench.host.release(unit(bench))
    bench.host.release(unit(bench, "2"))
    assert len(said) == 1 and "needs.txt" in said[0][-1]
    with pytest.raises(ReleaseFailed):
        bench.host.release(unit(bench, "3", needs=b"two"))
    assert bench.host.units()["web"].active is Active.RUNNING and not bench.host.preview(unit(bench, "2"))


def test_units_without_a_setup_keep_their_fingerprint() -> None:
    spec = UnitSpec("web", command=("x",), files={"a": b"1"})
    assert '"setup"' not in spec.canonical()
    assert spec.canonical() != replace(spec, setup=Setup("true")).canonical()
    for broken in (Setup(" "), Setup("true", reads=("gone",))):
        with pytest.raises(InvalidInput, match="setup"):
            replace(spec, setup=broken)
    with pytest.raises(InvalidInput, match="setup"):
        UnitSpec("web", image="x", setup=Setup("true"))
