"""A shared store: one writer, found dead or named; nothing acknowledged is lost, whoever dies or wakes up when."""

from __future__ import annotations

import copy
import multiprocessing
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from folderblobs import FolderBlobs

from rehost.stacks.errors import ProviderError, Reason, Refused, RehostError
from rehost.stacks.state import Passphrase, Session, SharedStore, lock


def store(folder: Path, watch: Callable[[int, str], None] | None = None) -> SharedStore:
    blobs = FolderBlobs(folder / "objects", watch)
    return SharedStore(blobs, folder / "here", Passphrase(None), renew_s=3600)


def fact(name: str) -> dict[str, Any]:
    return {"kind": "facts", "facts": {name: {"value": 1}}}


def facts(folder: Path) -> set[str]:
    return set(store(folder).read("plaza", "here").facts)


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go on on another machine."""
    place = [""]
    monkeypatch.setattr(lock, "machine", lambda: place[0])
    monkeypatch.setattr(lock.socket, "gethostname", lambda: place[0])

    def go(name: str) -> None:
        place[0] = name

    go("desk")
    return go


def test_what_one_writes_the_next_one_finds(tmp_path: Path) -> None:
    with store(tmp_path).open("plaza", "here", command="deploy") as session:
        session.append(fact("a"))
        assert facts(tmp_path) == {"a"}
    with store(tmp_path).open("plaza", "here", command="deploy") as session:
        assert (set(session.state.facts), session.state.serial, session.recovered) == ({"a"}, 1, False)
    assert store(tmp_path).targets("plaza") == ["here"]
    assert not [key for key, _ in FolderBlobs(tmp_path / "objects").list("plaza/here.journal/")]


def test_a_second_writer_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    with store(tmp_path).open("plaza", "here", command="deploy"):
        assert store(tmp_path).holder("plaza", "here").command == "deploy"  # type: ignore[union-attr]
        with (
            pytest.raises(Refused, match=r"locked by .*process \d+, `rehost deploy`"),
            store(tmp_path).open("plaza", "here", command="destroy"),
        ):
            pass
        with pytest.raises(Refused, match="is locked by"):
            store(tmp_path).unlock("plaza", "here")
    assert store(tmp_path).holder("plaza", "here") is None


def test_a_holder_elsewhere_gives_signs_of_life_and_stays_until_it_is_unlocked(
    tmp_path: Path, move: Callable[[str], None]
) -> None:
    move("laptop")
    gone = store(tmp_path).open("plaza", "here", command="deploy")
    gone.__enter__()
    move("desk")
    with pytest.raises(Refused, match="on laptop"), store(tmp_path).open("plaza", "here", command="deploy"):
        pass
    holder = store(tmp_path).unlock("plaza", "here")
    assert holder is not None
    assert holder.host == "laptop"
    with store(tmp_path).open("plaza", "here", command="deploy") as session:
        session.append(fact("b"))
    gone.__exit__(None, None, None)
    assert facts(tmp_path) == {"b"}


@pytest.mark.parametrize("keeps_on", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
def test_who_lost_the_lock_stops_and_harms_nothing(
    tmp_path: Path, move: Callable[[str], None], when: str, keeps_on: bool
) -> None:
    """The first holder sleeps at one of its calls; meanwhile it is unlocked, and another one works."""
    number = 1
    while _sleeps_at(tmp_path / str(number), move, number, when, keeps_on):
        number += 1
    assert number > 10


def _sleeps_at(folder: Path, move: Callable[[str], None], at: int, when: str, keeps_on: bool) -> bool:
    """Answers whether the first holder made so many calls."""
    folder.mkdir()
    acknowledged: set[str] = set()
    others = ExitStack()
    slept = False
    sessions: list[Session] = []

    def sleep(number: int, moment: str) -> None:
        nonlocal slept
        if slept or (number, moment) != (at, when):
            return
        slept = True
        move("desk")
        store(folder).unlock("plaza", "here")
        sessions.append(others.enter_context(store(folder).open("plaza", "here", command="deploy")))
        sessions[0].append(fact("other"))
        acknowledged.add("other")
        if not keeps_on:
            others.close()
        move("laptop")

    move("laptop")
    try:
        with store(folder, sleep).open("plaza", "here", command="deploy") as session:
            for name in ("a", "b"):
                session.append(fact(name))
                acknowledged.add(name)
            session.replace(copy.deepcopy(session.state))
    except Refused:
        assert slept
    move("desk")
    if slept and keeps_on:
        sessions[0].append(fact("more"))
        acknowledged.add("more")
        others.close()
    found = facts(folder)
    assert acknowledged <= found, at
    with store(folder).open("plaza", "here", command="deploy") as session:
        session.append(fact("last"))
    assert facts(folder) == found | {"last"}, at
    return slept


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_call_that_fails_at_any_moment_loses_nothing(tmp_path: Path, when: str) -> None:
    """The answer is an error, whether the call had its effect or not; the same process goes on afterwards."""
    number, failed = 0, True
    while failed:
        number += 1
        folder, acknowledged, failed = tmp_path / str(number), set(), False
        folder.mkdir()

        def fail(call: int, moment: str, at: int = number) -> None:
            nonlocal failed
            if (call, moment) == (at, when):
                failed = True
                raise ProviderError("no answer", reason=Reason.UNCERTAIN)

        with suppress(ProviderError), store(folder, fail).open("plaza", "here", command="deploy") as session:
            for name in ("a", "b"):
                session.append(fact(name))
                acknowledged.add(name)
        assert acknowledged <= facts(folder), number
        with store(folder).open("plaza", "here", command="deploy") as session:
            session.append(fact("next"))
        assert acknowledged | {"next"} <= facts(folder), number
    assert number > 10


def _killed_at(folder: Path, number: int, when: str, told: Any) -> None:
    def kill(call: int, moment: str) -> None:
        if (call, moment) == (number, when):
            os._exit(9)

    with store(folder, kill).open("plaza", "here", command="deploy") as session:
        for name in ("a", "b", "c"):
            session.append(fact(name))
            told.send(name)
    os._exit(0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_writer_killed_at_any_call_has_lost_nothing_and_is_followed_at_once(tmp_path: Path, when: str) -> None:
    fork = multiprocessing.get_context("fork")
    number, code = 0, 9
    while code == 9:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        with store(folder).open("plaza", "here", command="deploy") as session:
            session.append(fact("old"))
        out, into = fork.Pipe(duplex=False)
        child = fork.Process(target=_killed_at, args=(folder, number, when, into))
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
        with store(folder).open("plaza", "here", command="deploy") as session:
            assert acknowledged <= set(session.state.facts), number
            session.append(fact("next"))
        assert acknowledged | {"next"} <= facts(folder)
    assert number > 15
    assert code == 0


def test_backups_are_kept_and_old_ones_go(tmp_path: Path) -> None:
    for number in range(23):
        with store(tmp_path).open("plaza", "here", command="deploy") as session:
            session.append(fact(f"f{number}"))
    kept = store(tmp_path).backups("plaza", "here")
    assert [backup.serial for backup in kept] == list(range(3, 23))
    assert "f21" in store(tmp_path).backup("plaza", "here", 22)
    with pytest.raises(RehostError, match="no backup 1"):
        store(tmp_path).backup("plaza", "here", 1)


def test_a_gap_in_the_journal_is_an_error_and_a_late_object_is_not(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path / "objects")
    blobs.put("plaza/here.journal/00000000-00000003", b"written long after the rest was folded")
    with store(tmp_path).open("plaza", "here", command="deploy") as session:
        for name in ("a", "b", "c"):
            session.append(fact(name))
        keys = [key for key, _ in blobs.list("plaza/here.journal/00000001")]
        assert len(keys) == 3
        blobs.delete(keys[1])
        with pytest.raises(RehostError, match="has a gap"):
            facts(tmp_path)
    assert facts(tmp_path) == {"a", "b", "c"}


def test_a_session_that_changes_nothing_writes_nothing_but_its_lock(tmp_path: Path) -> None:
    with store(tmp_path).open("plaza", "here", command="deploy") as session:
        assert isinstance(session, Session)
    assert [key for key, _ in FolderBlobs(tmp_path / "objects").list("")] == ["plaza/here.lock"]
