"""Load balancers and certificates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws import tokens as t
from rehost.providers.aws.lift.job import AwsJob
from rehost.providers.aws.lift.rules import rules_of
from rehost.providers.pem import chain_of, names_in
from rehost.stacks.graph import Ref, Value, reveal
from rehost.stacks.lift.draft import plain
from rehost.stacks.lift.issued import holder
from rehost.stacks.lift.items import Item
from rehost.stacks.lift.texts import Texts

_PROTOCOLS = {"TCP": "tcp", "HTTP": "http", "HTTPS": "https"}
_ANYTHING = "200-499"


def certificates(made: AwsJob) -> None:
    """Certificates, with the records that prove them and the wait for them."""
    for item in made.items.of(t.CERTIFICATE):
        ours = holder(made, item.inputs.get("certificateBody"))
        if ours is not None:
            made.draft.claim(t.CERTIFICATE, ours, item)
            continue
        uploaded = "certificateBody" in item.inputs or item.outputs.get("type") == "IMPORTED"
        first = item.inputs.get("domainName") or item.outputs.get("domainName")
        name = made.draft.name("certificates", item.name or str(first), exact=item.marked)
        made.draft.claim(t.CERTIFICATE, name, item)
        if uploaded:
            _uploaded(made, name, item)
            continue
        others = item.inputs.get("subjectAlternativeNames") or item.outputs.get("subjectAlternativeNames") or []
        domains = list(others) if first in others[:1] else list(dict.fromkeys([str(first), *others]))
        made.draft.family("certificates")[name] = {"domains": domains}
        _proofs(made, name, item, domains)
    for item in made.items.of(t.VALIDATION):
        found = made.items.get(item.inputs["certificateArn"], t.CERTIFICATE)
        made.draft.claim(t.VALIDATION, made.draft.claimed(found) or "" if found else "", item)


def _uploaded(made: AwsJob, name: str, item: Item) -> None:
    body, key = item.inputs.get("certificateBody"), item.inputs.get("privateKey")
    told = item.outputs.get("subjectAlternativeNames") or names_in(reveal(body))
    data: dict[str, Any] = {"domains": list(told) or ["unknown.invalid"], "issuer": "upload"}
    made.draft.family("certificates")[name] = data
    if body is None:
        data["certificate"] = made.draft.secret(f"{name}-certificate")
        data["private_key"] = made.draft.secret(f"{name}-key")
        made.draft.note("certificates", name, text="give certificate and key in the variables of the two secrets")
        return
    # Until texts are known there is something that can be read as what it is.
    data |= {"certificate": "-", "private_key": "${secrets.unknown}"}

    chain = chain_of(body, item.inputs.get("certificateChain"))

    def later(texts: Texts) -> None:
        data["certificate"] = texts.text(chain, f"{name}-certificate")
        data["private_key"] = texts.text(key, f"{name}-key")

    made.later.append(later)


def _proofs(made: AwsJob, name: str, item: Item, domains: Sequence[str]) -> None:
    """Records by which Amazon proves a certificate: they follow from it."""
    for record in made.items.of(t.RECORD):
        value = record.inputs.get("name")
        if isinstance(value, Ref):
            if value.urn == item.key:
                made.draft.claim(t.RECORD, record.name, record)
            continue
        for row in item.outputs.get("domainValidationOptions") or []:
            if str(row.get("resourceRecordName", "")).rstrip(".") == str(value).rstrip("."):
                base = str(row["domainName"]).removeprefix("*.")
                if base in [domain.removeprefix("*.") for domain in domains]:
                    made.draft.claim(t.RECORD, f"proof-{base}", record)


def load_balancers(made: AwsJob) -> None:
    """Load balancers, whose listeners all lead to one server group."""
    for item in made.items.of(t.BALANCER):
        if not all(subnet.key in made.subnets for subnet in made.items.each(item.inputs.get("subnets"), t.SUBNET)):
            made.draft.leave(item, "it is in another network")
            continue
        _load_balancer(made, item)
    for token in (t.LISTENER, t.TARGETS, t.TARGET):
        for item in made.items.of(token):
            if item.key not in made.draft.claims.values() and item.key not in made.draft.known:
                made.draft.leave(item, "it belongs to nothing that could be lifted")


def _load_balancer(made: AwsJob, item: Item) -> None:
    items, draft = made.items, made.draft
    listeners = [row for row in items.of(t.LISTENER) if items.get(row.inputs["loadBalancerArn"]) is item]
    listeners = listeners or [
        row for row in items.of(t.LISTENER) if items.get(row.inputs["loadBalancerArn"], t.BALANCER) is item
    ]
    rows: list[tuple[Item, dict[str, Any], Item | None]] = []
    for listener in listeners:
        told = _listener(made, listener)
        if isinstance(told, str):
            draft.leave(listener, told)
        else:
            rows.append((listener, *told))
    groups = {target.key: target for _, _, target in rows if target is not None}
    to = _behind(made, item, list(groups.values()))
    if not rows or to is None:
        why = "it answers nothing that can be said" if not rows else "its targets are not the servers of one group"
        draft.leave(item, f"{why}; it stays as it is")
        return
    name = draft.name("load_balancers", item.name, exact=item.marked)
    check, sticky, algorithm = _settings(list(groups.values()))
    data = {
        "to": f"servers.{to}",
        "listen": [plain(listen) for _, listen, _ in rows],
        "health_check": check,
        "sticky": sticky or None,
        "algorithm": algorithm,
        "internal": bool(item.inputs.get("internal")) or None,
    }
    draft.family("load_balancers")[name] = plain(data)
    draft.claim(t.BALANCER, name, item)
    for listener, listen, target in rows:
        draft.claim(t.LISTENER, f"{name}-{listen['port']}", listener)
        if target is not None:
            _claim_targets(made, f"{name}-{target.inputs['port']}", target)
    _door(made, item, name)


def _listener(made: AwsJob, listener: Item) -> tuple[dict[str, Any], Item | None] | str:
    """A listener as a stack file says it and where it leads, or why it can't be said."""
    inputs = listener.inputs
    protocol = _PROTOCOLS.get(str(inputs["protocol"]))
    actions: Sequence[Mapping[str, Value]] = inputs.get("defaultActions") or []
    action = actions[-1] if actions else {}
    if protocol is None:
        return f"a stack file has no listeners for {inputs['protocol']}; it stays as it is"
    data: dict[str, Any] = {"port": int(inputs["port"]), "protocol": protocol}
    if action.get("type") == "redirect" and protocol == "http" and len(actions) == 1:
        return {"port": data["port"], "redirect": "https"}, None
    target = made.items.get(action.get("targetGroupArn"), t.TARGETS)
    if action.get("type") != "forward" or target is None or len(actions) > 1:
        return "a stack file has listeners that send visitors to one group or to https only; it stays as it is"
    if int(target.inputs["port"]) != data["port"]:
        data["to_port"] = int(target.inputs["port"])
    if protocol == "https":
        issued = inputs.get("certificateArn")
        found = made.items.get(issued, t.CERTIFICATE) or made.items.get(issued, t.VALIDATION)
        name = made.draft.claimed(found) if found is not None else None
        if name is None:
            return "its certificate could not be lifted; it stays as it is"
        data["certificate"] = name
    return data, target


