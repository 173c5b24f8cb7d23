"""Databases and caches: states that take their time, names and passwords, groups that are in use.

Sources: RDS API reference, CreateDBInstance, DeleteDBInstance; ElastiCache API reference, CreateReplicationGroup.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, after, before, settle
from rehost.providers.sandbox.wire import Answer

STATE_SECONDS = 0.4
"""So long a database or cache is created, changed or deleted; minutes at AWS."""

_NAME = re.compile(r"[A-Za-z](?:-?[A-Za-z0-9])*")
_PASSWORD = re.compile(r"[!-~]+")
_ENGINES = ("aurora", "mariadb", "mysql", "postgres", "oracle", "sqlserver", "custom", "db2")
_RESERVED = {"postgres": {"admin", "rdsadmin"}, "mysql": {"rdsadmin"}, "mariadb": {"rdsadmin"}}
_STORAGE = (20, 65536)
"""GiB of a database on gp2 or gp3; only SQL Server's differ."""
_GONE = "gone"


@settle("rds")
@settle("ec2")
def _databases(request: Request) -> None:
    if "moto.rds.models" not in sys.modules:
        return
    databases = request.backend("rds").databases
    for name in _due(request, databases):
        del databases[name]


@settle("elasticache")
@settle("ec2")
def _caches(request: Request) -> None:
    if "moto.elasticache.models" not in sys.modules:
        return
    groups = request.backend("elasticache").replication_groups
    for name in _due(request, groups):
        del groups[name]


def _due(request: Request, rows: Any) -> list[str]:
    """Let what is under way come to its end; answers the names of what is gone by now."""
    gone = []
    for name, row in list(rows.items()):
        due, status = getattr(row, "rehost_due", (0.0, ""))
        if status and request.now >= due:
            row.rehost_due = (0.0, "")
            if status == _GONE:
                gone.append(name)
            else:
                row.status = status
    return gone


def _under_way(request: Request, row: Any, now: str, then: str) -> None:
    row.status, row.rehost_due = now, (request.due(STATE_SECONDS), then)


def holds(request: Request) -> Iterator[tuple[str, str, set[str]]]:
    """Subnet, network and groups of the interfaces of databases and caches."""
    if "moto.rds.models" in sys.modules:
        for database in request.backend("rds").databases.values():
            groups = set(database.vpc_security_group_ids)
            # moto gives the attribute only to those in a group.
            group = getattr(database, "db_subnet_group", None)
            for subnet in group._subnets if group is not None else ():
                yield subnet.id, subnet.vpc_id, groups
    if "moto.elasticache.models" in sys.modules:
        caches, ec2 = request.backend("elasticache"), request.backend("ec2")
        for cache in caches.replication_groups.values():
            group = caches.cache_subnet_groups.get(cache.cache_subnet_group_name)
            for id_ in group.subnet_ids if group is not None else ():
                yield id_, ec2.get_subnet(id_).vpc_id, set(cache.security_group_ids or ())


# -- databases ------------------------------------------------------------------------------------------------


def _database(request: Request) -> Any:
    return request.backend().databases.get(request.get("DBInstanceIdentifier"))


def _password(request: Request) -> None:
    given = request.get("MasterUserPassword")
    if given and (not _PASSWORD.fullmatch(given) or set(given) & set('/@"')):
        raise Refusal(
            "InvalidParameterValue",
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides "
            "'/', '@', '\"', ' ' may be used.",
        )
    if given and not 8 <= len(given) <= 128:
        raise Refusal(
            "InvalidParameterValue",
            "The parameter MasterUserPassword is not a valid password because it is shorter than 8 characters.",
        )


@before("rds:CreateDBInstance")
def _create(request: Request) -> None:
    name, engine = request.get("DBInstanceIdentifier"), request.get("Engine")
    if not _NAME.fullmatch(name) or len(name) > 63:
        raise Refusal(
            "InvalidParameterValue",
            "The parameter DBInstanceIdentifier is not a valid identifier. Identifiers must begin with a letter; "
            "must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two "
            "consecutive hyphens.",
        )
    if not engine.startswith(_ENGINES):
        raise Refusal("InvalidParameterValue", f"Invalid DB engine: {engine}")
    if not re.fullmatch(r"db\.[a-z0-9-]+\.[a-z0-9]+(?:\.\w+)*", request.get("DBInstanceClass")):
        text = f"Invalid DB Instance class: {request.get('DBInstanceClass')}"
        raise Refusal("InvalidParameterValue", text)
    user = request.get("MasterUsername")
    if user in _RESERVED.get(engine, ()):
        text = f"MasterUsername {user} cannot be used as it is a reserved word used by the engine"
        raise Refusal("InvalidParameterValue", text)
    _password(request)
    size = request.get("AllocatedStorage")
    if size and engine in _RESERVED and not _STORAGE[0] <= int(size) <= _STORAGE[1]:
        text = f"Invalid storage size for engine name {engine}: {size}"
        raise Refusal("InvalidParameterValue", text)
    _groups_exist(request)


