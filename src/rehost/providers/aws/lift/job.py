"""What the lifts of Amazon's resources share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from rehost.providers.aws import tokens as t
from rehost.providers.aws.lower import AwsLowering
from rehost.stacks.lift.items import Item
from rehost.stacks.lift.job import Underway
from rehost.stacks.lift.texts import Texts

NATIVE = frozenset({"databases.postgres", "databases.mysql", "caches.valkey", "caches.redis", "network.way_out"})


@dataclass
class AwsJob(Underway):
    """One lift under way."""

    vpc: Item | None = None
    zones: list[str] = field(default_factory=list)
    """Zones of the region by their number in the stack, from the first on."""
    subnets: dict[str, str] = field(default_factory=dict)
    """Names of subnets by key."""
    peers: dict[str, list[str]] = field(default_factory=dict)
    """By key of a security group the server groups that are behind it."""
    firewalls: dict[str, str] = field(default_factory=dict)
    """Names of firewalls by key of their security group."""

    native: ClassVar[frozenset[str]] = NATIVE
    server: ClassVar[str] = t.INSTANCE

    def here(self, item: Item) -> bool:
        """Whether something is in the network of the stack; what is in none counts as well."""
        found = self.items.get(item.inputs.get("vpcId") or item.outputs.get("vpcId"), t.VPC)
        return found is None or self.vpc is None or found.key == self.vpc.key

    def texts(self) -> Texts:
        """What values stand for."""
        lowering = self.lowering()
        return Texts(self.draft, lowering, AwsLowering(lowering).export)
