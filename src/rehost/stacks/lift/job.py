"""What the lifts of all providers share while they are under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from rehost.stacks.graph import UNKNOWN, Value, reveal
from rehost.stacks.legalize import legalize
from rehost.stacks.lift.draft import Draft, LiftJob
from rehost.stacks.lift.groups import Member
from rehost.stacks.lift.items import Item, Items
from rehost.stacks.lift.texts import Texts
from rehost.stacks.lower import Lowering
from rehost.stacks.model import Stack


@dataclass
class Underway:
    """One lift. Providers add what is theirs."""

    job: LiftJob
    draft: Draft = field(default_factory=Draft)
    members: list[Member] = field(default_factory=list)
    later: list[Callable[[Texts], None]] = field(default_factory=list)
    """What needs texts, and so comes last."""

    native: ClassVar[frozenset[str]] = frozenset()
    """What the provider has of its own."""
    server: ClassVar[str] = ""
    """The type of its servers."""

    @property
    def way_out(self) -> str | None:
        """The server that others reach the Internet through."""
        through = str((self.draft.network or {}).get("way_out", ""))
        return through.removeprefix("servers.") if through.startswith("servers.") else None

    @property
    def items(self) -> Items:
        """What is lifted."""
        return self.job.items

    def member(self, item: Item) -> str | None:
        """The logical name of the server that a unit is on."""
        return self.member_of(item.inputs.get("serverId"))

    def member_of(self, value: Value) -> str | None:
        """The logical name of the server that a value stands for."""
        found = self.items.get(value, self.server)
        return next((m.name for m in self.members if found is not None and m.item.key == found.key), None)

    def everyone(self, group: str) -> list[str]:
        """Names of all members of a group, in order."""
        return [member.name for member in self.members if member.group == group]

    def name_of(self, value: Value, *types: str) -> str | None:
        """The logical name of what a value stands for, where a component claims it."""
        item = self.items.get(value, *types)
        return None if item is None else self.draft.claimed(item)

    def secret_of(self, value: Value) -> str | None:
        """The name of the secret that has a value."""
        return next((name for name, known in self.job.secrets.items() if reveal(known) == reveal(value)), None)

    def lowering(self) -> Lowering:
        """What there is so far, ready to be lowered."""
        data = {name: value for name, value in self.draft.families.items() if value}
        if self.draft.network is not None:
            data["network"] = self.draft.network
        target = self.job.target
        whole = {"stack": self.job.stack, "targets": {target.name: target.model_dump()}, **data}
        legal = legalize(Stack.model_validate(whole), self.native)
        facts = {key: value for key, (value, _) in self.draft.facts.items()}
        secrets: Mapping[str, Value] = {**dict.fromkeys(legal.stack.secrets, UNKNOWN), **self.job.secrets}
        return Lowering(
            legal.stack, target, facts, self.job.deployment, secrets=secrets, texts=legal.texts, roles=legal.roles
        )
