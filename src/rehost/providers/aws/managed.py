"""Databases and caches to Amazon's resources: RDS and ElastiCache, in the private network only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rehost.providers.aws import tokens as t
from rehost.stacks.graph import Resource, Value
from rehost.stacks.model import Cache, Database, Stack, show_size
from rehost.stacks.ports import Need

if TYPE_CHECKING:
    from rehost.providers.aws.lower import AwsLowering

_GIB = 1024**3
LEAST_GIB = 20
"""The smallest gp3 storage of a database."""


def needs(stack: Stack) -> Iterator[Need]:
    """An instance class for each database, a node type for each cache."""
    for name, database in stack.databases.items():
        size = {"cpu": database.size.cpu, "memory": show_size(database.size.memory), "engine": priced(database)}
        yield Need(f"databases.{name}.class", "database_class", size)
    for name, cache in stack.caches.items():
        size = {"memory": show_size(cache.memory), "engine": cache.engine}
        yield Need(f"caches.{name}.type", "cache_type", size)


def priced(database: Database) -> str:
    """What the price of a class depends on."""
    return f"{database.engine}{' two zones' if database.high_availability else ''}"


def family(database: Database) -> str:
    """What Amazon calls the parameters of a major version: `postgres16`, `mysql8.0`."""
    parts = database.version.split(".")
    return f"{database.engine}{'.'.join(parts[: 1 if database.engine == 'postgres' else 2])}"


LOGICAL = "rds.logical_replication"


def parameters_of(wanted: Database) -> dict[str, bool | int | float | str]:
    """The parameters of a database. Changes that can't be followed can't be moved without an outage, and switching
    that on later takes a reboot: it is on unless the stack says 0, which is Amazon's own default."""
    given = dict(wanted.parameters)
    if wanted.engine == "postgres" and _written(given.setdefault(LOGICAL, 1)) == "0":
        del given[LOGICAL]
    return given


def database(make: AwsLowering, name: str, wanted: Database, subnets: list[str]) -> Iterator[Resource]:
    """An RDS instance with the subnets, the security group and the parameters that it needs."""
    component, full = f"databases.{name}", f"db-{name}"
    yield from _door(make, full, component, wanted, f"Database {name}")
    about = {
        "name": make.lowering.physical(name),
        "description": f"Database {name}",
        "subnetIds": [make.ref(t.SUBNET, subnet) for subnet in subnets],
    }
    yield make.tagged(t.DB_SUBNETS, name, component, about)
    parameters, settings = f"{name}-{family(wanted)}", parameters_of(wanted)
    # The one that Amazon has for everybody: what is left out would stay as it is.
    parameter_group: Value = f"default.{family(wanted)}"
    if settings:
        # Which ones an engine takes at once differs; with a restart it takes all.
        rows = [
            {"name": key, "value": _written(value), "applyMethod": "pending-reboot"}
            for key, value in sorted(settings.items())
        ]
        group = {
            "name": make.lowering.physical(parameters),
            "family": family(wanted),
            "description": f"Database {name}",
            "parameters": rows,
        }
        yield make.tagged(t.DB_PARAMETERS, parameters, component, group)
        parameter_group = make.ref(t.DB_PARAMETERS, parameters)
    inputs: dict[str, Value] = {
        "identifier": make.lowering.physical(name),
        "engine": wanted.engine,
        "engineVersion": wanted.version,
        "allowMajorVersionUpgrade": True,
        "instanceClass": make.lowering.fact(f"{component}.class"),
        "allocatedStorage": max(LEAST_GIB, -(-wanted.storage // _GIB)),
        "storageType": "gp3",
        "storageEncrypted": True,
        "dbName": wanted.database,
        "username": wanted.owner,
        "password": make.lowering.text(f"${{{component}.password}}", make.export),
        "port": wanted.port,
        "dbSubnetGroupName": make.ref(t.DB_SUBNETS, name),
        "vpcSecurityGroupIds": [make.ref(t.GROUP, full)],
        "parameterGroupName": parameter_group,
        "publiclyAccessible": False,
        "multiAz": wanted.high_availability,
        "backupRetentionPeriod": wanted.backups.keep_days,
        "backupWindow": _window(wanted.backups.at) if wanted.backups.keep_days else None,
        "applyImmediately": True,
        # Whoever names a database with --delete-data wants it gone; backups are kept as long as it is.
        "skipFinalSnapshot": True,
    }
    yield make.tagged(t.DATABASE, name, component, inputs, override=wanted.override)


def cache(make: AwsLowering, name: str, wanted: Cache, subnets: list[str]) -> Iterator[Resource]:
    """A replication group of one node, or of two in different zones, that wants a password and TLS."""
    component, full = f"caches.{name}", f"cache-{name}"
    yield from _door(make, full, component, wanted, f"Cache {name}")
    about = {
        "name": make.lowering.physical(name),
        "description": f"Cache {name}",
        "subnetIds": [make.ref(t.SUBNET, subnet) for subnet in subnets],
    }
    yield make.tagged(t.CACHE_SUBNETS, name, component, about)
    inputs: dict[str, Value] = {
        "replicationGroupId": make.lowering.physical(name),
        "description": f"Cache {name}",
        "engine": wanted.engine,
        "engineVersion": wanted.version,
        "nodeType": make.lowering.fact(f"{component}.type"),
        "numCacheClusters": 2 if wanted.high_availability else 1,
        "automaticFailoverEnabled": wanted.high_availability,
        "multiAzEnabled": wanted.high_availability,
        "port": wanted.port,
        "atRestEncryptionEnabled": True,
        "transitEncryptionEnabled": True,
        "authToken": make.lowering.text(f"${{{component}.password}}", make.export),
        "subnetGroupName": make.ref(t.CACHE_SUBNETS, name),
        "securityGroupIds": [make.ref(t.GROUP, full)],
        "applyImmediately": True,
    }
    yield make.tagged(t.CACHE, name, component, inputs, override=wanted.override)


def _door(make: AwsLowering, full: str, component: str, wanted: Database | Cache, text: str) -> Iterator[Resource]:
    """A security group that lets in those who may connect, at the one port, and nothing out."""
    about = {"name": make.lowering.physical(full), "description": text, "vpcId": make.ref(t.VPC, "main")}
    yield make.tagged(t.GROUP, full, component, about)
    rule = {
        "securityGroupId": make.ref(t.GROUP, full),
        "ipProtocol": "tcp",
        "fromPort": wanted.port,
        "toPort": wanted.port,
    }
    if not wanted.reachable_from:
        yield make.tagged(t.INGRESS, f"{full}-network", component, {**rule, "cidrIpv4": make.cidr})
    for address in wanted.reachable_from:
        group = address.removeprefix("servers.")
        peer = {"referencedSecurityGroupId": make.ref(t.GROUP, f"servers-{group}")}
        yield make.tagged(t.INGRESS, f"{full}-from-{group}", component, {**rule, **peer})


def _written(value: bool | int | float | str) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _window(at: str) -> str:
    """The half hour that starts at a time of day, the shortest window that there is."""
    hour, minute = (int(part) for part in at.split(":"))
    end = hour * 60 + minute + 30
    return f"{at}-{end // 60 % 24:02}:{end % 60:02}"
