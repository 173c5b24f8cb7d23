"""What all components share: frozen, strict, with sizes and references as types of their own."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from rehost.stacks.model import recording

_UNITS = {"B": 1, "": 1024**3}
for _power, _letter in enumerate("KMGT", 1):
    _UNITS |= {_letter: 1000**_power, f"{_letter}B": 1000**_power, f"{_letter}IB": 1024**_power}
_SIZE = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([a-zA-Z]*)\s*\Z", re.ASCII)
_MAX_SIZE = 2**60


def complaint(summary: str, why: str = "", fix: str = "", key: str = "") -> PydanticCustomError:
    """An error for validators to raise. `key` names the key below that it is about."""
    given = {name: text for name, text in (("why", why), ("fix", fix), ("key", key)) if text}
    # As a value, since braces in the template itself would be taken for placeholders.
    return PydanticCustomError("complaint", "{summary}", {"summary": summary, **given})


def as_list(value: object) -> object:
    """For what may be written alone or in a list."""
    return value if isinstance(value, list | tuple) else [value]


def parse_size(value: object) -> int:
    """Bytes of `4GiB`, `512MiB`, `10GB` or a bare number of GiB. Raises ValueError otherwise."""
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    match = _SIZE.match(text) if len(text) < 40 else None
    factor = _UNITS.get(match[2].upper()) if match else None
    size = round(Decimal(match[1]) * factor) if match and factor else None
    if size is None or size > _MAX_SIZE:
        raise complaint("this is no size", "", "write a number and a unit, such as 4GiB or 512MiB")
    return size


def show_size(size: int) -> str:
    """The shortest exact way to write a number of bytes."""
    exact = [
        (size // factor, unit) for unit, factor in _UNITS.items() if unit.endswith("B") and size % factor == 0
    ]
    number, unit = min(exact, key=lambda pair: (pair[0], "I" not in pair[1]))
    return f"{number}{unit.replace('IB', 'iB')}"


Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$")]
"""Lower-case letters, digits and dashes, at most 32, starting with a letter: fit for every provider."""

SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9_-]{0,62}[a-z0-9])?$")]
"""As other names, and underscores: no provider sees it."""

Bytes = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(show_size, return_type=str, when_used="json"),
    Field(gt=0, json_schema_extra={"format": "size"}),
]
"""A number of bytes, written as `4GiB`; a bare number is GiB."""

Override = dict[str, dict[str, Any]]
"""Native properties by provider or target name: the escape hatch, reported as lock-in."""


class Component(BaseModel):
    """A part of a stack. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)

    if not TYPE_CHECKING:

        def __new__(cls, *positional: Any, **arguments: Any) -> Any:
            """While a stack program runs, a Draft for arguments that are not valid: see recording.py."""
            made = super().__new__(cls)
            if arguments and not positional and recording.active():
                try:
                    cls.__pydantic_validator__.validate_python(arguments)
                except ValidationError as error:
                    return recording.Draft(cls, recording.note(None, arguments, 1), error)
                recording.note(made, arguments, 1)
            return made
