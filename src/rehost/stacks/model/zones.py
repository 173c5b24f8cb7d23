"""DNS records of a zone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from rehost.stacks.model.base import Component
from rehost.stacks.model.network import _as_list

Texts = Annotated[tuple[str, ...], BeforeValidator(_as_list)]

RecordType = Literal["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"]
_KEYS: dict[str, RecordType] = {"a": "A", "aaaa": "AAAA", "cname": "CNAME", "mx": "MX", "txt": "TXT"}
_KEYS |= {"caa": "CAA", "srv": "SRV", "ns": "NS"}


class Record(Component):
    """One name in a zone: `to` a component with public addresses, or values of one type."""

    name: str = "@"
    to: str | None = None
    """`servers.app`: an A record with the public addresses of the group."""
    a: Texts | None = None
    aaaa: Texts | None = None
    cname: str | None = None
    mx: Texts | None = None
    txt: Texts | None = None
    caa: Texts | None = None
    srv: Texts | None = None
    ns: Texts | None = None
    ttl: int = Field(300, ge=60, le=86400, description="seconds")

    @model_validator(mode="after")
    def _one_kind(self) -> Record:
        given = [key for key in ("to", *_KEYS) if getattr(self, key) is not None]
        if len(given) != 1:
            said = "none of them" if not given else " and ".join(given)
            raise ValueError(f"needs exactly one of to, {', '.join(_KEYS)}; it has {said}")
        return self

    def values(self) -> tuple[RecordType, tuple[str, ...]] | None:
        """Type and values as written; None for a record that points `to` a component."""
        for key, type_ in _KEYS.items():
            given = getattr(self, key)
            if given is not None:
                return type_, (given,) if isinstance(given, str) else given
        return None
