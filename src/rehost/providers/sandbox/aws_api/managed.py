"""What moto's RDS and ElastiCache lack: changes of databases, nodes of caches, resets of parameters."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

Put = Callable[[type, str, Callable[..., Any]], None]
"""Sets a function of a class of moto's."""


def databases(put: Put) -> None:
    """Complete RDS."""
    from moto.core.responses import ActionResult
    from moto.rds import models
    from moto.rds.responses import RDSResponse

    change_group = models.RDSBackend.modify_db_subnet_group

    def keep_group(self: Any, subnet_name: str, *args: Any, **kwargs: Any) -> Any:
        # moto forgets a subnet group that was changed.
        group = change_group(self, subnet_name, *args, **kwargs)
        self.subnet_groups[subnet_name] = group
        return group

    make = models.DBInstance.__init__

    def with_own_id(self: Any, *args: Any, **kwargs: Any) -> None:
        # moto gives the same resource id to every database.
        make(self, *args, **kwargs)
        self.dbi_resource_id = f"db-{uuid.uuid4().hex[:26].upper()}"

    def reset(self: Any) -> ActionResult:
        name = self.params.get("DBParameterGroupName")
        group = self.backend.db_parameter_groups[name]
        if self.params.get("ResetAllParameters"):
            group.parameters.clear()
        for parameter in self.params.get("Parameters", []):
            group.parameters.pop(parameter.original_dict()["ParameterName"], None)
        return ActionResult({"DBParameterGroupName": name})

    modify = models.RDSBackend.modify_db_instance

    def changed(self: Any, db_instance_identifier: str, db_kwargs: Any) -> Any:
        given = dict(db_kwargs)
        # moto has no groups of Amazon's own until a database is looked at that has one.
        default = str(given.get("db_parameter_group_name") or "").startswith("default.")
        if default:
            db_kwargs.pop("db_parameter_group_name")
        database: Any = modify(self, db_instance_identifier, db_kwargs)
        if default:
            database.db_parameter_group_name = None
        if given.get("db_port_number"):
            database.port = int(given["db_port_number"])
        if given.get("enable_performance_insights") is not None:
            database.performance_insights_enabled = bool(given["enable_performance_insights"])
        return database

    def default_group(self: Any) -> tuple[str, str]:
        parts = str(self.engine_version).split(".")
        family = f"{self.engine.lower()}{'.'.join(parts[: 1 if self.engine == 'postgres' else 2])}"
        return family, f"default.{family}"

    put(models.DBInstance, "default_db_parameter_group_details", default_group)
    put(models.RDSBackend, "modify_db_instance", changed)
    put(models.RDSBackend, "modify_db_subnet_group", keep_group)
    put(models.DBInstance, "__init__", with_own_id)
    put(RDSResponse, "reset_db_parameter_group", reset)


