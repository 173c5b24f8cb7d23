"""aws:rds/subnetGroup:SubnetGroup and aws:rds/parameterGroup:ParameterGroup"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.arn_tagged import ArnTaggedKind
from rehost.providers.aws.kinds.common import Item, to_tags
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live

PARAMETER_BATCH = 20
"""Parameters that one call changes (API reference)."""


class SubnetGroup(ArnTaggedKind):
    """The subnets that a database may be in; its id is its name."""

    token = "aws:rds/subnetGroup:SubnetGroup"
    service = "rds"
    listing, items, id_field = "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName"
    name_input, arn_field = "name", "DBSubnetGroupArn"

    def properties(self, item: Item) -> dict[str, Value]:
        return {
            "arn": item["DBSubnetGroupArn"],
            "description": item.get("DBSubnetGroupDescription", ""),
            "name": item["DBSubnetGroupName"],
            "subnetIds": sorted(row["SubnetIdentifier"] for row in item.get("Subnets", [])),
            "supportedNetworkTypes": list(item.get("SupportedNetworkTypes") or ["IPV4"]),
            "vpcId": item.get("VpcId", ""),
        }

    def _request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {
            "DBSubnetGroupName": inputs["name"],
            "DBSubnetGroupDescription": inputs.get("description", self.rules.defaults["description"]),
            "SubnetIds": list(inputs["subnetIds"]),
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_db_subnet_group"):
            self.client.create_db_subnet_group(**self._request(inputs), Tags=to_tags(inputs.get("tags")))
        return self.settled(call, str(inputs["name"]), inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "description", "subnetIds"):
            self.client.modify_db_subnet_group(**self._request(inputs))

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_db_subnet_group(DBSubnetGroupName=known.id)


class ParameterGroup(ArnTaggedKind):
    """Settings of a database; its id is its name. Some take effect with a restart only (`pending-reboot`)."""

    token = "aws:rds/parameterGroup:ParameterGroup"
    service = "rds"
    listing, items, id_field = "describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupName"
    name_input, arn_field = "name", "DBParameterGroupArn"

    def properties(self, item: Item) -> dict[str, Value]:
        name = item["DBParameterGroupName"]
        with guarded("describe_db_parameters"):
            pages = self.client.get_paginator("describe_db_parameters").paginate(
                DBParameterGroupName=name, Source="user"
            )
            rows = [row for page in pages for row in page["Parameters"]]
        return {
            "arn": item["DBParameterGroupArn"],
            "description": item.get("Description", ""),
            "family": item["DBParameterGroupFamily"],
            "name": name,
            "parameters": [
                {
                    "name": row["ParameterName"],
                    "value": row["ParameterValue"],
                    "applyMethod": row.get("ApplyMethod") or "immediate",
                }
                for row in rows
                if row.get("ParameterValue") is not None
            ],
        }

    def live(self, asked: Mapping[str, Value], item: Item) -> Live:
        live = super().live(_complete(asked), item)
        if "parameters" not in asked:
            return live
        # An asked-for list without apply methods is the same as one with the default.
        same = _by_name(live.inputs["parameters"]) == _by_name(_complete(asked)["parameters"])
        return Live(
            live.id, {**live.inputs, "parameters": asked["parameters"]} if same else live.inputs, live.outputs
        )

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        name = str(inputs["name"])
        with guarded("create_db_parameter_group"):
            self.client.create_db_parameter_group(
                DBParameterGroupName=name,
                DBParameterGroupFamily=inputs["family"],
                Description=inputs.get("description", self.rules.defaults["description"]),
                Tags=to_tags(inputs.get("tags")),
            )
            call.made(name)
            self.settled(call, name, {})
            self._set(name, {}, inputs)
        return self.settled(call, name, inputs)

    def _set(self, name: str, old: Mapping[str, Value], inputs: Mapping[str, Value]) -> None:
        before, after = _by_name(old.get("parameters") or []), _by_name(inputs.get("parameters") or [])
        rows = [_parameter(row) for key, row in after.items() if before.get(key) != row]
        for start in range(0, len(rows), PARAMETER_BATCH):
            self.client.modify_db_parameter_group(
                DBParameterGroupName=name, Parameters=rows[start : start + PARAMETER_BATCH]
            )
        gone = [
            {"ParameterName": key, "ApplyMethod": row.get("applyMethod", "immediate")}
            for key, row in before.items()
            if key not in after
        ]
        for start in range(0, len(gone), PARAMETER_BATCH):
            self.client.reset_db_parameter_group(
                DBParameterGroupName=name, Parameters=gone[start : start + PARAMETER_BATCH]
            )

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "parameters"):
            self._set(known.id, known.inputs, inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_db_parameter_group(DBParameterGroupName=known.id)


def _by_name(parameters: Sequence[Mapping[str, Value]]) -> dict[str, Mapping[str, Value]]:
    return {str(row["name"]): row for row in parameters}


def _complete(inputs: Mapping[str, Value]) -> Mapping[str, Value]:
    if "parameters" not in inputs:
        return inputs
    return {**inputs, "parameters": [{"applyMethod": "immediate", **row} for row in inputs["parameters"]]}


def _parameter(row: Mapping[str, Value]) -> dict[str, str]:
    return {
        "ParameterName": str(row["name"]),
        "ParameterValue": str(row["value"]),
        "ApplyMethod": str(row.get("applyMethod", "immediate")),
    }
