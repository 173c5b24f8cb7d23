"""Security groups and their rules to firewalls, and to the groups that servers, load balancers and databases
have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rehost.providers.aws import tokens as t
from rehost.providers.aws.lift.job import AwsJob
from rehost.providers.aws.lower import rule_name
from rehost.stacks.graph import Ref, Value
from rehost.stacks.lift.draft import plain
from rehost.stacks.lift.items import Item

_PREFIXES = ("servers-", "firewall-", "lb-", "db-", "cache-")
_EVERYWHERE = ("0.0.0.0/0", "::/0")
_NOWHERE = {"protocol": "icmp", "from": "127.0.0.1/32", "description": "Nothing may go out"}
"""A rule that lets nothing of use through: without any, all would go out."""

Row = tuple[str, tuple[int, int] | None, str, str]
"""A rule as a stack file can say it: protocol, ports, one peer, description."""


def kind(item: Item) -> str:
    """What one of our own groups is for, by how its name begins; nothing for others."""
    return next((prefix for prefix in _PREFIXES if item.marked and item.name.startswith(prefix)), "")


def lift(made: AwsJob) -> None:
    """All security groups of the network."""
    items, draft = made.items, made.draft
    doors = _doors(made)
    for group in items.of(t.GROUP):
        if not made.here(group):
            draft.leave(group, "it is in another network")
            _known_rules(made, group)
            continue
        what = kind(group)
        if what == "servers-":
            made.peers[group.key] = [group.name.removeprefix(what)]
            draft.claim(t.GROUP, group.name, group)
            continue
        members = {
            member.group: 0
            for member in made.members
            if group in items.each(member.item.inputs.get("vpcSecurityGroupIds"), t.GROUP)
        }
        behind = [name for name in members if _whole(made, name, group)]
        if len(behind) == len(members):
            made.peers[group.key] = behind
        if what == "firewall-" or (not what and (members or (group.key not in doors and not _spare(made, group)))):
            wanted = group.name.removeprefix(what)
            name = draft.name("firewalls", wanted or "firewall", exact=bool(what))
            draft.family("firewalls")[name] = {}
            made.firewalls[group.key] = name
            draft.claim(t.GROUP, f"firewall-{name}", group)
            draft.known.discard(group.key)
    for group in items.of(t.GROUP):
        if group.key in made.firewalls:
            _firewall(made, group, made.firewalls[group.key])
        elif kind(group) == "servers-":
            _own(made, group)


def _doors(made: AwsJob) -> set[str]:
    """Groups of load balancers, databases and caches."""
    found: set[str] = set()
    for item in made.items.of(t.BALANCER, t.DATABASE, t.CACHE):
        for name in ("securityGroups", "vpcSecurityGroupIds", "securityGroupIds"):
            found |= {group.key for group in made.items.each(item.inputs.get(name), t.GROUP)}
    return found


def _spare(made: AwsJob, group: Item) -> bool:
    """Whether it is the group that came with the network, and nobody uses it."""
    if group.key in made.draft.known:
        _known_rules(made, group)
        return True
    return False


def _known_rules(made: AwsJob, group: Item) -> None:
    made.draft.known |= {rule.key for rule in rules_of(made, group, t.INGRESS, t.EGRESS)}


def _whole(made: AwsJob, name: str, group: Item) -> bool:
    """Whether all members of a server group are behind a security group."""
    return all(
        group in made.items.each(member.item.inputs.get("vpcSecurityGroupIds"), t.GROUP)
        for member in made.members
        if member.group == name
    )


def rules_of(made: AwsJob, group: Item, *types: str) -> list[Item]:
    """The rules of a security group."""
    return [
        rule
        for rule in made.items.of(*types)
        if made.items.get(rule.inputs.get("securityGroupId"), t.GROUP) is group
    ]


def _own(made: AwsJob, group: Item) -> None:
    """The open way out of servers without firewalls: follows from their having none. Other rules are those of load
    balancers that reach them."""
    for rule in rules_of(made, group, t.EGRESS):
        made.draft.claim(t.EGRESS, f"{group.name}-all-{_version(rule)}", rule)
    for rule in rules_of(made, group, t.INGRESS):
        if rule.name.endswith("-way-out"):
            made.draft.claim(t.INGRESS, f"{group.name}-way-out", rule)


def _version(rule: Item) -> str:
    return "4" if rule.inputs.get("cidrIpv4") else "6"


def _firewall(made: AwsJob, group: Item, name: str) -> None:
    draft, full = made.draft, f"firewall-{name}"
    component: dict[str, Any] = {}
    outward = rules_of(made, group, t.EGRESS)
    if _all_out(outward):
        for rule in outward:
            draft.claim(t.EGRESS, f"{full}-all-{_version(rule)}", rule)
    elif outward:
        component["egress"] = _merged(_rows(made, full, outward, t.EGRESS)) or [_NOWHERE]
    else:
        component["egress"] = [_NOWHERE]
    inward = _rows(made, full, rules_of(made, group, t.INGRESS), t.INGRESS)
    component["ingress"] = _merged(inward)
    draft.family("firewalls")[name] = plain(component)


def _all_out(rules: Sequence[Item]) -> bool:
    """Whether they are those of a firewall that says nothing of what may go out."""
    if any(rule.inputs.get("description") or (rule.marked and "-all-" not in rule.name) for rule in rules):
        return False
    told = [
        (rule.inputs["ipProtocol"], rule.inputs.get("cidrIpv4") or rule.inputs.get("cidrIpv6")) for rule in rules
    ]
    return sorted(told, key=str) == sorted((("-1", cidr) for cidr in _EVERYWHERE), key=str)


def _rows(made: AwsJob, full: str, rules: Sequence[Item], token: str) -> list[Row]:
    """What the rules say; each is claimed for the first resource that says it."""
    rows: list[Row] = []
    for rule in rules:
        told = _row(made, rule)
        if isinstance(told, str):
            made.draft.leave(rule, told)
            continue
        rows += told
        for row in told:
            made.draft.claim(token, f"{full}-{rule_name(_inputs(made, row))}", rule)
    return rows


def _row(made: AwsJob, rule: Item) -> list[Row] | str:
    """A rule in the words of a stack file, once for each peer; or why it can't be said."""
    inputs = rule.inputs
    protocol = {"-1": "any", "icmpv6": "icmp", "58": "icmp", "1": "icmp", "6": "tcp", "17": "udp"}.get(
        str(inputs["ipProtocol"]), str(inputs["ipProtocol"])
    )
    if protocol not in ("tcp", "udp", "icmp", "any"):
        return f"a stack file has no rules for the protocol {protocol}; it stays as it is"
    low, high = inputs.get("fromPort", -1), inputs.get("toPort", -1)
    if protocol == "icmp" and low != -1:
        return "a stack file has no rules for single kinds of ICMP; it stays as it is"
    ports = (max(1, int(low)), int(high)) if protocol in ("tcp", "udp") else None
    peers: list[str] = []
    for key in ("cidrIpv4", "cidrIpv6"):
        if inputs.get(key):
            peers.append(str(inputs[key]))
    if inputs.get("referencedSecurityGroupId"):
        group = made.items.get(inputs["referencedSecurityGroupId"], t.GROUP)
        names = made.peers.get(group.key, []) if group is not None else []
        if not names:
            return "it lets in members of a security group which is not that of whole server groups"
        peers = [f"servers.{name}" for name in names]
    if not peers:
        return "a stack file has no prefix lists; it stays as it is"
    return [(protocol, ports, peer, str(inputs.get("description") or "")) for peer in peers]


