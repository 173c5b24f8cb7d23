"""Anything at all as input: never an exception, always findings with a place, or a stack."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, get_origin

import pytest
from corpus import BROKEN, VALID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rehost.providers.registry import adapter, names
from rehost.stacks.load import Loaded, load
from rehost.stacks.load.shape import below, file_keys, is_component
from rehost.stacks.model import Stack
from rehost.stacks.validate import errors, validate

EXAMPLE = Path(__file__).parents[2] / "examples" / "plaza" / "stack.yaml"
SEEDS = [EXAMPLE.read_bytes(), *(path.read_bytes() for path in BROKEN + VALID if path.stat().st_size < 2000)]

fuzzed = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def holds(loaded: Loaded) -> None:
    """What is true of every input: either there is a stack, or an error says where to look."""
    found = validate(loaded, adapter)
    for diagnostic in found:
        assert diagnostic.summary
        assert diagnostic.why, diagnostic
        assert diagnostic.fix, diagnostic
        assert diagnostic.span.file
        assert diagnostic.span.line >= 1
        assert diagnostic.span.column >= 1
        source = loaded.sources.get(diagnostic.span.file)
        if source is not None:
            assert diagnostic.span.line <= source.count("\n") + source.count("\r") + 1
    if loaded.stack is None:
        assert errors(found)
    else:
        assert isinstance(loaded.stack, Stack)


def written(folder: Path, content: bytes | str, name: str = "stack.yaml") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


@fuzzed
@given(st.binary(max_size=300))
def test_bytes(tmp_path: Path, content: bytes) -> None:
    holds(load([written(tmp_path, content)], environment={}))


@fuzzed
@given(st.text(st.sampled_from("abc:-[]{},&*!|>%@`'\"#?~ \n\t\r$<\u2028é😀"), max_size=120))
def test_text_that_looks_like_yaml(tmp_path: Path, content: str) -> None:
    holds(load([written(tmp_path, content)], environment={}))
    holds(load([written(tmp_path, "stack: plaza\nservers:\n  app:\n" + content)], environment={}))


@fuzzed
@given(st.sampled_from(SEEDS), st.data())
def test_files_of_which_pieces_are_changed(tmp_path: Path, seed: bytes, data: st.DataObject) -> None:
    content = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 20)))
        other = data.draw(st.sampled_from(SEEDS))
        content[start:end] = data.draw(st.binary(max_size=6) | st.just(other[start:end]))
    holds(load([written(tmp_path, bytes(content))], environment={}))


_WORDS = """
app web zone-1 a.example @ anywhere servers.app servers.app-1 debian-12 10.0.0.0/8 4GiB 80-90
${servers.app.private_ip} ${volumes.app.device} ${env.HOME} ${ $$
"""
_words = st.sampled_from([*_WORDS.split(), "10 a.example"])
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | _words
_keys = st.text(max_size=6) | _words


def _below(shape: Any) -> st.SearchStrategy[Any]:
    """Values that mostly have the form of the model, so that checks behind the form are reached."""
    if is_component(shape):
        fields = st.fixed_dictionaries({}, optional={key: _any(below(shape, key)) for key in file_keys(shape)})
        return fields
    if get_origin(shape) is dict:
        return st.dictionaries(_keys, _any(below(shape, "x")), max_size=3)
    if get_origin(shape) is tuple:
        return st.lists(_any(below(shape, 0)), max_size=3) | _words
    return _scalars


def _any(shape: Any) -> st.SearchStrategy[Any]:
    return st.one_of(*[st.deferred(lambda: _below(shape))] * 4, _scalars)


_stacks = st.deferred(lambda: _below(Stack)).map(lambda data: {**data, "stack": "plaza"})
_targets = st.fixed_dictionaries(
    {
        name: st.fixed_dictionaries(
            {"provider": st.just(name), "region": st.sampled_from(list(adapter(name).regions()))}
        )
        for name in names()
    }
)


@fuzzed
@given(_stacks, _targets | st.just({}))
def test_structures_of_the_models_form(tmp_path: Path, data: dict[str, Any], targets: dict[str, Any]) -> None:
    content = json.dumps({**data, "targets": targets} if targets else data)
    holds(load([written(tmp_path, content)], environment={}))


@fuzzed
@given(_stacks, _stacks)
def test_overlays(tmp_path: Path, first: dict[str, Any], second: dict[str, Any]) -> None:
    paths = [written(tmp_path, json.dumps(data), f"{n}.yaml") for n, data in enumerate((first, second))]
    holds(load([EXAMPLE, *paths], environment={}))


_settings = st.text(st.sampled_from('servers.app[0]="\\={}!&*: '), max_size=20) | st.tuples(
    st.sampled_from(
        ["servers.app.count", 'dns."plaza.example"[0]', "stack", "network.cidr", "firewalls.web", "x"]
    ),
    st.text(max_size=8) | _words,
).map("=".join)


@fuzzed
@given(st.lists(_settings, max_size=4))
def test_settings(sets: list[str]) -> None:
    holds(load([EXAMPLE], sets=sets, environment={}))


@fuzzed
@given(_stacks)
def test_programs(tmp_path: Path, data: dict[str, Any]) -> None:
    arguments = ", ".join(f"{key}={value!r}" for key, value in data.items())
    text = f"from rehost import Stack\ninf, nan = float('inf'), float('nan')\nstack = Stack({arguments})\n"
    holds(load([written(tmp_path, text, "stack.py")], environment={}))


@pytest.mark.parametrize("name", ["nowhere.yaml", "folder", "nul\0.yaml", "a" * 300])
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    loaded = load([tmp_path / name], environment={})
    holds(loaded)
    assert [found.code for found in loaded.diagnostics] in (["no-file"], ["unreadable"])


def test_a_pipe_and_a_large_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert [d.code for d in load([tmp_path / "pipe.yaml"]).diagnostics] == ["no-file"]
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(6_000_000)
    assert [d.code for d in load([tmp_path / "large.yaml"]).diagnostics] == ["too-large"]
