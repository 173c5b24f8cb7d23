"""Databases and caches at Amazon, changed one property after the other, as the plan announces it."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from rehost.cli.main import cli
from rehost.stacks.errors import Refused

STACK: dict[str, Any] = {
    "stack": "plaza",
    "targets": {"aws": {"provider": "aws", "region": "eu-central-1"}},
    "network": {"cidr": "10.20.0.0/16", "zones": 2},
    "secrets": {"main": {"from_env": "MAIN"}},
    "databases": {
        "main": {
            "version": "16",
            "size": {"cpu": 2, "memory": "8GiB"},
            "storage": "100GiB",
            "database": "plaza",
            "owner": "plaza",
            "password": "${secrets.main}",
            "backups": {"keep_days": 7, "at": "03:00"},
            "parameters": {"rds.logical_replication": 0},
        }
    },
    "caches": {"hot": {"version": "8.0", "memory": "1GiB"}},
}
DATABASE, CACHE = "aws:rds/instance:Instance", "aws:elasticache/replicationGroup:ReplicationGroup"
PARAMETERS = "aws:rds/parameterGroup:ParameterGroup"
Step = tuple[str, str, str]
"""Type, action, disruption."""


class Platform:
    """A stack and a sandbox in a folder, and what the stand-in has."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "stack.yaml"
        self.stack = copy.deepcopy(STACK)
        self.write()

    def write(self, **changes: dict[str, Any]) -> None:
        """Change components: `databases={"storage": ...}`."""
        for family, values in changes.items():
            for component in self.stack[family].values():
                component |= values
        self.file.write_text(json.dumps(self.stack))

    def run(self, verb: str, *arguments: str) -> Result:
        return CliRunner().invoke(cli, [verb, "--on", "aws", "--sandbox", "-f", str(self.file), *arguments])

    def deploy(self, *arguments: str) -> None:
        done = self.run("deploy", "--yes", *arguments)
        assert done.exit_code == 0, done.output

    def steps(self) -> list[Step]:
        planned = self.run("plan", "--format", "json")
        assert planned.exit_code == 0, planned.output
        steps = json.loads(planned.stdout)["steps"]
        return [(s["type"], s["action"], s["disruption"]) for s in steps if s["action"] != "same"]

    @functools.cache  # noqa: B019
    def client(self, service: str) -> Any:
        variables = json.loads((self.file.parent / "sandbox" / "sandbox.json").read_text())["environment"]
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name="eu-central-1",
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    def database(self) -> dict[str, Any]:
        (row,) = self.client("rds").describe_db_instances()["DBInstances"]
        return dict(row)

    def cache(self) -> dict[str, Any]:
        elasticache = self.client("elasticache")
        (row,) = elasticache.describe_replication_groups()["ReplicationGroups"]
        (node,) = elasticache.describe_cache_clusters(CacheClusterId=row["MemberClusters"][0])["CacheClusters"]
        return {**node, **row}

    def parameters(self) -> dict[str, str]:
        """Those that are set in the group that the database has."""
        group = self.database()["DBParameterGroups"][0]["DBParameterGroupName"]
        rows = self.client("rds").describe_db_parameters(DBParameterGroupName=group, Source="user")["Parameters"]
        return {row["ParameterName"]: row["ParameterValue"] for row in rows if "ParameterValue" in row}


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    for name, value in {
        "MAIN": "correct-horse",
        "PULUMI_CONFIG_PASSPHRASE": "of the tests",
        "REHOST_SANDBOX_DIR": str(tmp_path / "sandbox"),
    }.items():
        monkeypatch.setenv(name, value)
    started = CliRunner().invoke(cli, ["sandbox", "up", "--realism", "instant"])
    assert started.exit_code == 0, started.output
    try:
        yield Platform(tmp_path)
    finally:
        CliRunner().invoke(cli, ["sandbox", "down"])


