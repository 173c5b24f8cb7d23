"""Servers and volumes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rehost.stacks.model.base import Bytes, Component, Override


class Size(Component):
    """A need, not a type's name: the cheapest type of the target that meets it is chosen."""

    cpu: int = Field(1, ge=1, le=448, description="virtual CPUs")
    memory: Bytes = 1024**3
    disk: Bytes = 10 * 1024**3


class Server(Component):
    """A group of equal servers, named `<group>-1` and so on."""

    count: int = Field(1, ge=0, le=1000)
    size: Size = Size()
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    image: str = "debian-12"
    """A neutral image name: `debian-12`, `ubuntu-24.04`."""
    public: bool = False
    """Whether the servers have public addresses of their own."""
    subnet: str | None = None
    """A subnet's name; without it the group is spread over all."""
    ssh_keys: tuple[str, ...] = ()
    """Names under `ssh_keys` of the stack."""
    firewalls: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    user_data: str = ""
    """Given to cloud-init at creation and frozen from then on."""
    override: Override = Field(default_factory=dict)

    def members(self, group: str) -> list[str]:
        """Names of the servers of a group."""
        return [f"{group}-{n}" for n in range(1, self.count + 1)]


class Volume(Component):
    """A block device. `on` names a server group (one volume for each server) or one server (`app-2`)."""

    size: Bytes
    on: str
    filesystem: Literal["ext4", "xfs"] = "ext4"
    override: Override = Field(default_factory=dict)
