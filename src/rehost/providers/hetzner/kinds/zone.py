"""hcloud:index/zone:Zone and hcloud:index/zoneRrset:ZoneRrset"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.base import described
from rehost.providers.hetzner.api import Api
from rehost.providers.hetzner.kinds.common import CloudKind
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class Zone(CloudKind):
    """A zone that Hetzner is primary for."""

    plural, word = "zones", "zone"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        servers = record.get("authoritative_nameservers") or {}
        return {
            "name": record["name"],
            "mode": record["mode"],
            "ttl": record["ttl"],
            "registrar": record.get("registrar", ""),
            "authoritativeNameservers": {"assigneds": list(servers.get("assigned") or [])},
            "deleteProtection": record["protection"]["delete"],
        }

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {key: inputs[key] for key in ("mode", "ttl") if key in inputs}

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if "ttl" in inputs and known.inputs.get("ttl") != inputs["ttl"]:
            self.act(call, known.id, "change_ttl", {"ttl": inputs["ttl"]})


class ZoneRrset:
    """A record set; its natural key is zone, name and type. Zones are listed whole, not set by set."""

    def __init__(self, api: Api, rules: KindRules) -> None:
        self.api = api
        self.rules = rules

    def _zone(self, zone: str) -> dict[tuple[str, str], dict[str, Any]]:
        try:
            rows = self.api.all("rrsets", f"/zones/{zone}/rrsets")
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return {}
            raise
        return {(row["name"], row["type"]): row for row in rows}

    def _live(self, asked: Mapping[str, Value], row: Mapping[str, Any] | None) -> Live | None:
        if row is None:
            return None
        outputs: dict[str, Value] = {
            "zone": asked.get("zone", str(row["zone"])),
            "name": row["name"],
            "type": row["type"],
            "ttl": row["ttl"],
            "records": [{"value": record["value"]} for record in row["records"]],
            "labels": dict(row.get("labels") or {}),
        }
        return Live(f"{row['name']}/{row['type']}", described(self.rules, asked, outputs), outputs)

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        keys = [_key(item) for item in known]
        zones = {zone: self._zone(zone) for zone in sorted({zone for zone, _, _ in keys})}
        return [
            self._live(item.inputs, zones[zone].get((name, type_)))
            for item, (zone, name, type_) in zip(known, keys, strict=True)
        ]

    def _path(self, inputs: Mapping[str, Value]) -> str:
        return f"/zones/{inputs['zone']}/rrsets/{inputs['name']}/{inputs['type']}"

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        try:
            return self._live(inputs, self.api.call("GET", self._path(inputs))["rrset"])
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        body = {key: inputs[key] for key in ("name", "type", "ttl", "records", "labels") if key in inputs}
        self.api.done(call, self.api.call("POST", f"/zones/{inputs['zone']}/rrsets", body))
        return self._must(inputs)

    def _must(self, inputs: Mapping[str, Value]) -> Live:
        live = self.find(inputs)
        if live is None:
            raise ProviderError("the record set is gone", reason=Reason.NOT_FOUND)
        return live

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        path = self._path(inputs)
        if known.inputs.get("records") != inputs["records"]:
            body = {"records": inputs["records"]}
            self.api.done(call, self.api.call("POST", f"{path}/actions/set_records", body))
        if known.inputs.get("ttl") != inputs.get("ttl"):
            self.api.done(call, self.api.call("POST", f"{path}/actions/change_ttl", {"ttl": inputs.get("ttl")}))
        if known.inputs.get("labels") != inputs.get("labels"):
            self.api.call("PUT", path, {"labels": inputs.get("labels") or {}})
        return self._must(inputs)

    def delete(self, call: Call, known: Known) -> None:
        try:
            self.api.done(call, self.api.call("DELETE", self._path(known.inputs)))
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise


def _key(known: Known) -> tuple[str, str, str]:
    """Zone, name and type; an import id holds all three."""
    if known.inputs:
        return str(known.inputs["zone"]), str(known.inputs["name"]), str(known.inputs["type"])
    zone, name, type_ = known.id.rsplit("/", 2)
    return zone, name, type_
