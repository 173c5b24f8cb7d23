"""What is said about files: every problem in one run, with its place, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rehost.providers.registry import adapter
from rehost.stacks.load import load
from rehost.stacks.validate import validate


def codes(path: Path, text: str) -> list[tuple[str, int]]:
    file = path / "stack.yaml"
    file.write_text(text)
    return [(d.code, d.span.line) for d in validate(load([file], environment={}), adapter)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("empty", 1)]),
        ("- a\n", [("no-mapping", 1)]),
        ("stack: [\n", [("yaml", 2)]),
        ("stack: plaza\nstack: other\n", [("duplicate-key", 2)]),
        ("stack: plaza\n---\nstack: b\n", [("many-documents", 3)]),
        ("stack: plaza\nsevers: {}\n", [("unknown-key", 2)]),
        ("stack: plaza\nservices: {}\n", [("not-yet", 2)]),
        ("stack: plaza\nservers:\n  app: {count: many}\n", [("value", 3)]),
        ("stack: plaza\nservers:\n  app: {firewalls: [web]}\n", [("reference", 3)]),
        ("stack: plaza\nvolumes:\n  data: {size: 1GiB, on: app}\n", [("reference", 3)]),
        ("stack: plaza\nservers:\n  a: {user_data: '${servers.a.private_ip}'}\n", [("cycle", 3)]),
        ("stack: plaza\nservers:\n  a: {user_data: '${servers.a.private}'}\n", [("reference", 3), ("cycle", 3)]),
        ("stack: plaza\nservers:\n  a: {user_data: '${env.NO}'}\n", [("environment", 3)]),
        ("stack: plaza\ntargets:\n  t: {provider: nobody}\n", [("provider", 3)]),
        (
            "stack: plaza\nnetwork:\n  cidr: 10.0.0.0/16\n  subnets:\n"
            "    a: {cidr: 10.0.0.0/24}\n    b: {cidr: 10.0.0.0/25}\n    c: {cidr: 10.1.0.0/24}\n",
            [("overlap", 6), ("outside", 7)],
        ),
        ("stack: plaza\ndns:\n  plaza.example:\n    - {cname: a.example}\n", [("cname-apex", 4)]),
        ("stack: plaza\nfirewalls:\n  w: {ingress: [{to: anywhere}]}\n", [("rule-direction", 3)]),
        ("stack: plaza\nssh_keys: {a: nonsense}\n", [("ssh-key", 2)]),
    ],
)
def test_each_mistake_is_told_once_with_its_line(
    tmp_path: Path, text: str, expected: list[tuple[str, int]]
) -> None:
    assert codes(tmp_path, text) == expected


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = "stack: Plaza\nnetwork: {zonez: 1}\nservers:\n  app: {count: -1, imgae: x}\n"
    assert [line for _, line in codes(tmp_path, text)] == [1, 2, 4, 4]


def test_settings_and_overlays_win_in_order(tmp_path: Path) -> None:
    base, over = tmp_path / "a.yaml", tmp_path / "b.yaml"
    base.write_text("stack: plaza\nservers: {app: {count: 1, public: true}}\n")
    over.write_text("servers: {app: {count: 2}}\n")
    stack = load([base, over]).stack
    assert stack is not None
    assert (stack.servers["app"].count, stack.servers["app"].public) == (2, True)
    stack = load([base, over], sets=["servers.app.count=3"]).stack
    assert stack is not None
    assert stack.servers["app"].count == 3


def test_aliases_that_explode_are_refused(tmp_path: Path) -> None:
    rows = ["stack: plaza", "a0: &a0 [x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert ("too-much", 7) in codes(tmp_path, "\n".join(rows))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_make_a_traceback(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "stack.yaml"
    file.write_bytes(content)
    assert validate(load([file], environment={}), adapter)


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner)
)
_keys = st.sampled_from(
    ["network", "servers", "firewalls", "volumes", "dns", "buckets", "secrets", "checks", "targets"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_keys, st.dictionaries(st.sampled_from(["app", "cidr", "x.example"]), _values) | _values))
def test_no_structure_makes_a_traceback(tmp_path: Path, data: dict[str, object]) -> None:
    import json

    file = tmp_path / "stack.yaml"
    file.write_text(json.dumps({"stack": "plaza", **data}))
    validate(load([file], environment={}), adapter)