def _behind(made: AwsJob, item: Item, targets: Sequence[Item]) -> str | None:
    """The server group that all targets are."""
    found: set[str] = set()
    for join in made.items.of(t.TARGET):
        group = made.items.get(join.inputs["targetGroupArn"], t.TARGETS)
        if group in targets:
            member = made.member_of(join.inputs["targetId"])
            found.add(member.rpartition("-")[0] if member else "")
    if not found:
        # Nobody is behind it: where its own group leads to, or any, since that says no more than that.
        for group in made.items.each(item.inputs.get("securityGroups"), t.GROUP):
            for rule in rules_of(made, group, t.EGRESS):
                peer = made.items.get(rule.inputs.get("referencedSecurityGroupId"), t.GROUP)
                found |= set(made.peers.get(peer.key, ())) if peer is not None else set()
        if not found:
            return next(iter(made.draft.family("servers")), None)
    return next(iter(found)) or None if len(found) == 1 else None


def _settings(targets: Sequence[Item]) -> tuple[dict[str, Any], int, str | None]:
    """Health check, seconds of stickiness, and how a target is chosen. Where target groups differ each keeps its
    own, as what it was found with."""
    for target in targets:
        inputs = target.inputs
        sticky = inputs.get("stickiness") or {}
        cookie = sticky.get("type") == "lb_cookie" and sticky.get("enabled", True)
        least = inputs.get("loadBalancingAlgorithmType") == "least_outstanding_requests"
        seconds = int(sticky.get("cookieDuration", 0)) if cookie else 0
        return _check(inputs.get("healthCheck") or {}), seconds, "least_connections" if least else None
    return {}, 0, None