def _groups_exist(request: Request) -> None:
    rds = request.backend()
    group = request.get("DBSubnetGroupName")
    if group and group.lower() not in rds.subnet_groups:
        raise Refusal("DBSubnetGroupNotFoundFault", f"DBSubnetGroup doesn't exist: {group}", 404)
    parameters = request.get("DBParameterGroupName")
    if parameters and not parameters.startswith("default.") and parameters not in rds.db_parameter_groups:
        raise Refusal("DBParameterGroupNotFound", f"DBParameterGroup not found: {parameters}", 404)
    for id_ in request.all("VpcSecurityGroupIds") + request.all("VpcSecurityGroupIds.VpcSecurityGroupId"):
        if request.backend("ec2").get_security_group_from_id(id_) is None:
            raise Refusal("InvalidParameterValue", f"Invalid security group , groupId= {id_}, groupName=.")


@after("rds:CreateDBInstance")
def _created(request: Request, answer: Answer) -> None:
    _under_way(request, _database(request), "creating", "available")
    _tell(answer, "DBInstanceStatus", "creating")


def _tell(answer: Answer, element: str, status: str) -> None:
    """moto's answers have what it holds to be so at once."""
    pattern = f"<{element}>[a-z-]*</{element}>".encode()
    answer.body = re.sub(pattern, f"<{element}>{status}</{element}>".encode(), answer.body)


@before("rds:ModifyDBInstance", "rds:RebootDBInstance", "rds:DeleteDBInstance", "rds:CreateDBSnapshot")
def _ready(request: Request) -> None:
    found = _database(request)
    if found is None:
        return
    _password(request)
    deleting = request.call.operation == "DeleteDBInstance"
    if found.status == "deleting" and deleting:
        text = f"Instance {found.db_instance_identifier} is already being deleted."
        raise Refusal("InvalidDBInstanceState", text)
    if found.status != "available" and not deleting:
        raise Refusal("InvalidDBInstanceState", f"DB instance is not in available state: {found.status}")
    snapshot, skip = request.get("FinalDBSnapshotIdentifier"), request.get("SkipFinalSnapshot") == "true"
    if deleting and not snapshot and not skip:
        text = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
        raise Refusal("InvalidParameterCombination", text)
    if deleting and snapshot and skip:
        text = "FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is true."
        raise Refusal("InvalidParameterCombination", text)


@before("rds:ModifyDBInstance")
def _shrink(request: Request) -> None:
    found, size = _database(request), request.get("AllocatedStorage")
    if found is not None and size and int(size) < int(found.allocated_storage or 0):
        raise Refusal("InvalidParameterCombination", "Requested storage size is less than the existing size.")


@after("rds:ModifyDBInstance")
def _modified(request: Request, answer: Answer) -> None:
    found = request.backend().databases.get(request.get("NewDBInstanceIdentifier")) or _database(request)
    if found is not None and request.get("ApplyImmediately") == "true":
        _under_way(request, found, "modifying", "available")


@before("rds:DeleteDBInstance")
def _remember(request: Request) -> None:
    request.environ["rehost.database"] = _database(request)


@after("rds:DeleteDBInstance")
def _deleted(request: Request, answer: Answer) -> None:
    """moto forgets it at once."""
    found = request.environ["rehost.database"]
    request.backend().databases[found.db_instance_identifier] = found
    _under_way(request, found, "deleting", _GONE)
    _tell(answer, "DBInstanceStatus", "deleting")


@before("rds:CreateDBSubnetGroup", "rds:ModifyDBSubnetGroup")
def _subnet_group(request: Request) -> None:
    name = request.get("DBSubnetGroupName")
    if request.call.operation.startswith("Create") and name.lower() in request.backend().subnet_groups:
        raise Refusal("DBSubnetGroupAlreadyExists", f"The DB subnet group '{name}' already exists.")
    ids = [value for key, value in request.call.params.items() if re.fullmatch(r"SubnetIds(\.\w+)?\.\d+", key)]
    known = {id_: row for zone in request.backend("ec2").subnets.values() for id_, row in zone.items()}
    if any(id_ not in known for id_ in ids):
        raise Refusal("InvalidSubnet", f"Some input subnets in :[{', '.join(ids)}] are invalid.")
    if len({known[id_].availability_zone for id_ in ids}) < 2:
        raise Refusal(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: "
            f"{', '.join(sorted({known[id_].availability_zone for id_ in ids}))}. Add subnets to cover at least 2 "
            "AZs.",
        )