def _inputs(made: AwsJob, row: Row) -> Mapping[str, Value]:
    """The inputs that a row is lowered to, as far as they count for its name."""
    protocol, ports, peer, _ = row
    one: dict[str, Value] = {}
    if peer.startswith("servers."):
        name = f"servers-{peer.removeprefix('servers.')}"
        target = made.job.target.name
        one["referencedSecurityGroupId"] = Ref(f"urn:pulumi:{target}::{made.job.stack}::{t.GROUP}::{name}")
    else:
        one["cidrIpv6" if ":" in peer else "cidrIpv4"] = peer
    six = protocol == "icmp" and "cidrIpv6" in one
    one["ipProtocol"] = "icmpv6" if six else {"any": "-1"}.get(protocol, protocol)
    if protocol == "icmp":
        one |= {"fromPort": -1, "toPort": -1}
    elif ports is not None:
        one |= {"fromPort": ports[0], "toPort": ports[1]}
    return one


def _merged(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows with those taken together that differ in peers only, then those that differ in ports only."""
    by_ports: dict[tuple[str, tuple[int, int] | None, str], list[str]] = {}
    for protocol, ports, peer, description in rows:
        by_ports.setdefault((protocol, ports, description), []).append(peer)
    by_peers: dict[tuple[str, str, tuple[str, ...]], list[tuple[int, int] | None]] = {}
    for (protocol, ports, description), peers in by_ports.items():
        by_peers.setdefault((protocol, description, _peers(peers)), []).append(ports)
    return [
        plain(
            {
                "protocol": protocol,
                "ports": [_port(pair) for pair in ports if pair is not None],
                "from": peers[0] if len(peers) == 1 else list(peers),
                "description": description or None,
            }
        )
        for (protocol, description, peers), ports in by_peers.items()
    ]


def _peers(peers: Sequence[str]) -> tuple[str, ...]:
    if all(cidr in peers for cidr in _EVERYWHERE):
        return ("anywhere", *(peer for peer in dict.fromkeys(peers) if peer not in _EVERYWHERE))
    return tuple(dict.fromkeys(peers))


def _port(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}-{pair[1]}"
