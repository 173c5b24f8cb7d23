"""Buckets, zones and record sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.lift.job import HetznerJob
from rehost.providers.hetzner.lift.servers import pointed_at
from rehost.providers.hetzner.lower import record_value
from rehost.stacks.graph import Join, Value
from rehost.stacks.lift.buckets import cors, public_read
from rehost.stacks.lift.draft import plain
from rehost.stacks.lift.items import Item
from rehost.stacks.lift.texts import Texts
from rehost.stacks.model.zones import KINDS
from rehost.stacks.records import text_pieces

_SETTINGS = (t.VERSIONING, t.CORS, t.LIFECYCLE, t.POLICY)


def buckets(made: HetznerJob) -> None:
    """Buckets with their settings."""
    for item in made.items.of(t.BUCKET):
        wanted = item.name or str(item.inputs["bucket"])
        name = made.draft.name("buckets", wanted, exact=item.marked)
        made.draft.claim(t.BUCKET, name, item)
        made.draft.family("buckets")[name] = plain(_settings(made, name, item))


def _settings(made: HetznerJob, name: str, item: Item) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for setting in made.items.of(*_SETTINGS):
        if made.items.get(setting.inputs.get("bucket") or setting.id, t.BUCKET) is not item:
            continue
        inputs = setting.inputs
        if setting.type == t.VERSIONING:
            if (inputs.get("versioningConfiguration") or {}).get("status") != "Enabled":
                made.draft.known.add(setting.key)
                continue
            data["versioning"] = True
        elif setting.type == t.CORS:
            data["cors"] = [cors(rule) for rule in inputs["corsRules"]]
        elif setting.type == t.LIFECYCLE:
            rules = [_rule(rule) for rule in inputs["rules"]]
            if None in rules:
                made.draft.leave(setting, "a stack file has rules that remove objects only; it stays as it is")
                continue
            data["lifecycle"] = rules
        elif not public_read(inputs["policy"]):
            made.draft.leave(setting, "a stack file has no policies of one's own; it stays as it is")
            continue
        else:
            data["public_read"] = True
        made.draft.claim(setting.type, name, setting)
    return data


def _rule(rule: Mapping[str, Any]) -> dict[str, Any] | None:
    """A lifecycle rule; None for one that does what can't be said."""
    known = {"id", "status", "filter", "expiration", "noncurrentVersionExpirationDays"}
    days, versions = rule.get("expiration"), rule.get("noncurrentVersionExpirationDays")
    if rule.get("status", "Enabled") != "Enabled" or set(rule) - known or not (days or versions):
        return None
    removed = str(days).removesuffix("d") if days else None
    return plain(
        {
            "prefix": rule.get("filter"),
            "expire_days": int(removed) if removed else None,
            "expire_versions_days": versions,
        }
    )


def zones(made: HetznerJob) -> None:
    """Zones with their record sets. They wait for texts."""
    for item in made.items.of(t.ZONE):
        zone = str(item.inputs["name"])
        if item.inputs.get("mode", "primary") != "primary":
            made.draft.leave(item, "it is a copy of a zone that is kept elsewhere; it stays as it is")
            continue
        made.draft.claim(t.ZONE, zone, item)
        rows: list[dict[str, Any]] = []
        made.draft.family("dns")[zone] = rows
        records = [row for row in made.items.of(t.RRSET) if made.items.get(row.inputs["zone"], t.ZONE) is item]
        made.later.append(_later(made, zone, rows, records))


def _later(
    made: HetznerJob, zone: str, rows: list[dict[str, Any]], records: list[Item]
) -> Callable[[Texts], None]:
    def later(texts: Texts) -> None:
        for record in records:
            type_, name = str(record.inputs["type"]), str(record.inputs["name"])
            if name == "@" and type_ in ("NS", "SOA"):
                made.draft.known.add(record.key)
            elif type_.lower() not in KINDS:
                made.draft.leave(record, f"a stack file has no {type_} records; it stays as it is")
            else:
                rows.append(_record(made, record, texts))
                made.draft.claim(t.RRSET, record.name if record.marked else f"{name}.{zone}/{type_}", record)

    return later


def _record(made: HetznerJob, record: Item, texts: Texts) -> dict[str, Any]:
    inputs = record.inputs
    type_ = str(inputs["type"])
    # One without a time of its own has the zone's, an hour where nothing else was said.
    data: dict[str, Any] = {"name": inputs["name"], "ttl": inputs.get("ttl") or 3600}
    values = [row["value"] for row in inputs["records"]]
    to = pointed_at(made, values) if type_ == "A" else None
    if to is not None:
        return {**data, "to": to}
    written = [_written(type_, value, texts) for value in values]
    return {**data, type_.lower(): written[0] if type_ == "CNAME" else written}


def _written(type_: str, value: Value, texts: Texts) -> str:
    """A value as a stack file has it: text without quotes, hosts without the last dot."""
    if type_ == "TXT":
        if isinstance(value, Join) and value.parts[0] == '"' and value.parts[-1] == '"':
            inner = tuple(_unescaped(part) if isinstance(part, str) else part for part in value.parts[1:-1])
            return texts.text(Join(inner))
        if isinstance(value, Join):
            first, last = value.parts[0], value.parts[-1]
            if isinstance(first, str) and isinstance(last, str) and first[:1] == last[-1:] == '"':
                parts = (first[1:], *value.parts[1:-1], last[:-1])
                return texts.text(
                    Join(tuple(_unescaped(p) if isinstance(p, str) else p for p in parts if p != ""))
                )
        text = "".join(_unescaped(piece) for piece in text_pieces(str(value)))
        return texts.text(text if record_value(type_, text) == value else value)
    if isinstance(value, str) and value.endswith(".") and not value.endswith((" .", "\\.")) and value != ".":
        return texts.text(value[:-1] if record_value(type_, value[:-1]) == value else value)
    return texts.text(value)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
