"""Servers and volumes."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rehost.stacks.model.base import Bytes, Component, Override, complaint

_HOST = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])")
_LONGEST = 35
"""Characters of a server's name, at most."""


def _reverse(text: str) -> str:
    if not _HOST.fullmatch(text.replace("{server}", "x")) or len(text.replace("{server}", "x" * _LONGEST)) > 253:
        why = "a reverse look-up gives a full host name, in lower case"
        raise complaint("this is no host name", why, "write for example {server}.plaza.example")
    return text


ReverseName = Annotated[str, AfterValidator(_reverse)]
"""A full host name, in which `{server}` stands for the server's own."""


class Size(Component):
    """A need, not a type's name: the cheapest type of the target that meets it is chosen."""

    cpu: int = Field(1, ge=1, le=448, examples=[2])
    """Virtual CPUs, at least."""
    memory: Bytes = Field(1024**3, examples=["4GiB"])
    """Memory, at least, such as 4GiB."""
    disk: Bytes = Field(10 * 1024**3, examples=["40GiB"])
    """The disk that a server starts from, at least, such as 40GiB."""


class Server(Component):
    """A group of equal servers, named `<group>-1` and so on."""

    count: int = Field(1, ge=0, le=1000, examples=[2])
    """How many servers the group has."""
    size: Size = Size()
    """What each server needs at least."""
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """The processor's architecture."""
    image: str = Field("debian-12", min_length=1, examples=["debian-12", "ubuntu-24.04"])
    """A neutral image name: `debian-12`, `ubuntu-24.04`."""
    public: bool = False
    """Whether the servers have public addresses of their own."""
    subnet: str | None = None
    """A subnet's name; without it the group is spread over all."""
    ssh_keys: tuple[str, ...] = ()
    """Names under `ssh_keys` of the stack."""
    reverse: ReverseName | None = Field(None, examples=["mail.plaza.example", "{server}.plaza.example"])
    """The name that reverse look-ups of the public addresses give; `{server}` stands for `app-1`."""
    firewalls: tuple[str, ...] = ()
    """Names under `firewalls` of the stack."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels or tags of the servers, for your own use."""
    placement: Literal["spread"] | None = None
    """`spread` keeps the servers of the group on different machines of the provider."""
    user_data: str = ""
    """Given to cloud-init at creation and frozen from then on. May refer to other components with `${...}`."""
    override: Override = Field(default_factory=dict)
    """Native properties by provider or target, laid over what rehost writes; reported as lock-in."""

    def members(self, group: str) -> list[str]:
        """Names of the servers of a group."""
        return [f"{group}-{n}" for n in range(1, self.count + 1)]


class Volume(Component):
    """A block device. `on` names a server group (one volume for each server) or one server (`app-2`)."""

    size: Bytes = Field(examples=["50GiB"])
    """How large it is, such as 50GiB. It can grow later, never shrink."""
    on: str = Field(examples=["db"])
    """A server group, or one server of it such as `app-2`."""
    filesystem: Literal["ext4", "xfs"] = "ext4"
    """What it is formatted with when it is new."""
    override: Override = Field(default_factory=dict)
    """Native properties by provider or target, laid over what rehost writes; reported as lock-in."""
