"""DNS records of a zone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from rehost.stacks.model.base import Component, as_list, complaint

Domain = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$", max_length=253
    ),
]
"""A domain name in full."""

Texts = Annotated[tuple[str, ...], BeforeValidator(as_list), Field(min_length=1)]

RecordType = Literal["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"]
KINDS: dict[str, RecordType] = {
    "a": "A",
    "aaaa": "AAAA",
    "cname": "CNAME",
    "mx": "MX",
    "txt": "TXT",
    "caa": "CAA",
    "srv": "SRV",
    "ns": "NS",
}
"""Record types by the key that holds their values."""


class Record(Component):
    """One name in a zone: `to` a component with public addresses, or values of one type."""

    name: str = Field("@", examples=["@", "www"])
    """Relative to the zone; `@` is the zone itself."""
    to: str | None = Field(None, examples=["servers.app"])
    """`servers.app`: an A record with the public addresses of the group; `databases.main`: its own address."""
    a: Texts | None = Field(None, examples=["203.0.113.7"])
    """IPv4 addresses."""
    aaaa: Texts | None = Field(None, examples=["2001:db8::7"])
    """IPv6 addresses."""
    cname: str | None = Field(None, examples=["plaza.example"])
    """The full name that this one stands for; `@` is the zone itself."""
    mx: Texts | None = Field(None, examples=["10 mail.plaza.example"])
    """Priority and mail server."""
    txt: Texts | None = Field(None, examples=["v=spf1 mx -all"])
    """Texts, written without quotes; long ones are split by themselves."""
    caa: Texts | None = Field(None, examples=['0 issue "letsencrypt.org"'])
    """Who may issue certificates: flags, tag and value."""
    srv: Texts | None = Field(None, examples=["10 5 443 host.plaza.example"])
    """Priority, weight, port and host."""
    ns: Texts | None = Field(None, examples=["ns1.plaza.example"])
    """Name servers that a name below the zone is delegated to."""
    ttl: int = Field(300, ge=0, le=2**31 - 1, examples=[300])
    """Seconds that others may keep the answer."""

    @model_validator(mode="after")
    def _one_kind(self) -> Record:
        given = [key for key in ("to", *KINDS) if getattr(self, key) is not None]
        if len(given) != 1:
            summary = f"a record can't have both {' and '.join(given[:2])}" if given else "a record has no value"
            why = f"it needs exactly one of to, {', '.join(KINDS)}"
            fix = "make a record of each" if given else "add for example `to: servers.app` or `a: 203.0.113.7`"
            raise complaint(summary, why, fix, given[1] if given else "")
        return self

    def full(self, zone: str) -> str:
        """The name with its zone."""
        return zone if self.name == "@" else f"{self.name}.{zone}"

    @property
    def type(self) -> RecordType:
        """The type: an address where it points `to` a component."""
        given = self.values()
        return given[0] if given else "A"

    def values(self) -> tuple[RecordType, tuple[str, ...]] | None:
        """Type and values as written; None for a record that points `to` a component."""
        for key, type_ in KINDS.items():
            given = getattr(self, key)
            if given is not None:
                return type_, (given,) if isinstance(given, str) else given
        return None
