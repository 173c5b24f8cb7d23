"""aws:elasticache/subnetGroup:SubnetGroup and aws:elasticache/replicationGroup:ReplicationGroup"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.arn_tagged import ArnTaggedKind
from rehost.providers.aws.kinds.common import Item, given, gone_is_fine, to_tags
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class SubnetGroup(ArnTaggedKind):
    """The subnets that a cache may be in; its id is its name, in small letters."""

    token = "aws:elasticache/subnetGroup:SubnetGroup"
    service = "elasticache"
    listing, items, id_field = "describe_cache_subnet_groups", "CacheSubnetGroups", "CacheSubnetGroupName"
    name_input = "name"

    def properties(self, item: Item) -> dict[str, Value]:
        return {
            "arn": item["ARN"],
            "description": item.get("CacheSubnetGroupDescription", ""),
            "name": item["CacheSubnetGroupName"],
            "subnetIds": sorted(row["SubnetIdentifier"] for row in item.get("Subnets", [])),
            "vpcId": item.get("VpcId", ""),
        }

    def _request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {
            "CacheSubnetGroupName": inputs["name"],
            "CacheSubnetGroupDescription": inputs.get("description", self.rules.defaults["description"]),
            "SubnetIds": list(inputs["subnetIds"]),
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_cache_subnet_group"):
            self.client.create_cache_subnet_group(**self._request(inputs), Tags=to_tags(inputs.get("tags")))
        return self.settled(call, str(inputs["name"]).lower(), inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "description", "subnetIds"):
            self.client.modify_cache_subnet_group(**self._request(inputs))

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_cache_subnet_group(CacheSubnetGroupName=known.id)


_SAME = {
    "autoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "automaticFailoverEnabled": "AutomaticFailoverEnabled",
    "engine": "Engine",
    "engineVersion": "EngineVersion",
    "maintenanceWindow": "PreferredMaintenanceWindow",
    "multiAzEnabled": "MultiAZEnabled",
    "nodeType": "CacheNodeType",
    "parameterGroupName": "CacheParameterGroupName",
    "securityGroupIds": "SecurityGroupIds",
    "snapshotRetentionLimit": "SnapshotRetentionLimit",
    "snapshotWindow": "SnapshotWindow",
}
"""Properties that a create takes and a change too."""
_BORN = {
    "atRestEncryptionEnabled": "AtRestEncryptionEnabled",
    "authToken": "AuthToken",
    "kmsKeyId": "KmsKeyId",
    "numCacheClusters": "NumCacheClusters",
    "port": "Port",
    "subnetGroupName": "CacheSubnetGroupName",
    "transitEncryptionEnabled": "TransitEncryptionEnabled",
}
"""Properties that a create takes."""


class ReplicationGroup(ArnTaggedKind):
    """A cache of one or more nodes. The authentication token goes in and never comes out, and is in no error."""

    token = "aws:elasticache/replicationGroup:ReplicationGroup"
    service = "elasticache"
    listing, items, id_field = "describe_replication_groups", "ReplicationGroups", "ReplicationGroupId"
    name_input = "replicationGroupId"

    def properties(self, item: Item) -> dict[str, Value]:
        groups, members = item.get("NodeGroups") or [], sorted(item.get("MemberClusters") or [])
        first: Item = groups[0] if groups else {}
        primary, reader = first.get("PrimaryEndpoint") or {}, first.get("ReaderEndpoint") or {}
        configuration = item.get("ConfigurationEndpoint") or {}
        found = {
            "arn": item["ARN"],
            "atRestEncryptionEnabled": item.get("AtRestEncryptionEnabled", False),
            "autoMinorVersionUpgrade": item.get("AutoMinorVersionUpgrade", True),
            "automaticFailoverEnabled": item.get("AutomaticFailover") in ("enabled", "enabling"),
            "clusterEnabled": item.get("ClusterEnabled", False),
            "configurationEndpointAddress": configuration.get("Address", ""),
            "description": item.get("Description", ""),
            "engine": item.get("Engine", "redis"),
            "kmsKeyId": item.get("KmsKeyId") or "",
            "memberClusters": members,
            "multiAzEnabled": item.get("MultiAZ") == "enabled",
            "nodeType": item.get("CacheNodeType", ""),
            "numCacheClusters": len(members),
            "numNodeGroups": len(groups),
            "port": (primary or configuration).get("Port", 0),
            "primaryEndpointAddress": primary.get("Address", ""),
            "readerEndpointAddress": reader.get("Address", ""),
            "replicasPerNodeGroup": max(0, len(first.get("NodeGroupMembers") or []) - 1),
            "replicationGroupId": self.id_of(item),
            "snapshotRetentionLimit": item.get("SnapshotRetentionLimit", 0),
            "snapshotWindow": item.get("SnapshotWindow", ""),
            "transitEncryptionEnabled": item.get("TransitEncryptionEnabled", False),
        }
        return {**found, **self._of_member(members[0] if members else "")}

    def _of_member(self, cluster: str) -> dict[str, Value]:
        """What only the nodes tell: version, network, parameters. They are all alike."""
        node: Item = {}
        if cluster:
            with gone_is_fine(), guarded("describe_cache_clusters"):
                node = self.client.describe_cache_clusters(CacheClusterId=cluster)["CacheClusters"][0]
        version = node.get("EngineVersion", "")
        told = {
            "engineVersion": version,
            "maintenanceWindow": node.get("PreferredMaintenanceWindow"),
            "parameterGroupName": (node.get("CacheParameterGroup") or {}).get("CacheParameterGroupName"),
            "securityGroupIds": sorted(row["SecurityGroupId"] for row in node.get("SecurityGroups") or []),
            "subnetGroupName": node.get("CacheSubnetGroupName"),
        }
        known = {key: value for key, value in told.items() if value not in (None, "", [])}
        return {**known, "engineVersionActual": version}

    def live(self, asked: Mapping[str, Value], item: Item) -> Live:
        live = super().live(asked, item)
        wanted, actual = asked.get("engineVersion"), live.outputs.get("engineVersionActual", "")
        # `7` asks for any 7; the version that Amazon chose is no difference.
        if wanted is not None and f"{actual}.".startswith(f"{wanted}."):
            return Live(live.id, {**live.inputs, "engineVersion": wanted}, live.outputs)
        return live

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        request = given(inputs, **{theirs: ours for ours, theirs in {**_SAME, **_BORN}.items()})
        with guarded("create_replication_group"):
            id_ = self.client.create_replication_group(
                ReplicationGroupId=inputs["replicationGroupId"],
                ReplicationGroupDescription=inputs["description"],
                Tags=to_tags(inputs.get("tags")),
                **request,
            )["ReplicationGroup"]["ReplicationGroupId"]
        call.made(id_)
        return self.settled(call, id_, inputs)

    def settled(self, call: Call, id_: str, inputs: Mapping[str, Value]) -> Live:
        def ready(item: Item) -> bool:
            if item.get("Status") == "create-failed":
                raise ProviderError(
                    f"the cache {id_} could not be made", reason=Reason.FAILED, code="create-failed"
                )
            return bool(item.get("Status") == "available")

        return self.live(inputs, self.until(call, id_, ready, "available"))

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        """More nodes come first and fewer last: whoever takes over from a failed one has to be there."""
        before, after = (int(side.get("numCacheClusters", 1)) for side in (known.inputs, inputs))
        if after > before:
            self._resize(call, known, inputs, self.client.increase_replica_count)
        names = {theirs: ours for ours, theirs in _SAME.items() if self.differs(known, inputs, ours)}
        request = given(inputs, **names)
        if self.differs(known, inputs, "description"):
            request["ReplicationGroupDescription"] = inputs["description"]
        self._modify(known, inputs, request)
        if self.differs(known, inputs, "authToken") and inputs.get("authToken"):
            # By itself, as the official provider changes it.
            if request:
                self.settled(call, known.id, inputs)
            strategy = str(inputs.get("authTokenUpdateStrategy", "ROTATE"))
            self._modify(known, inputs, {"AuthToken": inputs["authToken"], "AuthTokenUpdateStrategy": strategy})
        if after < before:
            self.settled(call, known.id, inputs)
            self._resize(call, known, inputs, self.client.decrease_replica_count)

    def _modify(self, known: Known, inputs: Mapping[str, Value], request: Mapping[str, Any]) -> None:
        if request:
            at_once = bool(inputs.get("applyImmediately", False))
            self.client.modify_replication_group(ReplicationGroupId=known.id, ApplyImmediately=at_once, **request)

    def _resize(self, call: Call, known: Known, inputs: Mapping[str, Value], resize: Any) -> None:
        resize(
            ReplicationGroupId=known.id, NewReplicaCount=int(inputs["numCacheClusters"]) - 1, ApplyImmediately=True
        )
        self.settled(call, known.id, inputs)

    def remove(self, call: Call, known: Known) -> None:
        snapshot = known.inputs.get("finalSnapshotIdentifier")
        item = self.one(known.id)
        if item is not None and item.get("Status") != "deleting":
            self.client.delete_replication_group(
                ReplicationGroupId=known.id, **({"FinalSnapshotIdentifier": snapshot} if snapshot else {})
            )
        self.until_gone(call, known.id)
