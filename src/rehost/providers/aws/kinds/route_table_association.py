"""aws:ec2/routeTableAssociation:RouteTableAssociation"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rehost.providers.aws.kinds.common import Clients
from rehost.providers.aws.kinds.route_table import RouteTable
from rehost.providers.aws.kinds.tie import Tie
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class RouteTableAssociation(Tie):
    """Which table a subnet uses; a subnet has one at most. Its id is another one after a change."""

    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"

    def __init__(self, clients: Clients, rules: KindRules) -> None:
        super().__init__(clients, rules)
        self._tables = RouteTable(clients, rules)

    def keyed(self, id_: str) -> dict[str, Value]:
        subnet, table = id_.split("/", 1)
        return {"subnetId": subnet, "routeTableId": table}

    def look(self, wanted: Sequence[Mapping[str, Value]]) -> list[Live | None]:
        found: dict[str, Live] = {}
        subnets = sorted({str(inputs["subnetId"]) for inputs in wanted})
        for table in self._tables.query("association.subnet-id", subnets):
            for row in table.get("Associations", []):
                values: dict[str, Value] = {
                    "subnetId": row.get("SubnetId", ""),
                    "routeTableId": table["RouteTableId"],
                    "gatewayId": row.get("GatewayId", ""),
                }
                found[values["subnetId"]] = Live(row["RouteTableAssociationId"], values, values)
        return [found.get(str(inputs["subnetId"])) for inputs in wanted]

    def _joined(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        return self.appeared(call, inputs, lambda live: live.outputs["routeTableId"] == inputs["routeTableId"])

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("associate_route_table"):
            self.client.associate_route_table(RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"])
        return self._joined(call, inputs)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        with guarded("replace_route_table_association"):
            self.client.replace_route_table_association(
                AssociationId=known.id, RouteTableId=inputs["routeTableId"]
            )
        return self._joined(call, inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.disassociate_route_table(AssociationId=known.id)
