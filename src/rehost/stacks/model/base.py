"""What all components share: frozen, strict, with sizes and references as types of their own."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

_UNITS = {
    "": 1024**3,
    "M": 1000**2,
    "MB": 1000**2,
    "MIB": 1024**2,
    "G": 1000**3,
    "GB": 1000**3,
    "GIB": 1024**3,
}
_UNITS |= {"T": 1000**4, "TB": 1000**4, "TIB": 1024**4}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*$")


def parse_size(value: object) -> int:
    """Bytes of `4GiB`, `512MiB`, `10GB` or a bare number of GiB. Raises ValueError otherwise."""
    match = _SIZE.match(str(value)) if isinstance(value, int | float | str) and value is not True else None
    if not match or match[2].upper() not in _UNITS:
        raise ValueError("is not a size: write a number and a unit, such as 4GiB or 512MiB")
    return round(float(match[1]) * _UNITS[match[2].upper()])


def show_size(size: int) -> str:
    """The shortest exact way to write a number of bytes."""
    for unit, factor in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size / 1024**3:g}GiB"


Bytes = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(show_size, return_type=str, when_used="json"),
    Field(json_schema_extra={"type": ["string", "integer"], "examples": ["4GiB"]}),
]
"""A number of bytes, written as `4GiB`."""

Override = dict[str, dict[str, Any]]
"""Native properties by provider or target name: the escape hatch, reported as lock-in."""


class Component(BaseModel):
    """A part of a stack. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
