"""Databases and caches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws import tokens as t
from rehost.providers.aws.catalog import CATALOG
from rehost.providers.aws.lift.job import AwsJob
from rehost.providers.aws.lift.rules import rules_of
from rehost.providers.aws.managed import LOGICAL, family
from rehost.stacks.lift.draft import plain
from rehost.stacks.lift.items import Item
from rehost.stacks.model import Database, show_size

_MIB = 1024**2
_DATABASES = ("postgres", "mysql")
_CACHES = ("valkey", "redis")


def stored_secrets(made: AwsJob) -> None:
    """Secrets of ours in the store. Their values are secrets of the stack already, or are given to it."""
    for item in made.items.of(t.SECRET):
        if not item.marked:
            continue
        name = made.draft.secret(item.name).removeprefix("${secrets.").removesuffix("}")
        made.draft.family("secrets")[name]["store"] = True
        made.draft.claim(t.SECRET, name, item)
        for value in made.items.of(t.SECRET_VALUE):
            if made.items.get(value.inputs.get("secretId"), t.SECRET) is item:
                made.draft.claim(t.SECRET_VALUE, name, value)


def lift(made: AwsJob) -> None:
    """Databases and caches, each with its subnets, its door and its parameters."""
    for item in made.items.of(t.DATABASE):
        if item.inputs.get("engine") not in _DATABASES:
            made.draft.leave(item, f"a stack file has no {item.inputs.get('engine')}; it stays as it is")
        else:
            _database(made, item)
    for item in made.items.of(t.CACHE):
        if item.inputs.get("engine", "redis") not in _CACHES:
            made.draft.leave(item, f"a stack file has no {item.inputs.get('engine')}; it stays as it is")
        else:
            _cache(made, item)


def _size(made: AwsJob, name: str, kind: str, type_: str) -> dict[str, Any]:
    """What a class or node type is, pinned where the catalog knows it."""
    sizes = CATALOG.managed(kind)
    if type_ not in sizes:
        made.draft.note(kind, name, text=f"the catalog does not know {type_}: it is kept; say what size is needed")
        return {}
    cpu, mib = sizes[type_]
    key = "class" if kind == "databases" else "type"
    made.draft.fact(f"{kind}.{name}.{key}", type_, "what it runs on")
    return {"cpu": cpu, "memory": show_size(int(mib * _MIB))}


def _database(made: AwsJob, item: Item) -> None:
    inputs, draft = item.inputs, made.draft
    name = draft.name("databases", item.name, exact=item.marked)
    draft.family("databases")[name] = data = {
        "engine": inputs["engine"],
        "version": str(inputs["engineVersion"]),
        "storage": f"{inputs['allocatedStorage']}GiB",
        "database": inputs.get("dbName", "postgres" if inputs["engine"] == "postgres" else "mysql"),
        "owner": inputs["username"],
        "size": _size(made, name, "databases", str(inputs["instanceClass"])),
        "high_availability": bool(inputs.get("multiAz")) or None,
        "backups": _backups(inputs),
        "reachable_from": _door(made, item, f"db-{name}", "vpcSecurityGroupIds"),
    }
    draft.claim(t.DATABASE, name, item)
    draft.claim(t.DB_SUBNETS, name, made.items.get(inputs.get("dbSubnetGroupName"), t.DB_SUBNETS))
    group = made.items.get(inputs.get("parameterGroupName"), t.DB_PARAMETERS)
    rows = group.inputs.get("parameters") or () if group is not None else ()
    parameters = {row["name"]: str(row["value"]) for row in rows}
    if data["engine"] == "postgres" and parameters.setdefault(LOGICAL, "0") == "1":
        del parameters[LOGICAL]
    data["parameters"] = parameters or None
    if rows and group is not None:
        version = Database.model_validate({"engine": data["engine"], "version": data["version"]})
        draft.claim(t.DB_PARAMETERS, f"{name}-{family(version)}", group)
    draft.family("databases")[name] = data = plain(data)
    password = inputs.get("password")
    if password is None:
        data["password"] = draft.secret(f"{name}-password")
        draft.note(
            "databases", name, text="give its password in the variable of the secret: Amazon never tells it"
        )
        return

    drawn = f"databases_{name}_password"
    known = made.secret_of(password)
    if known != drawn:
        # The drawn one is drawn by itself where nothing is said.
        data["password"] = draft.secret(known or f"{name}-password")


def _backups(inputs: Mapping[str, Any]) -> dict[str, Any]:
    window = str(inputs.get("backupWindow") or "")
    return plain({"at": window.partition("-")[0] or None}) | {
        "keep_days": int(inputs.get("backupRetentionPeriod") or 0)
    }


def _cache(made: AwsJob, item: Item) -> None:
    inputs, draft = item.inputs, made.draft
    name = draft.name("caches", item.name, exact=item.marked)
    size = _size(made, name, "caches", str(inputs["nodeType"]))
    draft.family("caches")[name] = plain(
        {
            "engine": inputs.get("engine", "redis"),
            "version": str(inputs["engineVersion"]),
            "memory": size.get("memory"),
            "high_availability": bool(inputs.get("automaticFailoverEnabled")) or None,
            "reachable_from": _door(made, item, f"cache-{name}", "securityGroupIds"),
        }
    )
    draft.claim(t.CACHE, name, item)
    draft.claim(t.CACHE_SUBNETS, name, made.items.get(inputs.get("subnetGroupName"), t.CACHE_SUBNETS))


def _door(made: AwsJob, item: Item, full: str, key: str) -> list[str]:
    """Who may connect; without anybody, all of the network may. The security group is its own where nobody else
    has it."""
    groups = [group for group in made.items.each(item.inputs.get(key), t.GROUP) if group.key not in made.firewalls]
    if len(groups) != 1:
        return []
    made.draft.claim(t.GROUP, full, groups[0])
    reachable: list[str] = []
    for rule in rules_of(made, groups[0], t.INGRESS):
        peer = made.items.get(rule.inputs.get("referencedSecurityGroupId"), t.GROUP)
        if peer is None:
            made.draft.claim(t.INGRESS, f"{full}-network", rule)
            continue
        for group in made.peers.get(peer.key, []):
            reachable.append(f"servers.{group}")
            made.draft.claim(t.INGRESS, f"{full}-from-{group}", rule)
    return list(dict.fromkeys(reachable))