Seen = Callable[[Platform], Any]
ON_DATABASE: list[tuple[dict[str, Any], list[Step], Seen, Any]] = [
    (
        {"size": {"cpu": 4, "memory": "16GiB"}},
        [(DATABASE, "update", "restart")],
        lambda here: here.database()["DBInstanceClass"],
        "db.t4g.xlarge",
    ),
    (
        {"storage": "200GiB"},
        [(DATABASE, "update", "none")],
        lambda here: here.database()["AllocatedStorage"],
        200,
    ),
    (
        {"parameters": {"work_mem": 8192, "rds.logical_replication": 0}},
        [(PARAMETERS, "create", "none"), (DATABASE, "update", "restart")],
        lambda here: here.parameters(),
        {"work_mem": "8192"},
    ),
    (
        {"parameters": {"work_mem": 4096}},
        [(PARAMETERS, "update", "none")],
        lambda here: here.parameters(),
        {"work_mem": "4096", "rds.logical_replication": "1"},
    ),
    (
        {"version": "17"},
        [(PARAMETERS, "create", "none"), (DATABASE, "update", "restart"), (PARAMETERS, "delete", "none")],
        lambda here: (here.database()["EngineVersion"].partition(".")[0], here.parameters()),
        ("17", {"work_mem": "4096", "rds.logical_replication": "1"}),
    ),
    (
        {"parameters": {"rds.logical_replication": 0}},
        [(DATABASE, "update", "restart"), (PARAMETERS, "delete", "none")],
        lambda here: here.database()["DBParameterGroups"][0]["DBParameterGroupName"],
        "default.postgres17",
    ),
    (
        {"high_availability": True},
        [(DATABASE, "update", "none")],
        lambda here: here.database()["MultiAZ"],
        True,
    ),
    (
        {"backups": {"keep_days": 14, "at": "03:00"}},
        [(DATABASE, "update", "none")],
        lambda here: here.database()["BackupRetentionPeriod"],
        14,
    ),
    (
        {"backups": {"keep_days": 14, "at": "04:30"}},
        [(DATABASE, "update", "none")],
        lambda here: here.database()["PreferredBackupWindow"],
        "04:30-05:00",
    ),
]
ON_CACHE: list[tuple[dict[str, Any], list[Step], Seen, Any]] = [
    (
        {"memory": "5GiB"},
        [(CACHE, "update", "restart")],
        lambda here: here.cache()["CacheNodeType"],
        "cache.m7g.large",
    ),
    (
        {"high_availability": True},
        [(CACHE, "update", "none")],
        lambda here: (
            len(here.cache()["MemberClusters"]),
            here.cache()["AutomaticFailover"],
            here.cache()["MultiAZ"],
        ),
        (2, "enabled", "enabled"),
    ),
    (
        {"high_availability": False},
        [(CACHE, "update", "none")],
        lambda here: (
            len(here.cache()["MemberClusters"]),
            here.cache()["AutomaticFailover"],
            here.cache()["MultiAZ"],
        ),
        (1, "disabled", "disabled"),
    ),
    ({"version": "8.1"}, [(CACHE, "update", "restart")], lambda here: here.cache()["EngineVersion"], "8.1"),
]


def test_changes_one_after_the_other(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.deploy()
    database, cache = platform.database()["DbiResourceId"], platform.cache()["ARN"]
    for family, changes in (("databases", ON_DATABASE), ("caches", ON_CACHE)):
        for values, steps, seen, expected in changes:
            platform.write(**{family: values})
            assert platform.steps() == steps, values
            platform.deploy()
            assert seen(platform) == expected, values
    monkeypatch.setenv("MAIN", "battery-staple")
    assert platform.steps() == [(DATABASE, "update", "none")]
    platform.deploy()
    assert platform.steps() == []
    assert (platform.database()["DbiResourceId"], platform.cache()["ARN"]) == (database, cache), (
        "nothing was replaced"
    )


def test_what_holds_data_is_replaced_only_by_name(platform: Platform) -> None:
    platform.deploy()
    before = platform.database()["DbiResourceId"]
    platform.write(databases={"database": "other"}, caches={"engine": "redis", "version": "7.1"})
    assert platform.steps() == [(CACHE, "replace", "data loss"), (DATABASE, "replace", "data loss")]
    for named, left in ((), "caches.hot, databases.main"), (("databases.main",), "caches.hot"):
        refused = platform.run("deploy", "--yes", *(word for name in named for word in ("--delete-data", name)))
        assert isinstance(refused.exception, Refused)
        assert left in str(refused.exception)
    assert platform.database()["DbiResourceId"] == before and platform.database()["DBName"] == "plaza"
    assert platform.cache()["Engine"] == "valkey"

    platform.deploy("--delete-data", "databases.main", "--delete-data", "caches.hot")
    assert platform.database()["DbiResourceId"] != before and platform.database()["DBName"] == "other"
    assert platform.cache()["Engine"] == "redis"
    assert platform.steps() == []
