"""aws:route53/record:Record"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.base import described
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class Record:
    """A record set; its natural key is zone, name and type. Zones are listed whole, not record by record."""

    def __init__(self, clients: Mapping[str, Any], rules: KindRules) -> None:
        self.client: Any = clients["route53"]
        self.rules = rules

    def _zone(self, zone: str) -> dict[tuple[str, str], dict[str, Any]]:
        try:
            with guarded("list_resource_record_sets"):
                pages = self.client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
                rows = [row for page in pages for row in page["ResourceRecordSets"]]
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return {}
            raise
        return {(_plain(row["Name"]), row["Type"]): row for row in rows}

    def _live(self, asked: Mapping[str, Value], row: Mapping[str, Any] | None) -> Live | None:
        if row is None:
            return None
        name = _plain(row["Name"])
        outputs: dict[str, Value] = {
            "zoneId": asked["zoneId"],
            "name": name,
            "fqdn": name,
            "type": row["Type"],
            "ttl": row.get("TTL", 0),
            "records": [_unquoted(item["Value"], row["Type"]) for item in row.get("ResourceRecords", [])],
        }
        return Live(f"{asked['zoneId']}_{name}_{row['Type']}", described(self.rules, asked, outputs), outputs)

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        zones = {zone: self._zone(zone) for zone in sorted({str(k.inputs["zoneId"]) for k in known})}
        return [
            self._live(
                k.inputs, zones[str(k.inputs["zoneId"])].get((str(k.inputs["name"]), str(k.inputs["type"])))
            )
            for k in known
        ]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        return self.read([Known("", "", inputs, {})])[0]

    def _change(self, action: str, inputs: Mapping[str, Value]) -> None:
        values = [{"Value": _quoted(str(value), str(inputs["type"]))} for value in inputs["records"]]
        row = {"Name": inputs["name"], "Type": inputs["type"], "TTL": inputs["ttl"], "ResourceRecords": values}
        with guarded("change_resource_record_sets"):
            self.client.change_resource_record_sets(
                HostedZoneId=inputs["zoneId"],
                ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": row}]},
            )

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        self._change("UPSERT", inputs)
        live = self.find(inputs)
        assert live is not None
        return live

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self.create(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        # A delete has to name the values as they are, not as we wrote them.
        live = self.find(known.inputs)
        if live is not None:
            self._change("DELETE", live.outputs)


def _plain(name: str) -> str:
    return name.rstrip(".").replace("\\052", "*")


def _quoted(value: str, type_: str) -> str:
    if type_ != "TXT" or value.startswith('"'):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return " ".join(f'"{escaped[n : n + 255]}"' for n in range(0, max(1, len(escaped)), 255))


def _unquoted(value: str, type_: str) -> str:
    if type_ != "TXT":
        return value
    pieces = re.findall(r'"((?:[^"\\]|\\.)*)"', value)
    return re.sub(r"\\(.)", r"\1", "".join(pieces)) if pieces else value
