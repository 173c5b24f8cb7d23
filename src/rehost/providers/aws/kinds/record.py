"""aws:route53/record:Record"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import Item, everything
from rehost.providers.aws.kinds.tie import Tie
from rehost.providers.aws.txt import quoted, unquoted
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Record(Tie):
    """A record set; its natural key is zone, name and type. Zones are listed whole, not record by record."""

    token = "aws:route53/record:Record"
    service = "route53"

    def keyed(self, id_: str) -> dict[str, Value]:
        match = re.fullmatch(r"([^_]+)_(.+)_([A-Z]+)", id_)
        if match is None:
            raise ValueError(id_)
        return {"zoneId": match[1], "name": match[2], "type": match[3]}

    def _zone(self, zone: str) -> dict[tuple[str, str], Item]:
        rows = everything(self.client, "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone)
        return {(_plain(row["Name"]), row["Type"]): row for row in rows}

    def look(self, wanted: Sequence[Mapping[str, Value]]) -> list[Live | None]:
        zones = {zone: self._zone(zone) for zone in sorted({str(inputs["zoneId"]) for inputs in wanted})}
        return [
            self._live(
                inputs, zones[str(inputs["zoneId"])].get((_plain(str(inputs["name"])), str(inputs["type"])))
            )
            for inputs in wanted
        ]

    def _live(self, key: Mapping[str, Value], row: Item | None) -> Live | None:
        if row is None:
            return None
        name, alias = _plain(row["Name"]), row.get("AliasTarget")
        outputs: dict[str, Value] = {"zoneId": key["zoneId"], "name": name, "fqdn": name, "type": row["Type"]}
        if alias:
            outputs["aliases"] = [
                {
                    "name": _plain(alias["DNSName"]),
                    "zoneId": alias["HostedZoneId"],
                    "evaluateTargetHealth": alias["EvaluateTargetHealth"],
                }
            ]
        else:
            outputs["ttl"] = row.get("TTL", 0)
            outputs["records"] = [
                unquoted(item["Value"]) if row["Type"] == "TXT" else item["Value"]
                for item in row.get("ResourceRecords", [])
            ]
        return Live(f"{key['zoneId']}_{name.lower()}_{row['Type']}", outputs, outputs)

    def _row(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        row: dict[str, Any] = {"Name": inputs["name"], "Type": inputs["type"]}
        if inputs.get("aliases"):
            alias = inputs["aliases"][0]
            row["AliasTarget"] = {
                "DNSName": alias["name"],
                "HostedZoneId": alias["zoneId"],
                "EvaluateTargetHealth": bool(alias.get("evaluateTargetHealth")),
            }
        else:
            row["TTL"] = inputs["ttl"]
            row["ResourceRecords"] = [
                {"Value": quoted(str(value), str(inputs["type"]))} for value in inputs["records"]
            ]
        return row

    def _change(self, zone: Value, *changes: tuple[str, Mapping[str, Value]]) -> None:
        """Changes that take place together or not at all."""
        rows = [{"Action": action, "ResourceRecordSet": self._row(inputs)} for action, inputs in changes]
        with guarded("change_resource_record_sets"):
            self.client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": rows})

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        self._change(inputs["zoneId"], ("UPSERT", inputs))
        return self.appeared(call, inputs)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        changes = [("UPSERT", inputs)]
        if known.inputs.get("type") != inputs["type"]:
            old = self.find(known.inputs)
            changes = [*([("DELETE", old.outputs)] if old else []), *changes]
        self._change(inputs["zoneId"], *changes)
        return self.appeared(call, inputs)

    def remove(self, call: Call, known: Known) -> None:
        # A delete has to name the values as they are, not as we wrote them.
        live = self.find(known.inputs)
        if live is not None:
            self._change(known.inputs["zoneId"], ("DELETE", live.outputs))


def _plain(name: str) -> str:
    return name.rstrip(".").replace("\\052", "*")
