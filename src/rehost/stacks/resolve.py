"""Needs to facts: choose what the stack leaves open, once, and say why.

A choice is kept while it meets its need; `upgrade` chooses again. What only the live provider can tell stays
unknown without a connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rehost.stacks.errors import InvalidInput
from rehost.stacks.graph import UNKNOWN, Value
from rehost.stacks.model import Stack, Target
from rehost.stacks.ports import Adapter, Candidate, Need
from rehost.stacks.state import Fact

Ask = Callable[[Need], Sequence[Candidate]]
SHARED_OUT = "shared out"
"""The source of a choice from a pool: which one it is matters less than that it stays."""


@dataclass(frozen=True)
class Resolution:
    """The facts of a stack at a target: all that hold, those chosen just now, and keys nothing needs any more."""

    facts: Mapping[str, Fact]
    chosen: Mapping[str, Fact]
    dropped: tuple[str, ...]
    unknown: tuple[str, ...]

    def values(self) -> dict[str, Value]:
        """What lowering is given: a value for each need, UNKNOWN where none could be chosen."""
        return {key: fact.value for key, fact in self.facts.items()} | dict.fromkeys(self.unknown, UNKNOWN)


def resolve_facts(
    adapter: Adapter,
    stack: Stack,
    target: Target,
    pinned: Mapping[str, Fact],
    *,
    ask: Ask | None = None,
    upgrade: bool = False,
) -> Resolution:
    """Facts for all needs of the stack; `ask` answers what the live provider offers where its catalog does not
    say. Raises InvalidInput where nothing at the target meets one."""
    kept: dict[str, Fact] = {}
    chosen: dict[str, Fact] = {}
    unknown: list[str] = []
    asked: dict[tuple[str, str], tuple[Sequence[Candidate], str] | None] = {}
    taken: Counter[tuple[str, str]] = Counter()
    open_: list[Need] = []
    for need in adapter.needs(stack, target):
        old = pinned.get(need.key)
        if old and not upgrade and adapter.meets(need, old.value, target):
            kept[need.key] = old
            taken[need.pool, str(old.value)] += 1
        else:
            open_.append(need)
    for need in open_:
        old = pinned.get(need.key)
        question = (need.kind, repr(sorted(need.requirement.items(), key=str)))
        if question not in asked:
            asked[question] = _offers(adapter, need, target, ask)
        offers = asked[question]
        if offers is None:
            unknown.append(need.key)
            continue
        candidates, source = offers
        if not candidates:
            raise InvalidInput(
                f"{target.name} has nothing that meets {need.key}",
                why=f"it needs {_show(need.requirement)} in {target.region or 'this region'}",
                fix="ask for less, or choose another region",
            )
        if need.pool:
            candidates = sorted(candidates, key=lambda candidate: taken[need.pool, str(candidate.value)])
            taken[need.pool, str(candidates[0].value)] += 1
            source = SHARED_OUT
        fact = _fact(need, candidates, source, old)
        kept[need.key] = fact
        if old is None or old.value != fact.value:
            chosen[need.key] = fact
    dropped = tuple(sorted(pinned.keys() - kept.keys() - set(unknown)))
    return Resolution(kept, chosen, dropped, tuple(unknown))


def _offers(
    adapter: Adapter, need: Need, target: Target, ask: Ask | None
) -> tuple[Sequence[Candidate], str] | None:
    catalog = adapter.offers(need, target)
    if catalog is not None:
        return catalog, "catalog"
    if ask is not None:
        return ask(need), "live"
    return None


def _fact(need: Need, candidates: Sequence[Candidate], source: str, old: Fact | None) -> Fact:
    best = candidates[0]
    why = best.summary
    if source == "catalog" and best.monthly is not None:
        why += f"; the cheapest of {len(candidates)} that meet {_show(need.requirement)}"
    elif len(candidates) > 1:
        why += f"; the first of {len(candidates)}"
    if old is not None and old.value != best.value:
        why += f" (was {old.value})"
    return Fact(
        key=need.key,
        value=best.value,
        why=why,
        runner_up=candidates[1].summary if len(candidates) > 1 else "",
        source=source,
    )


def _show(requirement: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in requirement.items() if value not in (None, "", 0))
