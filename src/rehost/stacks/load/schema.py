"""The form of a stack file as JSON Schema (2020-12), for completion, hover and checks in editors.

It says what the loader accepts in a file: numbers and switches may be written as text or come from `${env.NAME}`,
what may be a list may be a single value, `x-` keys are free, an empty mapping may be left empty.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import MaxLen, MinLen
from pydantic import BeforeValidator, TypeAdapter
from pydantic.fields import FieldInfo

from rehost.stacks.load.shape import HIDDEN, inner, is_component
from rehost.stacks.model import Check, Dkim, Record, Rule, Secret, Service, ServiceCheck, Stack, Target
from rehost.stacks.model.base import Bytes, Override, as_list
from rehost.stacks.model.data import Version
from rehost.stacks.model.network import Cidr, Port
from rehost.stacks.model.services import Command, DependsOn, Environment, PortMapping, Seconds
from rehost.stacks.model.zones import KINDS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ENVIRONMENT = {"type": "string", "pattern": r"\$\{env\.[A-Za-z_][A-Za-z0-9_]*(:[-?][^{}]*)?\}"}
_SWITCHES = ["true", "false", "yes", "no", "on", "off", "True", "False", "TRUE", "FALSE"]
_SIZE = {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KkMmGgTt]([Ii]?[Bb])?|[Bb])?\s*$"},
        {"type": "number", "exclusiveMinimum": 0},
    ]
}
_PORT = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 65535},
        {"type": "string", "pattern": r"^\d{1,5}(-\d{1,5})?$"},
    ]
}
_CIDR = {"type": "string", "pattern": r"^(\d{1,3}\.){3}\d{1,3}/(\d|[12]\d|3[0-2])$"}
_TEXTS = {"type": ["array", "null"], "items": {"type": ["string", "integer"]}}
_COMMAND = {"anyOf": [{"type": "string"}, _TEXTS]}
_VARIABLE = "^[A-Za-z_][A-Za-z0-9_]*"
_ENVIRONMENT_MAP = {
    "anyOf": [
        {
            "type": ["object", "null"],
            "propertyNames": {"pattern": f"{_VARIABLE}$"},
            "additionalProperties": {"type": ["string", "integer"]},
        },
        {"type": "array", "items": {"type": "string", "pattern": f"{_VARIABLE}="}},
    ]
}
_SECONDS = {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*(?=\d)(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?\s*$"},
        {"type": "number", "minimum": 0, "maximum": 86400},
    ]
}
_MAPPING = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 65535},
        {"type": "string", "pattern": r"^(\d{1,5}:)?\d{1,5}(/tcp)?$"},
    ]
}
_DEPENDS = {
    "anyOf": [
        {"type": "string"},
        {"type": ["array", "null"], "items": {"type": "string"}},
        {
            "type": "object",
            "additionalProperties": {
                "type": ["object", "null"],
                "properties": {"condition": {"enum": ["service_started", "service_healthy"]}},
                "additionalProperties": False,
            },
        },
    ]
}
_VERSION = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^\d{1,3}(\.\d{1,3}){0,2}$"}]}
_ONE_OF: Mapping[Any, list[str]] = {
    Record: ["to", *KINDS],
    Secret: ["generate", "key", "from_env"],
    Dkim: ["key", "public_key", "cname"],
    ServiceCheck: ["path", "test"],
    Check: ["http", "sql query"],
}
"""Keys of which a component has exactly one, and what goes with it."""
_LEAVES: list[tuple[Any, Schema]] = [
    (Bytes, _SIZE),
    (Port, _PORT),
    (Cidr, _CIDR),
    (Command, _COMMAND),
    (DependsOn, _DEPENDS),
    (Environment, _ENVIRONMENT_MAP),
    (PortMapping, _MAPPING),
    (Seconds, _SECONDS),
    (Version, _VERSION),
]


def stack_schema(providers: Mapping[str, Mapping[str, Any]]) -> Schema:
    """The schema of a stack file.

    `providers` has for each provider its `title`, its `regions`, and its `options` with a line about each.
    """
    made = _Maker(providers)
    root = made.component(Stack)
    return {
        "$schema": DIALECT,
        "title": "rehost stack file",
        **root,
        "$defs": {**made.definitions, "environment": {"description": "From the environment.", **_ENVIRONMENT}},
    }


class _Maker:
    def __init__(self, providers: Mapping[str, Mapping[str, Any]]) -> None:
        self.definitions: dict[str, Schema] = {}
        self._providers = providers

    def component(self, model: Any, peers: str = "from") -> Schema:
        """The schema of one of the model's classes; `peers` is what rules call their other side."""
        properties: dict[str, Schema] = {}
        required = []
        hidden = HIDDEN.get(model, set())
        for name, field in model.model_fields.items():
            if name in hidden:
                continue
            key = field.alias or name
            key = peers if model is Rule and key == "from" else key
            properties[key] = self._field(field, key)
            if field.is_required():
                required.append(key)
        made: Schema = {"type": "object", "description": _words(model), "properties": properties}
        if required:
            made["required"] = required
        if model is Target:
            return {**made, **self._target(properties)}
        if model is Service:
            made["anyOf"] = [{"required": ["image"]}, {"required": ["command"]}]
            properties["setup"] = _or_text(properties["setup"])
        if model in _ONE_OF:
            made["oneOf"] = [{"required": key.split()} for key in _ONE_OF[model]]
        return {**made, "patternProperties": {"^x-": True}, "additionalProperties": False}

    def _target(self, properties: dict[str, Schema]) -> Schema:
        properties["provider"] |= {"enum": sorted(self._providers)}
        cases = []
        for name, about in sorted(self._providers.items()):
            own: Schema = {"region": {"examples": list(about["regions"])}}
            own |= {key: {"type": "string", "description": line} for key, line in about["options"].items()}
            known = [*properties, *about["options"]]
            then = {"properties": own, "propertyNames": {"enum": known}}
            case = {"properties": {"provider": {"const": name}}, "required": ["provider"]}
            cases.append({"if": case, "then": then})
        return {"allOf": cases}

    def _reference(self, model: Any, peers: str = "from") -> Schema:
        name = f"{model.__name__}{'To' if peers == 'to' else ''}"
        if name not in self.definitions:
            self.definitions[name] = {}
            self.definitions[name] = self.component(model, peers)
        return {"$ref": f"#/$defs/{name}"}

    def _field(self, field: FieldInfo, key: str) -> Schema:
        peers = "to" if key == "egress" else "from"
        annotation: Any = field.annotation
        if field.metadata:
            annotation = Annotated[(annotation, *field.metadata)]
        made = self._value(annotation, peers, empty=not field.is_required())
        if field.description:
            made = {"description": field.description, **made}
        if field.examples:
            made["examples"] = list(field.examples)
        default = field.default
        if not field.is_required() and isinstance(default, str | int | bool) and default != "":
            shown = TypeAdapter(annotation).dump_python(default, mode="json", by_alias=True)
            made["default"] = shown
        return made

    def _value(self, annotation: Any, peers: str, *, empty: bool) -> Schema:
        """The schema of a type; `empty` says whether nothing at all stands for an empty mapping or list."""
        for leaf, schema in _LEAVES:
            if annotation == leaf | None or annotation == leaf or _same(annotation, leaf):
                return _or_environment(dict(schema))
        plain = inner(annotation)
        if is_component(plain):
            made = self._reference(plain, peers)
            definition = self.definitions[made["$ref"].rpartition("/")[2]]
            if empty and not definition.get("required") and not {"oneOf", "anyOf"} & definition.keys():
                definition["type"] = ["object", "null"]
            return made
        if annotation == Override or plain == Override:
            native = {"type": "object", "additionalProperties": True}
            return {"type": ["object", "null"], "additionalProperties": native}
        if get_origin(plain) is dict:
            keys, values = get_args(plain)
            return {
                "type": ["object", "null"],
                **_named(keys),
                "additionalProperties": self._value(values, peers, empty=True),
            }
        if get_origin(plain) is tuple:
            return self._list(annotation, plain, peers, empty)
        return self._scalar(annotation)

    def _list(self, annotation: Any, plain: Any, peers: str, empty: bool) -> Schema:
        item = self._value(get_args(plain)[0], peers, empty=False)
        said = _said(annotation)
        many: Schema = {"type": "array", "items": item}
        rules = [rule for part in said for rule in (part.metadata if isinstance(part, FieldInfo) else [part])]
        for rule in rules:
            if isinstance(rule, MinLen):
                many["minItems"] = rule.min_length
            elif isinstance(rule, MaxLen):
                many["maxItems"] = rule.max_length
        if any(isinstance(part, BeforeValidator) and part.func is as_list for part in said):
            return {"anyOf": [item, many]}
        return {**many, "type": ["array", "null"] if empty else "array"}

    def _scalar(self, annotation: Any) -> Schema:
        made: Schema = TypeAdapter(annotation).json_schema()
        return _loosened(_tidy(made))


