"""hcloud:index/network:Network, networkSubnet:NetworkSubnet and networkRoute:NetworkRoute"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from rehost.providers.hetzner.kinds.common import CloudKind, Part
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


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


class _InNetwork(Part):
    """Something inside a network."""

    plural, word, parent = "networks", "network", "networkId"

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        del call, known
        return self.must(inputs)


class NetworkSubnet(_InNetwork):
    """A subnet; its natural key is network and range, which is also its official id."""

    def seen(self, inputs: Mapping[str, Value], record: Mapping[str, Any]) -> Live | None:
        for subnet in record["subnets"]:
            if subnet["ip_range"] == inputs["ipRange"]:
                outputs: dict[str, Value] = {
                    "networkId": inputs["networkId"],
                    "type": subnet["type"],
                    "ipRange": subnet["ip_range"],
                    "networkZone": subnet["network_zone"],
                    "gateway": subnet["gateway"],
                }
                return self.live(f"{inputs['networkId']}-{subnet['ip_range']}", inputs, outputs)
        return None

    def named(self, id_: str) -> Mapping[str, Value]:
        network, _, ip_range = id_.partition("-")
        return {"networkId": network, "ipRange": ip_range}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        if self.find(inputs) is None:
            body = {"type": inputs["type"], "ip_range": inputs["ipRange"], "network_zone": inputs["networkZone"]}
            self.act(call, inputs, "add_subnet", body)
        return self.must(inputs)

    def delete(self, call: Call, known: Known) -> None:
        # What moves into another subnet in the same run is taken out here where that one needs the addresses.
        self._empty(call, known)
        try:
            self.undo(call, known, "delete_subnet", {"ip_range": known.inputs["ipRange"]})
        except ProviderError as error:
            error.fix = error.fix or "take what is not of this stack out of it, or keep it"
            raise

    def _empty(self, call: Call, known: Known) -> None:
        """Take out servers and load balancers of the network's own stack. Others, and load balancers that would
        be open to everybody without a network, stay."""
        network = str(known.inputs["networkId"])
        try:
            record = self.api.call("GET", f"/networks/{network}")["network"]
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return
            raise
        stack, inside = (record.get("labels") or {}).get("rehost-stack"), ip_network(str(known.inputs["ipRange"]))
        for plural in ("servers", "load_balancers") if stack else ():
            rows = self.api.all(plural, label_selector=f"rehost-stack={stack}")
            for row in rows:
                for net in row["private_net"]:
                    mine = str(net["network"]) == network and ip_address(net["ip"]) in inside
                    if mine and row["public_net"].get("enabled", True):
                        path = f"/{plural}/{row['id']}/actions/detach_from_network"
                        self.api.done(call, self.api.call("POST", path, {"network": int(network)}))


class NetworkRoute(_InNetwork):
    """Where a network sends what is not its own; the natural key is network and destination."""

    def seen(self, inputs: Mapping[str, Value], record: Mapping[str, Any]) -> Live | None:
        for route in record["routes"]:
            if route["destination"] == inputs["destination"]:
                outputs: dict[str, Value] = {"networkId": inputs["networkId"], **route}
                return self.live(f"{inputs['networkId']}-{route['destination']}", inputs, outputs)
        return None

    def named(self, id_: str) -> Mapping[str, Value]:
        network, _, destination = id_.partition("-")
        return {"networkId": network, "destination": destination}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        live = self.find(inputs)
        if live is None or live.outputs["gateway"] != inputs["gateway"]:
            body = {"destination": inputs["destination"], "gateway": inputs["gateway"]}
            self.act(call, inputs, "add_route", body)
        return self.must(inputs)

    def delete(self, call: Call, known: Known) -> None:
        body = {"destination": known.inputs["destination"], "gateway": known.inputs["gateway"]}
        self.undo(call, known, "delete_route", body)