def _check(health: Mapping[str, Value]) -> dict[str, Any]:
    port = str(health.get("port", "traffic-port"))
    data: dict[str, Any] = {
        "interval": min(60, max(5, int(health.get("interval", 30)))),
        "retries": min(5, max(2, int(health.get("healthyThreshold", 5)))),
        "port": int(port) if port.isdigit() else None,
    }
    data["timeout"] = min(data["interval"], 60, max(2, int(health.get("timeout", 5))))
    path, matcher = health.get("path"), str(health.get("matcher", ""))
    if path and not (path == "/" and matcher == _ANYTHING):
        data["path"] = path
        data["status"] = _status(matcher)
    return plain(data)


def _status(matcher: str) -> str:
    """Codes and ranges as a stack file says them; a range that it can't say counts for the hundreds it touches."""
    parts: list[str] = []
    for part in (matcher or "200").split(","):
        match = re.fullmatch(r"(\d)\d\d-(\d)\d\d", part.strip())
        if match:
            parts += [f"{hundred}??" for hundred in range(int(match[1]), min(5, int(match[2])) + 1)]
        else:
            parts.append(part.strip())
    return ",".join(parts)


def _claim_targets(made: AwsJob, full: str, target: Item) -> None:
    made.draft.claim(t.TARGETS, full, target)
    for join in made.items.of(t.TARGET):
        member = made.member_of(join.inputs["targetId"])
        if member and made.items.get(join.inputs["targetGroupArn"], t.TARGETS) is target:
            made.draft.claim(t.TARGET, f"{full}-{member}", join)


def _door(made: AwsJob, item: Item, name: str) -> None:
    """The security group of its own, if it has one that nobody else uses, with the rules that follow."""
    full = f"lb-{name}"
    groups = made.items.each(item.inputs.get("securityGroups"), t.GROUP)
    if len(groups) != 1 or groups[0].key in made.firewalls:
        return
    made.draft.claim(t.GROUP, full, groups[0])
    if made.draft.claimed(groups[0]) != full:
        return
    for rule in rules_of(made, groups[0], t.INGRESS):
        version = "4" if rule.inputs.get("cidrIpv4") else "6"
        made.draft.claim(t.INGRESS, f"{full}-{rule.inputs.get('fromPort')}-{version}", rule)
    for rule in rules_of(made, groups[0], t.EGRESS):
        made.draft.claim(t.EGRESS, f"{full}-to-{rule.inputs.get('fromPort')}", rule)
    for rule in made.items.of(t.INGRESS):
        if made.items.get(rule.inputs.get("referencedSecurityGroupId"), t.GROUP) is groups[0]:
            behind = made.items.get(rule.inputs["securityGroupId"], t.GROUP)
            if behind is not None and rule.key not in made.draft.known:
                own = made.draft.claimed(behind) or ""
                made.draft.claim(t.INGRESS, f"{own}-from-{full}-{rule.inputs.get('fromPort')}", rule)
