"""Catalogs that were asked for: kept in the user's cache, one file for each provider and endpoint.

What a stand-in said is kept apart from what the real provider said: the endpoint is part of the file's name.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rehost.stacks.catalog import Offer, Origin, Rate, Sheet
from rehost.stacks.errors import InvalidInput, RehostError
from rehost.stacks.model import parse_size
from rehost.stacks.ports import Candidate

GIB = 1024**3
_FORMAT = 1


def folder(environment: Mapping[str, str]) -> Path:
    """Where they are: REHOST_CACHE_DIR, or `rehost` in the user's cache."""
    own = environment.get("REHOST_CACHE_DIR")
    if own:
        return Path(own)
    cache = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or Path.home()) / ".cache"
    return Path(cache) / "rehost"


def path(provider: str, environment: Mapping[str, str], endpoint: str | None) -> Path:
    """The file of a provider; `endpoint` is None for the provider's own."""
    sandbox = environment.get("REHOST_SANDBOX")
    place = f"sandbox-{sandbox}" if sandbox else endpoint
    name = provider if not place else f"{provider}@{re.sub(r'[^A-Za-z0-9.-]+', '-', place)}"
    return folder(environment) / "catalogs" / f"{name}.json"


def read(file: Path) -> dict[str, Sheet]:
    """Sheets by region; none where nothing was ever asked for. Raises InvalidInput for a file that is broken."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return {}
    try:
        data = json.loads(text)
        if data["format_version"] != _FORMAT:
            raise ValueError(f"format_version {data['format_version']}")
        return {region: _sheet(region, rows) for region, rows in data["regions"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{file} is no catalog", why=f"{type(error).__name__}: {error}", fix=f"remove {file}, or ask again"
        ) from error


def write(file: Path, sheets: Mapping[str, Sheet]) -> None:
    """Keep sheets; those of other regions in the file stay. Written whole or not at all."""
    try:
        kept = read(file)
    except InvalidInput:
        kept = {}
    regions = {region: _plain(sheet) for region, sheet in sorted((kept | dict(sheets)).items())}
    text = json.dumps({"format_version": _FORMAT, "regions": regions}, indent=1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}")
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            new.write(text)
        Path(name).replace(file)
    except OSError as error:
        raise RehostError(f"{file} can't be written", why=str(error), fix="set REHOST_CACHE_DIR") from error


def _sheet(region: str, rows: Mapping[str, Any]) -> Sheet:
    origins = [Origin(**row) for row in rows["origins"]]

    def made(row: Mapping[str, Any]) -> dict[str, Any]:
        number = row.get("origin")
        return {**row, "region": region, "origin": None if number is None else origins[number]}

    offers = tuple(Offer(**made(row)) for row in rows["offers"])
    return Sheet(offers, tuple(Rate(**made(row)) for row in rows["rates"]))


def _plain(sheet: Sheet) -> dict[str, Any]:
    origins: dict[Origin, int] = {}

    def row(item: Offer | Rate) -> dict[str, Any]:
        plain = {key: value for key, value in asdict(item).items() if key not in ("region", "origin")}
        if item.origin is not None:
            plain["origin"] = origins.setdefault(item.origin, len(origins))
        return plain

    offers, rates = [row(offer) for offer in sheet.offers], [row(rate) for rate in sheet.rates]
    return {"origins": [asdict(origin) for origin in origins], "offers": offers, "rates": rates}


def fits(offer: Offer, asked: Mapping[str, Any]) -> bool:
    """Whether a type does for a need: `cpu`, `memory` and `disk` at least, and the `architecture`, where asked."""
    if (offer.cpu or 0) < asked.get("cpu", 0):
        return False
    for key, size in (("memory", offer.memory), ("disk", offer.disk)):
        # A type without a disk of its own takes one of any size.
        if key in asked and size is not None and size < parse_size(asked[key]):
            return False
    return bool(asked.get("architecture", offer.architecture) == offer.architecture)


def cheapest_first(offers: Iterable[Offer]) -> list[Offer]:
    """Types that can be ordered, the cheapest first; those without a known price last, what is equal as it was."""
    return sorted(
        (offer for offer in offers if not offer.retired),
        key=lambda o: (o.monthly is None, o.monthly or 0.0, o.memory or 0, o.cpu or 0),
    )


def candidate(offer: Offer, currency: str) -> Candidate:
    """A type as a way to meet a need."""
    about = [offer.note] if offer.cpu is None else [f"{offer.cpu} vCPU", f"{(offer.memory or 0) / GIB:g} GiB"]
    if offer.disk is not None:
        about.append(f"{offer.disk / 10**9:g} GB")
    about.append("price unknown" if offer.monthly is None else f"{currency} {offer.monthly:.2f} a month")
    summary = f"{offer.name}: {', '.join(about)}"
    return Candidate(offer.name, summary, offer.monthly, currency, offer.available, offer.origin)


def day() -> str:
    """Today, as figures are dated."""
    return datetime.now(UTC).strftime("%Y-%m-%d")
