"""The way from files, overlays and --set to a Stack."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rehost.stacks.diagnostics import Diagnostic, Span
from rehost.stacks.load.yamlfile import PathKey, parse_yaml, read_text
from rehost.stacks.model import Stack

NAMES = ("stack.yaml", "stack.yml")
FUTURE = {"services", "databases", "caches", "load_balancers", "certificates"}
_ENV = re.compile(r"\$\$|\$\{env\.([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)([^{}]*))?\}")


@dataclass
class Loaded:
    """What was found in the files: the stack, None if it can't be built, and all that is wrong with them."""

    stack: Stack | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)
    spans: dict[PathKey, Span] = field(default_factory=dict)
    keys: dict[PathKey, Span] = field(default_factory=dict)
    file: str = ""

    def span(self, path: PathKey, *, key: bool = False) -> Span:
        """The place of a value (or its key), or of the nearest thing around it."""
        if key and path in self.keys:
            return self.keys[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.spans:
                return self.spans[path[:length]]
        return Span(self.file)


def find_stack_file(folder: Path) -> Path | None:
    """The stack file of a folder."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def load(
    files: Sequence[Path], *, sets: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Loaded:
    """The stack of one or more files (later ones laid over the first) and `key=value` settings.

    Never raises for anything in them: what is wrong is in `diagnostics`.
    """
    loaded = Loaded(file=str(files[0]) if files else "")
    data: dict[str, Any] = {}
    for path in files:
        text, problem = read_text(path)
        if problem:
            loaded.diagnostics.append(problem)
            continue
        document = parse_yaml(text, str(path))
        loaded.diagnostics += document.diagnostics
        data = _overlay(data, document.data)
        loaded.spans.update(document.values)
        loaded.keys.update(document.keys)
    if any(d.code in ("yaml", "no-file", "encoding", "empty", "no-mapping") for d in loaded.diagnostics):
        return loaded
    for setting in sets:
        _set(data, setting, loaded)
    data = _substitute(data, (), environment if environment is not None else os.environ, loaded)
    _build(data, loaded)
    return loaded


def _overlay(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {
            **below,
            **{key: _overlay(below[key], item) if key in below else item for key, item in above.items()},
        }
    return above


def _set(data: dict[str, Any], setting: str, loaded: Loaded) -> None:
    address, sign, text = setting.partition("=")
    steps: list[str | int] = []
    for part in re.split(r"(?<!\\)\.", address.strip()):
        match = re.fullmatch(r"(.*?)((?:\[\d+\])*)", part)
        assert match is not None
        steps.append(match[1].replace("\\.", "."))
        steps += [int(n) for n in re.findall(r"\d+", match[2])]
    span = Span(f"--set {setting}")
    if not sign or "" in steps:
        fix = "write key=value, such as servers.app.count=3"
        loaded.diagnostics.append(Diagnostic("set", f"{setting!r} is not a setting", fix=fix, span=span))
        return
    value = parse_yaml(f"v: {text}", "--set").data.get("v")
    here: Any = data
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, int) and isinstance(here, list):
            if step >= len(here):
                message = f"{address}: the list has {len(here)} items only"
                loaded.diagnostics.append(Diagnostic("set", message, span=span))
                return
        elif isinstance(step, int) or not isinstance(here, dict):
            message = f"{address}: {step} leads nowhere"
            loaded.diagnostics.append(Diagnostic("set", message, fix="check the path", span=span))
            return
        elif step not in here or (following is not None and not isinstance(here[step], dict | list)):
            here[step] = {}
        if following is None:
            here[step] = value
        else:
            here = here[step]
    loaded.spans[tuple(steps)] = span


def _substitute(value: Any, path: PathKey, environment: Mapping[str, str], loaded: Loaded) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(item, (*path, key), environment, loaded) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, (*path, n), environment, loaded) for n, item in enumerate(value)]
    if not isinstance(value, str) or "${env." not in value:
        return value

    def put(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$$"
        name, sign, rest = match[1], match[2], match[3] or ""
        if name in environment:
            return environment[name]
        if sign == ":-":
            return rest
        loaded.diagnostics.append(
            Diagnostic(
                "environment",
                rest if sign == ":?" and rest else f"the environment variable {name} is not set",
                fix=f"set {name}, or write ${{env.{name}:-default}}",
                path=path,
                span=loaded.span(path),
            )
        )
        return match[0]

    return _ENV.sub(put, value)


def _build(data: dict[str, Any], loaded: Loaded) -> None:
    known = set(Stack.model_fields)
    for key in list(data):
        if key in FUTURE:
            loaded.diagnostics.append(
                Diagnostic(
                    "not-yet",
                    f"this version does not deploy {key} yet",
                    fix="remove the key for now",
                    path=(key,),
                    span=loaded.span((key,), key=True),
                )
            )
            del data[key]
        elif key.startswith("x-"):
            del data[key]
    _peers(data, loaded)
    try:
        loaded.stack = Stack.model_validate(data)
    except ValidationError as error:
        for found in error.errors():
            loaded.diagnostics.append(_diagnostic(found, loaded, known))
    except RecursionError:
        loaded.diagnostics.append(Diagnostic("too-deep", "the file is nested too deeply", span=Span(loaded.file)))
    if any(d.severity == "error" for d in loaded.diagnostics):
        loaded.stack = None


def _peers(data: dict[str, Any], loaded: Loaded) -> None:
    """`from` in ingress and `to` in egress rules are one field of the model."""
    firewalls = data.get("firewalls")
    for name, firewall in firewalls.items() if isinstance(firewalls, dict) else ():
        for way, right, wrong in (("ingress", "from", "to"), ("egress", "to", "from")):
            rules = firewall.get(way) if isinstance(firewall, dict) else None
            for number, rule in enumerate(rules if isinstance(rules, list) else ()):
                if not isinstance(rule, dict):
                    continue
                path = ("firewalls", name, way, number, wrong)
                if wrong in rule:
                    loaded.diagnostics.append(
                        Diagnostic(
                            "rule-direction",
                            f"an {way} rule has no {wrong!r}",
                            why=f"{way} names where traffic {'comes from' if way == 'ingress' else 'goes to'}",
                            fix=f"write {right!r}",
                            path=path,
                            span=loaded.span(path, key=True),
                        )
                    )
                    del rule[wrong]
                if right in rule:
                    rule["from"] = rule.pop(right)


def _fields(path: Sequence[str | int]) -> list[str]:
    """The keys that may stand at a place of the stack."""
    model: Any = Stack
    for step in path:
        model = _below(model, step)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [field_.alias or name for name, field_ in model.model_fields.items()]
    return []


def _below(model: Any, step: str | int) -> Any:
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field_ in model.model_fields.items():
            if step in (name, field_.alias):
                return _inner(field_.annotation)
        return None
    arguments = getattr(model, "__args__", ())
    return (
        _inner(arguments[-1] if arguments and arguments[-1] is not Ellipsis else arguments[0])
        if arguments
        else None
    )


def _inner(annotation: Any) -> Any:
    arguments = getattr(annotation, "__args__", ())
    if type(None) in arguments:
        return next(a for a in arguments if a is not type(None))
    return getattr(annotation, "__origin__", annotation) if hasattr(annotation, "__metadata__") else annotation


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """A question with the nearest choice, or all of them, or nothing."""
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"use one of {', '.join(choices)}" if choices else ""


def _diagnostic(found: Any, loaded: Loaded, known: set[str]) -> Diagnostic:
    del known
    path = tuple(step for step in found["loc"] if step != "[key]")
    kind, message = found["type"], str(found["msg"])
    where = ".".join(str(step) for step in path)
    if kind == "extra_forbidden":
        choices = _fields(path[:-1])
        return Diagnostic(
            "unknown-key",
            f"the key {path[-1]!r} is not known here",
            why=f"{'.'.join(map(str, path[:-1])) or 'a stack'} has no such property",
            fix=did_you_mean(str(path[-1]), choices),
            path=path,
            span=loaded.span(path, key=True),
        )
    if kind == "missing":
        return Diagnostic(
            "missing-key",
            f"{where} is missing",
            fix=f"add `{path[-1]}:`" + (" at the top of the file" if len(path) == 1 else ""),
            path=path,
            span=loaded.span(path[:-1]),
        )
    shown = found.get("input")
    said = message.removeprefix("Value error, ")
    summary = f"{where}: {said[:1].lower()}{said[1:]}"
    if isinstance(shown, str | int | float) and "private" not in str(shown).lower() and len(str(shown)) < 60:
        summary += f" (it is {shown!r})"
    fix = "Names are lower-case letters, digits and dashes, at most 32" if "pattern" in kind else ""
    if kind == "literal_error":
        fix = "use one of " + str(found.get("ctx", {}).get("expected", ""))
    return Diagnostic("value", summary, fix=fix, path=path, span=loaded.span(path, key="[key]" in found["loc"]))


def at_target(diagnostic: Diagnostic, loaded: Loaded, target: str) -> Diagnostic:
    """A finding of a provider, with its place in the file and the target it is about."""
    span = loaded.span(diagnostic.path) if diagnostic.path else diagnostic.span
    return replace(diagnostic, span=span, summary=f"{diagnostic.summary} (target {target})")
