"""One writer at a time; a dead one's lock is taken over; what returned from append is never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rehost.stacks.errors import InvalidInput, Refused, RehostError
from rehost.stacks.graph import Secret
from rehost.stacks.state import Passphrase, file_store

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


def test_secrets_need_the_passphrase_and_the_right_one(tmp_path: Path) -> None:
    with file_store(tmp_path, Passphrase("horse")).open("plaza", "here", command="deploy") as session:
        session.append({"kind": "secrets", "secrets": {"token": Secret("staple")}})
    again = file_store(tmp_path, Passphrase("horse")).read("plaza", "here")
    assert again.secrets == {"token": Secret("staple")}
    assert file_store(tmp_path, Passphrase(None)).read("plaza", "here").locked
    for passphrase, text in ((Passphrase("mule"), "wrong"), (Passphrase(None), "passphrase is needed")):
        store = file_store(tmp_path, passphrase)
        with pytest.raises(InvalidInput, match=text), store.open("plaza", "here", command="deploy"):
            pass
