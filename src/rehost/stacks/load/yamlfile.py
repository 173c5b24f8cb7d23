"""YAML text to placed data, with a finding for everything odd."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import MappingStartEvent, SequenceStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rehost.stacks.diagnostics import Diagnostic, PathKey, Span
from rehost.stacks.load.text import Lines
from rehost.stacks.load.tree import Placed

MAX_VALUES = 100_000
MAX_DEPTH = 100
_BOUNDED = "what has no bounds would take all memory"
_PREFIX = "tag:yaml.org,2002:"
_SCALARS = {"str", "int", "float", "bool", "null", "timestamp", "binary", "value"}
_MERGES = {"!reset": "reset", "!override": "override"}
_BRACKET = re.compile(r"[\[\]{}]")
# What the parser raises for text that is no YAML, beside its own errors.
_BREAKS = (
    YAMLError,
    ArithmeticError,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
    AssertionError,
    RuntimeError,
)


class _TooMuch(Exception):
    def __init__(self, summary: str, span: Span) -> None:
        super().__init__(summary)
        self.span = span


def parse_yaml(text: str, name: str) -> tuple[Placed | None, list[Diagnostic]]:
    """The data of a YAML text, None where there is none, and what is wrong. Never raises for anything in it."""
    lines = Lines(text, name)
    deep = _brackets(text)
    if deep is not None:
        return None, [_deep(lines.span(deep))]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nodes = list(YAML(typ="safe", pure=True).compose_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        span = lines.span(mark.index) if mark else Span(name, 1, 1)
        return None, [_syntax(error, span, text)]
    except RecursionError:
        return None, [_deep(_deepest(text, lines))]
    except _BREAKS as error:
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        why = f"the parser stops with: {said}"
        fix = "check indentation, quotes and colons"
        return None, [Diagnostic("yaml", "this is not valid YAML", why, fix, span=Span(name, 1, 1))]
    nodes = [node for node in nodes if node is not None]
    return _document(nodes, lines, name)


def _document(nodes: list[Node], lines: Lines, name: str) -> tuple[Placed | None, list[Diagnostic]]:
    reader = _Reader(lines)
    if len(nodes) > 1:
        span = Span(name, lines.span(nodes[1].start_mark.index).line, 1)
        fix = "put it into a file of its own and name it with a second -f"
        reader.found.append(
            Diagnostic(
                "many-documents",
                "a second YAML document starts here",
                "a stack file is one document",
                fix,
                span=span,
            )
        )
    if not nodes or (isinstance(nodes[0], ScalarNode) and nodes[0].tag == f"{_PREFIX}null"):
        fix = "start with `stack: <name>`; `rehost init` writes an example"
        why = "a stack has a name at least"
        reader.found.append(Diagnostic("empty", "the file is empty", why, fix, span=Span(name, 1, 1)))
        return None, reader.found
    if not isinstance(nodes[0], MappingNode):
        what = "a list" if isinstance(nodes[0], SequenceNode) else "plain text"
        fix = "start with `stack: <name>`; `rehost init` writes an example"
        summary = f"the file is {what}, not a mapping of keys to values"
        why = "a stack file has keys such as stack, targets and servers"
        span = lines.span(nodes[0].start_mark.index)
        reader.found.append(Diagnostic("no-mapping", summary, why, fix, span=span))
        return None, reader.found
    try:
        return reader.value(nodes[0], (), ()), reader.found
    except _TooMuch as error:
        fix = "write it out without aliases" if "alias" in str(error) else "a stack is at most a few levels deep"
        reader.found.append(Diagnostic("too-much", str(error), _BOUNDED, fix, span=error.span))
        return None, reader.found


def _brackets(text: str) -> int | None:
    """Where brackets are nested so deeply that even scanning them would take long."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += 1 if match[0] in "[{" else -1
        if depth > 10 * MAX_DEPTH:
            return match.start()
    return None


def _deepest(text: str, lines: Lines) -> Span:
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                return lines.span(event.start_mark.index)
        elif type(event).__name__.endswith("EndEvent"):
            depth -= 1
    return lines.span(0)


def _deep(span: Span) -> Diagnostic:
    summary = f"the file is nested more than {MAX_DEPTH} levels deep"
    return Diagnostic("too-much", summary, _BOUNDED, "a stack is at most a few levels deep", span=span)


def _syntax(error: MarkedYAMLError, span: Span, text: str) -> Diagnostic:
    problem = str(error.problem or error.context or "").strip()
    context = str(error.context or "").strip()
    fix = "check indentation, quotes and colons here and in the line above"
    line = text.splitlines()[span.line - 1] if 0 < span.line <= len(text.splitlines()) else ""
    if "'\\t'" in problem or "\t" in line[: len(line) - len(line.lstrip())]:
        fix = "indent with blanks, not with tabs"
    elif "undefined alias" in problem:
        fix = "define the anchor (&name) before it is used"
    elif "mapping values are not allowed" in problem:
        fix = "put text that holds `: ` in quotes, or check the indentation"
    elif "cannot start any token" in problem:
        fix = "put text that starts with this character in quotes"
    if context and error.context_mark is not None and error.context_mark.line + 1 < span.line:
        context += f" that starts in line {error.context_mark.line + 1}"
    why = f"{context}, {problem}" if context and context != problem else problem
    return Diagnostic("yaml", "this is not valid YAML", f"the parser says: {why}", fix, span=span)


class _Reader:
    def __init__(self, lines: Lines) -> None:
        self.found: list[Diagnostic] = []
        self._lines = lines
        self._count = 0
        self._said: set[int] = set()
        self._top: Span | None = None

    def _span(self, node: Node) -> Span:
        return self._lines.span(node.start_mark.index)

    def _say(self, code: str, summary: str, node: Node, path: PathKey, why: str = "", fix: str = "") -> None:
        # A node that aliases repeat is told of once.
        if id(node) not in self._said:
            self._said.add(id(node))
            self.found.append(Diagnostic(code, summary, why, fix, path, self._span(node)))

    def value(self, node: Node, path: PathKey, above: tuple[int, ...]) -> Placed:
        self._count += 1
        span = self._span(node)
        if self._count > MAX_VALUES:
            raise _TooMuch(
                f"the file grows to more than {MAX_VALUES} values through its aliases", self._top or span
            )
        if id(node) in above:
            raise _TooMuch("an alias contains itself", span)
        if len(above) > MAX_DEPTH:
            raise _TooMuch(f"the file is nested more than {MAX_DEPTH} levels deep", span)
        tag = str(node.tag or "")
        merge = _MERGES.get(tag, "")
        within = (*above, id(node))
        made: Any
        if isinstance(node, ScalarNode):
            made = self._scalar(node, tag, merge, path)
        else:
            own = "map" if isinstance(node, MappingNode) else "seq"
            if not merge and tag not in ("", "!", f"{_PREFIX}{own}"):
                self._unknown_tag(tag, node, path)
            if isinstance(node, MappingNode):
                made = self._mapping(node, path, within)
            else:
                made = [self.value(item, (*path, n), within) for n, item in enumerate(node.value)]
        return Placed(made, span, tag=merge)

    def _unknown_tag(self, tag: str, node: Node, path: PathKey) -> None:
        shown = tag.replace(_PREFIX, "!!")
        why = "values are text, numbers, true, false and null; overlays may have !reset and !override"
        self._say("tag", f"the tag {shown} is not known here", node, path, why, "remove it")

    def _scalar(self, node: ScalarNode, tag: str, merge: str, path: PathKey) -> Any:
        text = str(node.value)
        if merge:
            return plain_scalar(text) if node.style is None else text
        kind = tag.removeprefix(_PREFIX)
        if tag == "!":
            return text
        if kind not in _SCALARS:
            self._unknown_tag(tag, node, path)
            return text
        if kind in ("str", "timestamp", "binary", "value"):
            return text
        made = _plain(kind, text)
        if isinstance(made, float) and made - made != 0:
            why = "numbers are finite"
            self._say("number", f"{text} is not a number that can be used", node, path, why, "write a number")
            return None
        return made

    def _mapping(self, node: MappingNode, path: PathKey, within: tuple[int, ...]) -> dict[str, Placed]:
        made: dict[str, Placed] = {}
        merged: dict[str, Placed] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                why = "keys are names; lists and mappings can't be"
                self._say("key", "a key has to be plain text", key_node, path, why, "write it as text")
                continue
            key = str(key_node.value)
            if str(key_node.tag).endswith(":merge"):
                merged.update(self._merged(value_node, path, within))
                continue
            if key in made:
                first = made[key].key
                self._say(
                    "duplicate-key",
                    f"the key {key!r} is here a second time",
                    key_node,
                    (*path, key),
                    why=f"it is in line {first.line if first else 0} already; only one of them could count",
                    fix="remove one of the two",
                )
                continue
            at = self._span(key_node)
            self._top = self._top if path else at
            made[key] = replace(self.value(value_node, (*path, key), within), key=at)
        return {**{key: item for key, item in merged.items() if key not in made}, **made}

    def _merged(self, node: Node, path: PathKey, within: tuple[int, ...]) -> dict[str, Placed]:
        merged: dict[str, Placed] = {}
        for part in reversed(node.value) if isinstance(node, SequenceNode) else [node]:
            below = self.value(part, path, within) if isinstance(part, MappingNode) else None
            if below is None:
                summary, why = "only mappings can be merged in", "<< takes over the keys of another mapping"
                self._say("merge", summary, part, path, why, "name the alias of a mapping: <<: *name")
            else:
                merged.update(below.value)
        return merged


def plain_scalar(text: str) -> Any:
    """An unquoted scalar by YAML 1.2's core schema: null, true, a number, or the text itself."""
    resolver: Any = YAML(typ="safe", pure=True).resolver
    kind = str(resolver.resolve(ScalarNode, text, (True, False))).removeprefix(_PREFIX)
    return _plain(kind, text) if kind in ("int", "float", "bool", "null") else text


def _plain(kind: str, text: str) -> Any:
    try:
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("true", "yes", "on", "y")
        if kind == "int":
            return int(text, 0) if re.match(r"[-+]?0[xo]", text.lower()) else int(text)
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except (ValueError, OverflowError):
        return text
