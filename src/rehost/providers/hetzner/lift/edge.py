"""Load balancers and certificates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.lift.job import HetznerJob
from rehost.providers.pem import names_in
from rehost.stacks.graph import Value, reveal
from rehost.stacks.lift.draft import plain
from rehost.stacks.lift.issued import holder
from rehost.stacks.lift.items import Item
from rehost.stacks.lift.texts import Texts

_SUFFIX = re.compile(r"-[0-9a-f]{8}\Z")


def certificates(made: HetznerJob) -> None:
    """Certificates. The names of ours carry a suffix of their content."""
    for item in made.items.of(t.MANAGED, t.UPLOADED):
        ours = holder(made, item.inputs.get("certificate"))
        if ours is not None:
            made.draft.claim(item.type, ours, item)
            continue
        wanted = _SUFFIX.sub("", item.name) if item.id and item.marked else item.name
        name = made.draft.name("certificates", wanted, exact=item.marked)
        made.draft.claim(item.type, name, item)
        domains = item.inputs.get("domainNames") or item.outputs.get("domainNames")
        if item.type == t.MANAGED:
            made.draft.family("certificates")[name] = {"domains": list(domains or [])}
        else:
            _uploaded(made, name, item, list(domains or []))


def _uploaded(made: HetznerJob, name: str, item: Item, domains: list[str]) -> None:
    chain, key = item.inputs.get("certificate"), item.inputs.get("privateKey")
    domains = domains or names_in(reveal(chain)) or ["unknown.invalid"]
    data: dict[str, Any] = {"domains": domains, "issuer": "upload", "private_key": "${secrets.unknown}"}
    # Until texts are known there is something that can be read as what it is.
    made.draft.family("certificates")[name] = data | {"certificate": "-"}

    def later(texts: Texts) -> None:
        whole = made.draft.family("certificates")[name]
        whole["certificate"] = texts.text(chain, f"{name}-certificate")
        whole["private_key"] = texts.text(key, f"{name}-key") if key else made.draft.secret(f"{name}-key")
        if not key:
            made.draft.note("certificates", name, text="give its key in the variable of the secret")

    made.later.append(later)


def load_balancers(made: HetznerJob) -> None:
    """Load balancers with what they answer and whom they send it to."""
    for item in made.items.of(t.BALANCER):
        if item.inputs.get("location", made.job.target.region) != made.job.target.region:
            made.draft.leave(item, f"it is in {item.inputs['location']}: a target has one location")
        else:
            _load_balancer(made, item)
    for item in made.items.of(t.BALANCER_NETWORK, t.BALANCER_SERVICE, t.BALANCER_TARGET):
        if item.key not in made.draft.claims.values() and item.key not in made.draft.known:
            made.draft.leave(item, "it belongs to nothing that could be lifted; it stays as it is")


def _parts(made: HetznerJob, item: Item, token: str) -> list[Item]:
    return [
        row for row in made.items.of(token) if made.items.get(row.inputs["loadBalancerId"], t.BALANCER) is item
    ]


def _load_balancer(made: HetznerJob, item: Item) -> None:
    targets, services = _parts(made, item, t.BALANCER_TARGET), _parts(made, item, t.BALANCER_SERVICE)
    members = [made.member_of(row.inputs.get("serverId")) for row in targets]
    groups = {member.rpartition("-")[0] if member else "" for member in members}
    if len(groups) > 1 or "" in groups:
        made.draft.leave(item, "its targets are not the servers of one group; it stays as it is")
        return
    name = made.draft.name("load_balancers", item.name, exact=item.marked)
    listen, redirects = [], False
    for row in services:
        told, redirected = _listener(made, row)
        redirects |= redirected
        if told is None:
            made.draft.leave(row, "its certificates could not be lifted; it stays as it is")
            continue
        listen.append(told)
        made.draft.claim(t.BALANCER_SERVICE, f"{name}-{told['port']}", row)
    if redirects or not listen:
        listen.append({"port": 80, "redirect": "https"})
    inputs = [row.inputs for row in services]
    made.draft.family("load_balancers")[name] = data = plain(
        {
            "to": f"servers.{groups.pop() if groups else _empty(made)}",
            "listen": listen,
            "health_check": _check(inputs),
            "sticky": _sticky(inputs) or None,
            "algorithm": (item.inputs.get("algorithm") or {}).get("type"),
        }
    )
    made.draft.claim(t.BALANCER, name, item)
    made.draft.fact(f"load_balancers.{name}.type", item.inputs["loadBalancerType"], "what it is")
    for row in _parts(made, item, t.BALANCER_NETWORK):
        subnet = made.items.get(row.inputs.get("subnetId"), t.SUBNET)
        within = row.inputs.get("networkId") or (subnet and subnet.inputs["networkId"])
        if made.items.get(within, t.NETWORK) is made.network:
            if subnet is not None and subnet.key in made.subnets:
                place = made.subnets[subnet.key]
                made.draft.fact(f"load_balancers.{name}.subnet", place, "where it is in the network")
            made.draft.claim(t.BALANCER_NETWORK, name, row)
            if row.inputs.get("enablePublicInterface") is False:
                data["internal"] = True
    for member, row in zip(members, targets, strict=True):
        made.draft.claim(t.BALANCER_TARGET, f"{name}-{member}", row)


def _empty(made: HetznerJob) -> str:
    """A group without servers."""
    with_servers = {member.group for member in made.members}
    servers = made.draft.family("servers")
    found = next((name for name in servers if name not in with_servers), None)
    if found is None:
        found = made.draft.name("servers", "nobody")
        servers[found] = {"count": 0}
    return found


def _listener(made: HetznerJob, row: Item) -> tuple[dict[str, Any] | None, bool]:
    """A listener, and whether its visitors come from port 80 as well. None where it can't be said."""
    inputs = row.inputs
    data: dict[str, Any] = {"port": int(inputs["listenPort"]), "protocol": inputs["protocol"]}
    if int(inputs["destinationPort"]) != data["port"]:
        data["to_port"] = int(inputs["destinationPort"])
    if inputs["protocol"] != "https":
        return data, False
    http = inputs.get("http") or {}
    issued = [made.name_of(value, t.MANAGED, t.UPLOADED) for value in http.get("certificates") or []]
    if len(issued) != 1 or issued[0] is None:
        return None, False
    return {**data, "certificate": issued[0]}, bool(http.get("redirectHttp"))


def _sticky(services: Sequence[Mapping[str, Value]]) -> int:
    for inputs in services:
        http = inputs.get("http") or {}
        if http.get("stickySessions"):
            return int(http.get("cookieLifetime") or 300)
    return 0


def _check(services: Sequence[Mapping[str, Value]]) -> dict[str, Any]:
    """The health check of all services. Where they differ each keeps its own, as what it was found with."""
    for inputs in services:
        health = inputs.get("healthCheck") or {}
        own = all((row.get("healthCheck") or {}).get("port") in (None, row["destinationPort"]) for row in services)
        interval = min(60, max(5, int(health.get("interval", 15))))
        data: dict[str, Any] = {
            "interval": interval,
            "timeout": min(interval, max(2, int(health.get("timeout", 10)))),
            "retries": min(5, max(2, int(health.get("retries", 3)))),
            "port": None if own else int(health["port"]),
        }
        http = health.get("http") or {}
        if health.get("protocol") == "http":
            data["path"] = http.get("path") or "/"
            data["status"] = ",".join(http.get("statusCodes") or ["2??", "3??"])
        return plain(data)
    return {}
