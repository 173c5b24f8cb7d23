"""aws:rds/instance:Instance"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.arn_tagged import ArnTaggedKind
from rehost.providers.aws.kinds.common import Item, given, to_tags, told
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live

_SAME = {
    "allocatedStorage": "AllocatedStorage",
    "autoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "backupRetentionPeriod": "BackupRetentionPeriod",
    "backupWindow": "PreferredBackupWindow",
    "caCertIdentifier": "CACertificateIdentifier",
    "copyTagsToSnapshot": "CopyTagsToSnapshot",
    "deletionProtection": "DeletionProtection",
    "engineVersion": "EngineVersion",
    "iamDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
    "instanceClass": "DBInstanceClass",
    "iops": "Iops",
    "maintenanceWindow": "PreferredMaintenanceWindow",
    "maxAllocatedStorage": "MaxAllocatedStorage",
    "multiAz": "MultiAZ",
    "parameterGroupName": "DBParameterGroupName",
    "password": "MasterUserPassword",
    "performanceInsightsEnabled": "EnablePerformanceInsights",
    "publiclyAccessible": "PubliclyAccessible",
    "storageThroughput": "StorageThroughput",
    "storageType": "StorageType",
    "vpcSecurityGroupIds": "VpcSecurityGroupIds",
}
"""Properties that a create takes and a change too."""
_BORN = {
    "availabilityZone": "AvailabilityZone",
    "dbName": "DBName",
    "dbSubnetGroupName": "DBSubnetGroupName",
    "engine": "Engine",
    "kmsKeyId": "KmsKeyId",
    "port": "Port",
    "storageEncrypted": "StorageEncrypted",
    "username": "MasterUsername",
}
"""Properties that a create takes."""
_READY = ("available", "storage-optimization", "storage-config-upgrade")


class Instance(ArnTaggedKind):
    """A database server. Its id is what Amazon calls its resource id; all calls go by its name.

    Without `applyImmediately` a change waits for the maintenance window and counts as made. A delete takes a last
    snapshot unless `skipFinalSnapshot` says otherwise. The password goes in, never comes out, and is in no error.
    """

    token = "aws:rds/instance:Instance"
    service = "rds"
    listing, items, id_field = "describe_db_instances", "DBInstances", "DbiResourceId"
    name_input, name_field, arn_field = "identifier", "DBInstanceIdentifier", "DBInstanceArn"

    def tagged(self, items: Sequence[Item]) -> list[Item]:
        return list(items)

    def select(self, ids: Sequence[str]) -> list[Item]:
        # An import names the database by its identifier.
        return [item for item in self.all() if self.id_of(item) in ids or item["DBInstanceIdentifier"] in ids]

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        found: dict[str, Item] = {}
        for item in self.select([item.id for item in known]):
            found[self.id_of(item)] = found[item["DBInstanceIdentifier"]] = item
        return [self.live(k.inputs, found[k.id]) if k.id in found else None for k in known]

    def properties(self, item: Item) -> dict[str, Value]:
        endpoint, group = item.get("Endpoint") or {}, item.get("DBSubnetGroup") or {}
        named = {**_SAME, **_BORN}
        groups = item.get("DBParameterGroups") or []
        special = ("password", "vpcSecurityGroupIds", "parameterGroupName", "engineVersion", "dbSubnetGroupName")
        address, port = endpoint.get("Address", ""), endpoint.get("Port", item.get("DbInstancePort", 0))
        latest = item.get("LatestRestorableTime")
        return {
            **{ours: item[theirs] for ours, theirs in named.items() if theirs in item and ours not in special},
            "address": address,
            "arn": item["DBInstanceArn"],
            "dbName": item.get("DBName", ""),
            "dbSubnetGroupName": group.get("DBSubnetGroupName", ""),
            "endpoint": f"{address}:{port}" if address else "",
            "engineVersion": item.get("EngineVersion", ""),
            "engineVersionActual": item.get("EngineVersion", ""),
            "hostedZoneId": endpoint.get("HostedZoneId", ""),
            "iamDatabaseAuthenticationEnabled": item.get("IAMDatabaseAuthenticationEnabled", False),
            "identifier": item["DBInstanceIdentifier"],
            "latestRestorableTime": latest.strftime("%Y-%m-%dT%H:%M:%SZ") if latest else "",
            "listenerEndpoints": [],
            "masterUserSecrets": [],
            "parameterGroupName": groups[0]["DBParameterGroupName"] if groups else "",
            "performanceInsightsEnabled": item.get("PerformanceInsightsEnabled", False),
            "port": port,
            "replicas": list(item.get("ReadReplicaDBInstanceIdentifiers") or []),
            "resourceId": self.id_of(item),
            "status": item.get("DBInstanceStatus", ""),
            "vpcSecurityGroupIds": sorted(
                row["VpcSecurityGroupId"] for row in item.get("VpcSecurityGroups") or []
            ),
        }

    def live(self, asked: Mapping[str, Value], item: Item) -> Live:
        if not asked.get("applyImmediately"):
            item = {**item, **(item.get("PendingModifiedValues") or {})}
        live = super().live(asked, item)
        wanted, actual = asked.get("engineVersion"), live.outputs["engineVersionActual"]
        # `16` asks for any 16; the patch that Amazon chose is no difference.
        if wanted is not None and f"{actual}.".startswith(f"{wanted}."):
            return Live(
                live.id,
                {**live.inputs, "engineVersion": wanted},
                {**live.outputs, "engineVersion": wanted},
            )
        return live

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        inputs.pop("availabilityZone", None)
        return {**told(inputs, "iops", "storageThroughput", "maxAllocatedStorage"), "skipFinalSnapshot": True}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        request = given(inputs, **{theirs: ours for ours, theirs in {**_SAME, **_BORN}.items()})
        with guarded("create_db_instance"):
            id_ = self.client.create_db_instance(
                DBInstanceIdentifier=inputs["identifier"], Tags=to_tags(inputs.get("tags")), **request
            )["DBInstance"]["DbiResourceId"]
        call.made(id_)
        return self._available(call, id_, inputs)

    def _available(self, call: Call, id_: str, inputs: Mapping[str, Value]) -> Live:
        def ready(item: Item) -> bool:
            status = item["DBInstanceStatus"]
            if status in ("failed", "incompatible-parameters", "incompatible-network", "storage-full"):
                raise ProviderError(
                    f"the database {item['DBInstanceIdentifier']} is in the state {status}",
                    reason=Reason.FAILED,
                    code=status,
                )
            # A change is under way until nothing is pending that was to be made at once.
            waits = inputs.get("applyImmediately", False) and item.get("PendingModifiedValues")
            return status in _READY and not waits

        return self.live(inputs, self.until(call, id_, ready, "available"))

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        request = {
            argument: value
            for argument, value in given(inputs, **{theirs: ours for ours, theirs in _SAME.items()}).items()
            if self.differs(known, inputs, next(ours for ours, theirs in _SAME.items() if theirs == argument))
        }
        if self.differs(known, inputs, "port"):
            request["DBPortNumber"] = inputs["port"]
        if self.differs(known, inputs, "identifier"):
            request["NewDBInstanceIdentifier"] = inputs["identifier"]
        if request:
            item = self.one(known.id)
            if item is None:
                raise ProviderError(f"the database {known.id} is gone", reason=Reason.NOT_FOUND)
            if request.keys() & {"Iops", "StorageType", "StorageThroughput"}:
                # RDS takes these together with the size only.
                request |= given(inputs, AllocatedStorage="allocatedStorage")
            if inputs.get("allowMajorVersionUpgrade"):
                request["AllowMajorVersionUpgrade"] = True
            self.client.modify_db_instance(
                DBInstanceIdentifier=item["DBInstanceIdentifier"],
                ApplyImmediately=bool(inputs.get("applyImmediately", False)),
                **request,
            )

    def settled(self, call: Call, id_: str, inputs: Mapping[str, Value]) -> Live:
        return self._available(call, id_, inputs)

    def remove(self, call: Call, known: Known) -> None:
        item = self.one(known.id)
        if item is None:
            return
        how: dict[str, Any] = {"SkipFinalSnapshot": bool(known.inputs.get("skipFinalSnapshot", False))}
        if not how["SkipFinalSnapshot"]:
            # Snapshots stay: the name of an earlier one's must not come up again.
            own = f"{item['DBInstanceIdentifier']}-final-{self.id_of(item)[-8:].lower()}"
            how["FinalDBSnapshotIdentifier"] = known.inputs.get("finalSnapshotIdentifier") or own
        if item["DBInstanceStatus"] != "deleting":
            self.client.delete_db_instance(
                DBInstanceIdentifier=item["DBInstanceIdentifier"],
                DeleteAutomatedBackups=bool(known.inputs.get("deleteAutomatedBackups", True)),
                **how,
            )
        self.until_gone(call, known.id)
