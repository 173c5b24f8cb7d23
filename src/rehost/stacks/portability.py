"""How a stack fits two targets, without asking either: what is native, substituted, lost, or left to a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from rehost.stacks.catalog import Bill, Charge, Origin, Transfer
from rehost.stacks.fit import Finding as Finding
from rehost.stacks.fit import Fit as Fit
from rehost.stacks.graph import UNKNOWN
from rehost.stacks.hosts.resource import TOKEN
from rehost.stacks.legalize import legalize
from rehost.stacks.lower import Lowering, lower
from rehost.stacks.model import Stack, Target
from rehost.stacks.model.base import Component
from rehost.stacks.ports import Adapter
from rehost.stacks.publicnames import findings as of_public_names
from rehost.stacks.resolve import resolve_facts
from rehost.stacks.substitutes import findings as of_substitutes
from rehost.stacks.wayout import findings as of_ways_out

HOLD_DATA = ("buckets", "databases", "volumes")
"""Families of components whose content has to travel."""
NO_SIZES: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Row:
    """A component on its way: how it is realised here and there, and why that is so."""

    component: str
    here: Fit
    there: Fit
    findings: tuple[Finding, ...] = ()
    """What is to be said of the way there; findings that hold on both sides are left out."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a component costs by the month, as far as that is known, and what of it is not."""

    component: str
    monthly: float
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """List prices of a month: at least `monthly`, since what is in `unknown` has no known price."""

    monthly: float
    currency: str
    lines: tuple[Line, ...] = ()
    origins: tuple[Origin, ...] = ()
    """Where the prices are from, the oldest first."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """What is not in the sum: `servers.app-1: root disk`."""
        return tuple(f"{line.component}: {what}" for line in self.lines for what in line.unknown)

    def told(self, component: str) -> str:
        """The price of a component, in a few words."""
        line = next((line for line in self.lines if line.component == component), None)
        if line is None or (line.unknown and not line.monthly):
            return "its price is not known"
        return f"{'at least ' if line.unknown else ''}{line.monthly:.2f} {self.currency} a month"


@dataclass(frozen=True, slots=True)
class Data:
    """What would travel. `egress` is what the source charges for it and `seconds` how long it takes; None where
    that is not known, as for bytes that nobody gave or measured."""

    sizes: Mapping[str, int | None]
    seconds: float | None = None
    egress: Transfer | None = None
    currency: str = ""

    @property
    def total(self) -> int | None:
        """All bytes, None while one size is missing."""
        known = [size for size in self.sizes.values() if size is not None]
        return sum(known) if len(known) == len(self.sizes) else None


@dataclass(frozen=True)
class Portability:
    """The diff of two targets."""

    stack: str
    source: str
    target: str
    rows: tuple[Row, ...]
    lock_in: tuple[Finding, ...]
    cost_here: Cost
    cost_there: Cost
    data: Data

    @property
    def worst(self) -> Fit:
        """The worst fit of all at the target."""
        return max((row.there for row in self.rows), default=Fit.NATIVE)

    def count(self, fit: Fit) -> int:
        """How many components fit so."""
        return sum(row.there is fit for row in self.rows)


def components(stack: Stack) -> Iterator[tuple[str, object]]:
    """Every component with its address, in the order of the stack file's keys."""
    for family in Stack.model_fields:
        value = getattr(stack, family)
        if family in ("stack", "targets", "checks", "ssh_keys") or not value:
            continue
        if isinstance(value, Component):
            yield family, value
        elif isinstance(value, Mapping):
            for name, item in value.items():
                yield f"{family}.{name}", item


def _rows(
    stack: Stack, here: tuple[Adapter, Target], there: tuple[Adapter, Target], costs: tuple[Cost, Cost]
) -> tuple[Row, ...]:
    before = _by_component(_fits(stack, *here, costs[0]))
    after = _by_component(_fits(stack, *there, costs[1]))
    rows = []
    for address, _ in components(stack):
        old, new = before.get(address, []), after.get(address, [])
        known = {finding.reason for finding in old}
        told = tuple(finding for finding in new if finding.reason not in known)
        rows.append(Row(address, _worst(old), _worst(new), told))
    return tuple(rows)


