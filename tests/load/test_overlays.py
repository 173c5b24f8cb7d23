"""Files laid over each other and --set: what wins, and that findings keep their places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rehost.providers.registry import adapter
from rehost.stacks.load import Loaded, find_stack_files, load, several_files
from rehost.stacks.validate import validate

BASE = """\
stack: plaza
servers:
  app: {count: 1, public: true, ssh_keys: [], firewalls: [web]}
firewalls:
  web:
    ingress:
      - {ports: 80}
  data: {}
dns:
  plaza.example:
    - {name: "@", to: servers.app}
    - {name: www, cname: plaza.example}
"""

Load = Callable[..., Loaded]


@pytest.fixture
def laid(tmp_path: Path) -> Load:
    """Loads BASE with further files over it."""

    def make(*texts: str, sets: tuple[str, ...] = ()) -> Loaded:
        paths = [tmp_path / f"{number}.yaml" for number in range(len(texts) + 1)]
        for path, text in zip(paths, (BASE, *texts), strict=True):
            path.write_text(text, encoding="utf-8")
        return load(paths, sets=sets, environment={})

    return make


def places(loaded: Loaded) -> list[tuple[str, str, int, int]]:
    return [(d.code, Path(d.span.file).name, d.span.line, d.span.column) for d in validate(loaded, adapter)]


def stack(loaded: Loaded) -> Any:
    assert loaded.stack is not None, places(loaded)
    return loaded.stack


def test_mappings_merge_and_scalars_are_replaced(laid: Load) -> None:
    made = stack(laid("servers: {app: {count: 2}, db: {}}\n", "servers: {app: {count: 3}}\n"))
    assert (made.servers["app"].count, made.servers["app"].public, list(made.servers)) == (3, True, ["app", "db"])


def test_lists_are_appended_and_what_is_there_already_is_not_repeated(laid: Load) -> None:
    over = "servers: {app: {firewalls: [web, data]}}\nfirewalls: {web: {ingress: [{ports: 80}, {ports: 443}]}}\n"
    made = stack(laid(over))
    assert made.servers["app"].firewalls == ("web", "data")
    assert [rule.ports for rule in made.firewalls["web"].ingress] == [("80",), ("443",)]


def test_a_record_replaces_the_one_of_its_name_and_type(laid: Load) -> None:
    over = 'dns: {plaza.example: [{name: "@", a: 203.0.113.7}, {name: "@", txt: hello}]}\n'
    records = stack(laid(over)).dns["plaza.example"]
    assert [(r.name, r.to, r.a, r.txt) for r in records] == [
        ("@", None, ("203.0.113.7",), None),
        ("www", None, None, None),
        ("@", None, None, ("hello",)),
    ]


def test_reset_takes_out_and_override_replaces_whole(laid: Load) -> None:
    made = stack(laid("servers: {app: !override {count: 4}}\ndns: !reset {}\nfirewalls: {data: !reset null}\n"))
    assert (made.servers["app"].public, made.servers["app"].firewalls, made.dns) == (False, (), {})
    assert list(made.firewalls) == ["web"]


def test_an_empty_value_over_a_mapping_says_nothing(laid: Load) -> None:
    assert list(stack(laid("servers:\ndns:\n")).servers) == ["app"]


def test_an_overlay_may_be_empty(laid: Load) -> None:
    assert stack(laid("# nothing yet\n")).stack == "plaza"


def test_findings_are_placed_in_the_file_that_says_it(laid: Load) -> None:
    over = "servers:\n  app: {firewalls: [wbe]}\ndns:\n  plaza.example:\n    - {name: api, cname: 203.0.113.7}\n"
    assert places(laid(over, "servers: {app: {cuont: 2}}\n")) == [
        ("reference", "1.yaml", 2, 21),
        ("record-value", "1.yaml", 5, 26),
        ("unknown-key", "2.yaml", 1, 17),
    ]


def test_an_overlay_that_is_no_yaml_hides_nothing_of_the_base(laid: Load) -> None:
    assert places(laid("servers: [\n", sets=("servers.app.count=-1",))) == [
        ("value", "--set servers.app.count=-1", 1, 19),
        ("yaml", "1.yaml", 2, 1),
    ]


@pytest.mark.parametrize(
    ("setting", "read", "value"),
    [
        ("servers.app.count=3", lambda s: s.servers["app"].count, 3),
        ("servers.app.public=false", lambda s: s.servers["app"].public, False),
        ("servers.app.image=debian-13", lambda s: s.servers["app"].image, "debian-13"),
        ("servers.app.labels.version='1.4'", lambda s: s.servers["app"].labels, {"version": "1.4"}),
        ("servers.app.user_data=#!/bin/sh\necho", lambda s: s.servers["app"].user_data, "#!/bin/sh\necho"),
        ("servers.app.labels.empty=", lambda s: s.servers["app"].labels, {"empty": ""}),
        ("servers.app.labels.note=a: b # c", lambda s: s.servers["app"].labels, {"note": "a: b # c"}),
        ("servers.app.labels.equals=a=b", lambda s: s.servers["app"].labels, {"equals": "a=b"}),
        ('servers.app.labels."a.b/c=d"=x', lambda s: s.servers["app"].labels, {"a.b/c=d": "x"}),
        ('dns."plaza.example"[0].ttl=60', lambda s: s.dns["plaza.example"][0].ttl, 60),
        (r"dns.plaza\.example[1].ttl=61", lambda s: s.dns["plaza.example"][1].ttl, 61),
        ('dns."plaza.example"[2]={name: a, a: 203.0.113.7}', lambda s: s.dns["plaza.example"][2].name, "a"),
        ('dns."plaza.example"[1]=!reset null', lambda s: len(s.dns["plaza.example"]), 1),
        ("servers.app.firewalls=[]", lambda s: s.servers["app"].firewalls, ()),
        ("network.cidr=10.9.0.0/16", lambda s: str(s.network.cidr), "10.9.0.0/16"),
        ("dns=!reset null", lambda s: s.dns, {}),
        ("servers.db.count=2", lambda s: s.servers["db"].count, 2),
    ],
)
def test_a_setting_changes_one_value(laid: Load, setting: str, read: Callable[[Any], Any], value: Any) -> None:
    assert read(stack(laid(sets=(setting,)))) == value


@pytest.mark.parametrize(
    ("setting", "code", "column"),
    [
        ("servers.app.cuont=3", "unknown-key", 13),
        ("sevrers.app.count=3", "unknown-key", 1),
        ("servers.app.count=many", "value", 19),
        ("servers.app.count.deep=1", "set", 19),
        ("servers[0]=1", "set", 8),
        ('dns."plaza.example".name=x', "set", 21),
        ('dns."plaza.example"[7].name=x', "set", 20),
        ("servers.app.labels={a: [}", "set", 20),
        ("servers.app.count", "set", 18),
        ("=3", "set", 1),
        ("", "set", 1),
        ("servers..count=3", "set", 9),
        ('servers."app.count=3', "set", 9),
        ("servers.app.count[x]=3", "set", 18),
        ("[0]=1", "set", 1),
        ("x\udcff=1", "set", 2),
        ("firewalls.web.ingress[0].ports[1]=443", "set", 31),
    ],
)
def test_a_wrong_setting_is_found_in_the_setting(laid: Load, setting: str, code: str, column: int) -> None:
    name = f"--set {setting}"
    found = [(d.code, d.span.file, d.span.line, d.span.column) for d in validate(laid(sets=(setting,)), adapter)]
    assert found == [(code, name, 1, column)]


def test_the_override_beside_the_stack_file_is_found_by_itself(tmp_path: Path) -> None:
    assert find_stack_files(tmp_path) == []
    for name in ("stack.override.yaml", "stack.yaml", "stack.py"):
        (tmp_path / name).write_text("")
    assert [path.name for path in find_stack_files(tmp_path)] == ["stack.yaml", "stack.override.yaml"]
    assert [(d.severity, d.span.file) for d in several_files(tmp_path)] == [("warning", "stack.py")]