def _said(annotation: Any) -> list[Any]:
    """What is said about a type in Annotated, also where it is optional."""
    if get_origin(annotation) is Annotated:
        return [*_said(get_args(annotation)[0]), *get_args(annotation)[1:]]
    if get_origin(annotation) in (Union, UnionType):
        return [part for argument in get_args(annotation) for part in _said(argument)]
    return []


def _same(annotation: Any, leaf: Any) -> bool:
    """Whether a field's type is a leaf with more said about it."""
    if get_origin(annotation) is not Annotated:
        return False
    own, known = get_args(annotation), get_args(leaf)
    return own[0] == known[0] and any(part is known[1] or part == known[1] for part in own[1:])


def _words(model: Any) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def _named(keys: Any) -> Schema:
    rule = TypeAdapter(keys).json_schema()
    kept = {key: rule[key] for key in ("pattern", "maxLength", "minLength") if key in rule}
    return {"propertyNames": kept} if kept else {}


def _tidy(made: Schema) -> Schema:
    return {key: value for key, value in made.items() if key not in ("title", "default", "description")}


def _loosened(made: Schema) -> Schema:
    """What the loader takes for a scalar: text that reads as one, and the environment."""
    if "anyOf" in made:
        return {**made, "anyOf": [_loosened(_tidy(choice)) for choice in made["anyOf"]]}
    kind = made.get("type")
    if kind == "integer":
        return _or_environment(made, {"type": "string", "pattern": r"^\s*[+-]?\d+\s*$"})
    if kind == "boolean":
        return _or_environment(made, {"enum": _SWITCHES})
    if kind == "string" and ("enum" in made or "pattern" in made or "const" in made):
        return _or_environment(made)
    return made


def _or_text(made: Schema) -> Schema:
    """What may be written as a text of its own, in place of a mapping."""
    told = {key: made[key] for key in ("description", "examples") if key in made}
    return told | {"anyOf": [{"type": "string"}, {key: made[key] for key in made.keys() - told.keys()}]}


def _or_environment(made: Schema, *others: Schema) -> Schema:
    return {"anyOf": [made, *others, {"$ref": "#/$defs/environment"}]}
