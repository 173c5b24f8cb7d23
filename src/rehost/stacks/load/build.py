"""Placed data to a Stack, and to as much of one as its mistakes allow."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from rehost.stacks.diagnostics import Diagnostic, PathKey, Span, did_you_mean
from rehost.stacks.load import shape
from rehost.stacks.load.composekeys import instead
from rehost.stacks.load.loaded import Loaded
from rehost.stacks.load.messages import about, described
from rehost.stacks.load.sources import read_sources
from rehost.stacks.load.tree import Placed
from rehost.stacks.model import Stack, Target

PLACEHOLDER = "unnamed"
"""The name of a partial stack whose own can't be used."""
_STAND_IN = "10GiB"
"""The size of a volume whose own can't be used, so that the rest of it is looked at."""
_ROUNDS = 100
"""How often what is wrong is taken out before the rest is given up."""

_DIRECTIONS = (("ingress", "from", "to"), ("egress", "to", "from"))


def build(tree: Placed, loaded: Loaded) -> None:
    """Fill in the stack (if nothing is wrong), the partial one, and the findings."""
    loaded.tree = tree
    clean = _normal(tree, Stack)
    clean = _rules(clean, loaded)
    data = clean.plain()
    _apexes(data)
    read_sources(data, loaded)
    _validate(data, loaded)
    if not loaded.failed:
        loaded.stack = loaded.partial


def _normal(tree: Placed, kind: Any) -> Placed:
    """Without `x-` keys; nothing where a component, a mapping or a list may be is an empty one."""
    value: Any = tree.value
    origin = get_origin(kind)
    if kind is int and isinstance(value, bool):
        # For pydantic, true is also the number 1.
        return replace(tree, value=str(value).lower())
    if value is None:
        empty: Any = {} if origin is dict else [] if origin is tuple else None
        if empty is None and shape.is_component(kind) and kind is not Stack:
            empty = {}
        return replace(tree, value=empty)
    if shape.is_component(kind) and isinstance(value, dict):
        kept = {k: v for k, v in value.items() if kind is Target or not k.startswith("x-")}
        value = {k: _normal(v, shape.below(kind, k)) for k, v in kept.items()}
    elif origin is dict and isinstance(value, dict) and get_args(kind)[1] is not Any:
        value = {k: _normal(v, shape.below(kind, k)) for k, v in value.items()}
    elif origin is tuple and isinstance(value, list):
        # An empty item is no rule of which nothing is asked: that would let everything in.
        value = [v if v.value is None else _normal(v, shape.below(kind, 0)) for v in value]
    return replace(tree, value=value)


def _rules(tree: Placed, loaded: Loaded) -> Placed:
    """`from` of ingress and `to` of egress rules are one field of the model."""

    def rule(item: Placed, path: PathKey, right: str, wrong: str) -> Placed:
        if not isinstance(item.value, dict):
            return item
        made = dict(item.value)
        if wrong in made:
            at = (*path, wrong)
            why = f"{path[2]} names where traffic {'comes from' if right == 'from' else 'goes to'}"
            span = item.place((wrong,), key=True)
            summary = f"an {path[2]} rule has no {wrong!r}"
            loaded.diagnostics.append(Diagnostic("rule-direction", summary, why, f"write {right!r}", at, span))
            del made[wrong]
        if "peers" in made:
            loaded.diagnostics.append(_unknown_key((*path, "peers"), loaded, f"write {right!r}"))
            del made["peers"]
        if right in made:
            made["from"] = made.pop(right)
        return replace(item, value=made)

    def firewall(item: Placed, path: PathKey) -> Placed:
        for way, right, wrong in _DIRECTIONS:
            below = item.child(way)
            if below is not None and isinstance(below.value, list):
                rows = [rule(row, (*path, way, n), right, wrong) for n, row in enumerate(below.value)]
                item = replace(item, value={**item.value, way: replace(below, value=rows)})
        return item

    return _each(tree, "firewalls", firewall)


def _each(tree: Placed, family: str, change: Callable[[Placed, PathKey], Placed]) -> Placed:
    below = tree.child(family)
    if below is None or not isinstance(below.value, dict):
        return tree
    made = {name: change(item, (family, name)) for name, item in below.value.items()}
    return replace(tree, value={**tree.value, family: replace(below, value=made)})


def _apexes(data: dict[str, Any]) -> None:
    """`cname: "@"` means the zone itself."""
    zones = data.get("dns")
    for zone, records in zones.items() if isinstance(zones, dict) else ():
        for record in records if isinstance(records, list) else ():
            if isinstance(record, dict) and record.get("cname") == "@":
                record["cname"] = zone


