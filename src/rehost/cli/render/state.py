"""What a state holds, with secrets masked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rehost.stacks.graph import Secret, Unknown, Value, reveal
from rehost.stacks.plan import MASK
from rehost.stacks.state.edit import Held


def masked(value: Value, *, shown: bool = False) -> Value:
    """The value for output: secrets are masked, or shown if asked for. Unknown in a state is what is sealed."""
    match value:
        case Secret():
            return reveal(value) if shown else MASK
        case Unknown():
            return MASK
        case dict():
            return {key: masked(item, shown=shown) for key, item in value.items()}
        case list() | tuple():
            return [masked(item, shown=shown) for item in value]
    return value


HEADS = ("COMPONENT", "NAME", "ID", "TYPE", "CONDITION")


def held_rows(found: Sequence[Held]) -> list[list[str]]:
    """One row for each, under HEADS."""
    return [
        [
            item.resource.component or "-",
            item.resource.urn.split("::")[-1],
            item.resource.id or "-",
            short_type(item.resource.type),
            {"current": "", "replaced": "to be deleted"}.get(item.condition, f"open {item.action}"),
        ]
        for item in found
    ]


def short_type(token: str) -> str:
    """A type as Pulumi shows it: `aws:ec2/vpc:Vpc` is `aws:ec2:Vpc`."""
    package, module, name = token.split(":", 2)
    module = module.split("/")[0]
    return f"{package}:{name}" if module == "index" else f"{package}:{module}:{name}"


def held_dict(item: Held) -> dict[str, Any]:
    """One of them for machines."""
    resource = item.resource
    return {
        "key": item.key,
        "urn": resource.urn,
        "type": resource.type,
        "id": resource.id,
        "component": resource.component,
        "condition": item.condition,
        "action": item.action or None,
        "created": resource.created or None,
        "modified": resource.modified or None,
    }


def details_dict(item: Held, *, shown: bool) -> dict[str, Any]:
    """One of them with all that is known of it."""
    resource = item.resource
    return {
        **held_dict(item),
        "dependencies": list(resource.dependencies),
        "inputs": masked(resource.inputs, shown=shown),
        "outputs": masked(resource.outputs, shown=shown),
    }


def details_text(item: Held, *, shown: bool, markdown: bool = False) -> str:
    """The same for people."""
    told = details_dict(item, shown=shown)
    lines = [f"### {told['key']}\n" if markdown else told["key"]]
    bullet = "- " if markdown else "  "
    for name in ("type", "id", "component", "condition", "created", "modified"):
        if told[name]:
            lines.append(f"{bullet}{name + ':':<12}{told[name]}")
    lines += [f"{bullet}{'needs:':<12}{urn}" for urn in told["dependencies"]]
    for name in ("inputs", "outputs"):
        if told[name]:
            body = json.dumps(told[name], indent=2)
            if markdown:
                lines += ["", f"{name}:", "", "```json", body, "```"]
            else:
                lines += [f"  {name}:", *(f"    {line}" for line in body.splitlines()[1:-1])]
    return "\n".join(lines)