def _fits(stack: Stack, adapter: Adapter, target: Target, bill: Cost) -> Iterator[Finding]:
    yield from adapter.fits(stack, target)
    yield from of_substitutes(stack, adapter.native)
    yield from of_ways_out(stack, adapter.native)
    yield from of_public_names(stack, target.name, bill.told)
    for name in () if TOKEN in adapter.kinds() else stack.services:
        reason = "this version makes the servers and does not start services on them"
        yield Finding(f"services.{name}", Fit.OPERATOR, reason, "start it on the servers yourself")


def _by_component(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.component, []).append(finding)
    return found


def _worst(findings: Iterable[Finding]) -> Fit:
    return max((finding.fit for finding in findings), default=Fit.NATIVE)


def lock_in(stack: Stack, here: Target, there: Target) -> tuple[Finding, ...]:
    """What is written for one provider only: overrides that say nothing to the other target."""
    found = []
    for address, component in components(stack):
        override = getattr(component, "override", None) or {}
        mine = {key for key in (here.provider, here.name) if key in override}
        theirs = {key for key in (there.provider, there.name) if key in override}
        for key in sorted(mine - theirs):
            names = ", ".join(sorted(override[key]))
            reason = f"the override for {key} sets {names}; nothing says what that is at {there.name}"
            step = f"write override.{there.provider} beside it, or find a neutral way to say it"
            found.append(Finding(address, Fit.LOST, reason, step))
    return tuple(found)


def cost(stack: Stack, adapter: Adapter, target: Target, sizes: Mapping[str, int] = NO_SIZES) -> Cost:
    """The list price of the whole stack at a target, as far as its catalog knows it, with the content of buckets
    whose size is given.

    Raises InvalidInput where nothing at the target meets a need.
    """
    legal = legalize(stack, adapter.native)
    resolution = resolve_facts(adapter, legal.stack, target, {})
    secrets = dict.fromkeys(legal.stack.secrets, UNKNOWN)
    graph = lower(
        adapter, Lowering(legal.stack, target, resolution.values(), None, secrets, legal.texts, legal.roles)
    )
    charges: dict[str, list[Charge]] = {}
    for resource in graph.resources.values():
        found = adapter.charges(resource.type, dict(resource.inputs), target)
        if found:
            charges.setdefault(resource.component or resource.name, []).extend(found)
    if stack.buckets:
        charges["buckets"] = _content(stack, adapter, target, sizes)
    bills = {component: Bill.of(found) for component, found in sorted(charges.items())}
    lines = tuple(Line(component, bill.known, bill.unknown) for component, bill in bills.items())
    origins = {origin for bill in bills.values() for origin in bill.origins}
    known = round(sum(line.monthly for line in lines), 2)
    by_age = sorted(origins, key=lambda origin: (origin.date, origin.source))
    return Cost(known, adapter.currency, lines, tuple(by_age))


def _content(stack: Stack, adapter: Adapter, target: Target, sizes: Mapping[str, int]) -> list[Charge]:
    addresses = [f"buckets.{name}" for name in stack.buckets]
    whole = adapter.at_rest(target, sum(sizes.get(address, 0) for address in addresses))
    if whole is None:
        return []
    missing = [address for address in addresses if address not in sizes]
    unknown = [Charge(f"content of {address}, whose size is not known", None) for address in missing]
    return unknown if len(missing) == len(addresses) else [whole, *unknown]


def compare(
    stack: Stack,
    here: tuple[Adapter, Target],
    there: tuple[Adapter, Target],
    *,
    sizes: Mapping[str, int] = NO_SIZES,
    bandwidth: float | None = None,
) -> Portability:
    """The diff of a stack at two targets. `sizes` are bytes by component, `bandwidth` is bytes a second."""
    holding = {address for address, _ in components(stack) if address.split(".")[0] in HOLD_DATA}
    data = Data({address: sizes.get(address) for address in sorted(holding)}, currency=here[0].currency)
    if data.total is not None:
        data = replace(
            data,
            seconds=data.total / bandwidth if bandwidth else None,
            egress=here[0].egress(here[1], data.total),
        )
    costs = cost(stack, *here, sizes), cost(stack, *there, sizes)
    return Portability(
        stack.stack,
        here[1].name,
        there[1].name,
        _rows(stack, here, there, costs),
        lock_in(stack, here[1], there[1]),
        *costs,
        data,
    )
