"""Buckets, zones and records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rehost.providers.aws import tokens as t
from rehost.providers.aws.lift.job import AwsJob
from rehost.stacks.graph import Ref, Value
from rehost.stacks.lift.buckets import cors, public_read
from rehost.stacks.lift.draft import plain
from rehost.stacks.lift.items import Item
from rehost.stacks.lift.texts import Texts
from rehost.stacks.model import Record
from rehost.stacks.model.zones import KINDS

_SETTINGS = (t.ACCESS, t.ENCRYPTION, t.OWNERSHIP, t.VERSIONING, t.CORS, t.LIFECYCLE, t.POLICY)


def buckets(made: AwsJob) -> None:
    """Buckets with their settings."""
    for item in made.items.of(t.BUCKET):
        wanted = item.name or str(item.inputs["bucket"])
        name = made.draft.name("buckets", wanted, exact=item.marked)
        made.draft.claim(t.BUCKET, name, item)
        made.draft.family("buckets")[name] = plain(_settings(made, name, item))


def _settings(made: AwsJob, name: str, item: Item) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for setting in made.items.of(*_SETTINGS):
        if made.items.get(setting.inputs.get("bucket") or setting.id, t.BUCKET) is not item:
            continue
        inputs = setting.inputs
        if setting.type == t.VERSIONING:
            on = (inputs.get("versioningConfiguration") or {}).get("status") == "Enabled"
            data["versioning"] = on or None
            if not on:
                made.draft.known.add(setting.key)
                continue
        elif setting.type == t.ENCRYPTION:
            how = [rule["applyServerSideEncryptionByDefault"] for rule in inputs["rules"]]
            if how != [{"sseAlgorithm": "AES256"}]:
                made.draft.leave(setting, "a stack file names no keys of one's own for buckets; it stays as it is")
                continue
            data["encrypted"] = True
        elif setting.type == t.OWNERSHIP:
            if inputs["rule"] != {"objectOwnership": "BucketOwnerEnforced"}:
                made.draft.leave(setting, "a stack file leaves objects to the bucket's owner; it stays as it is")
                continue
            data["owner_enforced"] = True
        elif setting.type == t.CORS:
            data["cors"] = [cors(rule) for rule in inputs["corsRules"]]
        elif setting.type == t.LIFECYCLE:
            rules = [_rule(rule) for rule in inputs["rules"]]
            if None in rules:
                made.draft.leave(setting, "a stack file has rules that remove objects only; it stays as it is")
                continue
            data["lifecycle"] = rules
        elif setting.type == t.POLICY:
            if not public_read(inputs["policy"]):
                made.draft.leave(setting, "a stack file has no policies of one's own; it stays as it is")
                continue
            data["public_read"] = True
        made.draft.claim(setting.type, name, setting)
    return data


def _rule(rule: Mapping[str, Any]) -> dict[str, Any] | None:
    """A lifecycle rule; None for one that does what can't be said."""
    known = {"id", "status", "filter", "prefix", "expiration", "noncurrentVersionExpiration"}
    where = rule.get("filter") or {}
    days, versions = rule.get("expiration") or {}, rule.get("noncurrentVersionExpiration") or {}
    said = set(where) <= {"prefix"} and set(days) <= {"days"} and set(versions) <= {"noncurrentDays"}
    if rule.get("status") != "Enabled" or set(rule) - known or not said or not (days or versions):
        return None
    return plain(
        {
            "prefix": where.get("prefix") or rule.get("prefix"),
            "expire_days": days.get("days"),
            "expire_versions_days": versions.get("noncurrentDays"),
        }
    )


def zones(made: AwsJob) -> None:
    """Zones with their records, as far as those have a form of their own. They wait for texts."""
    for item in made.items.of(t.ZONE):
        zone = str(item.inputs["name"])
        if zone in made.draft.family("dns"):
            made.draft.leave(item, "there is another zone of this name")
            continue
        made.draft.claim(t.ZONE, zone, item)
        rows: list[dict[str, Any]] = []
        made.draft.family("dns")[zone] = rows
        records = [row for row in made.items.of(t.RECORD) if made.items.get(row.inputs["zoneId"], t.ZONE) is item]
        made.later.append(_later(made, zone, rows, [row for row in records if not _proof(made, row)]))


