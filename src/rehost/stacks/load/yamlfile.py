"""YAML text to plain data, with the place of every key and value and a finding for everything odd."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rehost.stacks.diagnostics import Diagnostic, Span

PathKey = tuple[str | int, ...]
_MAX_BYTES = 5_000_000
_MAX_NODES = 200_000
_MAX_DEPTH = 100
_PLAIN = {"str", "int", "float", "bool", "null"}


@dataclass
class Document:
    """The data of one file; `keys` and `values` are places by path."""

    data: dict[str, Any] = field(default_factory=dict)
    keys: dict[PathKey, Span] = field(default_factory=dict)
    values: dict[PathKey, Span] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)


class _TooMuch(Exception):
    pass


def read_text(path: Path) -> tuple[str, Diagnostic | None]:
    """The text of a file, or what keeps it from being read."""
    name = str(path)
    try:
        if not path.is_file():
            missing = "is not there" if not path.exists() else "is not a file"
            return "", Diagnostic(
                "no-file",
                f"{name} {missing}",
                fix="name a stack file with -f, or make one with `rehost init`",
                span=Span(name),
            )
        if path.stat().st_size > _MAX_BYTES:
            return "", Diagnostic(
                "too-large", f"{name} is larger than 5 MB", fix="name a stack file", span=Span(name)
            )
        raw = path.read_bytes()
    except OSError as error:
        return "", Diagnostic("unreadable", f"{name} can't be read", why=str(error), span=Span(name))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        return "", Diagnostic(
            "encoding",
            f"byte {error.start} of the file is not UTF-8",
            why="stack files are UTF-8 text",
            fix="save the file as UTF-8",
            span=Span(name, line, error.start - (before.rfind(b"\n") + 1) + 1),
        )
    for position, character in enumerate(text):
        if character == "\0" or (ord(character) < 32 and character not in "\t\n\r"):
            line = text.count("\n", 0, position) + 1
            column = position - (text.rfind("\n", 0, position) + 1) + 1
            return "", Diagnostic(
                "encoding",
                f"a control character (U+{ord(character):04X}) is in the file",
                why="YAML allows none but tabs and line ends",
                fix="remove it; is this a text file?",
                span=Span(name, line, column),
            )
    return text, None


def parse_yaml(text: str, name: str) -> Document:
    """Data and places of YAML text. Never raises for anything in the text."""
    document = Document()
    try:
        nodes = list(YAML(typ="rt", pure=True).compose_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        span = Span(name, mark.line + 1, mark.column + 1) if mark else Span(name)
        document.diagnostics.append(_syntax(str(error.problem or error.context or "is not YAML"), span))
        return document
    except (YAMLError, ValueError, RecursionError, AttributeError, KeyError, IndexError) as error:
        said = "is nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0:1]
        document.diagnostics.append(_syntax(said if isinstance(said, str) else " ".join(said), Span(name)))
        return document
    nodes = [node for node in nodes if node is not None]
    if len(nodes) > 1:
        mark = nodes[1].start_mark
        document.diagnostics.append(
            Diagnostic(
                "many-documents",
                "the file holds more than one YAML document",
                why="a stack file is one document",
                fix="remove the line `---` and what follows, or use overlay files",
                span=Span(name, mark.line + 1, 1),
            )
        )
    if not nodes or not isinstance(nodes[0], MappingNode):
        document.diagnostics.append(
            Diagnostic(
                "no-mapping" if nodes else "empty",
                "the file is no mapping of keys to values" if nodes else "the file is empty",
                fix="start with `stack: <name>`; `rehost init` writes an example",
                span=Span(name, 1, 1),
            )
        )
        return document
    reader = _Reader(name, document)
    try:
        data = reader.value(nodes[0], (), ())
    except _TooMuch as error:
        document.diagnostics.append(
            Diagnostic("too-much", str(error), fix="write it out without aliases", span=Span(name, 1, 1))
        )
        return document
    document.data = data if isinstance(data, dict) else {}
    return document


def _syntax(problem: str, span: Span) -> Diagnostic:
    fix = "check indentation, quotes and colons here"
    if "\\t" in problem or "tab" in problem:
        fix = "indent with blanks, not tabs"
    return Diagnostic("yaml", f"this is not valid YAML: {problem}", fix=fix, span=span)


class _Reader:
    def __init__(self, name: str, document: Document) -> None:
        self._name = name
        self._document = document
        self._count = 0

    def _span(self, node: Node) -> Span:
        return Span(self._name, node.start_mark.line + 1, node.start_mark.column + 1)

    def _say(self, code: str, summary: str, node: Node, path: PathKey, why: str = "", fix: str = "") -> None:
        self._document.diagnostics.append(Diagnostic(code, summary, why, fix, path, self._span(node)))

    def value(self, node: Node, path: PathKey, above: tuple[int, ...]) -> Any:
        self._count += 1
        if self._count > _MAX_NODES:
            raise _TooMuch(f"the file grows to more than {_MAX_NODES} values through its aliases")
        if id(node) in above:
            raise _TooMuch("an alias contains itself")
        if len(above) > _MAX_DEPTH:
            raise _TooMuch(f"the file is nested more than {_MAX_DEPTH} levels deep")
        self._document.values.setdefault(path, self._span(node))
        within = (*above, id(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, path, within)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, n), within) for n, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node, path)

    def _scalar(self, node: ScalarNode, path: PathKey) -> Any:
        kind = str(node.tag).rsplit(":", 1)[-1]
        if kind not in _PLAIN:
            if kind in ("timestamp", "binary", "merge", "value"):
                return str(node.value)
            self._say("tag", f"the tag {node.tag} is not known here", node, path, fix="remove it")
            return None
        if kind == "str":
            return node.value
        try:
            made = _plain(kind, str(node.value))
        except (ValueError, OverflowError):
            return node.value
        if isinstance(made, float) and (made != made or made in (float("inf"), float("-inf"))):
            self._say("number", f"{node.value} is not a number that can be used", node, path, fix="write a number")
            return None
        return made

    def _mapping(self, node: MappingNode, path: PathKey, within: tuple[int, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        places: dict[str, Span] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._say("key", "a key has to be plain text", key_node, path, fix="write it as text")
                continue
            key = str(key_node.value)
            if str(key_node.tag).endswith(":merge"):
                parts = value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                for part in reversed(parts):
                    if isinstance(part, MappingNode):
                        merged.update(self.value(part, path, within))
                continue
            if key in places:
                first = places[key]
                self._say(
                    "duplicate-key",
                    f"the key {key!r} is here a second time",
                    key_node,
                    (*path, key),
                    why=f"it is in line {first.line} already; only one of them could count",
                    fix="remove one of the two",
                )
                continue
            places[key] = self._span(key_node)
            self._document.keys[(*path, key)] = self._span(key_node)
            made[key] = self.value(value_node, (*path, key), within)
        return {**merged, **made}


def _plain(kind: str, text: str) -> bool | int | float | None:
    """A scalar of YAML 1.2's core schema. Raises ValueError for text that is none."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, 0) if text.lower().startswith(("0x", "0o", "-0x", "+0x")) else int(text)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
