"""The model as a tree of types: what may stand at a path of a stack file."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rehost.stacks.diagnostics import PathKey
from rehost.stacks.model import Service, Stack, Target

HIDDEN: dict[type, set[str]] = {Target: {"name"}, Service: {"files"}}
"""Fields that the loader fills in itself."""


def inner(annotation: Any) -> Any:
    """A type without Annotated and Optional."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return inner(get_args(annotation)[0])
    if origin in (Union, UnionType):
        kept = [argument for argument in get_args(annotation) if argument is not type(None)]
        return inner(kept[0]) if len(kept) == 1 else annotation
    return annotation


def is_component(shape: Any) -> bool:
    """Whether a type is one of the model's classes."""
    return isinstance(shape, type) and issubclass(shape, BaseModel)


def file_keys(shape: Any) -> dict[str, Any]:
    """The keys that a component has in a file, with their types."""
    hidden = HIDDEN.get(shape, set())
    return {
        field.alias or name: inner(field.annotation)
        for name, field in shape.model_fields.items()
        if name not in hidden
    }


def below(shape: Any, step: str | int) -> Any:
    """The type under a key or an index, None where there is none."""
    if is_component(shape):
        return file_keys(shape).get(str(step))
    arguments = get_args(shape)
    if get_origin(shape) is dict:
        return inner(arguments[1])
    return inner(arguments[0]) if get_origin(shape) in (tuple, list) else None


def at(path: PathKey) -> Any:
    """The type at a path of the stack, None where there is none."""
    shape: Any = Stack
    for step in path:
        shape = below(shape, step)
    return shape


def field_at(path: PathKey) -> FieldInfo | None:
    """What the model says about the key at a path, or about the key around it for items of lists and mappings."""
    for length in range(len(path), 0, -1):
        parent = at(path[: length - 1])
        if is_component(parent):
            names = {"to": "from"} if path[:1] == ("firewalls",) else {}
            key = names.get(str(path[length - 1]), str(path[length - 1]))
            found = [f for name, f in parent.model_fields.items() if key == (f.alias or name)]
            return found[0] if found else None
    return None


def keys_at(path: PathKey) -> list[str]:
    """The keys that may stand in the mapping at a path, empty where any or none may."""
    shape = at(path)
    if not is_component(shape):
        return []
    peers = {"from": "to"} if "egress" in path and path[:1] == ("firewalls",) else {}
    return [peers.get(key, key) for key in file_keys(shape)]
