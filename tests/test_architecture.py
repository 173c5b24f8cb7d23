"""Imports point one way, and the core names no provider: read off the syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rehost.providers import registry

SOURCE = Path(__file__).parents[1] / "src" / "rehost"
CORE = sorted((SOURCE / "stacks").rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_core_imports_no_provider_no_command_line_and_no_sdk(path: Path) -> None:
    for name in imported(path):
        assert not name.startswith(("rehost.providers", "rehost.cli", "boto", "hcloud", "moto", "requests")), name


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_core_names_no_provider(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value not in registry.names()


def test_providers_do_not_import_the_command_line() -> None:
    for path in (SOURCE / "providers").rglob("*.py"):
        assert not any(name.startswith("rehost.cli") for name in imported(path)), path


def test_adapters_load_without_their_sdks() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from rehost.providers import registry\n"
        "for name in registry.names(): registry.adapter(name)\n"
        "print([m for m in ('boto3', 'hcloud', 'requests', 'moto') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
