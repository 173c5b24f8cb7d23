"""aws:ec2/routeTableAssociation:RouteTableAssociation"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import BATCH
from rehost.providers.aws.kinds.route_table import RouteTable
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class RouteTableAssociation(RouteTable):
    """Which table a subnet uses; a subnet has one at most."""

    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"

    def _of(self, subnets: list[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(subnets), BATCH):
            chunk = subnets[start : start + BATCH]
            for table in self.query([{"Name": "association.subnet-id", "Values": chunk}]):
                for association in table.get("Associations", []):
                    if association.get("SubnetId"):
                        found[association["SubnetId"]] = {**association, "RouteTableId": table["RouteTableId"]}
        return found

    def _made(self, association: Mapping[str, Any] | None) -> Live | None:
        if association is None:
            return None
        values: dict[str, Value] = {
            "subnetId": association["SubnetId"],
            "routeTableId": association["RouteTableId"],
        }
        return Live(association["RouteTableAssociationId"], values, dict(values))

    def read(self, known: Any) -> list[Live | None]:
        found = self._of(sorted({str(k.inputs["subnetId"]) for k in known}))
        return [self._made(found.get(str(k.inputs["subnetId"]))) for k in known]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        return self._made(self._of([str(inputs["subnetId"])]).get(str(inputs["subnetId"])))

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("associate_route_table"):
            made = self.client.associate_route_table(
                RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
            )
        return Live(made["AssociationId"], dict(inputs), dict(inputs))

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        with guarded("replace_route_table_association"):
            made = self.client.replace_route_table_association(
                AssociationId=known.id, RouteTableId=inputs["routeTableId"]
            )
        return Live(made["NewAssociationId"], dict(inputs), dict(inputs))

    def remove(self, call: Call, known: Known) -> None:
        self.client.disassociate_route_table(AssociationId=known.id)
