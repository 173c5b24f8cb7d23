"""Checks of request bodies against data/requests.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rehost.providers.sandbox.hcloud_api.errors import Record, invalid_fields

_FILE = Path(__file__).parent / "data" / "requests.json"
_SIMPLE = re.compile(r"^(?P<word>[^ ?]+)(?: (?P<low>\d*)\.\.(?P<high>\d*))?(?P<null>\?)?$")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "ref": (str, int),
}
_GONE = "gone"
_WORDS = {"ref": "string or integer"}


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a value must look like."""

    word: str
    nullable: bool = False
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    item: _Shape | None = None
    fields: Mapping[str, tuple[bool, _Shape]] = field(default_factory=dict)

    def problems(self, value: Any, path: str) -> Iterator[tuple[str, str]]:
        """Every fault of a value, by field."""
        if self.word == _GONE:
            yield path, "is no longer supported, use location"
        elif value is None:
            if not self.nullable:
                yield path, "must not be null"
        elif self.word == "list":
            yield from self._in_list(value, path)
        elif not isinstance(value, _TYPES[self.word]) or (isinstance(value, bool) and self.word != "boolean"):
            yield path, f"must be of type {_WORDS.get(self.word, self.word)}"
        elif self.choices and value not in self.choices:
            yield path, f"must be one of {', '.join(self.choices)}"
        elif isinstance(value, dict):
            yield from self._in_object(value, path)
        else:
            yield from self._bounds(_size(value), path)

    def known(self, value: Any) -> Any:
        """A value without the fields of objects that are not described."""
        if isinstance(value, list) and self.item is not None:
            return [self.item.known(item) for item in value]
        if isinstance(value, dict) and self.fields:
            return {name: self.fields[name][1].known(item) for name, item in value.items() if name in self.fields}
        return value

    def _bounds(self, size: float, path: str) -> Iterator[tuple[str, str]]:
        if self.low is not None and size < self.low:
            yield path, f"must be at least {self.low}"
        if self.high is not None and size > self.high:
            yield path, f"must be at most {self.high}"

    def _in_list(self, value: Any, path: str) -> Iterator[tuple[str, str]]:
        if not isinstance(value, list):
            yield path, "must be of type array"
            return
        yield from self._bounds(len(value), path)
        assert self.item is not None
        for number, item in enumerate(value):
            yield from self.item.problems(item, f"{path}[{number}]")

    def _in_object(self, value: Record, path: str) -> Iterator[tuple[str, str]]:
        for name, (required, shape) in self.fields.items():
            inside = f"{path}.{name}" if path else name
            given = value.get(name)
            if given is None and not (name in value and required):
                if required:
                    yield inside, "missing data for required field"
            else:
                yield from shape.problems(given, inside)


def _size(value: Any) -> float:
    return len(value) if isinstance(value, str) else value


def _shape(rule: Any, parts: Mapping[str, Any]) -> _Shape:
    if isinstance(rule, list):
        low, _, high = (rule[1] if len(rule) > 1 else "..").partition("..")
        return _Shape("list", low=_number(low), high=_number(high), item=_shape(rule[0], parts))
    if isinstance(rule, dict):
        fields = {
            name.rstrip("!"): (name.endswith("!"), _shape(inner, parts))
            for name, inner in rule.items()
            if name != "?"
        }
        return _Shape("object", nullable="?" in rule, fields=fields)
    if rule.startswith("@"):
        return _shape(parts[rule[1:]], parts)
    match = _SIMPLE.match(rule)
    assert match is not None, rule
    word, null = match["word"], bool(match["null"])
    if word not in _TYPES and word != _GONE:
        return _Shape("string", null, choices=tuple(word.split("|")))
    return _Shape(word, null, _number(match["low"]), _number(match["high"]))


def _number(text: str | None) -> int | None:
    return int(text) if text else None


@cache
def _shapes() -> Mapping[str, _Shape]:
    data = json.loads(_FILE.read_text(encoding="utf-8"))
    return {name: _shape(rule, data["parts"]) for name, rule in data["requests"].items()}


def checked(operation: str, body: Record) -> Record:
    """The body of an operation (`POST /servers/{id}/actions/attach_iso`) without fields that nobody knows. Raises
    ApiError 422 with every field at fault."""
    shape = _shapes().get(operation)
    if shape is None:
        return {}
    problems = list(shape.problems(body, ""))
    if problems:
        raise invalid_fields(problems)
    known: Record = shape.known(body)
    return known
