"""Stacks that programs build: the same model, and mistakes at the place in the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rehost.providers.registry import adapter
from rehost.stacks.load import Loaded, load
from rehost.stacks.model import Stack
from rehost.stacks.validate import validate

PLAZA = """\
from rehost import Bucket, Firewall, Network, Record, Rule, Server, Size, Stack, Target, Volume

web = Firewall(ingress=[Rule(ports=[80, "443"])], egress=[Rule(peers=["anywhere"], protocol="any")])
app = Server(count=2, size=Size(cpu=2, memory="10GB"), public=True, firewalls=["web"])
stack = Stack(
    stack="plaza",
    targets={"eu": Target(provider="hetzner", region="fsn1", object_storage_location="nbg1")},
    network=Network(cidr="10.0.0.0/16", zones=2),
    firewalls={"web": web},
    servers={"app": app, "copy": app.model_copy(update={"count": 1})},
    volumes={"data": Volume(size="20GiB", on="app")},
    buckets={"media": Bucket(versioning=True)},
    dns={"plaza.example": [Record(to="servers.app"), {"name": "www", "cname": "@"}]},
)
"""

SAME = """\
stack: plaza
targets: {eu: {provider: hetzner, region: fsn1, object_storage_location: nbg1}}
network: {cidr: 10.0.0.0/16, zones: 2}
firewalls: {web: {ingress: [{ports: [80, 443]}], egress: [{to: anywhere, protocol: any}]}}
servers:
  app: &app {count: 2, size: {cpu: 2, memory: 10GB}, public: true, firewalls: [web]}
  copy: {<<: *app, count: 1}
volumes: {data: {size: 20GiB, on: app}}
buckets: {media: {versioning: true}}
dns: {plaza.example: [{to: servers.app}, {name: www, cname: "@"}]}
"""


def run(folder: Path, text: str, name: str = "stack.py", **options: object) -> Loaded:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load([path], environment={}, **options)  # type: ignore[arg-type]


def places(loaded: Loaded) -> list[tuple[str, int, int]]:
    return [(d.code, d.span.line, d.span.column) for d in validate(loaded, adapter)]


def test_a_program_builds_the_stack_that_yaml_describes(tmp_path: Path) -> None:
    program = run(tmp_path, PLAZA)
    assert places(program) == []
    assert program.stack == run(tmp_path, SAME, "stack.yaml").stack


def test_a_function_may_build_it_with_modules_beside_it(tmp_path: Path) -> None:
    (tmp_path / "sizes.py").write_text("COUNT = 3\n")
    text = "import sizes\nfrom rehost import Server, Stack\ndef stack():\n"
    text += "    return Stack(stack='plaza', servers={'app': Server(count=sizes.COUNT)})\n"
    for count in (3, 4):
        (tmp_path / "sizes.py").write_text(f"COUNT = {count}\n")
        loaded = run(tmp_path, text)
        assert loaded.stack is not None
        assert loaded.stack.servers["app"].count == count
    assert "sizes" not in sys.modules
    assert not (tmp_path / "__pycache__").exists()


def test_settings_and_overlays_apply_to_a_program(tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text("servers: {app: {public: false}}\ndns: !reset {}\n")
    (tmp_path / "stack.py").write_text(PLAZA)
    loaded = load([tmp_path / "stack.py", tmp_path / "over.yaml"], sets=["servers.app.count=5"], environment={})
    assert loaded.stack is not None
    assert (loaded.stack.servers["app"].count, loaded.stack.servers["app"].public) == (5, False)


def test_every_mistake_is_told_at_its_argument(tmp_path: Path) -> None:
    text = """\
from rehost import Firewall, Rule, Server, Size, Stack

def group(count):
    return Server(count=count, size=Size(cpu=0))

