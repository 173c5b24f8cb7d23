"""hcloud:index/firewall:Firewall and hcloud:index/firewallAttachment:FirewallAttachment"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.hetzner.api import Api
from rehost.providers.hetzner.kinds.common import CloudKind
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live

_FIELDS = {
    "direction": "direction",
    "protocol": "protocol",
    "port": "port",
    "sourceIps": "source_ips",
    "destinationIps": "destination_ips",
    "description": "description",
}


class Firewall(CloudKind):
    """A firewall with its rules inside."""

    plural, word = "firewalls", "firewall"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        rules = []
        for row in record["rules"]:
            rule = {ours: row.get(theirs) for ours, theirs in _FIELDS.items()}
            rules.append({key: value for key, value in rule.items() if value not in (None, [], "")})
        return {"name": record["name"], "rules": rules}

    def _rules(self, inputs: Mapping[str, Value]) -> list[dict[str, Any]]:
        return [
            {theirs: rule[ours] for ours, theirs in _FIELDS.items() if ours in rule}
            for rule in inputs.get("rules") or []
        ]

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {"rules": self._rules(inputs)}

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if known.inputs.get("rules") != inputs.get("rules"):
            self.act(call, known.id, "set_rules", {"rules": self._rules(inputs)})


class FirewallAttachment:
    """Which servers stand behind a firewall whose rules name servers; the id is the firewall's."""

    def __init__(self, api: Api, rules: KindRules) -> None:
        self.api = api
        self.rules = rules

    def _live(self, firewall: Mapping[str, Any] | None, inputs: Mapping[str, Value]) -> Live | None:
        applied = (firewall or {}).get("applied_to", [])
        ids = sorted(row["server"]["id"] for row in applied if row["type"] == "server")
        if not ids:
            return None
        asked = sorted(int(id_) for id_ in inputs.get("serverIds") or [])
        same = ids == asked
        values: dict[str, Value] = {
            "firewallId": str((firewall or {})["id"]),
            "serverIds": inputs["serverIds"] if same else [str(id_) for id_ in ids],
        }
        return Live(str(values["firewallId"]), values, dict(values))

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        firewalls = {str(firewall["id"]): firewall for firewall in self.api.all("firewalls")}
        # The id is the firewall's, also where an attachment is imported by it.
        return [self._live(firewalls.get(item.id), item.inputs) for item in known]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        try:
            answer = self.api.call("GET", f"/firewalls/{inputs['firewallId']}")
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise
        return self._live(answer["firewall"], inputs)

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        live = self.find(inputs)
        present = {int(id_) for id_ in live.inputs["serverIds"]} if live else set()
        wanted = {int(id_) for id_ in inputs["serverIds"]}
        path = f"/firewalls/{inputs['firewallId']}/actions"
        for command, key, ids in (
            ("apply_to_resources", "apply_to", wanted - present),
            ("remove_from_resources", "remove_from", present - wanted),
        ):
            if ids:
                rows = [{"type": "server", "server": {"id": id_}} for id_ in sorted(ids)]
                self.api.done(call, self.api.call("POST", f"{path}/{command}", {key: rows}))
        live = self.find(inputs)
        assert live is not None
        return live

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self.create(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        live = self.find(known.inputs)
        if live is None:
            return
        rows = [{"type": "server", "server": {"id": int(id_)}} for id_ in live.inputs["serverIds"]]
        path = f"/firewalls/{known.inputs['firewallId']}/actions/remove_from_resources"
        try:
            self.api.done(call, self.api.call("POST", path, {"remove_from": rows}))
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
