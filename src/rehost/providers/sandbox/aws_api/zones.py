"""What name servers need of the hosted zones that moto keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALIAS_TTL = 60
"""Seconds of the answer of an alias to a load balancer (Route 53 developer guide, "Choosing between alias and
non-alias records")."""


def public_zones(addresses: Mapping[str, str]) -> list[dict[str, Any]]:
    """All public zones with their servers and records; aliases have the addresses that host names of the provider
    stand for, or what the record of the same zone has that they are for."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.route53.models import route53_backends

    known = {name.lower(): address for name, address in addresses.items()}
    found = []
    for zone in list(route53_backends[DEFAULT_ACCOUNT_ID]["aws"].zones.values()):
        if zone.private_zone:
            continue
        rows = [_row(row) for row in list(zone.rrsets) if row.records]
        plain = {(row["name"], row["type"]): row for row in rows}
        for row in list(zone.rrsets):
            if row.alias_target and not row.records:
                target = str(row.alias_target.get("DNSName", "")).rstrip(".").lower()
                address = known.get(target) or known.get(target.removeprefix("dualstack."))
                same = plain.get((target, row.type))
                if address and row.type == "A":
                    rows.append({**_row(row), "ttl": ALIAS_TTL, "values": [address]})
                elif same is not None:
                    rows.append({**_row(row), "ttl": same["ttl"], "values": same["values"]})
        servers = list(zone.delegation_set.name_servers) if zone.delegation_set else []
        found.append({"name": zone.name.rstrip("."), "servers": servers, "records": rows})
    return found


def _row(row: Any) -> dict[str, Any]:
    return {
        "name": row.name.rstrip(".").replace("\\052", "*"),
        "type": row.type,
        "ttl": int(row.ttl or 0),
        # Those that moto makes with a zone are written otherwise than those that come later.
        "values": [value["Value"] if isinstance(value, dict) else value for value in row.records or ()],
    }
