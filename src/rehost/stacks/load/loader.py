"""The way from files, overlays and --set to a Stack."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rehost.stacks.diagnostics import Diagnostic, Severity, Span
from rehost.stacks.load.build import build
from rehost.stacks.load.environment import substitute
from rehost.stacks.load.loaded import Loaded
from rehost.stacks.load.merge import merge, settled
from rehost.stacks.load.settings import apply_setting, name_of
from rehost.stacks.load.text import decode, read_bytes, shown_name
from rehost.stacks.load.tree import Placed
from rehost.stacks.load.yamlfile import parse_yaml

NAMES = ("stack.yaml", "stack.yml", "stack.py")
OVERRIDES = ("stack.override.yaml", "stack.override.yml")


def find_stack_files(folder: Path) -> list[Path]:
    """The stack file of a folder and the override beside it, if there is one; empty without a stack file."""
    chosen = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if chosen is None:
        return []
    override = next((folder / name for name in OVERRIDES if (folder / name).is_file()), None)
    return [chosen, override] if override else [chosen]


def load(
    files: Sequence[Path], *, sets: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Loaded:
    """The stack of one or more files (later ones laid over the first) and `key=value` settings.

    A path `-` is the standard input, one that ends in .py a program that builds the stack. Never raises for
    anything in them: what is wrong is in `diagnostics`.
    """
    loaded = Loaded(file=shown_name(files[0]) if files else "")
    tree: Placed | None = None
    for number, path in enumerate(files):
        read = _read(path, loaded, number > 0)
        if number == 0:
            tree = settled(read) if read is not None else None
        elif read is not None and tree is not None:
            tree = merge(tree, read)
    if tree is None:
        return loaded
    for setting in sets:
        loaded.sources[name_of(setting)] = setting
        tree, problems = apply_setting(tree, setting)
        loaded.diagnostics += problems
    tree = substitute(tree, os.environ if environment is None else environment, loaded.diagnostics)
    build(tree, loaded)
    return loaded


def load_text(text: str, name: str, *, environment: Mapping[str, str] | None = None) -> Loaded:
    """The stack of a YAML text; `name` is what findings call it. Never raises for anything in it."""
    loaded = Loaded(file=name, sources={name: text})
    tree, loaded.diagnostics = parse_yaml(text, name)
    if tree is not None:
        tree = substitute(settled(tree), os.environ if environment is None else environment, loaded.diagnostics)
        build(tree, loaded)
    return loaded


def _read(path: Path, loaded: Loaded, overlay: bool) -> Placed | None:
    name = shown_name(path)
    raw = read_bytes(path)
    text = decode(raw, name) if isinstance(raw, bytes) else raw
    if isinstance(text, Diagnostic):
        loaded.diagnostics.append(text)
        return None
    loaded.sources[name] = text
    if path.suffix == ".py":
        from rehost.stacks.load.program import run_program

        tree, found = run_program(path, text)
    else:
        tree, found = parse_yaml(text, name)
        if overlay:
            found = [diagnostic for diagnostic in found if diagnostic.code != "empty"]
    loaded.diagnostics += found
    return tree


def several_files(folder: Path) -> list[Diagnostic]:
    """A warning where a folder has more than one file that could be the stack."""
    present = [name for name in NAMES if (folder / name).is_file()]
    if len(present) < 2:
        return []
    return [
        Diagnostic(
            "several-files",
            f"the folder has {' and '.join(present)}; {present[0]} is used",
            "a folder has one stack; the first of these names is taken",
            "name the one you mean with -f, or remove the others",
            span=Span(present[1], 1, 1),
            severity=Severity.WARNING,
        )
    ]
