"""What Hetzner says now of its types, prices and the room that there is: GET /server_types, /load_balancer_types
and /pricing of the Cloud API. (`/datacenters` is gone since October 2026; availability is by location.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers import figures
from rehost.providers.hetzner import catalog, prices
from rehost.providers.hetzner.api import ENDPOINT, Api
from rehost.stacks.catalog import Offer, Origin, Rate, Sheet
from rehost.stacks.errors import InvalidInput

_TYPES = ("max_services", "max_targets", "max_assigned_certificates")


def ask(regions: Sequence[str], environment: Mapping[str, str]) -> dict[str, Sheet]:
    """Sheets of locations, with the token of the environment. Raises InvalidInput without one."""
    token = environment.get("HCLOUD_TOKEN")
    if not token:
        raise InvalidInput(
            "there is no Hetzner token to ask with",
            why="HCLOUD_TOKEN is not set",
            fix="set HCLOUD_TOKEN: a token with read rights in any project does",
        )
    endpoint = environment.get("HCLOUD_ENDPOINT") or ENDPOINT
    api = Api(endpoint, token)
    try:
        servers = api.all("server_types")
        balancers = api.all("load_balancer_types")
        pricing = api.call("GET", "/pricing")["pricing"]
    finally:
        api.close()
    origin = Origin(f"Hetzner Cloud API, {endpoint}", figures.day())
    found = {}
    for region in regions:
        offers = [*servers_of(servers, region, origin), *_balancers_of(balancers, region, origin)]
        found[region] = Sheet(tuple(offers), tuple(_rates(pricing, region, origin)))
    return found


def servers_of(rows: Sequence[Mapping[str, Any]], region: str, origin: Origin) -> list[Offer]:
    """The server types of a location; a type of an architecture that we do not know is left out."""
    offers = []
    for row in rows:
        place = next((item for item in row.get("locations") or () if item.get("name") == region), None)
        architecture = catalog.ARCHITECTURES.get(str(row.get("architecture")))
        if place is None or architecture is None:
            continue
        monthly = _net(row.get("prices"), region)
        offers.append(
            Offer(
                "servers",
                row["name"],
                region,
                row["cores"],
                int(row["memory"] * catalog.GIB),
                int(row["disk"] * catalog.GB),
                architecture,
                monthly=monthly,
                origin=origin if monthly is not None else None,
                available=place.get("available"),
                retired=_retired(place.get("deprecation") or row.get("deprecation")),
                note="dedicated CPUs" if row.get("cpu_type") == "dedicated" else "",
            )
        )
    return offers


def _balancers_of(rows: Sequence[Mapping[str, Any]], region: str, origin: Origin) -> list[Offer]:
    offers = []
    for row in rows:
        monthly = _net(row.get("prices"), region)
        held = {key.removeprefix("max_").removeprefix("assigned_"): row[key] for key in _TYPES}
        offers.append(
            Offer(
                "load_balancers",
                row["name"],
                region,
                monthly=monthly,
                origin=origin if monthly is not None else None,
                retired=_retired(row.get("deprecation")),
                note=catalog.balancer_note(held),
            )
        )
    return offers


def _rates(pricing: Mapping[str, Any], region: str, origin: Origin) -> list[Rate]:
    """Unit prices. Those of volumes and images are the same everywhere; a price of 0 is none that is known."""
    found: list[tuple[str, str, float | None]] = [
        (prices.VOLUME, "GB-month", _amount((pricing.get("volume") or {}).get("price_per_gb_month"))),
        (prices.SNAPSHOT, "GB-month", _amount((pricing.get("image") or {}).get("price_per_gb_month"))),
    ]
    for row in pricing.get("primary_ips") or ():
        if row.get("type") == "ipv4":
            found.append((prices.IPV4, "month", _net(row.get("prices"), region)))
    for row in pricing.get("floating_ips") or ():
        found.append((f"floating {row.get('type')} address", "month", _net(row.get("prices"), region)))
    traffic = {
        amount
        for row in pricing.get("server_types") or ()
        for price in row.get("prices") or ()
        if price.get("location") == region and (amount := _amount(price.get("price_per_tb_traffic"))) is not None
    }
    if len(traffic) == 1:
        found.append((prices.TRAFFIC, "TB", traffic.pop()))
    return [Rate(what, region, unit, amount, origin) for what, unit, amount in found if amount is not None]


def _net(rows: Any, region: str) -> float | None:
    for row in rows or ():
        if row.get("location") == region:
            return _amount(row.get("price_monthly"))
    return None


def _amount(price: Any) -> float | None:
    try:
        amount = float(price["net"])
    except (TypeError, ValueError, KeyError):
        return None
    return round(amount, 4) if amount > 0 else None


def _retired(deprecation: Any) -> str:
    """The day from which a type can't be ordered. One that is announced to go is not chosen either."""
    day = str((deprecation or {}).get("unavailable_after") or "")
    return (day[:10] or "announced") if deprecation else ""
