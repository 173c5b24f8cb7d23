"""What the lifts of Hetzner's resources share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.lower import HetznerLowering
from rehost.stacks.graph import Ref, Value
from rehost.stacks.lift.items import Item
from rehost.stacks.lift.job import Underway
from rehost.stacks.lift.texts import Texts

_NOBODY = "nobody"


@dataclass
class HetznerJob(Underway):
    """One lift under way."""

    network: Item | None = None
    subnets: dict[str, str] = field(default_factory=dict)
    """Names of subnets by key."""
    static: dict[str, str] = field(default_factory=dict)
    """Names of static addresses by the server that has them."""

    server: ClassVar[str] = t.SERVER

    def texts(self) -> Texts:
        """What values stand for."""
        lowering = self.lowering()
        return Texts(self.draft, lowering, HetznerLowering(lowering).export)

    def nobody(self) -> str:
        """A server group without addresses: what is to nobody says so."""
        servers = self.draft.family("servers")
        public = {member.group for member in self.members if is_public(member.item)}
        found = next((name for name in servers if name not in public), None)
        if found is None:
            found = self.draft.name("servers", _NOBODY)
            servers[found] = {"count": 0}
        return found

    def address(self, item: Item, path: str = "ipv4Address") -> Value:
        """The address of a server, as values of others say it."""
        return item.outputs.get(path) or Ref(item.key, path)


def is_public(item: Item) -> bool:
    """Whether a server has public addresses."""
    nets = item.inputs.get("publicNets") or [{}]
    return bool(nets[0].get("ipv4Enabled") or nets[0].get("ipv6Enabled"))
