"""`--set key=value`: one value of the stack changed from the command line.

The key is a path: `servers.app.count`, `dns."plaza.example"[0].ttl` or `dns.plaza\\.example[0].ttl`. An index that
is as large as the list is long appends to it. The value is text, a number, true, false or null as in YAML; one
that starts with a bracket or a quote is read as YAML, `!reset` takes the key out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rehost.stacks.diagnostics import Diagnostic, Span
from rehost.stacks.load.merge import settled
from rehost.stacks.load.text import UNPRINTABLE
from rehost.stacks.load.tree import Placed
from rehost.stacks.load.yamlfile import parse_yaml, plain_scalar

_EXAMPLE = 'write key=value, such as servers.app.count=3 or dns."plaza.example"[0].ttl=60'
_MAX_STEPS = 100
Step = tuple[str | int, int]
"""A key or an index, and the position in the setting where it is written."""


class _Wrong(Exception):
    def __init__(self, summary: str, fix: str, position: int) -> None:
        super().__init__(summary)
        self.fix = fix
        self.position = position


def name_of(setting: str) -> str:
    """What a setting is called in findings."""
    return f"--set {setting}"


def apply_setting(tree: Placed, setting: str) -> tuple[Placed, list[Diagnostic]]:
    """The tree with a setting carried out, or as it was and what is wrong with the setting."""
    try:
        steps, text = _parse(setting)
        start = len(setting) - len(text)
        value, problems = _value(text, name_of(setting), start)
        if problems:
            return tree, problems
        return _assign(tree, steps, 0, value, name_of(setting)), []
    except _Wrong as error:
        span = Span(name_of(setting), 1, error.position + 1)
        return tree, [Diagnostic("set", str(error), "a setting names one value by its path", error.fix, span=span)]


def _parse(setting: str) -> tuple[list[Step], str]:
    steps: list[Step] = []
    position = 0
    match = UNPRINTABLE.search(setting)
    if match:
        raise _Wrong(f"the character U+{ord(match[0]):04X} can't be in a setting", "leave it out", match.start())
    while True:
        start = position
        key, position = _key(setting, position)
        if key:
            steps.append((key, start))
        while setting[position : position + 1] == "[":
            end = setting.find("]", position)
            digits = setting[position + 1 : end] if end > 0 else ""
            if not (digits.isascii() and digits.isdigit() and len(digits) < 7):
                raise _Wrong("an index is a number in brackets", "write for example [0]", position)
            if not key and not steps:
                raise _Wrong("a setting starts with a key", _EXAMPLE, position)
            steps.append((int(digits), position))
            position, key = end + 1, key or "[]"
        if not key:
            raise _Wrong(f"{setting!r} is not a setting: a key is empty", _EXAMPLE, start)
        following = setting[position : position + 1]
        if following == "=":
            break
        if following != ".":
            summary = (
                f"{setting!r} is not a setting: there is no `=`" if not following else "a dot or `=` belongs here"
            )
            raise _Wrong(summary, _EXAMPLE, position)
        position += 1
    if len(steps) > _MAX_STEPS:
        raise _Wrong("the key has too many parts", _EXAMPLE, 0)
    return steps, setting[position + 1 :]


def _key(setting: str, position: int) -> tuple[str, int]:
    """One key from a position on, and the position behind it."""
    quote = setting[position : position + 1]
    if quote in ('"', "'") and quote:
        end = setting.find(quote, position + 1)
        if end < 0:
            raise _Wrong("a quote is not closed", _EXAMPLE, position)
        return setting[position + 1 : end], end + 1
    made = ""
    while position < len(setting) and setting[position] not in ".=[":
        if setting[position] == "\\" and position + 1 < len(setting):
            position += 1
        made += setting[position]
        position += 1
    return made.strip(), position


def _value(text: str, name: str, start: int) -> tuple[Placed, list[Diagnostic]]:
    span = Span(name, 1, start + 1)
    stripped = text.strip()
    if not stripped.startswith(("{", "[", '"', "'", "!")):
        return Placed(plain_scalar(text) if stripped else text, span), []
    tree, problems = parse_yaml(f"v: {text}\n", name)
    held = tree.value.get("v") if tree is not None and not problems else None
    if held is None:
        why = problems[0].why if problems else "a value that starts with a bracket, a quote or ! is read as YAML"
        fix = "put the value in quotes if it is meant as text"
        return Placed(None, span), [
            Diagnostic("set", f"the value {text!r} is not valid YAML", why, fix, span=span)
        ]
    return _at(held, span), []


def _at(tree: Placed, span: Span) -> Placed:
    """A tree whose every part is at the place of the setting."""
    value: Any = tree.value
    if isinstance(value, dict):
        value = {key: _at(item, span) for key, item in value.items()}
    elif isinstance(value, list):
        value = [_at(item, span) for item in value]
    return replace(tree, value=value, span=span, key=span if tree.key else None)


def _assign(here: Placed | None, steps: Sequence[Step], at: int, value: Placed, name: str) -> Placed:
    """A copy of a tree with a value put in; mappings and lists that are missing on the way to it are made."""
    if at == len(steps):
        return settled(value)
    step, position = steps[at]
    span = Span(name, 1, position + 1)
    where = ".".join(str(part) for part, _ in steps[:at]) or "the stack"
    held: Any = None if here is None else here.value
    if isinstance(step, int):
        items = [] if held is None else held
        if not isinstance(items, list):
            raise _Wrong(f"{where} is not a list", "leave out the index", position)
        if step > len(items):
            raise _Wrong(f"{where} has {len(items)} items only", f"write [{len(items)}] to append one", position)
        items = list(items)
        if at + 1 == len(steps) and value.tag == "reset":
            del items[step : step + 1]
        else:
            below = items[step] if step < len(items) else None
            items[step : step + 1] = [_assign(below, steps, at + 1, value, name)]
        return _like(here, items, span)
    mapping = {} if held is None else held
    if not isinstance(mapping, dict):
        what = "a list" if isinstance(mapping, list) else f"the value {mapping!r}"
        fix = f"name an item: {where}[0]" if isinstance(mapping, list) else f"set {where} itself"
        raise _Wrong(f"{where} is {what}: it has no keys", fix, position)
    mapping = dict(mapping)
    if at + 1 == len(steps) and value.tag == "reset":
        mapping.pop(step, None)
    else:
        made = _assign(mapping.get(step), steps, at + 1, value, name)
        known = mapping.get(step)
        mapping[step] = replace(
            made, key=known.key if known is not None and known.key and made.span != span else span
        )
    return _like(here, mapping, span)


def _like(here: Placed | None, value: Any, span: Span) -> Placed:
    return Placed(value, span) if here is None else replace(here, value=value)
