"""`rehost data` between two databases, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import SHOP, Pair, writers

from rehost.stacks.data.postgres.fence import Fence
from rehost.stacks.data.postgres.session import Server


def started(pair: Pair, verb: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rehost", "data", verb, pair.source, pair.destination, *arguments],
        cwd=pair.folder, env={**os.environ, "NO_COLOR": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def rehost(pair: Pair, verb: str, *arguments: str) -> tuple[int, str, str]:
    process = started(pair, verb, *arguments)
    out, err = process.communicate(timeout=90)
    assert "Traceback" not in err
    assert "s3cr" not in out + err
    return process.returncode, out, err


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def test_copy_verify_and_repair(pair: Pair) -> None:
    pair.tell("old", SHOP)
    code, out, err = rehost(pair, "copy")
    assert (code, "both sides hold the same" in out) == (0, True), err
    assert rehost(pair, "verify")[0] == 0
    pair.tell("new", "UPDATE orders SET total = -1 WHERE id = 77", "postgres")
    code, _, err = rehost(pair, "verify")
    assert code == 5
    assert "public.orders" in err
    assert "77" in err
    code, out, err = rehost(pair, "copy", "--format", "json")
    assert code == 0, err
    told = json.loads(out.splitlines()[-1])
    assert (told["event"], told["copied"], told["differences"]) == ("copied", 1, [])
    assert told["adopted"] > 3
    assert pair.slots() == []


@pytest.mark.parametrize("phase", ["schema", "copy", "indexes", "catch up", "verify"])
def test_kill_9_then_the_same_command_ends_the_same(pair: Pair, phase: str) -> None:
    pair.tell("old", SHOP)
    with writers(pair, 1):
        process = started(pair, "copy", "--format", "json")
        for event in events(process):
            if event.get("phase") == phase:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        code, out, err = rehost(pair, "copy")
        assert code == 0, out + err
    assert pair.slots() == []


def test_following_until_it_is_stopped_leaves_a_slot_that_is_listed(pair: Pair) -> None:
    pair.tell("old", SHOP)
    process = started(pair, "copy", "--follow", "--format", "json")
    texts: list[str] = []
    errors = threading.Thread(target=lambda: texts.append(process.stderr.read() if process.stderr else ""))
    errors.start()
    for event in events(process):
        if event.get("phase") == "follow":
            process.send_signal(signal.SIGINT)
            break
    rest = "".join(json.dumps(event) for event in events(process))
    assert process.wait() == 130
    errors.join()
    (slot,) = pair.slots()
    assert slot in rest
    run = subprocess.run(
        [sys.executable, "-m", "rehost", "data", "slots", pair.source, "--format", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert slot in [row["name"] for row in json.loads(run.stdout)["slots"] if row["ours"]]
    drop = [sys.executable, "-m", "rehost", "data", "slots", pair.source, "--drop", slot]
    subprocess.run(drop, capture_output=True, check=True)
    assert pair.slots() == []
    assert rehost(pair, "copy")[0] == 0


def test_what_can_not_be_followed_is_dumped_with_the_reason(pair: Pair) -> None:
    pair.tell(
        "old",
        SHOP + "SELECT lo_from_bytea(4711, 'large'); CREATE TABLE bare (n int); INSERT INTO bare VALUES (1);",
    )
    code, _, err = rehost(pair, "copy")
    assert code == 4
    assert "large object" in err
    assert "public.bare" in err
    code, out, err = rehost(pair, "copy", "--mode", "auto")
    assert code == 0, err
    assert "dumped, as it can't be followed: table public.bare" in err
    assert pair.ask("new", "SELECT lo_get(4711)") == [(b"large",)]
    assert pair.ask("new", "SELECT * FROM bare") == [(1,)]
    assert "both sides hold the same" in out


def test_thaw_from_another_process(pair: Pair) -> None:
    pair.tell("old", SHOP)
    Fence(Server(pair.source, "source")).freeze()
    run = subprocess.run(
        [sys.executable, "-m", "rehost", "data", "thaw", pair.source], capture_output=True, text=True, check=True
    )
    assert "written to again" in run.stdout
    pair.tell("old", "INSERT INTO log VALUES (now(), 'x')")


@pytest.mark.parametrize(
    ("places", "code", "said"),
    [
        (("postgres://a@127.0.0.1:1/x", "folder"), 3, "a database goes into a database"),
        (("postgres://a@127.0.0.1:1", "postgres://a@127.0.0.1:1/x"), 3, "names no database"),
        (("postgres://a@127.0.0.1:1/x?colour=red", "postgres://a@127.0.0.1:1/y"), 3, "colour"),
        (("postgres://a@127.0.0.1:1/x", "postgresql://a@127.0.0.1:1/x"), 3, "same database"),
        (("postgres://a:hidden@127.0.0.1:1/x", "postgres://a@127.0.0.1:1/y"), 1, "127.0.0.1:1/"),
    ],
)
def test_places_that_are_none(tmp_path: Path, places: tuple[str, str], code: int, said: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "rehost", "data", "copy", *places],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stderr
    assert said in run.stderr
    assert "hidden" not in run.stderr
    assert "Traceback" not in run.stderr
