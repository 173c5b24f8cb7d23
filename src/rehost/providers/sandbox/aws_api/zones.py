"""What name servers need of the hosted zones that moto keeps."""

from __future__ import annotations

from typing import Any


def public_zones() -> list[dict[str, Any]]:
    """All public zones with their servers and records; aliases stand for no address here."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.route53.models import route53_backends

    found = []
    for zone in list(route53_backends[DEFAULT_ACCOUNT_ID]["aws"].zones.values()):
        if zone.private_zone:
            continue
        rows = [
            {
                "name": row.name.rstrip(".").replace("\\052", "*"),
                "type": row.type,
                "ttl": int(row.ttl or 0),
                # Those that moto makes with a zone are written otherwise than those that come later.
                "values": [value["Value"] if isinstance(value, dict) else value for value in row.records],
            }
            for row in list(zone.rrsets)
            if row.records
        ]
        servers = list(zone.delegation_set.name_servers) if zone.delegation_set else []
        found.append({"name": zone.name.rstrip("."), "servers": servers, "records": rows})
    return found
