"""A lifted stack as the text of its file: short things on one line, notes above what they are about, and at the
end what no component stands for."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import LiteralScalarString

from rehost.stacks.lift.draft import Left, Note
from rehost.stacks.model import Stack, Target

_SHORT = 60
"""Characters of a map or list that is written on one line."""
_WIDTH = 100


def to_text(
    data: Mapping[str, Any],
    targets: Iterable[Target],
    notes: Sequence[Note],
    left: Sequence[tuple[Left, str]],
) -> str:
    """The text of a stack file. `left` has what was not lifted, each with what people call its kind."""
    whole = CommentedMap()
    whole["stack"] = data["stack"]
    whole["targets"] = _node(
        {
            target.name: {"provider": target.provider, "region": target.region, **target.options}
            for target in targets
        }
    )
    for family in Stack.model_fields:
        if family in data and family not in ("stack", "targets"):
            whole[family] = _node(_written(family, data[family]))
    for note in notes:
        _annotate(whole, note)
    yaml = YAML()
    yaml.width, yaml.indent = _WIDTH, 2
    yaml.allow_unicode = True
    text = io.StringIO()
    yaml.dump(whole, text)
    return text.getvalue() + _missing(left)


def _written(family: str, value: Any) -> Any:
    """As a stack file has it: the other side of what may go out is called `to` there."""
    if family != "firewalls":
        return value
    return {
        name: {**firewall, "egress": [_outward(rule) for rule in firewall["egress"]]}
        if firewall.get("egress")
        else firewall
        for name, firewall in value.items()
    }


def _outward(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {"to" if key == "from" else key: value for key, value in rule.items()}


def _node(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return LiteralScalarString(value) if "\n" in value else value
    if isinstance(value, Mapping):
        made: Any = CommentedMap((str(key), _node(item, depth + 1)) for key, item in value.items())
    elif isinstance(value, list | tuple):
        made = CommentedSeq(_node(item, depth + 1) for item in value)
    else:
        return value
    flat = len(repr(value)) <= _SHORT and "\\n" not in repr(value)
    if not value or (depth and flat):
        made.fa.set_flow_style()
    return made


def _annotate(whole: CommentedMap, note: Note) -> None:
    """Put a note above the component that it is about, or above what is nearest to that."""
    inside, *rest = whole, *note.path
    while len(rest) > 1 and isinstance(inside.get(rest[0]), CommentedMap) and not inside[rest[0]].fa.flow_style():
        inside = inside[rest.pop(0)]
    if rest and rest[0] in inside:
        lines = "\n".join(textwrap.wrap(note.text, _WIDTH - 10))
        before = inside.ca.items.get(rest[0])
        if before and len(before) > 1 and before[1]:
            lines = "".join(token.value.lstrip("# ") for token in before[1]).rstrip() + "\n" + lines
            inside.ca.items.pop(rest[0])
        depth = 0 if inside is whole else 2
        inside.yaml_set_comment_before_after_key(rest[0], before=lines, indent=depth)


def _missing(left: Sequence[tuple[Left, str]]) -> str:
    if not left:
        return ""
    lines = ["", "# Not part of the stack, and left as it is:"]
    for item, kind in left:
        told = f"{kind} {item.name}: {item.reason}"
        lines += textwrap.wrap(told, _WIDTH, initial_indent="# - ", subsequent_indent="#   ")
    return "\n".join(lines) + "\n"
