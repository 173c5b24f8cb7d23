"""aws:ec2/route:Route"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.route_table import RouteTable
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Route(RouteTable):
    """A route; its natural key is table and destination. The id is made as the official provider makes it."""

    token = "aws:ec2/route:Route"

    def read(self, known: Any) -> list[Live | None]:
        tables = {str(k.inputs["routeTableId"]) for k in known}
        found = {t["RouteTableId"]: t for t in self.query([{"Name": self.id_filter, "Values": sorted(tables)}])}
        return [self._in(found.get(str(k.inputs["routeTableId"])), k.inputs) for k in known]

    def _in(self, table: Mapping[str, Any] | None, inputs: Mapping[str, Value]) -> Live | None:
        destination = inputs["destinationCidrBlock"]
        for route in table.get("Routes", []) if table else []:
            if route.get("DestinationCidrBlock") == destination:
                outputs: dict[str, Value] = {
                    "routeTableId": inputs["routeTableId"],
                    "destinationCidrBlock": destination,
                    "gatewayId": route.get("GatewayId", ""),
                    "origin": route.get("Origin", ""),
                    "state": route.get("State", ""),
                }
                id_ = f"r-{inputs['routeTableId']}{zlib.crc32(str(destination).encode())}"
                return Live(id_, {key: outputs[key] for key in inputs if key in outputs}, outputs)
        return None

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        table = self.one(str(inputs["routeTableId"]))
        return self._in(table, inputs)

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_route"):
            self.client.create_route(
                RouteTableId=inputs["routeTableId"],
                DestinationCidrBlock=inputs["destinationCidrBlock"],
                GatewayId=inputs["gatewayId"],
            )
        return self._awaited(call, inputs)

    def _awaited(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        seen: list[Live] = []

        def there() -> bool:
            live = self.find(inputs)
            if live is not None and live.inputs.get("gatewayId") == inputs["gatewayId"]:
                seen.append(live)
            return bool(seen)

        call.poll(there, "the route")
        return seen[-1]

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        with guarded("replace_route"):
            self.client.replace_route(
                RouteTableId=inputs["routeTableId"],
                DestinationCidrBlock=inputs["destinationCidrBlock"],
                GatewayId=inputs["gatewayId"],
            )
        return self._awaited(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        try:
            with guarded("delete_route"):
                self.client.delete_route(
                    RouteTableId=known.inputs["routeTableId"],
                    DestinationCidrBlock=known.inputs["destinationCidrBlock"],
                )
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
