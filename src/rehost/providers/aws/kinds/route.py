"""aws:ec2/route:Route"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import Clients, Item
from rehost.providers.aws.kinds.route_table import RouteTable
from rehost.providers.aws.kinds.tie import Tie
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live

_TARGETS = {"gatewayId": "GatewayId", "natGatewayId": "NatGatewayId", "networkInterfaceId": "NetworkInterfaceId"}
"""What a route may lead to."""


class Route(Tie):
    """A route; its natural key is table and destination. The id is made as the official provider makes it."""

    token = "aws:ec2/route:Route"

    def __init__(self, clients: Clients, rules: KindRules) -> None:
        super().__init__(clients, rules)
        self._tables = RouteTable(clients, rules)

    def keyed(self, id_: str) -> dict[str, Value]:
        table, destination = id_.rsplit("_", 1)
        return {"routeTableId": table, "destinationCidrBlock": destination}

    def look(self, wanted: Sequence[Mapping[str, Value]]) -> list[Live | None]:
        ids = sorted({str(inputs["routeTableId"]) for inputs in wanted})
        tables = {table["RouteTableId"]: table for table in self._tables.select(ids)}
        return [
            self._in(tables.get(inputs["routeTableId"]), str(inputs["destinationCidrBlock"])) for inputs in wanted
        ]

    def _in(self, table: Item | None, destination: str) -> Live | None:
        for route in table.get("Routes", []) if table else []:
            if route.get("DestinationCidrBlock") == destination:
                outputs: dict[str, Value] = {
                    "routeTableId": table and table["RouteTableId"],
                    "destinationCidrBlock": destination,
                    **{ours: route.get(theirs, "") for ours, theirs in _TARGETS.items()},
                    "instanceId": route.get("InstanceId", ""),
                    "instanceOwnerId": route.get("InstanceOwnerId", ""),
                    "origin": route.get("Origin", ""),
                    "state": route.get("State", ""),
                }
                id_ = f"r-{outputs['routeTableId']}{zlib.crc32(destination.encode())}"
                return Live(id_, outputs, outputs)
        return None

    def _request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {
            "RouteTableId": inputs["routeTableId"],
            "DestinationCidrBlock": inputs["destinationCidrBlock"],
            **{theirs: inputs[ours] for ours, theirs in _TARGETS.items() if inputs.get(ours)},
        }

    def _leads(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        return self.appeared(
            call, inputs, lambda live: all(live.outputs[name] == inputs.get(name, "") for name in _TARGETS)
        )

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_route"):
            self.client.create_route(**self._request(inputs))
        return self._leads(call, inputs)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        with guarded("replace_route"):
            self.client.replace_route(**self._request(inputs))
        return self._leads(call, inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_route(
            RouteTableId=known.inputs["routeTableId"], DestinationCidrBlock=known.inputs["destinationCidrBlock"]
        )
