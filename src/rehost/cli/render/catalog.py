"""A provider's types and prices, for people, for the documentation and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from rehost.stacks.catalog import Offer, Origin, Rate, Sheet
from rehost.stacks.model import Target, show_size
from rehost.stacks.ports import Adapter, Need

UNKNOWN = "unknown"
_COLUMNS = ("type", "CPUs", "memory", "disk", "architecture", "a month", "room", "as of", "")
_RIGHT = {"CPUs", "memory", "disk", "a month"}
_GIB = 1024**3


@dataclass(frozen=True)
class Wish:
    """What is to be shown: a family, sizes at least, and whether what is retired is shown too."""

    family: str | None
    sizes: Mapping[str, Any]
    retired: bool

    def takes(self, offer: Offer) -> bool:
        """Whether a type is shown."""
        if self.family not in (None, offer.family) or (offer.retired and not self.retired):
            return False
        if self.sizes.get("architecture", offer.architecture) != offer.architecture:
            return False
        return all((getattr(offer, key) or 0) >= size for key, size in self.sizes.items() if key != "architecture")


def region(name: str, sheet: Sheet, wish: Wish, currency: str) -> dict[str, Any]:
    """What is known of a region. What is not known is null."""
    offers = sorted(
        filter(wish.takes, sheet.offers),
        key=lambda o: (o.family, o.engine, o.monthly is None, o.monthly or 0.0, o.memory or 0, o.cpu or 0, o.name),
    )
    rates = [] if wish.family or wish.sizes else list(sheet.rates)
    return {
        "region": name,
        "currency": currency,
        "types": [_offer(offer) for offer in offers],
        "rates": [_rate(rate) for rate in rates],
    }


def choice(adapter: Adapter, where: str, wish: Wish) -> dict[str, Any]:
    """Which server type a need would get, and why."""
    sizes = {"cpu": 1, "memory": 1024**3, "disk": 10 * 1024**3, "architecture": "x86_64", **wish.sizes}
    asked = {key: show_size(value) if key in ("memory", "disk") else value for key, value in sizes.items()}
    target = Target(name="catalog", provider=adapter.name, region=where)
    offers = adapter.offers(Need("servers", "server_type", asked), target) or ()
    if not offers:
        return {"type": None, "why": "nothing here meets the need", "next": None, "candidates": 0}
    best, others = offers[0], offers[1:]
    why = best.summary
    if best.monthly is not None:
        why += f"; the cheapest of {len(offers)} that meet the need"
    if best.available is False:
        why += "; there was no room for it when the provider was asked"
    return {
        "type": best.value,
        "why": why,
        "next": others[0].summary if others else None,
        "candidates": len(offers),
        "monthly": best.monthly,
        "origin": _origin(best.origin),
    }


def _origin(origin: Origin | None) -> dict[str, str] | None:
    return None if origin is None else {"source": origin.source, "date": origin.date}


def _offer(offer: Offer) -> dict[str, Any]:
    return {
        "family": offer.family,
        "name": offer.name,
        "engine": offer.engine or None,
        "cpu": offer.cpu,
        "memory": offer.memory,
        "disk": offer.disk,
        "architecture": offer.architecture or None,
        "monthly": offer.monthly,
        "available": offer.available,
        "retired": offer.retired or None,
        "note": offer.note or None,
        "origin": _origin(offer.origin),
    }


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "what": rate.what,
        "unit": rate.unit,
        "above": rate.above,
        "amount": rate.amount,
        "origin": _origin(rate.origin),
    }


def as_dict(provider: str, currency: str, told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One JSON document."""
    return {"format_version": 1, "provider": provider, "currency": currency, "regions": list(told)}


def _amount(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.2f}"


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    room = {True: "yes", False: "no", None: UNKNOWN}[row["available"]]
    about = [row["engine"], row["note"], row["retired"] and f"retired from {row['retired']}"]
    return (
        row["name"],
        "" if row["cpu"] is None else str(row["cpu"]),
        "" if row["memory"] is None else f"{row['memory'] / _GIB:g} GiB",
        "" if row["disk"] is None else f"{row['disk'] / 10**9:g} GB",
        row["architecture"] or "",
        _amount(row["monthly"]),
        room,
        (row["origin"] or {}).get("date", ""),
        ", ".join(text for text in about if text),
    )


def _rates(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    told = []
    for row in rows:
        amount = UNKNOWN if row["amount"] is None else f"{row['amount']:g}"
        what = row["what"] + (f" above {row['above']:,.0f}" if row["above"] else "")
        told.append((what, f"{amount} a {row['unit']}", (row["origin"] or {}).get("date", "")))
    return told


def _sources(told: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [row for part in told for row in (*part["types"], *part["rates"]) if row["origin"]]
    found = {(row["origin"]["date"], row["origin"]["source"]) for row in rows}
    return [f"{date}: {source}" for date, source in sorted(found)]


class CatalogView:
    """Types by family, then what is charged by the unit, then where the figures are from."""

    def __init__(self, title: str, currency: str, told: Sequence[Mapping[str, Any]]) -> None:
        self._title, self._currency, self._told = title, currency, told

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in self._told:
            yield Text(f"{self._title}, {part['region']}: list prices in {self._currency}", style="bold")
            yield from self._types(part)
            if part["rates"]:
                rates = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
                for row in _rates(part["rates"]):
                    rates.add_row(*row)
                yield Text("")
                yield rates
            if "choice" in part:
                yield Text("")
                yield _chosen(part["choice"])
            yield Text("")
        for source in _sources(self._told):
            yield Text(source, style="dim")

    @staticmethod
    def _types(part: Mapping[str, Any]) -> RenderResult:
        families = list(dict.fromkeys(row["family"] for row in part["types"]))
        if not families:
            yield Text("no types that are known here", style="dim")
        for family in families:
            yield Text(f"\n{family.replace('_', ' ')}", style="bold")
            table = Table(box=None, padding=(0, 2, 0, 0))
            for column in _COLUMNS:
                table.add_column(column, header_style="dim", justify="right" if column in _RIGHT else "left")
            for row in part["types"]:
                if row["family"] == family:
                    table.add_row(*_row(row))
            yield table


def _chosen(found: Mapping[str, Any]) -> Text:
    if found["type"] is None:
        return Text(found["why"])
    after = f"\nnext best: {found['next']}" if found["next"] else ""
    return Text.assemble(("chosen: ", "bold"), found["why"], (after, "dim"))


def markdown(title: str, currency: str, told: Sequence[Mapping[str, Any]]) -> str:
    """A page."""
    lines = [f"# {title}: catalog", ""]
    for part in told:
        lines += [f"## {part['region']}", "", f"List prices in {currency}.", ""]
        lines += ["| family | " + " | ".join(_COLUMNS[:-1]) + " | note |"]
        lines += ["| --- " * (len(_COLUMNS) + 1) + "|"]
        lines += [f"| {row['family']} | " + " | ".join(_row(row)) + " |" for row in part["types"]]
        lines += [""]
        if part["rates"]:
            lines += ["| charged by the unit | price | as of |", "| --- | --- | --- |"]
            lines += ["| " + " | ".join(row) + " |" for row in _rates(part["rates"])] + [""]
        if "choice" in part:
            lines += [f"Chosen: {part['choice']['why']}.", ""]
    lines += [f"- {source}" for source in _sources(told)]
    return "\n".join(lines).rstrip() + "\n"
