"""States that Pulumi's own command line wrote (v3.274.1: `stack export`, and the file of its local backend)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rehost.stacks.errors import InvalidInput
from rehost.stacks.graph import Secret, reveal
from rehost.stacks.state import Crypter, Passphrase, State, pulumi
from rehost.stacks.state.crypt import Opening

DATA = Path(__file__).parent / "data"
SEALED = r'"v1:[^":]+:[^":]+"'
"""One of the ways in which the same secret is sealed."""
RIGHT = Passphrase("correct horse")


def parsed(document: Any, passphrase: Passphrase = RIGHT) -> State:
    text = document if isinstance(document, str) else json.dumps(document)
    return pulumi.parse(text, "plaza", "hetzner", Crypter(passphrase), Opening.REQUIRED, where="the file")


@pytest.fixture
def export() -> Any:
    return json.loads((DATA / "pulumi-export.json").read_text())


@pytest.mark.parametrize("name", ["pulumi-export.json", "pulumi-checkpoint.json"])
def test_what_pulumi_wrote_is_read_with_its_secrets(name: str) -> None:
    state = parsed((DATA / name).read_text())
    assert len(state.resources) == 8
    token = state.secrets["token"]
    assert isinstance(token, Secret)
    server = next(r for r in state.resources.values() if r.component == "servers.app-1")
    assert reveal(server.inputs["userData"]) == f"token={token.value}"
    assert isinstance(server.inputs["userData"], Secret)
    assert state.deployment


def test_what_is_written_again_is_what_pulumi_wrote(export: Any) -> None:
    crypter = Crypter(RIGHT)
    state = pulumi.parse(json.dumps(export), "plaza", "hetzner", crypter, Opening.REQUIRED, where="the file")
    written = json.loads(re.sub(SEALED, '"sealed"', pulumi.dump(state, crypter)))["deployment"]
    export = json.loads(re.sub(SEALED, '"sealed"', json.dumps(export)))
    theirs, ours = ({row["urn"]: row for row in found["resources"]} for found in (export["deployment"], written))
    assert theirs.keys() == ours.keys()
    for urn, row in theirs.items():
        # The root's outputs are ours, and may grow.
        for key in row.keys() - (set() if row["custom"] else {"outputs"}):
            assert ours[urn].get(key, {}) == row[key], (urn, key)
    assert written["secrets_providers"] == export["deployment"]["secrets_providers"]


@pytest.mark.parametrize("name", ["pulumi-export.json", "pulumi-checkpoint.json"])
def test_a_wrong_passphrase_is_said(name: str) -> None:
    with pytest.raises(InvalidInput, match="the passphrase is wrong"):
        parsed((DATA / name).read_text(), Passphrase("battery staple"))


def test_version_4_is_read_and_others_are_refused_by_name(export: Any) -> None:
    assert parsed({**export, "version": 4, "features": ["hooks"]}).resources
    with pytest.raises(InvalidInput, match="version 5 of Pulumi's format"):
        parsed({**export, "version": 5})
    with pytest.raises(InvalidInput, match="features that are not known: byteString, time-travel"):
        parsed({**export, "version": 4, "features": ["byteString", "taint", "time-travel"]})


@pytest.mark.parametrize(
    ("mark", "value"),
    [("protect", True), ("external", True), ("taint", True), ("retainOnDelete", True), ("viewOf", "urn:x")],
)
def test_marks_that_would_be_lost_are_refused_by_name(export: Any, mark: str, value: object) -> None:
    export["deployment"]["resources"][-1][mark] = value
    with pytest.raises(InvalidInput, match=f"can't keep: {mark} of urn:pulumi:"):
        parsed(export)


def test_what_pulumi_deleted_for_its_replacement_is_gone(export: Any) -> None:
    export["deployment"]["resources"][-1]["pendingReplacement"] = True
    assert len(parsed(export).resources) == 7


def test_operations_that_pulumi_did_not_end_are_refused_by_name(export: Any) -> None:
    row = export["deployment"]["resources"][-1]
    export["deployment"]["pending_operations"] = [{"resource": row, "type": "creating"}]
    with pytest.raises(InvalidInput, match="the end of an operation of Pulumi is not known: creating urn:"):
        parsed(export)


def test_secrets_of_another_keeper_are_refused_by_name(export: Any) -> None:
    export["deployment"]["secrets_providers"] = {"type": "cloud", "state": {"url": "awskms://x"}}
    with pytest.raises(InvalidInput, match="kept by 'cloud'") as caught:
        parsed(export)
    assert "change-secrets-provider" in caught.value.fix


def test_secrets_in_plain_are_taken_and_sealed(export: Any) -> None:
    crypter = Crypter(RIGHT)
    state = pulumi.parse(json.dumps(export), "plaza", "hetzner", crypter, Opening.REQUIRED, where="the file")
    plain = pulumi.dump(state, Crypter(RIGHT, crypter.salt_state, shown=True))
    token = reveal(state.secrets["token"])
    assert token in plain
    assert parsed(plain) == state
    assert token not in pulumi.dump(parsed(plain), Crypter(RIGHT))


def test_an_empty_stack_of_the_file_backend_is_an_empty_state() -> None:
    assert parsed({"version": 3, "checkpoint": {"stack": "organization/plaza/hetzner"}}) == State(
        "plaza", "hetzner"
    )