stack = Stack(
    stack="plaza",
    servers={
        "app": Server(imgae="debian-12", firewalls=["web", "wbe"]),
        "db": group("many"),
        "App": Server(),
    },
    firewalls={"web": Firewall(ingress=[Rule(ports=[80, 70000])])},
    checks=[{"http": "plaza.example"}],
)
"""
    assert places(run(tmp_path, text)) == [
        ("value", 4, 25),
        ("value", 4, 46),
        ("unknown-key", 9, 23),
        ("reference", 9, 60),
        ("name", 11, 9),
        ("value", 13, 57),
        ("value", 14, 22),
    ]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("stack = 1 +\n", "python", 1),
        ("x = 1\nstack = {}['plaza']\n", "python", 2),
        ("def f():\n    raise RuntimeError('no')\nstack = f()\n", "python", 2),
        ("import json\nstack = json.loads('{')\n", "python", 2),
        ("import sys\n\nsys.exit(3)\n", "python", 3),
        ("raise SystemExit\n", "python", 1),
        ("from rehost import Sever\n", "python", 1),
        ("import no_such_module_at_all\n", "python", 1),
        ("def f(): f()\nf()\n", "python", 1),
        ("class E(Exception):\n    def __str__(self):\n        raise self\nraise E\n", "python", 4),
        ("from rehost import Server\na = Server(count='x')\nprint(a.members('a'))\n", "python", 3),
        ("from rehost import Stack\n\nStack.model_validate({'stack': 5})\n", "python", 3),
        ("", "no-stack", 1),
        ("from rehost import Stack\nplaza = Stack(stack='plaza')\n", "no-stack", 1),
        ("\nstack = {'stack': 'plaza'}\n", "no-stack", 2),
        ("from rehost import Stack\nstack = Stack\n", "no-stack", 2),
        ("from rehost import Server\n\nstack = Server()\n", "no-stack", 3),
        ("\ndef stack():\n    return None\n", "no-stack", 2),
        ("\ndef stack(a):\n    return a\n", "python", 1),
        ("from rehost import Stack\nstack = Stack('plaza')\n", "python", 2),
        ("from rehost import Stack\nstack = Stack()\n", "python", 2),
        ("from rehost import Stack\na = []\na.append(a)\nstack = Stack(stack=a)\n", "too-much", 1),
        ("from rehost import Stack\nstack = Stack(stack='plaza', servers={1: {}})\n", "name", 2),
        ("from rehost import Stack\nstack = Stack(stack='plaza', servers=object())\n", "value", 2),
        ("from rehost import Stack\nstack = Stack(stack='plaza', servers={'\\udcff': {}})\n", "name", 2),
        ("from rehost import Stack\nstack = Stack(stack='plaza', **{'\\udcff': 1})\n", "value", 2),
    ],
)
def test_a_program_that_fails_is_a_finding_at_its_line(tmp_path: Path, text: str, code: str, line: int) -> None:
    found = validate(run(tmp_path, text), adapter)
    assert [(d.code, d.span.line, Path(d.span.file).name) for d in found] == [(code, line, "stack.py")]


def test_what_is_asked_of_a_component_that_is_not_valid_tells_why(tmp_path: Path) -> None:
    loaded = run(
        tmp_path, "from rehost import Server\na = Server(count='x', public=True)\na.public\na.members('a')\n"
    )
    assert "count: Input should be a valid integer" in loaded.diagnostics[0].summary


def test_a_subclass_of_the_stack_is_one(tmp_path: Path) -> None:
    loaded = run(tmp_path, "from rehost import Stack\nclass Mine(Stack):\n    pass\nstack = Mine(stack='plaza')\n")
    assert loaded.stack == Stack(stack="plaza")


def test_what_a_program_prints_is_not_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "print('hello')\n" + PLAZA).stack is not None
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_the_model_is_as_strict_as_ever_outside_a_program() -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        Stack(stack="plaza", severs={})  # type: ignore[call-arg]


def test_importing_the_package_loads_no_model() -> None:
    program = (
        "import sys, rehost; print('pydantic' in sys.modules, rehost.Server.__name__, 'Volume' in dir(rehost))"
    )
    run_ = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run_.stdout.split() == ["False", "Server", "True"]
