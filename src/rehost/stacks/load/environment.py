"""`${env.NAME}` in values: replaced before anything else is looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rehost.stacks.diagnostics import Diagnostic, PathKey
from rehost.stacks.load.tree import Placed

ENV = re.compile(r"\$\$|\$\{env\.([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)([^{}]*))?\}")


def substitute(
    tree: Placed, environment: Mapping[str, str], found: list[Diagnostic], path: PathKey = ()
) -> Placed:
    """The tree with environment variables put in; those that are missing are added to `found`."""
    value: Any = tree.value
    if isinstance(value, dict):
        value = {key: substitute(item, environment, found, (*path, key)) for key, item in value.items()}
    elif isinstance(value, list):
        value = [substitute(item, environment, found, (*path, n)) for n, item in enumerate(value)]
    elif isinstance(value, str) and "${env." in value:

        def put(match: re.Match[str]) -> str:
            name, sign, rest = match[1], match[2], match[3] or ""
            if match[0] == "$$" or name in environment:
                return "$$" if match[0] == "$$" else environment[name]
            if sign == ":-":
                return rest
            summary = rest if sign == ":?" and rest else f"the environment variable {name} is not set"
            fix = f"set {name}, or write ${{env.{name}:-default}}"
            why = f"{match[0]} stands for its value"
            found.append(Diagnostic("environment", summary, why, fix, path, tree.span))
            return match[0]

        value = ENV.sub(put, value)
    else:
        return tree
    return replace(tree, value=value)