@before("rds:DeleteDBSubnetGroup", "rds:DeleteDBParameterGroup")
def _group_in_use(request: Request) -> None:
    rds = request.backend()
    subnets, parameters = request.get("DBSubnetGroupName").lower(), request.get("DBParameterGroupName")
    for name, database in rds.databases.items():
        group = getattr(database, "db_subnet_group", None)
        if subnets and group is not None and group.name == subnets:
            raise Refusal(
                "InvalidDBSubnetGroupStateFault",
                f"Cannot delete the subnet group '{subnets}' because at least one database instance: {name} is "
                "still using it.",
            )
        if parameters and parameters in {row.name for row in database.db_parameter_groups()}:
            raise Refusal(
                "InvalidDBParameterGroupState",
                "One or more database instances are still members of this parameter group "
                f"{parameters}, so the group cannot be deleted",
            )


# -- caches ---------------------------------------------------------------------------------------------------


def _cache(request: Request) -> Any:
    return request.backend().replication_groups.get(request.get("ReplicationGroupId"))


@before("elasticache:CreateReplicationGroup")
def _create_cache(request: Request) -> None:
    name, node = request.get("ReplicationGroupId"), request.get("CacheNodeType")
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise Refusal("InvalidParameterValue", f"The parameter ReplicationGroupId is not valid: {name}")
    if node and not re.fullmatch(r"cache\.[a-z0-9]+\.[a-z0-9]+", node):
        raise Refusal("InvalidParameterValue", f"Invalid cache node type: {node}")
    group = request.get("CacheSubnetGroupName")
    if group and group not in request.backend().cache_subnet_groups:
        raise Refusal("CacheSubnetGroupNotFoundFault", f"Cache subnet group {group} not found.")
    nodes = int(request.get("NumCacheClusters") or 1) + int(request.get("ReplicasPerNodeGroup") or 0)
    if request.get("AutomaticFailoverEnabled") == "true" and nodes < 2:
        raise Refusal("InvalidParameterValue", "Replication group must have at least two nodes to fail over.")


@after("elasticache:CreateReplicationGroup")
def _created_cache(request: Request, answer: Answer) -> None:
    _under_way(request, _cache(request), "creating", "available")
    _tell(answer, "Status", "creating")


@before(
    "elasticache:ModifyReplicationGroup",
    "elasticache:DeleteReplicationGroup",
    "elasticache:IncreaseReplicaCount",
    "elasticache:DecreaseReplicaCount",
)
def _ready_cache(request: Request) -> None:
    found = _cache(request)
    if found is not None and found.status != "available":
        raise Refusal(
            "InvalidReplicationGroupState",
            f"Replication group {request.get('ReplicationGroupId')} has status {found.status} which is not valid "
            "for this operation.",
        )
    request.environ["rehost.cache"] = found


@before("elasticache:ModifyReplicationGroup")
def _takes_over(request: Request) -> None:
    """Somebody has to be there who takes over."""
    found = _cache(request)
    if found is None:
        return
    failover = request.get("AutomaticFailoverEnabled") or str(found.automatic_failover == "enabled").lower()
    if request.get("AutomaticFailoverEnabled") == "true" and len(found.member_clusters) < 2:
        text = "Replication group must have at least one read replica to enable autofailover."
        raise Refusal("InvalidParameterValue", text)
    if request.get("MultiAZEnabled") == "true" and failover != "true":
        raise Refusal("InvalidParameterCombination", "Multi-AZ needs automatic failover to be enabled.")


@before("elasticache:DecreaseReplicaCount")
def _none_left(request: Request) -> None:
    found = _cache(request)
    if (
        found is not None
        and found.automatic_failover == "enabled"
        and int(request.get("NewReplicaCount") or 0) < 1
    ):
        raise Refusal(
            "InvalidParameterValue",
            "Must have at least 1 replica when cluster mode is disabled with auto failover enabled.",
        )


@after(
    "elasticache:ModifyReplicationGroup", "elasticache:IncreaseReplicaCount", "elasticache:DecreaseReplicaCount"
)
def _modified_cache(request: Request, answer: Answer) -> None:
    if request.get("ApplyImmediately") == "true":
        _under_way(request, _cache(request), "modifying", "available")


@after("elasticache:DeleteReplicationGroup")
def _deleted_cache(request: Request, answer: Answer) -> None:
    found = request.environ["rehost.cache"]
    request.backend().replication_groups[request.get("ReplicationGroupId")] = found
    _under_way(request, found, "deleting", _GONE)
    _tell(answer, "Status", "deleting")


@before("elasticache:DeleteCacheSubnetGroup")
def _cache_group_in_use(request: Request) -> None:
    name = request.get("CacheSubnetGroupName")
    if any(row.cache_subnet_group_name == name for row in request.backend().replication_groups.values()):
        text = f"Cache subnet group {name} is currently in use by a cache cluster."
        raise Refusal("CacheSubnetGroupInUse", text)
