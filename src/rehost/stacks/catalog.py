"""What a provider has and what it costs, as values: types, rates, and where each figure is from. Pure.

A figure that nobody knows is None, never 0, and is shown as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HOURS = 730
"""Hours of the month that list prices are compared by."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a figure is from. `date` is the day, or the year, that it is known to be right for."""

    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A type that can be had in a region. Sizes are bytes, None where the type has none of its own."""

    family: str
    """`servers`, `databases`, `caches`, `load_balancers`."""
    name: str
    region: str
    cpu: int | None = None
    memory: int | None = None
    disk: int | None = None
    architecture: str = ""
    engine: str = ""
    """Of databases and caches whose price depends on it."""
    monthly: float | None = None
    origin: Origin | None = None
    """Of the price."""
    available: bool | None = None
    """Whether there is room for one now; None where only the provider itself can say."""
    retired: str = ""
    """The day from which it can't be ordered any more; such a type is never chosen."""
    note: str = ""
    """What people should know: what it holds, for types that are not measured in CPUs."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a unit of something costs in a region: `volume` by the `GiB-month`."""

    what: str
    region: str
    unit: str
    """`month`, `hour`, `GB-month`, `GiB-month`, `GB`, `TB`."""
    amount: float | None
    origin: Origin | None = None
    above: float = 0.0
    """Units of a month beyond which it holds."""

    @property
    def monthly(self) -> float | None:
        """The same by the month, for rates by the hour."""
        return self.amount if self.amount is None or self.unit != "hour" else self.amount * HOURS


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that is known of a region."""

    offers: tuple[Offer, ...] = ()
    rates: tuple[Rate, ...] = ()

    def of(self, family: str) -> list[Offer]:
        """The types of a family."""
        return [offer for offer in self.offers if offer.family == family]

    def named(self, family: str, name: str, engine: str = "") -> Offer | None:
        """A type by its name; one that is not bound to an engine does for all."""
        for offer in self.offers:
            if (offer.family, offer.name) == (family, name) and offer.engine in ("", engine):
                return offer
        return None

    def rate(self, what: str) -> Rate | None:
        """The rate of something, by its name."""
        return next((rate for rate in self.rates if rate.what == what), None)

    def tiers(self, what: str) -> list[Rate]:
        """The rates of something that gets cheaper with the amount, from the first unit on."""
        return sorted((rate for rate in self.rates if rate.what == what), key=lambda rate: rate.above)

    def over(self, older: Sheet) -> Sheet:
        """This sheet, completed by an older one: a family or a rate that is here stands for itself."""
        families = {offer.family for offer in self.offers}
        known = {rate.what for rate in self.rates}
        offers = (*self.offers, *(offer for offer in older.offers if offer.family not in families))
        return Sheet(offers, (*self.rates, *(rate for rate in older.rates if rate.what not in known)))


@dataclass(frozen=True, slots=True)
class Charge:
    """One thing that a resource is billed for by the month, at list price. None is not known."""

    what: str
    monthly: float | None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """What charges come to: `known` is at least what is to be paid, `unknown` names what is not in it."""

    known: float
    unknown: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()

    @classmethod
    def of(cls, charges: Iterable[Charge]) -> Bill:
        """The sum of charges."""
        charges = list(charges)
        known = (charge for charge in charges if charge.monthly is not None)
        origins = dict.fromkeys(charge.origin for charge in known if charge.origin)
        unknown = tuple(charge.what for charge in charges if charge.monthly is None)
        return cls(round(sum(charge.monthly or 0.0 for charge in charges), 2), unknown, tuple(origins))


@dataclass(frozen=True, slots=True)
class Transfer:
    """What moving bytes out of a provider costs once; `at_most` where a part of it may be included."""

    amount: float
    at_most: bool = False
    origin: Origin | None = None
    note: str = ""


def tiered(rates: Sequence[Rate], units: float) -> float | None:
    """What an amount costs by rates of which each holds from its `above` on; None where one of them is missing or
    not known."""
    if not rates or rates[0].above > 0:
        return None
    total = 0.0
    for number, rate in enumerate(rates):
        end = rates[number + 1].above if number + 1 < len(rates) else float("inf")
        part = min(units, end) - rate.above
        if part <= 0:
            break
        if rate.amount is None:
            return None
        total += part * rate.amount
    return total


def charge(what: str, rate: Rate | None, units: float = 1.0) -> Charge:
    """A charge by a rate, for so many of its units."""
    monthly = None if rate is None else rate.monthly
    known = None if monthly is None else round(monthly * units, 4)
    return Charge(what, known, rate.origin if rate else None)