def caches(put: Put) -> None:
    """Complete ElastiCache."""
    from moto.core.responses import ActionResult
    from moto.elasticache.exceptions import CacheSubnetGroupNotFound
    from moto.elasticache.models import CacheSubnetGroup, ElastiCacheBackend, ReplicationGroup
    from moto.elasticache.responses import ElastiCacheResponse

    def group(self: Any) -> CacheSubnetGroup:
        name = self._get_param("CacheSubnetGroupName")
        found: CacheSubnetGroup | None = self.elasticache_backend.cache_subnet_groups.get(name)
        if found is None:
            raise CacheSubnetGroupNotFound(name)
        return found

    def modify(self: Any) -> ActionResult:
        old, backend = group(self), self.elasticache_backend
        new = CacheSubnetGroup(
            backend.account_id,
            backend.region_name,
            old.cache_subnet_group_name,
            self._get_param("CacheSubnetGroupDescription") or old.cache_subnet_group_description,
            self._get_param("SubnetIds") or old.subnet_ids,
            old.tags,
        )
        backend.cache_subnet_groups[new.cache_subnet_group_name] = new
        return ActionResult({"CacheSubnetGroup": new})

    def delete(self: Any) -> ActionResult:
        del self.elasticache_backend.cache_subnet_groups[group(self).cache_subnet_group_name]
        return ActionResult({})

    make, remove = ReplicationGroup.__init__, ElastiCacheBackend.delete_replication_group

    def with_nodes(self: Any, *args: Any, **kwargs: Any) -> None:
        # moto counts replicas of node groups only.
        if kwargs.get("num_cache_clusters") and not kwargs.get("replicas_per_node_group"):
            kwargs["replicas_per_node_group"] = kwargs["num_cache_clusters"] - 1
        make(self, *args, **kwargs)

    def until_gone(self: Any, replication_group_id: str, *args: Any, **kwargs: Any) -> Any:
        # moto leaves it in the state `deleting` for ever.
        found = remove(self, replication_group_id, *args, **kwargs)
        del self.replication_groups[replication_group_id]
        return found

    def resize(self: Any) -> ActionResult:
        name, count = self._get_param("ReplicationGroupId"), self._get_int_param("NewReplicaCount")
        found = self.elasticache_backend.describe_replication_groups(replication_group_id=name)[0]
        for nodes in found.node_groups:
            members = nodes["node_group_members"]
            while len(members) <= count:
                id_ = f"{name}-{len(members) + 1:03}"
                members.append({**members[0], "cache_cluster_id": id_, "current_role": "replica"})
            del members[count + 1 :]
        found.member_clusters = [
            row["cache_cluster_id"] for nodes in found.node_groups for row in nodes["node_group_members"]
        ]
        return ActionResult({"ReplicationGroup": found})

    change = ElastiCacheResponse.modify_replication_group
    clusters = ElastiCacheBackend.describe_cache_clusters

    def modify_group(self: Any) -> Any:
        # moto changes what it shows of the group itself.
        answer: Any = change(self)
        found = answer.result["ReplicationGroup"]
        for name, attribute in _OF_NODES.items():
            value = self._get_param(name)
            if value is not None:
                setattr(found, attribute, value)
        upgrade = self._get_bool_param("AutoMinorVersionUpgrade")
        if upgrade is not None:
            found.auto_minor_version_upgrade = upgrade
        return answer

    def nodes(self: Any, cache_cluster_id: str | None = None) -> Any:
        for found in self.replication_groups.values():
            if cache_cluster_id in found.member_clusters:
                return [_node(found, str(cache_cluster_id))]
        return clusters(self, cache_cluster_id)

    put(ElastiCacheResponse, "modify_replication_group", modify_group)
    put(ElastiCacheBackend, "describe_cache_clusters", nodes)
    put(ReplicationGroup, "__init__", with_nodes)
    put(ElastiCacheBackend, "delete_replication_group", until_gone)
    put(ElastiCacheResponse, "modify_cache_subnet_group", modify)
    put(ElastiCacheResponse, "delete_cache_subnet_group", delete)
    put(ElastiCacheResponse, "increase_replica_count", resize)
    put(ElastiCacheResponse, "decrease_replica_count", resize)


_OF_NODES = {
    "CacheParameterGroupName": "cache_parameter_group_name",
    "EngineVersion": "engine_version",
    "PreferredMaintenanceWindow": "preferred_maintenance_window",
    "SecurityGroupIds": "security_group_ids",
    "SnapshotWindow": "snapshot_window",
}
"""What a change may say of a group's nodes, and where moto keeps it from the creation on."""


def _node(group: Any, name: str) -> dict[str, Any]:
    """One of a group's nodes; they are all alike."""
    told = {
        "CacheClusterId": name,
        "CacheClusterStatus": group.status,
        "CacheNodeType": group.cache_node_type,
        "CacheSubnetGroupName": group.cache_subnet_group_name,
        "Engine": group.engine,
        "EngineVersion": group.engine_version,
        "NumCacheNodes": 1,
        "PreferredMaintenanceWindow": group.preferred_maintenance_window,
        "ReplicationGroupId": group.replication_group_id,
        "SecurityGroups": [{"SecurityGroupId": id_, "Status": "active"} for id_ in group.security_group_ids or ()],
    }
    if group.cache_parameter_group_name:
        told["CacheParameterGroup"] = {"CacheParameterGroupName": group.cache_parameter_group_name}
    return {key: value for key, value in told.items() if value is not None}
