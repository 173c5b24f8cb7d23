"""What holds of every state: it is read as it was written, and any beginning of a journal makes a valid one."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rehost.stacks.errors import InvalidInput, RehostError
from rehost.stacks.graph import Secret
from rehost.stacks.state import Binding, Crypter, Fact, Intent, Passphrase, ResourceState, State, pulumi
from rehost.stacks.state.crypt import Opening
from rehost.stacks.state.journal import line, replay
from rehost.stacks.state.pulumi import ROOT_TYPE

HORSE = Passphrase("horse")
SALT = Crypter(HORSE)
SALT.prepare()
TYPES = ("aws:ec2/vpc:Vpc", "aws:ec2/instance:Instance", "minio:index/s3Bucket:S3Bucket")


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda of: st.lists(of, max_size=2) | st.dictionaries(words, of, max_size=2), max_leaves=4
    )


words = st.text(st.characters(), max_size=8)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
plain = nested(st.none() | st.booleans() | numbers | words)
values = nested(plain | plain.map(Secret))
properties = st.dictionaries(words, values, max_size=3)
names = st.text("abc/@*-", min_size=1, max_size=3)
urns = st.builds(lambda type_, name: f"urn:pulumi:here::plaza::{type_}::{name}", st.sampled_from(TYPES), names)
LONE = f"urn:pulumi:here::plaza::{TYPES[0]}::a"
stamps = st.sampled_from(["", "2026-01-02T03:04:05.678Z"])


@st.composite
def resources(draw: st.DrawFn, urn: str) -> ResourceState:
    # What depends on each other in a circle can't come about.
    needs = tuple(sorted(other for other in draw(st.sets(urns, max_size=3)) if other < urn))
    kept = (draw(properties), draw(properties), needs, draw(words), draw(stamps), draw(stamps))
    return ResourceState(urn, urn.split("::")[2], draw(names), *kept)


@st.composite
def intents(draw: st.DrawFn, n: int) -> Intent:
    urn, action = draw(urns), draw(st.sampled_from(["create", "update", "delete"]))
    return Intent(n, action, urn, urn.split("::")[2], draw(words), draw(properties), draw(words), 1.5)


@st.composite
def states(draw: st.DrawFn) -> State:
    state = State("plaza", "here", draw(words), serial=draw(st.integers(0, 9)), applying=draw(words))
    if draw(st.booleans()):
        state.binding = Binding(draw(words), draw(words))
    state.resources = {urn: draw(resources(urn)) for urn in sorted(draw(st.sets(urns, max_size=4)))}
    for urn in draw(st.lists(urns, max_size=2)):
        old = draw(resources(urn))
        state.replaced[f"{urn}#{old.id}"] = old
    state.pending = {n: draw(intents(n)) for n in draw(st.sets(st.integers(0, 99), max_size=2))}
    state.facts = {key: Fact(key, draw(plain), draw(words)) for key in draw(st.sets(words, max_size=2))}
    state.secrets = {key: Secret(draw(plain)) for key in draw(st.sets(words, max_size=2))}
    return state


def parsed(text: str, opening: Opening = Opening.REQUIRED, crypter: Crypter | None = None) -> State:
    return pulumi.parse(text, "plaza", "here", crypter or Crypter(HORSE), opening, where="a file")


@settings(max_examples=60, deadline=None)
@given(states())
def test_a_state_is_read_as_it_was_written(state: State) -> None:
    crypter = Crypter(HORSE, SALT.salt_state)
    text = pulumi.dump(state, crypter)
    assert parsed(text) == state
    # Sealed through, without a passphrase: an export of an export.
    sealed = Crypter(Passphrase(None))
    assert parsed(pulumi.dump(parsed(text, Opening.NEVER, sealed), sealed)) == state
    shown = Crypter(HORSE, SALT.salt_state, shown=True)
    assert parsed(pulumi.dump(state, shown)) == state


# A lone surrogate, which JSON can write and UTF-8 can't.
@example(State("plaza", "here", "\ud800", pending={0: Intent(0, "create", LONE, TYPES[0], "", {}, "", 1.5)}))
@settings(max_examples=40, deadline=None)
@given(states())
def test_pulumi_finds_everything_before_what_depends_on_it(state: State) -> None:
    deployment = json.loads(pulumi.dump(state, Crypter(HORSE, SALT.salt_state)))["deployment"]
    seen: set[str] = set()
    providers = {
        f"{r['urn']}::{r['id']}" for r in deployment["resources"] if r["type"].startswith("pulumi:providers")
    }
    for row in deployment["resources"]:
        assert set(row.get("dependencies", ())) <= seen
        assert row["type"] == ROOT_TYPE or row["parent"] in seen
        assert "provider" not in row or row["provider"] in providers
        seen.add(row["urn"])
    assert all(op["resource"]["provider"] in providers for op in deployment["pending_operations"])


@st.composite
def entries(draw: st.DrawFn) -> list[Mapping[str, Any]]:
    """What engines append: each entry possible after those before it."""
    made: list[Mapping[str, Any]] = [{"kind": "deployment", "id": "d", "endpoint": "e", "account": "a"}]
    state = State("plaza", "here")
    state.apply(made[0])
    for number in range(draw(st.integers(0, 12))):
        kinds = ["facts", "secrets", "applying", "intent"]
        kinds += ["done", "made", "abandoned"] * bool(state.pending)
        kinds += ["refreshed", "gone", "forget", "replacing"] * bool(state.resources)
        kind = draw(st.sampled_from(kinds))
        entry: dict[str, Any] = {"kind": kind}
        if kind == "facts":
            entry["facts"] = {draw(words): draw(st.none() | st.just({"value": 1}))}
        elif kind == "secrets":
            entry["secrets"] = {draw(words): Secret(draw(plain))}
        elif kind == "applying":
            entry["plan"] = draw(words)
        elif kind == "intent":
            urn = draw(urns)
            action = draw(st.sampled_from(["create", "update", "delete"]))
            entry |= {
                "n": number,
                "action": action,
                "urn": urn,
                "type": urn.split("::")[2],
                "inputs": draw(properties),
            }
            entry |= {"dependencies": [], "component": draw(words), "time": 1.5}
        elif kind in ("done", "made", "abandoned"):
            entry |= {"n": draw(st.sampled_from(sorted(state.pending))), "id": draw(names)}
            entry |= {"inputs": draw(properties), "outputs": draw(properties), "time": 2.5}
        else:
            entry |= {"urn": draw(st.sampled_from(sorted(state.resources)))}
            entry |= {"inputs": draw(properties), "outputs": draw(properties)}
        made.append(entry)
        state.apply(copy.deepcopy(entry))
    return made


@settings(max_examples=40, deadline=None)
@given(entries(), st.data())
def test_every_beginning_of_a_journal_makes_a_valid_state(
    found: list[Mapping[str, Any]], data: st.DataObject
) -> None:
    crypter = Crypter(HORSE, SALT.salt_state)
    lines = [
        line({"kind": "base", "serial": 0}, crypter),
        line({"kind": "salt", "salt": SALT.salt_state}, crypter),
    ]
    lines += [line(entry, crypter) for entry in found]
    text = b"".join(lines)
    cut = data.draw(st.integers(0, len(text)))
    state, reader = State("plaza", "here"), Crypter(HORSE)
    whole = replay(text[:cut], state, reader, Opening.REQUIRED, where="a journal")
    expected, count, size = State("plaza", "here"), 0, 0
    for number, row in enumerate(lines):
        size += len(row)
        if size > cut:
            break
        count = size
        if number >= 2:
            expected.apply(copy.deepcopy(found[number - 2]))
    assert whole == count
    assert state == expected
    assert parsed(pulumi.dump(state, reader)) == state


@settings(max_examples=40, deadline=None)
@given(entries(), st.data())
def test_a_damaged_journal_is_an_error(found: list[Mapping[str, Any]], data: st.DataObject) -> None:
    crypter = Crypter(HORSE, SALT.salt_state)
    rows = [{"kind": "base", "serial": 0}, {"kind": "salt", "salt": SALT.salt_state}, *found]
    text = bytearray(b"".join(line(entry, crypter) for entry in rows))
    at = data.draw(st.integers(0, len(text) - 2))
    text[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RehostError, match="is damaged"):
        replay(bytes(text), State("plaza", "here"), Crypter(HORSE), Opening.REQUIRED, where="a journal")


@settings(max_examples=80, deadline=None)
@given(states(), st.data())
def test_a_file_changed_at_any_place_is_read_or_is_invalid_input(state: State, data: st.DataObject) -> None:
    document = json.loads(pulumi.dump(state, Crypter(HORSE, SALT.salt_state)))
    spot: Any = document
    while True:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if isinstance(spot[key], dict | list) and spot[key] and data.draw(st.integers(0, 3)):
            spot = spot[key]
            continue
        spot[key] = data.draw(st.sampled_from([None, 7, "x", [], {}, [7], {"x": 7}, True]))
        break
    try:
        found = parsed(json.dumps(document))
    except InvalidInput:
        return
    # What was accepted can be written, and is the same from then on.
    again = Crypter(HORSE, SALT.salt_state)
    assert parsed(pulumi.dump(found, again)) == found


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_a_traceback(junk: bytes) -> None:
    with pytest.raises(RehostError):
        parsed(junk.decode("utf-8", "replace"))
    state = State("plaza", "here")
    with contextlib.suppress(RehostError):
        replay(junk, state, Crypter(HORSE), Opening.REQUIRED, where="a journal")
    assert state == State("plaza", "here")
