"""The servers of a stack that rehost enters: what makes them ready, and which way leads there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rehost.stacks.graph import Join, Ref, Resource, Value
from rehost.stacks.hosts import access
from rehost.stacks.hosts.resource import HOST
from rehost.stacks.lower import Lowering
from rehost.stacks.reading import needed_by


@dataclass(frozen=True)
class Disk:
    """A volume of a server: what its device is known by, the best first, and its size in GiB."""

    device: Sequence[Value]
    size: int


@dataclass(frozen=True)
class Place:
    """A server as its provider knows it. `user` is whom its image lets in, empty where nobody comes in over SSH;
    `volumes` are those of the stack that are at it, by their names."""

    id: Value
    address: Value
    private: Value
    user: str = ""
    volumes: Mapping[str, Disk] = field(default_factory=dict)


Where = Callable[[str], Place]
"""A server by its name."""


class Hosts:
    """The servers that are entered, and how."""

    def __init__(self, lowering: Lowering, where: Where, export: Callable[[str], Value]) -> None:
        self._lowering, self._where, self._export = lowering, where, export
        self._access = access.Access(lowering.stack, lowering.secrets)

    def all(self) -> Iterator[Resource]:
        """A resource for each of them."""
        for member in access.entered(self._lowering.stack):
            if self._where(member).user:
                inputs = self._inputs(member)
                yield self._lowering.resource(HOST, member, inputs, component=f"servers.{member}")

    def urns(self, member: str) -> list[str]:
        """What has to be there before a unit is put."""
        return [self._lowering.urn(HOST, member)] if self._where(member).user else []

    def door(self, member: str) -> dict[str, Value] | None:
        """What leads through a server; None where nobody comes in to it."""
        place = self._where(member)
        if place.user and member not in access.entered(self._lowering.stack):
            return None
        return {"serverId": place.id, "connection": self.connection(member), "name": member}

    def connection(self, member: str) -> dict[str, Value]:
        """How a server is reached once it was prepared."""
        return self._way(member, Ref(self._lowering.urn(HOST, member), "hostKey"))

    def _way(self, member: str, key: Value) -> dict[str, Value]:
        place, stack = self._where(member), self._lowering.stack
        public = stack.servers[access.group_of(member)].public
        way: dict[str, Value] = {"address": place.address if public else place.private}
        if not place.user:
            return way
        way |= {"hostKeys": [key], "user": place.user, "privateKey": self._access.deploy_key()}
        over = access.jump_of(stack, member)
        if over is not None:
            way["via"] = self.connection(over)
        elif not public:
            way["unreachable"] = True
        return way

    def _inputs(self, member: str) -> dict[str, Value]:
        stack, group = self._lowering.stack, access.group_of(member)
        place = self._where(member)
        on = [service for name, service in stack.services.items() if member in stack.runs_on(name)]
        guarded = self._lowering.guards.get(group, {})
        programs = {"podman"} if any(service.image for service in on) else set()
        programs |= {"nft"} if guarded else set()
        programs |= {need for service in on if service.setup for need in needed_by(service.setup.run)}
        mounts = [
            {
                "name": name,
                "device": list(disk.device),
                "filesystem": stack.volumes[name].filesystem,
                "size": disk.size,
            }
            for name, disk in sorted(place.volumes.items())
        ]
        sources = {mount.split(":")[0] for service in on for mount in service.volumes}
        mounted = tuple(f"/mnt/{name}" for name in place.volumes)
        folders = sorted(path for path in sources if path.startswith(tuple(f"{m}/" for m in mounted)))
        allow: dict[str, Value] = {
            str(port): text_of(self._lowering.text(peers, self._export)) for port, peers in guarded.items()
        }
        return {
            "serverId": place.id,
            "name": member,
            "connection": self._way(member, self._access.first_host_key(member)),
            "programs": sorted(programs) or None,
            "mounts": mounts or None,
            "folders": folders or None,
            "allow": allow or None,
        }


def text_of(value: Value) -> Value:
    """A variable is text, whatever it refers to."""
    return value if isinstance(value, str) else Join((value,))
