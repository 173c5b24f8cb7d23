"""Needs to facts: choose what the stack leaves open, once, and say why.

A choice is kept while it meets its need; `upgrade` chooses again. What only the live provider can tell stays
unknown without a connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from rehost.stacks.diagnostics import did_you_mean
from rehost.stacks.errors import InvalidInput, Refused
from rehost.stacks.graph import UNKNOWN, Value
from rehost.stacks.lower import FOUND
from rehost.stacks.model import Stack, Target
from rehost.stacks.ports import Adapter, Candidate, Need
from rehost.stacks.state import Fact

Ask = Callable[[Need], Sequence[Candidate] | None]
NOTHING: Mapping[str, str] = MappingProxyType({})
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
    choices: Mapping[str, str] = NOTHING,
) -> Resolution:
    """Facts for all needs of the stack; `ask` answers what the live provider offers, or None where its catalog
    says it all. `choices` were made by hand, by key.

    Raises InvalidInput where nothing at the target meets a need, and Refused where there is no room for the one
    that does best: the next one is not taken unless it is named."""
    kept = {key: fact for key, fact in pinned.items() if key.startswith(FOUND)}
    chosen: dict[str, Fact] = {}
    unknown: list[str] = []
    asked: dict[tuple[str, str], tuple[Sequence[Candidate], str] | None] = {}
    taken: Counter[tuple[str, str]] = Counter()
    open_: list[Need] = []
    needs = adapter.needs(stack, target)
    for key in choices:
        if key not in (known := [need.key for need in needs]):
            raise InvalidInput(f"--choose: there is nothing to choose at {key!r}", fix=did_you_mean(key, known))
    for need in needs:
        old = pinned.get(need.key)
        wish = choices.get(need.key)
        if old and not upgrade and wish in (None, str(old.value)) and adapter.meets(need, old.value, target):
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
        candidates = _best_first(need, candidates, source, choices.get(need.key), target)
        fact = _fact(need, candidates, source, old, by_hand=need.key in choices)
        kept[need.key] = fact
        if old is None or old.value != fact.value:
            chosen[need.key] = fact
    dropped = tuple(sorted(pinned.keys() - kept.keys() - set(unknown)))
    return Resolution(kept, chosen, dropped, tuple(unknown))


def _offers(
    adapter: Adapter, need: Need, target: Target, ask: Ask | None
) -> tuple[Sequence[Candidate], str] | None:
    live = ask(need) if ask is not None else None
    if live is not None:
        return live, "live"
    catalog = adapter.offers(need, target)
    return None if catalog is None else (catalog, "catalog")


def _best_first(
    need: Need, candidates: Sequence[Candidate], source: str, wish: str | None, target: Target
) -> Sequence[Candidate]:
    """The candidates with the one to take in front. What a catalog of some day says of room is not believed."""
    if wish is not None:
        chosen = [candidate for candidate in candidates if str(candidate.value) == wish]
        if not chosen:
            names = ", ".join(str(candidate.value) for candidate in candidates[:6])
            raise InvalidInput(
                f"--choose: {wish} does not meet {need.key}",
                why=f"it needs {_show(need.requirement)} in {target.region or 'this region'}",
                fix=f"choose one of {names}",
            )
        candidates = [*chosen, *(candidate for candidate in candidates if candidate not in chosen)]
    if source != "live" or candidates[0].available is not False:
        return candidates
    best, rest = candidates[0], candidates[1:]
    others = [candidate for candidate in rest if candidate.available is not False]
    why = "the provider says so itself" + (f"; next best would be {others[0].summary}" if others else "")
    nothing = "nothing else meets the need there: wait, ask for less, or choose another region"
    raise Refused(
        f"{target.name} has no room for {best.value} in {target.region}, the choice for {need.key}",
        why=why,
        fix=f"take it by name: --choose {need.key}={others[0].value}" if others else nothing,
        address=need.key,
    )


def _fact(need: Need, candidates: Sequence[Candidate], source: str, old: Fact | None, *, by_hand: bool) -> Fact:
    best = candidates[0]
    why = best.summary
    if by_hand:
        why += "; chosen by hand"
    elif best.monthly is not None:
        why += f"; the cheapest of {len(candidates)} that meet {_show(need.requirement)}"
    elif len(candidates) > 1:
        why += f"; the first of {len(candidates)}"
    if best.origin is not None and best.monthly is not None:
        why += f" (price of {best.origin.date})"
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
