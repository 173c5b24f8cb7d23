"""What Hetzner charges for: by the month and at net list prices. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.catalog import INCLUDED_TB
from rehost.stacks.catalog import Charge, Sheet, Transfer, charge

_TB = 10**12
IPV4, VOLUME, SNAPSHOT, OBJECTS = "public IPv4 address", "volume", "snapshot", "object storage"
TRAFFIC = "traffic beyond what is included"


def charges(sheet: Sheet, token: str, inputs: Mapping[str, Any]) -> list[Charge]:
    """What a resource is billed for, by its inputs; references in them are left alone. Buckets are billed by what
    they hold, which `at_rest` tells."""
    match token:
        case t.SERVER:
            found = [_typed(sheet, "servers", inputs.get("serverType"), "server")]
            for net in inputs.get("publicNets") or ():
                # A static address is a resource of its own, and charged as that.
                if net.get("ipv4Enabled", True) and not net.get("ipv4"):
                    found.append(charge(IPV4, sheet.rate(IPV4)))
            return found
        case t.BALANCER:
            return [_typed(sheet, "load_balancers", inputs.get("loadBalancerType"), "load balancer")]
        case t.VOLUME:
            size = inputs.get("size")
            return [charge(VOLUME, sheet.rate(VOLUME) if isinstance(size, int) else None, float(size or 0))]
        case t.PRIMARY_IP:
            # IPv6 networks are free.
            return [charge(IPV4, sheet.rate(IPV4))] if inputs.get("type") != "ipv6" else []
        case t.FLOATING_IP:
            what = f"floating {inputs.get('type')} address"
            return [charge(what, sheet.rate(what))]
        case t.SNAPSHOT:
            return [Charge(SNAPSHOT, None)]  # by what it holds, which only its creation tells
    return []


def _typed(sheet: Sheet, family: str, name: object, what: str) -> Charge:
    offer = sheet.named(family, name) if isinstance(name, str) else None
    if offer is None:
        return Charge(what, None)
    return Charge(f"{what} {offer.name}", offer.monthly, offer.origin)


def at_rest(sheet: Sheet, size: int) -> Charge:
    """Bytes in all buckets together: the base price, as long as its storage does."""
    base = sheet.rate(OBJECTS)
    return charge("content of the buckets", base if size <= INCLUDED_TB * _TB else None)


def egress(sheet: Sheet, size: int) -> Transfer | None:
    """At most the price of traffic beyond what is included: how much of that is used up is not known here."""
    rate = sheet.rate(TRAFFIC)
    if rate is None or rate.amount is None:
        return None
    note = "servers and buckets include traffic, which is used up first"
    return Transfer(round(size / _TB * rate.amount, 2), True, rate.origin, note)
