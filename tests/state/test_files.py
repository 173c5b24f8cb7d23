"""One writer at a time; a dead one's lock is taken over; what returned from append is never lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from rehost.stacks.errors import InvalidInput, Refused, RehostError
from rehost.stacks.state import FileStore, Passphrase, file_store

ENTRY = {"kind": "deployment", "id": "d", "endpoint": "here", "account": "me"}


def test_a_second_writer_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    store = file_store(tmp_path, Passphrase(None))
    with (
        store.open("plaza", "here", command="deploy"),
        pytest.raises(Refused, match="is locked by"),
        store.open("plaza", "here", command="destroy"),
    ):
        pass
    with store.open("plaza", "here", command="deploy") as session:
        assert session.state.serial == 0


def test_a_holder_on_another_machine_is_named_until_it_is_unlocked(tmp_path: Path) -> None:
    store = file_store(tmp_path, Passphrase(None))
    with store.open("plaza", "here", command="deploy"):
        pass
    holder = {
        "user": "ops",
        "host": "elsewhere",
        "pid": 1,
        "command": "deploy",
        "since": "2026-01-01T00:00:00+00:00",
    }
    (tmp_path / ".rehost" / "plaza" / "here.lock").write_text(json.dumps(holder))
    with pytest.raises(Refused, match="ops on elsewhere"), store.open("plaza", "here", command="deploy"):
        pass
    assert store.unlock("plaza", "here") is not None
    with store.open("plaza", "here", command="deploy"):
        pass


def test_every_torn_end_of_the_journal_is_survived_and_damage_before_it_is_refused(tmp_path: Path) -> None:
    store = file_store(tmp_path, Passphrase(None))
    path = tmp_path / ".rehost" / "plaza" / "here.journal"
    with store.open("plaza", "here", command="deploy") as session:
        session.append(ENTRY)
        session.append({"kind": "facts", "facts": {"a": {"value": 1}}})
        text = path.read_bytes()
    lines = text.splitlines(keepends=True)
    for cut in range(len(text)):
        torn = tmp_path / str(cut)
        (torn / ".rehost" / "plaza").mkdir(parents=True)
        (torn / ".rehost" / "plaza" / "here.journal").write_bytes(text[:cut])
        state = file_store(torn, Passphrase(None)).read("plaza", "here")
        assert bool(state.deployment) == (cut >= len(lines[0]) + len(lines[1]))
    damaged = bytearray(text)
    damaged[len(lines[0]) + 12] ^= 1
    path.write_bytes(damaged)
    (tmp_path / ".rehost" / "plaza" / "here.json").unlink()
    with pytest.raises(RehostError, match="damaged in line 2"):
        store.read("plaza", "here")


def fact(name: str) -> dict[str, Any]:
    return {"kind": "facts", "facts": {name: {"value": 1}}}


def facts(folder: Path) -> set[str]:
    return set(file_store(folder, Passphrase(None)).read("plaza", "here").facts)


def test_folders_are_private_and_git_leaves_them_alone(tmp_path: Path) -> None:
    for sandbox in (True, False):
        with file_store(tmp_path, Passphrase(None), sandbox=sandbox).open(
            "plaza", "here", command="deploy"
        ) as session:
            session.append(fact("a"))
    assert (tmp_path / ".rehost" / ".gitignore").read_text() == "*\n"
    assert facts(tmp_path) == {"a"}
    for path in (tmp_path / ".rehost").rglob("*"):
        if path.name != ".gitignore":
            assert path.stat().st_mode & 0o077 == 0, path
    (tmp_path / ".rehost" / "plaza").chmod(0o755)
    with file_store(tmp_path, Passphrase(None)).open("plaza", "here", command="deploy"):
        assert (tmp_path / ".rehost" / "plaza").stat().st_mode & 0o777 == 0o700


def test_a_folder_of_others_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with FileStore(tmp_path, Passphrase(None)).open("plaza", "here", command="deploy"):
        pass
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / ".gitignore").exists()
    assert (tmp_path / "plaza" / ".gitignore").read_text() == "*\n"
    assert (tmp_path / "plaza").stat().st_mode & 0o777 == 0o700


def test_backups_are_kept_and_old_ones_go(tmp_path: Path) -> None:
    store = file_store(tmp_path, Passphrase(None))
    for number in range(23):
        with store.open("plaza", "here", command="deploy") as session:
            session.append(fact(f"f{number}"))
    assert [backup.serial for backup in store.backups("plaza", "here")] == list(range(3, 23))
    assert '"f21"' in store.backup("plaza", "here", 22)
    assert '"f22"' not in store.backup("plaza", "here", 22)


def _write_until_killed(folder: Path, number: int, after: bool, told: Any) -> None:
    """Ends before or after the call of this number that changes something on the disk; writes are torn."""
    count = 0

    def guard(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == number and not after:
                if name == "write":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os._exit(9)
            answer = real(*arguments, **named)
            if count == number:
                os._exit(9)
            return answer

        setattr(owner, name, call)

    for owner, names in ((os, ("write", "fsync", "link", "ftruncate", "pwrite")), (Path, ("replace", "unlink"))):
        for name in names:
            guard(owner, name)
    with file_store(folder, Passphrase(None)).open("plaza", "here", command="deploy") as session:
        for name in ("a", "b", "c"):
            session.append(fact(name))
            told.send(name)
    os._exit(0)


@pytest.mark.parametrize("after", [False, True])
def test_a_writer_killed_at_any_write_has_lost_nothing_and_is_followed_at_once(
    tmp_path: Path, after: bool
) -> None:
    fork = multiprocessing.get_context("fork")
    number, code = 0, 9
    while code == 9:
        number += 1
        folder = tmp_path / str(number)
        with file_store(folder, Passphrase(None)).open("plaza", "here", command="deploy") as session:
            session.append(fact("old"))
        out, into = fork.Pipe(duplex=False)
        child = fork.Process(target=_write_until_killed, args=(folder, number, after, into))
        child.start()
        into.close()
        acknowledged = {"old"}
        try:
            while True:
                acknowledged.add(out.recv())
        except EOFError:
            child.join()
        code = child.exitcode or 0
        assert acknowledged <= facts(folder), number
        with file_store(folder, Passphrase(None)).open("plaza", "here", command="deploy") as session:
            assert acknowledged <= set(session.state.facts), number
            session.append(fact("next"))
        assert acknowledged | {"next"} <= facts(folder)
    assert number > 12
    assert code == 0


def _hold(folder: Path, ready: Any) -> None:
    with file_store(folder, Passphrase(None)).open("plaza", "here", command="deploy") as session:
        session.append(fact("held"))
        ready.send(os.getpid())
        signal.pause()


def test_the_lock_of_a_killed_process_is_taken_over_and_said(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    out, into = fork.Pipe(duplex=False)
    child = fork.Process(target=_hold, args=(tmp_path, into))
    child.start()
    pid = out.recv()
    store = file_store(tmp_path, Passphrase(None))
    with pytest.raises(Refused, match=f"process {pid}"), store.open("plaza", "here", command="deploy"):
        pass
    holder = store.holder("plaza", "here")
    assert holder is not None
    assert not holder.dead
    os.kill(pid, signal.SIGKILL)
    child.join()
    assert holder.dead
    with store.open("plaza", "here", command="destroy") as session:
        assert (session.taken_over, session.recovered, set(session.state.facts)) == ("deploy", True, {"held"})


def _fill(folder: Path, told: Any) -> None:
    # A limit for the size of files gives the errors of a full disk to a process, whoever runs it.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
    try:
        with file_store(folder, Passphrase(None)).open("plaza", "here", command="deploy") as session:
            for number in range(1000):
                session.append(fact(f"f{number}"))
                told.send(f"f{number}")
    except RehostError as error:
        told.send(error)


def test_a_full_disk_is_said_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    out, into = fork.Pipe(duplex=False)
    child = fork.Process(target=_fill, args=(tmp_path, into))
    child.start()
    into.close()
    answers: list[Any] = []
    try:
        while True:
            answers.append(out.recv())
    except EOFError:
        child.join()
    assert child.exitcode == 0
    *acknowledged, error = answers
    assert error.summary == "the state can't be written"
    assert len(acknowledged) > 10
    assert set(acknowledged) == facts(tmp_path)
    with file_store(tmp_path, Passphrase(None)).open("plaza", "here", command="deploy") as session:
        assert set(acknowledged) == set(session.state.facts)


def test_a_place_that_can_not_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore(tmp_path / "file" / "states", Passphrase(None))
    with pytest.raises(RehostError, match="can't be made"), store.open("plaza", "here", command="deploy"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_said_and_can_be_read(tmp_path: Path) -> None:
    store = FileStore(tmp_path, Passphrase(None))
    with store.open("plaza", "here", command="deploy") as session:
        session.append(fact("a"))
    (tmp_path / "plaza").chmod(0o500)
    (tmp_path / "plaza" / "here.lock").chmod(0o400)
    try:
        assert set(store.read("plaza", "here").facts) == {"a"}
        with pytest.raises(RehostError, match="can't be"), store.open("plaza", "here", command="deploy"):
            pass
    finally:
        (tmp_path / "plaza").chmod(0o700)


def test_a_journal_on_top_of_a_state_that_is_not_there_is_refused(tmp_path: Path) -> None:
    store = file_store(tmp_path, Passphrase(None))
    with store.open("plaza", "here", command="deploy") as session:
        session.append(fact("a"))
    with store.open("plaza", "here", command="deploy") as session:
        session.append(fact("b"))
        (tmp_path / ".rehost" / "plaza" / "here.json").unlink()
        with pytest.raises(RehostError, match="goes on from a later state"):
            store.read("plaza", "here")


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        b"{",
        b"[]",
        b"null",
        b'{"version": 3}',
        b'{"version": 3, "deployment": 5}',
        b'{"version": 3, "deployment": {"resources": [5]}}',
        b'{"version": 3, "deployment": {"resources": [{"type": 5}]}}',
        b'{"version": 3, "deployment": {"resources": [{"urn": "u", "type": "a:b:C", "custom": true, "id": 5}]}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_state_is_invalid_input(tmp_path: Path, text: bytes) -> None:
    store = file_store(tmp_path, Passphrase("horse"))
    with store.open("plaza", "here", command="deploy") as session:
        session.append(fact("a"))
    (tmp_path / ".rehost" / "plaza" / "here.json").write_bytes(text)
    for use in (store.read, store.export):
        with pytest.raises(InvalidInput, match="is not a state that can be read") as caught:
            use("plaza", "here")
        assert caught.value.fix
