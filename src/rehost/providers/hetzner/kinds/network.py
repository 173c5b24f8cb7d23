"""hcloud:index/network:Network and hcloud:index/networkSubnet:NetworkSubnet"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.hetzner.api import Api
from rehost.providers.hetzner.kinds.common import CloudKind
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class Network(CloudKind):
    """A private network."""

    plural, word = "networks", "network"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        return {
            "name": record["name"],
            "ipRange": record["ip_range"],
            "exposeRoutesToVswitch": record.get("expose_routes_to_vswitch", False),
            "deleteProtection": record["protection"]["delete"],
        }

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {"ip_range": inputs["ipRange"]}


class NetworkSubnet:
    """A subnet; its natural key is network and range, which is also its official id."""

    def __init__(self, api: Api, rules: KindRules) -> None:
        self.api = api
        self.rules = rules

    @staticmethod
    def _keyed(known: Known) -> Mapping[str, Value]:
        """The natural key: of an import the id holds it."""
        network, _, ip_range = known.id.partition("-")
        return known.inputs or {"networkId": network, "ipRange": ip_range}

    def _in(self, network: Mapping[str, Any] | None, inputs: Mapping[str, Value]) -> Live | None:
        for subnet in (network or {}).get("subnets", []):
            if subnet["ip_range"] == inputs["ipRange"]:
                values: dict[str, Value] = {
                    "networkId": inputs["networkId"],
                    "type": subnet["type"],
                    "ipRange": subnet["ip_range"],
                    "networkZone": subnet["network_zone"],
                }
                outputs = {**values, "gateway": subnet["gateway"]}
                return Live(f"{inputs['networkId']}-{subnet['ip_range']}", values, outputs)
        return None

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        networks = {str(network["id"]): network for network in self.api.all("networks")}
        wanted = [self._keyed(item) for item in known]
        return [self._in(networks.get(str(inputs["networkId"])), inputs) for inputs in wanted]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        try:
            network = self.api.call("GET", f"/networks/{inputs['networkId']}")["network"]
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise
        return self._in(network, inputs)

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        existing = self.find(inputs)
        if existing is not None:
            return existing
        body = {"type": inputs["type"], "ip_range": inputs["ipRange"], "network_zone": inputs["networkZone"]}
        path = f"/networks/{inputs['networkId']}/actions/add_subnet"
        self.api.done(call, self.api.call("POST", path, body))
        live = self.find(inputs)
        assert live is not None
        return live

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self.create(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        path = f"/networks/{known.inputs['networkId']}/actions/delete_subnet"
        try:
            self.api.done(call, self.api.call("POST", path, {"ip_range": known.inputs["ipRange"]}))
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