def _validate(data: dict[str, Any], loaded: Loaded) -> None:
    data = copy.deepcopy(data)
    left_out: set[PathKey] = set()
    kept: dict[PathKey, tuple[int, ...]] = {}
    loaded.kept = kept
    told = {found.path for found in loaded.diagnostics if found.path}
    targets = data.get("targets")
    for name, target in targets.items() if isinstance(targets, dict) else ():
        if isinstance(target, dict) and "name" in target:
            at: PathKey = ("targets", name, "name")
            why = "a target is called what its key says"
            span = loaded.span(at, key=True)
            loaded.diagnostics.append(
                Diagnostic("unknown-key", "a target has no 'name'", why, "remove it", at, span)
            )
            del target["name"]
    for _ in range(_ROUNDS):
        try:
            loaded.partial = Stack.model_validate(data)
            break
        except ValidationError as error:
            taken: set[PathKey] = set()
            for found in error.errors(include_url=False):
                current = _existing(data, tuple(step for step in found["loc"] if step != "[key]"))
                path = loaded.address(tuple(step for step in found["loc"] if step != "[key]"))
                if path not in told and not any(part[: len(path)] == path for part in left_out):
                    loaded.diagnostics.append(_told(found, path, loaded))
                left_out.add(path)
                missing = found["type"] == "missing" and len(current) == len(found["loc"]) - 1
                if missing and path[-1:] == ("size",):
                    current = (*current, "size")
                elif missing:
                    left_out.add(path[:-1])
                taken.add(current)
            for current in sorted(taken, key=_order, reverse=True):
                _remove(data, current, kept)
        except RecursionError:
            loaded.diagnostics.append(
                Diagnostic("too-deep", "the file is nested too deeply", span=Span(loaded.file, 1, 1))
            )
            return
    loaded.left_out = frozenset(left_out)


def _order(path: PathKey) -> list[tuple[bool, str | int]]:
    return [(isinstance(step, int), step) for step in path]


def _existing(data: Any, path: PathKey) -> PathKey:
    """The part of a path that is there."""
    for length, step in enumerate(path):
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return path[:length]
    return path


def _remove(data: dict[str, Any], path: PathKey, kept: dict[PathKey, tuple[int, ...]]) -> None:
    """Take something out; the stack's own name is replaced."""
    if path in ((), ("stack",)):
        data["stack"] = PLACEHOLDER
        return
    if path[:1] == ("volumes",) and len(path) == 3 and path[2] == "size":
        data["volumes"][path[1]]["size"] = _STAND_IN
        return
    here: Any = data
    address: PathKey = ()
    for step in path[:-1]:
        if step not in here if isinstance(here, dict) else not isinstance(step, int) or step >= len(here):
            return
        here = here[step]
        indices = kept.get(address)
        address = (*address, indices[step] if indices is not None and isinstance(step, int) else step)
    last = path[-1]
    if isinstance(here, list) and isinstance(last, int):
        indices = kept.get(address, tuple(range(len(here))))
        kept[address] = indices[:last] + indices[last + 1 :]
        del here[last]
    elif isinstance(here, dict):
        here.pop(last, None)


def _unknown_key(path: PathKey, loaded: Loaded, fix: str = "") -> Diagnostic:
    where = ".".join(map(str, path[:-1])) or "a stack"
    return Diagnostic(
        "unknown-key",
        f"the key {str(path[-1])!r} is not known here",
        f"{where} has no such property",
        fix or instead(path) or did_you_mean(str(path[-1]), shape.keys_at(path[:-1])),
        path,
        loaded.span(path, key=True),
    )


def _told(found: Any, path: PathKey, loaded: Loaded) -> Diagnostic:
    """A finding of the model's own checks, in our words and at its place."""
    egress = path[:1] == ("firewalls",) and "egress" in path
    shown = tuple("to" if step == "from" and egress else step for step in path)
    if found["type"] == "extra_forbidden":
        return _unknown_key(path, loaded)
    if found["type"] == "missing":
        where = ".".join(map(str, path[:-1])) or "the stack"
        why, example = about(path)
        fix = f"add `{path[-1]}: {example}`" + (" at the top of the file" if len(path) == 1 else "")
        span = loaded.span(path[:-1], key=True)
        return Diagnostic("missing-key", f"{where} needs the key {str(path[-1])!r}", why, fix, path, span)
    named = str(found.get("ctx", {}).get("key", ""))
    at = (*shown, named) if named else shown
    summary, why, fix = described(found, shown)
    is_key = "[key]" in found["loc"] or bool(named)
    return Diagnostic(
        "name" if "[key]" in found["loc"] else "value", summary, why, fix, at, loaded.span(at, key=is_key)
    )
