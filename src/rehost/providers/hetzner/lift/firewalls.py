"""Firewalls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.lift.job import HetznerJob, is_public
from rehost.stacks.graph import Join, Value
from rehost.stacks.lift.draft import plain
from rehost.stacks.lift.items import Item

_EVERYWHERE = ["0.0.0.0/0", "::/0"]
_ALL_PORTS = "1-65535"


def lift(made: HetznerJob) -> None:
    """All firewalls; those whose rules name servers are put before theirs by an attachment."""
    joins = {
        found.key: item
        for item in made.items.of(t.FENCED)
        if (found := made.items.get(item.inputs["firewallId"], t.FIREWALL)) is not None
    }
    for item in made.items.of(t.FIREWALL):
        name = made.draft.name("firewalls", item.name, exact=item.marked)
        data = _firewall(made, item)
        made.draft.family("firewalls")[name] = data
        made.draft.claim(t.FIREWALL, name, item)
        join = joins.get(item.key)
        if join is None:
            continue
        peers = [peer for rule in (*data.get("ingress", ()), *data.get("egress", ())) for peer in _list(rule)]
        if any(str(peer).startswith("servers.") for peer in peers):
            made.draft.claim(t.FENCED, name, join)
            behind = made.items.each(join.inputs.get("serverIds"), t.SERVER)
            # Live servers name it as well.
            made.draft.ignored |= {(server.key, "firewallIds") for server in behind if server.id}
        elif join.marked:
            # It names servers that have no addresses, of which nothing is left; whoever asks for SSH finds none.
            data.setdefault("ingress", []).append({"protocol": "icmp", "from": f"servers.{made.nobody()}"})
            made.draft.claim(t.FENCED, name, join)
        else:
            made.draft.known.add(join.key)


def _list(rule: Mapping[str, Any]) -> list[str]:
    peers = rule.get("from", [])
    return [peers] if isinstance(peers, str) else list(peers)


def _firewall(made: HetznerJob, item: Item) -> dict[str, Any]:
    sides: dict[str, list[dict[str, Any]]] = {"in": [], "out": []}
    for row in item.inputs.get("rules") or []:
        protocol = str(row["protocol"])
        if protocol not in ("tcp", "udp", "icmp"):
            text = f"a rule of {item.name} for {protocol} can't be said; the rules are kept as an override"
            made.draft.note("firewalls", item.name, text=text)
            continue
        peers = _peers(made, row.get("sourceIps" if row["direction"] == "in" else "destinationIps") or [])
        rule = {
            "protocol": protocol,
            "ports": [str(row["port"])] if row.get("port") else [],
            "from": peers,
            "description": row.get("description") or "",
        }
        _add(sides[str(row["direction"])], rule)
    return plain({"ingress": [_said(rule) for rule in sides["in"]], "egress": [_said(r) for r in sides["out"]]})


def _add(rules: list[dict[str, Any]], rule: dict[str, Any]) -> None:
    """Put a rule behind others: rows that one rule would be lowered to become that one."""
    same = [before for before in rules[-2:] if all(before[key] == rule[key] for key in ("from", "description"))]
    if rule["protocol"] == "icmp" and [(r["protocol"], r["ports"]) for r in same] == [
        ("tcp", [_ALL_PORTS]),
        ("udp", [_ALL_PORTS]),
    ]:
        del rules[-2:]
        rules.append({**rule, "protocol": "any"})
    elif same and same[-1] is rules[-1] and rules[-1]["protocol"] == rule["protocol"] and rule["ports"]:
        if _ALL_PORTS in (*rules[-1]["ports"], *rule["ports"]):
            # It may be the beginning of a rule for everything.
            rules.append(rule)
        else:
            rules[-1]["ports"] += rule["ports"]
    else:
        rules.append(rule)


def _said(rule: dict[str, Any]) -> dict[str, Any]:
    ports = [] if rule["ports"] == [_ALL_PORTS] else rule["ports"]
    peers = rule["from"]
    return plain(
        {
            **rule,
            "description": rule["description"] or None,
            "ports": ports,
            "from": peers[0] if len(peers) == 1 else peers,
        }
    )


def _peers(made: HetznerJob, addresses: Sequence[Value]) -> list[str]:
    """Address ranges, server groups by the addresses of all their members, and everywhere."""
    groups: dict[str, list[Value]] = {}
    for member in made.members:
        if is_public(member.item):
            address = made.address(member.item)
            told = f"{address}/32" if isinstance(address, str) else Join((address, "/32"))
            groups.setdefault(member.group, []).append(told)
    peers: list[str] = []
    left = list(addresses)
    while left:
        here = left[0]
        group = next(
            (name for name, own in groups.items() if here in own and all(other in left for other in own)), None
        )
        if left[:2] == _EVERYWHERE:
            peers.append("anywhere")
            del left[:2]
        elif group is not None:
            peers.append(f"servers.{group}")
            left = [other for other in left if other not in groups[group]]
        elif isinstance(here, str):
            peers.append(here)
            left.pop(0)
        else:
            server = made.member_of(here.parts[0]) if isinstance(here, Join) else None
            peers.append(f"servers.{str(server).rpartition('-')[0]}")
            left.pop(0)
    return peers
