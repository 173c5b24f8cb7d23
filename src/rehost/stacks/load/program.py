"""A `stack.py`: a Python program that builds the stack with the model's own classes.

The program has to leave a module-level `stack`: a `Stack`, or a function without parameters that returns one.
While it runs, the classes of the model note where they are called and let mistakes pass, so that all of them can
be told, each at the argument it stands in, by the same code that looks at YAML.
"""

from __future__ import annotations

import ast
import contextlib
import linecache
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

import rehost
from rehost.stacks.diagnostics import Diagnostic, Span, did_you_mean
from rehost.stacks.load.tree import Placed
from rehost.stacks.model import Component, Rule, Stack
from rehost.stacks.model.recording import Call, Draft, recording

_MODULE = "__rehost_stack__"
_ADDRESSES = (IPv4Address, IPv4Network, IPv6Address, IPv6Network)
_MAX_DEPTH = 100


def run_program(path: Path, text: str) -> tuple[Placed | None, list[Diagnostic]]:
    """The data of the stack that a program builds, and what is wrong with the program. Never raises for an
    exception in it; what it prints goes to stderr."""
    name = str(path)
    try:
        code = compile(text, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        line, column = getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1
        said = getattr(error, "msg", None) or str(error)
        summary = f"this is not valid Python: {said}"
        why = "the program can't be run"
        return None, [Diagnostic("python", summary, why, "correct the program", span=Span(name, line, column))]
    module = ModuleType(_MODULE)
    module.__file__ = name
    with recording() as calls, _imports_from(path.resolve().parent):
        sys.modules[_MODULE] = module
        try:
            with contextlib.redirect_stdout(sys.stderr):
                exec(code, module.__dict__)
                made = module.__dict__.get("stack")
                if callable(made) and not isinstance(made, Component | Draft | type):
                    made = made()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a user's program may raise anything, SystemExit included
            return None, [_raised(error, name)]
        finally:
            sys.modules.pop(_MODULE, None)
    return _stack_of(made, module, text, name, calls)


def _stack_of(
    made: Any, module: ModuleType, text: str, name: str, calls: Mapping[int, Call]
) -> tuple[Placed | None, list[Diagnostic]]:
    kind = made.kind if isinstance(made, Draft) else type(made)
    if not issubclass(kind, Stack) or isinstance(made, type):
        where = _assigned(text, "stack")
        span = Span(name, *(where or (1, 1)))
        if where is None and made is None:
            near = [word for word, value in vars(module).items() if isinstance(value, Stack | Draft)]
            fix = f"rename {near[0]!r} to 'stack'" if len(near) == 1 else "add: stack = Stack(stack=..., ...)"
            why = "a stack program leaves its result in that name"
            return None, [Diagnostic("no-stack", "the program defines no `stack`", why, fix, span=span)]
        fix = "assign a Stack: stack = Stack(stack=..., ...)"
        why = "it is either a Stack or a function that returns one"
        return None, [Diagnostic("no-stack", f"`stack` is {_a(kind)}, not a Stack", why, fix, span=span)]
    placer = _Placer(name, text, calls)
    try:
        tree = placer.placed(made, Span(name, 1, 1), None, 0)
    except RecursionError:
        summary = f"the stack is nested more than {_MAX_DEPTH} levels deep"
        why, fix = "what has no bounds would take all memory", "does a list contain itself?"
        return None, [Diagnostic("too-much", summary, why, fix, span=Span(name, 1, 1))]
    return _egress(tree), []


def _a(kind: type) -> str:
    return "None" if kind is type(None) else f"of type {kind.__name__}"


def _assigned(text: str, word: str) -> tuple[int, int] | None:
    """Line and column where a module assigns a name, the last time."""
    found = None
    for node in ast.parse(text).body:
        names = [node] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(n.name == word for n in names) or any(isinstance(t, ast.Name) and t.id == word for t in targets):
            found = (node.lineno, node.col_offset + 1)
    return found


def _raised(error: BaseException, name: str) -> Diagnostic:
    """An exception of the program, at the last line of the program itself that it went through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    span = Span(name, frames[-1].lineno or 1, (frames[-1].colno or 0) + 1) if frames else Span(name, 1, 1)
    said = _said(error)
    if isinstance(error, SystemExit):
        fix = "a stack program defines a stack and returns"
        return Diagnostic("python", "the program ends itself", f"it raises SystemExit({said})", fix, span=span)
    fix = "correct the program; `python` with its name shows the whole way to the error"
    if isinstance(error, ModuleNotFoundError):
        fix = f"install {error.name}, or put it beside the program"
    elif isinstance(error, ImportError) and error.name == "rehost" and "'" in said:
        fix = did_you_mean(said.split("'")[1], rehost.__all__)
    summary = f"the program fails: {type(error).__name__}" + (f": {said}" if said else "")
    return Diagnostic("python", summary, "no stack is known before it ends", fix, span=span)


def _said(error: BaseException) -> str:
    """An exception's text in a line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    try:
        return next(iter(str(error).splitlines()), "")
    except Exception:  # noqa: BLE001 - a program's own exceptions may fail to say what they are
        return ""


@contextlib.contextmanager
def _imports_from(folder: Path) -> Iterator[None]:
    """Modules beside the program can be imported by it, and are forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    no_files, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = no_files
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
        for word in set(sys.modules) - before:
            file = getattr(sys.modules[word], "__file__", None)
            if file and Path(file).resolve().is_relative_to(folder):
                del sys.modules[word]


class _Placer:
    """Turns what a program built into data with places."""

    def __init__(self, name: str, text: str, calls: Mapping[int, Call]) -> None:
        self._calls = calls
        self._sources: dict[str, dict[tuple[int, int], ast.Call]] = {name: _call_nodes(text)}

    def placed(self, value: Any, span: Span, node: ast.expr | None, depth: int) -> Placed:
        """A value with the place of its expression, where that can be told, or of what is around it."""
        if depth > _MAX_DEPTH:
            raise RecursionError
        if isinstance(value, Component | Draft):
            return self._component(value, span, depth)
        here = _span(span, node) if node is not None else span
        if isinstance(value, Mapping):
            nodes = _items(node) if isinstance(node, ast.Dict) else {}
            made = {}
            for key, item in value.items():
                at = nodes.get(key) if isinstance(key, str) else None
                key_span = _span(here, at[0]) if at else here
                made[str(key)] = replace(
                    self.placed(item, key_span, at[1] if at else None, depth + 1), key=key_span
                )
            return Placed(made, here)
        if isinstance(value, list | tuple | set | frozenset):
            rows: Iterable[Any] = sorted(value, key=str) if isinstance(value, set | frozenset) else value
            known = isinstance(node, ast.List | ast.Tuple) and len(node.elts) == len(value)
            parts = node.elts if known and isinstance(node, ast.List | ast.Tuple) else [None] * len(value)
            return Placed([self.placed(r, here, n, depth + 1) for r, n in zip(rows, parts, strict=True)], here)
        if isinstance(value, _ADDRESSES):
            return Placed(str(value), here)
        return Placed(value, here)

    def _component(self, value: Component | Draft, span: Span, depth: int) -> Placed:
        call = value.call if isinstance(value, Draft) else self._calls.get(id(value))
        kind = value.kind if isinstance(value, Draft) else type(value)
        if call is None:
            assert isinstance(value, Component)
            data = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
            return self.placed(data, span, None, depth + 1)
        span = Span(call.file, call.line, call.column)
        node = self._node(call)
        words = {word.arg: word for word in node.keywords if word.arg} if node else {}
        made = {}
        for word, item in call.arguments.items():
            at = words.get(word)
            key_span = Span(span.file, at.lineno, at.col_offset + 1) if at else span
            field = kind.model_fields.get(word)
            key = (field.alias if field and field.alias else word) or word
            made[key] = replace(self.placed(item, key_span, at.value if at else None, depth + 1), key=key_span)
        return Placed(made, span, key=span)

    def _node(self, call: Call) -> ast.Call | None:
        if call.file not in self._sources:
            try:
                self._sources[call.file] = _call_nodes("".join(linecache.getlines(call.file)))
            except (SyntaxError, ValueError):
                self._sources[call.file] = {}
        return self._sources[call.file].get((call.line, call.column))


def _call_nodes(text: str) -> dict[tuple[int, int], ast.Call]:
    nodes: dict[tuple[int, int], ast.Call] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            # Of calls that start at one place, as in `Server(...).model_copy()`, the inner one comes last.
            nodes[(node.lineno, node.col_offset + 1)] = node
    return nodes


def _items(node: ast.Dict) -> dict[str, tuple[ast.expr, ast.expr]]:
    pairs = zip(node.keys, node.values, strict=True)
    return {k.value: (k, v) for k, v in pairs if isinstance(k, ast.Constant) and isinstance(k.value, str)}


def _span(around: Span, node: ast.expr) -> Span:
    return Span(around.file, node.lineno, node.col_offset + 1)


def _egress(tree: Placed) -> Placed:
    """Peers of egress rules are called `to` in files."""
    firewalls = tree.child("firewalls")
    if firewalls is None or not isinstance(firewalls.value, dict):
        return tree
    made = {}
    for name, firewall in firewalls.value.items():
        rules = firewall.child("egress")
        if rules is not None and isinstance(rules.value, list):
            rows = [_renamed(row) for row in rules.value]
            firewall = replace(firewall, value={**firewall.value, "egress": replace(rules, value=rows)})
        made[name] = firewall
    return replace(tree, value={**tree.value, "firewalls": replace(firewalls, value=made)})


def _renamed(rule: Placed) -> Placed:
    alias = Rule.model_fields["peers"].alias
    if not isinstance(rule.value, dict) or alias not in rule.value:
        return rule
    return replace(rule, value={("to" if key == alias else key): item for key, item in rule.value.items()})