def _proof(made: AwsJob, record: Item) -> bool:
    return record.key in made.draft.claims.values()


def _later(made: AwsJob, zone: str, rows: list[dict[str, Any]], records: list[Item]) -> Any:
    def later(texts: Texts) -> None:
        for record in records:
            told = _record(made, zone, record, texts)
            if isinstance(told, str):
                if told:
                    made.draft.leave(record, told)
                else:
                    made.draft.known.add(record.key)
                continue
            rows.append(told)
            made.draft.claim(t.RECORD, _logical(zone, record, told), record)

    return later


def _logical(zone: str, record: Item, told: Mapping[str, Any]) -> str:
    """The name that the lowering gives to a record: with its zone where another zone has the same."""
    if record.marked:
        return record.name
    row = Record.model_validate(told)
    return f"{row.full(zone)}/{row.type}"


def _record(made: AwsJob, zone: str, record: Item, texts: Texts) -> dict[str, Any] | str:
    """A record as a stack file says it; or why it can't be said, empty for what every zone has."""
    inputs = record.inputs
    type_, full = str(inputs["type"]), str(inputs["name"])
    name = "@" if full == zone else full.removesuffix(f".{zone}")
    if name == "@" and type_ in ("NS", "SOA"):
        return ""
    if inputs.get("aliases"):
        alias = inputs["aliases"][0]
        pointed = _balancer(made, alias["name"])
        if pointed is None or type_ != "A":
            return "it is an alias of something that the stack has no load balancer for; it stays as it is"
        return {"name": name, "to": f"load_balancers.{pointed}"}
    if type_.lower() not in KINDS:
        return f"a stack file has no {type_} records; it stays as it is"
    data: dict[str, Any] = {"name": name, "ttl": inputs["ttl"]}
    values = list(inputs["records"])
    to = pointed_at(made, values) if type_ == "A" else None
    if to is not None:
        return {**data, "to": to}
    written = [_quoted(text) if type_ == "TXT" else text for text in (texts.text(value) for value in values)]
    key = type_.lower()
    return {**data, key: written[0] if key == "cname" else written}


def _quoted(text: str) -> str:
    """A text that begins with a quote is written with quotes around it: otherwise that one would be taken for
    one."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"' if text.startswith('"') else text


def _balancer(made: AwsJob, value: Value) -> str | None:
    """The load balancer that a name leads to."""
    for item in made.items.of(t.BALANCER):
        name = str(value).removeprefix("dualstack.").rstrip(".").lower()
        live = str(item.outputs.get("dnsName", "")).lower()
        if (isinstance(value, Ref) and value.urn == item.key) or (live and live == name):
            return made.draft.claimed(item)
    return None


def pointed_at(made: AwsJob, values: list[Value]) -> str | None:
    """The component whose public addresses these are, all of them and in this order."""
    told: dict[str, list[Value]] = {}
    static: dict[str, Value] = {}
    for name, data in made.draft.family("static_addresses").items():
        item = made.items.key(made.draft.claims[t.ADDRESS, name])
        here = item.outputs.get("publicIp") or Ref(item.key, "publicIp")
        told[f"static_addresses.{name}"] = [here]
        if "on" in data:
            static.setdefault(str(data["on"]).removeprefix("servers."), here)
    for member in made.members:
        own = member.item.outputs.get("publicIp") or Ref(member.item.key, "publicIp")
        here = static.get(member.name, own)
        told[f"servers.{member.name}"] = [here]
        told.setdefault(f"servers.{member.group}", []).append(here)
    groups = [name for name in told if not re.search(r"-\d+$", name)]
    for name in [*groups, *told]:
        same = told[name] == values or (
            all(isinstance(value, str) for value in values) and sorted(map(str, told[name])) == sorted(values)
        )
        if same and values:
            return name
    return None
