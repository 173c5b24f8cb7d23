"""What docs/stack-files.md shows is valid as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rehost.providers.registry import adapter
from rehost.stacks.load import load
from rehost.stacks.validate import errors, validate

PAGE = Path(__file__).parents[2] / "docs" / "stack-files.md"
YAML, OVERRIDE, PROGRAM, *SECTIONS = re.findall(
    r"```(?:yaml|python)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
)


@pytest.mark.parametrize(
    "files",
    [{"stack.yaml": YAML}, {"stack.py": PROGRAM}, {"stack.yaml": YAML, "stack.override.yaml": OVERRIDE}],
    ids=["yaml", "program", "override"],
)
def test_a_shown_stack_is_valid(tmp_path: Path, files: dict[str, str]) -> None:
    paths = [tmp_path / name for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    loaded = load(paths, environment={})
    assert errors(validate(loaded, adapter)) == []
    assert loaded.stack is not None
    assert list(loaded.stack.servers) == (["web", "db"] if list(files) == ["stack.yaml"] else ["web"])


@pytest.mark.parametrize("number", range(len(SECTIONS)))
def test_the_stack_of_a_section_is_valid(tmp_path: Path, number: int) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text(SECTIONS[number], encoding="utf-8")
    loaded = load([path], environment={})
    assert validate(loaded, adapter) == []
    assert loaded.stack is not None
