"""The model's own complaints in words that a person who writes YAML understands."""

from __future__ import annotations

import difflib
import unicodedata
from typing import Any, get_args, get_origin

from rehost.stacks.diagnostics import PathKey, did_you_mean
from rehost.stacks.load import shape
from rehost.stacks.records import ascii_name

_FAMILIES = ("int_", "float_", "bool_", "string_", "dict_", "tuple_", "model_", "list_", "decimal_")
_WORDS = {
    "int": "has to be a whole number",
    "float": "has to be a number",
    "bool": "has to be true or false",
    "string": "has to be text",
    "dict": "has to be a mapping of keys to values",
    "model": "has to be a mapping of keys to values",
    "tuple": "has to be a list",
    "list": "has to be a list",
}
_BOUNDS = {
    "greater_than": ("gt", "has to be more than"),
    "greater_than_equal": ("ge", "has to be at least"),
    "less_than_equal": ("le", "can be at most"),
}
_SYNONYMS = {
    "amd64": "x86_64",
    "x86-64": "x86_64",
    "x64": "x86_64",
    "x86": "x86_64",
    "aarch64": "arm64",
    "arm": "arm64",
}
_FORMS = {
    "http": ("an address starts with http:// or https://", "write for example https://plaza.example/healthz"),
    "from_env": ("a variable's name has letters, digits and _", "write for example SMTP_PASSWORD"),
}
NAME_RULE = "names are lower-case letters, digits and dashes, start with a letter, and are at most 32 long"


def described(found: Any, path: PathKey) -> tuple[str, str, str]:
    """What is wrong, why, and how to put it right, for one of pydantic's errors."""
    summary, why, fix = _said(found, path)
    meaning, example = about(path)
    return summary, why or meaning, fix or f"write for example {example}"


def about(path: PathKey) -> tuple[str, str]:
    """What the key at a path means, and an example of its value."""
    if not path:
        return "it is what everything else is part of", "stack: plaza"
    field = shape.field_at(path)
    meaning = (field.description or "") if field else ""
    if shape.is_component(shape.at(path)):
        meaning = (shape.at(path).__doc__ or "").split("\n")[0]
    example = (
        field.examples[0]
        if field and field.examples
        else field.get_default(call_default_factory=True)
        if field
        else ""
    )
    if field and not field.examples and path and shape.below(shape.at(path[:-1]), path[-1]) is bool:
        example = "true"
    meaning = meaning.removesuffix(".")
    subject = "an item here" if isinstance(path[-1], int) else str(path[-1])
    return f"{subject} means: {meaning[:1].lower()}{meaning[1:]}" if meaning else "", _written(example)


def _range(path: PathKey) -> str:
    field = shape.field_at(path)
    ends = (
        [getattr(part, end) for end in ("ge", "le") for part in field.metadata if hasattr(part, end)]
        if field
        else []
    )
    return f"write a number from {ends[0]} to {ends[1]}" if len(ends) == 2 else ""


def _written(example: Any) -> str:
    if isinstance(example, bool):
        return str(example).lower()
    if isinstance(example, list | tuple):
        return f"[{', '.join(map(str, example))}]"
    return str(example) if isinstance(example, str | int) and example != "" else "..."


def _said(found: Any, path: PathKey) -> tuple[str, str, str]:
    kind: str = found["type"]
    context: dict[str, Any] = found.get("ctx") or {}
    given = found.get("input")
    where = ".".join(str(step) for step in path) or "the stack"
    shown = _shown(given, path)
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{where} {words} {context[key]}{shown}", "", _range(path)
    if kind == "literal_error":
        choices = [str(choice) for choice in _choices(path)]
        meant = _SYNONYMS.get(str(given).lower(), str(given))
        return f"{where} has to be one of {', '.join(choices)}{shown}", "", did_you_mean(meant, choices)
    if kind == "string_pattern_mismatch":
        return _pattern(found, path, where, shown)
    if kind in ("string_too_short", "too_short"):
        return f"{where} is empty", "", "write a value, or remove the key"
    if kind in ("string_too_long", "too_long"):
        limit = context.get("max_length")
        return f"{where} is longer than {limit} characters", "", "shorten it"
    if kind.startswith(_FAMILIES):
        word = kind.split("_")[0]
        summary = f"{where} {_WORDS.get(word, 'is of the wrong type')}{shown}"
        return summary, "", _type_fix(word, given, path)
    said = str(found["msg"]).removeprefix("Value error, ").removeprefix("value is not a valid ")
    return (
        f"{where}: {said[:1].lower()}{said[1:]}{shown}",
        str(context.get("why", "")),
        str(context.get("fix", "")),
    )


def _shown(given: Any, path: PathKey) -> str:
    """The value itself where that helps: short, and nothing that might be secret."""
    hidden = path[:1] in (("secrets",), ("ssh_keys",)) or path[-1:] in (("password",), ("private_key",))
    if hidden or not isinstance(given, str | int | float | None):
        return ""
    if given is None:
        return " (it is empty)"
    text = (
        repr(given)
        if isinstance(given, str)
        else str(given).lower()
        if isinstance(given, bool)
        else f"{given!r:.60}"
    )
    return f" (it is {text})" if len(text) < 60 else ""


def _choices(path: PathKey) -> tuple[Any, ...]:
    return get_args(shape.at(tuple("from" if step == "to" else step for step in path)))


def _pattern(found: Any, path: PathKey, where: str, shown: str) -> tuple[str, str, str]:
    if path[:1] == ("dns",):
        word = str(path[-1])
        known = ascii_name(word).rstrip(".")
        fix = f"write {known}" if word != known else ""
        return f"{word!r} is not a domain name", "a zone is named in lower case, such as plaza.example", fix
    is_name = "[key]" in found["loc"] or path == ("stack",)
    if is_name:
        given = str(path[-1] if "[key]" in found["loc"] else found.get("input"))
        return f"{given!r} can't be a name", NAME_RULE, _proposed(given)
    why, fix = _FORMS.get(str(path[-1]), ("", ""))
    return f"{where} is not of the right form{shown}", why, fix


def _proposed(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    made = "".join(c if c.isalnum() else "-" for c in plain).strip("-")[:32].strip("-")
    return f"write for example {made}" if made[:1].isalpha() else "choose another name"


def _type_fix(word: str, given: Any, path: PathKey) -> str:
    if word == "string" and isinstance(given, bool | int | float):
        return f'put it in quotes: "{str(given).lower() if isinstance(given, bool) else given}"'
    if word in ("tuple", "list") and isinstance(given, str | int | dict):
        return "write a list: [...]"
    if word in ("model", "dict") and not isinstance(given, dict):
        keys = shape.keys_at(path)
        near = difflib.get_close_matches(str(given), keys, n=1)
        if near or keys:
            return f"write for example `{near[0] if near else keys[0]}: ...` under it"
        return "write `name: ...` under it" if get_origin(shape.at(path)) is dict else ""
    return ""
