"""What Amazon charges for: by the month and at on-demand list prices. Pure.

What is billed by use alone (requests, LCUs, traffic between zones) is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws import tokens as t
from rehost.stacks.catalog import Charge, Rate, Sheet, Transfer, charge, tiered

_GB = 1024**3
"""What Amazon bills as a GB of traffic or of a bucket's content."""
IPV4, VOLUME, SNAPSHOT = "public IPv4 address", "volume", "snapshot"
BALANCER, NETWORK_BALANCER, NAT = "load balancer", "network load balancer", "NAT gateway"
DB_STORAGE, DB_STORAGE_HA = "database storage", "database storage, two zones"
SECRET, ZONE, BUCKET, EGRESS = "secret", "DNS zone", "bucket", "egress"


def charges(sheet: Sheet, token: str, inputs: Mapping[str, Any]) -> list[Charge]:
    """What a resource is billed for, by its inputs; references in them are left alone. Buckets are billed by what
    they hold, which `at_rest` tells."""
    match token:
        case t.INSTANCE:
            found = [_typed(sheet, "servers", inputs.get("instanceType"), "server")]
            root = (inputs.get("rootBlockDevice") or {}).get("volumeSize", 0)
            if root:
                found.append(_sized("root disk", sheet.rate(VOLUME), root))
            return [*found, *([_address(sheet)] if inputs.get("associatePublicIpAddress") else [])]
        case t.VOLUME:
            return [_sized(VOLUME, sheet.rate(VOLUME), inputs.get("size"))]
        case t.ADDRESS:
            return [_address(sheet)]
        case t.ADDRESSED:
            # A server gives the address of its own up when it gets another one.
            own = _address(sheet)
            return [Charge("a server's own address, given up", _negative(own.monthly), own.origin)]
        case t.NAT:
            return [charge(NAT, sheet.rate(NAT))]
        case t.BALANCER:
            network = inputs.get("loadBalancerType") == "network"
            what = NETWORK_BALANCER if network else BALANCER
            # One address in each subnet, if it faces the Internet.
            places = 0 if inputs.get("internal") else len(inputs.get("subnets") or ())
            return [charge(what, sheet.rate(what)), *(_address(sheet) for _ in range(places))]
        case t.DATABASE:
            return _database(sheet, inputs)
        case t.CACHE:
            nodes = inputs.get("numCacheClusters") or 1
            node = _typed(sheet, "caches", inputs.get("nodeType"), "cache", str(inputs.get("engine") or ""))
            return [Charge(f"{nodes} x {node.what}", _times(node.monthly, nodes), node.origin)]
        case t.SECRET:
            return [charge(SECRET, sheet.rate(SECRET))]
        case t.ZONE:
            return [charge(ZONE, sheet.rate(ZONE))]
    return []


def _database(sheet: Sheet, inputs: Mapping[str, Any]) -> list[Charge]:
    engine, both = str(inputs.get("engine") or ""), bool(inputs.get("multiAz"))
    about = f"{engine} two zones" if both else engine
    server = _typed(sheet, "databases", inputs.get("instanceClass"), "database", about)
    storage = DB_STORAGE_HA if both else DB_STORAGE
    return [server, _sized(storage, sheet.rate(storage), inputs.get("allocatedStorage"))]


def _typed(sheet: Sheet, family: str, name: object, what: str, engine: str = "") -> Charge:
    offer = sheet.named(family, name, engine) if isinstance(name, str) else None
    if offer is None:
        return Charge(f"{what} {name}" if isinstance(name, str) else what, None)
    return Charge(f"{what} {offer.name}", offer.monthly, offer.origin)


def _sized(what: str, rate: Rate | None, size: object) -> Charge:
    known = isinstance(size, int | float)
    return charge(what, rate if known else None, float(size) if isinstance(size, int | float) else 0.0)


def _address(sheet: Sheet) -> Charge:
    return charge(IPV4, sheet.rate(IPV4))


def _negative(amount: float | None) -> float | None:
    return None if amount is None else -amount


def _times(amount: float | None, number: object) -> float | None:
    return None if amount is None or not isinstance(number, int) else amount * number


def at_rest(sheet: Sheet, size: int) -> Charge:
    """Bytes in all buckets together, in the standard class."""
    rates = sheet.tiers(BUCKET)
    return Charge("content of the buckets", tiered(rates, size / _GB), rates[0].origin if rates else None)


def egress(sheet: Sheet, size: int) -> Transfer | None:
    """Bytes that leave for the Internet in one month, cheaper the more they are; None where it is not known."""
    rates = sheet.tiers(EGRESS)
    cost = tiered(rates, size / _GB)
    note = "the 100 GB of a month that are free for an account are not taken off"
    return None if cost is None else Transfer(round(cost, 2), False, rates[0].origin, note)
