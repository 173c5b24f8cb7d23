"""Databases and caches on AWS: their resources, and their life on the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from rehost.providers.aws.adapter import AwsAdapter
from rehost.providers.sandbox.aws_api import additions
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import Refused
from rehost.stacks.graph import UNKNOWN, Graph, Join, Resource, Secret, resolve
from rehost.stacks.legalize import legalize
from rehost.stacks.lower import Lowering, lower
from rehost.stacks.model import Stack
from rehost.stacks.plan import Wishes
from rehost.stacks.ports import Need
from rehost.stacks.state import Passphrase, file_store

SPECS = Path(__file__).parents[3] / "shared" / "specs"
INSTANCE = "aws:rds/instance:Instance"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"

DATABASE: dict[str, Any] = {
    "version": "16",
    "size": {"cpu": 2, "memory": "8GiB"},
    "storage": "100GiB",
    "database": "plaza",
    "owner": "plaza",
    "reachable_from": ["servers.app"],
    "high_availability": True,
    "backups": {"keep_days": 14, "at": "23:45"},
    "parameters": {"work_mem": 8192, "rds.force_ssl": True},
}
PLAZA: dict[str, Any] = {
    "stack": "plaza",
    "targets": {"aws": {"provider": "aws", "region": "eu-central-1"}},
    "network": {"cidr": "10.20.0.0/16", "zones": 2},
    "databases": {"main": DATABASE},
    "caches": {"hot": {"version": "8.0", "memory": "5GiB"}},
}


def stack(**main: Any) -> Stack:
    return Stack.model_validate({**PLAZA, "databases": {"main": {**DATABASE, **main}}})


def with_servers(**main: Any) -> Stack:
    variables = {"DATABASE_URL": "${databases.main.url}", "CACHE_URL": "${caches.hot.url}"}
    servers = {"app": {"image": "ubuntu-24.04", "user_data": "db=${databases.main.host}"}}
    services = {"web": {"image": "plaza:1", "environment": variables}}
    return stack(**main).model_copy(
        update={
            "servers": Stack.model_validate({"stack": "x", "servers": servers}).servers,
            "services": Stack.model_validate({"stack": "x", "servers": servers, "services": services}).services,
        }
    )


def graph(of: Stack) -> Graph:
    legal, adapter = legalize(of, AwsAdapter().native), AwsAdapter()
    facts: dict[str, Any] = {"network.zones": ["eu-central-1a", "eu-central-1b"], "servers.app.image": "ami-1"}
    for need in adapter.needs(legal.stack, legal.stack.targets["aws"]):
        offers = adapter.offers(need, legal.stack.targets["aws"])
        facts |= {need.key: offers[0].value} if offers else {}
    secrets = {name: Secret(f"value of {name}") for name in legal.stack.secrets}
    context = Lowering(legal.stack, legal.stack.targets["aws"], facts, "d" * 32, secrets, legal.texts)
    return lower(adapter, context)


def of_type(made: Graph, token: str) -> dict[str, Resource]:
    return {resource.name: resource for resource in made.resources.values() if resource.type == token}


@pytest.mark.skipif(not (SPECS / "pulumi-aws.json").exists(), reason="no copy of the official schema beside")
def test_lowered_resources_have_official_names() -> None:
    spec = json.loads((SPECS / "pulumi-aws.json").read_text())["resources"]
    for resource in graph(with_servers()).resources.values():
        if resource.type in spec:
            assert set(resource.inputs) <= set(spec[resource.type]["inputs"]), resource.urn


def test_a_database_is_what_was_asked_for() -> None:
    made = graph(with_servers())
    inputs = of_type(made, INSTANCE)["main"].inputs
    asked = {
        "engine": "postgres",
        "engineVersion": "16",
        "instanceClass": "db.t4g.large",
        "allocatedStorage": 100,
        "multiAz": True,
        "storageEncrypted": True,
        "publiclyAccessible": False,
        "backupRetentionPeriod": 14,
        "backupWindow": "23:45-00:15",
        "password": Secret("value of databases_main_password"),
    }
    assert {key: inputs[key] for key in asked} == asked
    (group,) = of_type(made, "aws:rds/parameterGroup:ParameterGroup").values()
    assert group.inputs["family"] == "postgres16"
    assert [row["value"] for row in group.inputs["parameters"]] == ["1", "1", "8192"]
    assert len(of_type(made, "aws:rds/subnetGroup:SubnetGroup")["main"].inputs["subnetIds"]) == 2


def test_only_those_who_are_named_are_let_in_and_without_any_the_network() -> None:
    made = graph(with_servers())
    (rule,) = [r for name, r in of_type(made, RULE).items() if name.startswith("db-main")]
    assert rule.inputs["referencedSecurityGroupId"].urn.endswith("::servers-app")
    assert (rule.inputs["fromPort"], rule.inputs["toPort"]) == (5432, 5432)
    (rule,) = [r for name, r in of_type(made, RULE).items() if name.startswith("cache-hot")]
    assert rule.inputs["cidrIpv4"] == "10.20.0.0/16" and rule.inputs["fromPort"] == 6379


def test_without_parameters_there_is_no_group_of_them() -> None:
    made = graph(stack(parameters={"rds.logical_replication": 0}, reachable_from=()))
    assert not of_type(made, "aws:rds/parameterGroup:ParameterGroup")
    assert of_type(made, INSTANCE)["main"].inputs["parameterGroupName"] == "default.postgres16"


def test_mysql_is_the_same_with_its_own_names() -> None:
    made = graph(with_servers(engine="mysql", version="8.4"))
    assert of_type(made, INSTANCE)["main"].inputs["port"] == 3306
    (group,) = of_type(made, "aws:rds/parameterGroup:ParameterGroup").values()
    assert group.inputs["family"] == "mysql8.4"


def test_a_url_holds_everything_and_is_secret() -> None:
    (unit,) = of_type(graph(with_servers()), "rehost:host/unit:Unit").values()

    def answer(ref: Any) -> Any:
        return {"address": "db.internal", "primaryEndpointAddress": "cache.internal"}.get(ref.path, UNKNOWN)

    values = {key: resolve(value, answer) for key, value in unit.inputs["environment"].items()}
    password = "value%20of%20databases_main_password"
    assert isinstance(unit.inputs["environment"]["DATABASE_URL"], Join)
    assert values == {
        "DATABASE_URL": Secret(f"postgresql://plaza:{password}@db.internal:5432/plaza"),
        "CACHE_URL": Secret("rediss://:value of caches_hot_password@cache.internal:6379/0"),
    }


@pytest.mark.parametrize(
    ("kind", "size", "chosen"),
    [
        ("database_class", {"cpu": 1, "memory": "1GiB"}, "db.t4g.micro"),
        ("database_class", {"cpu": 4, "memory": "2GiB"}, "db.t4g.xlarge"),
        ("database_class", {"cpu": 16, "memory": "200GiB"}, "db.r7g.8xlarge"),
        ("cache_type", {"memory": "1GiB"}, "cache.t4g.small"),
        ("cache_type", {"memory": "5GiB"}, "cache.m7g.large"),
    ],
)
def test_the_smallest_that_does_is_chosen_and_no_price_is_made_up(
    kind: str, size: dict[str, Any], chosen: str
) -> None:
    target = stack().targets["aws"]
    offers = AwsAdapter().offers(Need("x", kind, size), target)
    assert offers is not None and offers[0].value == chosen
    assert {offer.monthly for offer in offers} == {None}
    assert AwsAdapter().meets(Need("x", kind, size), chosen, target)
    assert not AwsAdapter().meets(Need("x", kind, {"cpu": 1, "memory": "500GiB"}), chosen, target)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    additions.add()
    with mock_aws():
        yield


def deployment(folder: Path, of: Stack) -> Deployment:
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    store = file_store(folder, Passphrase("horse"))
    return Deployment(of, of.targets["aws"], AwsAdapter(), store, environment, clock=Clock(pace=1000))


def deploy(folder: Path, of: Stack) -> dict[str, tuple[str, str]]:
    """Deploy and check that there is nothing left to do; the steps by title."""
    plan, outcome = deployment(folder, of).deploy(Wishes(delete_data=("*",)))
    assert outcome.word == "done", [(s.urn, e.summary, e.why) for s, e in outcome.failed]
    left = deployment(folder, of).plan()
    assert left.empty, [(s.component, c.path, c.old, c.new) for s in left.changing for c in s.changes]
    return {step.title: (step.action.value, step.disruption.label) for step in plan.changing}


def test_a_whole_life_on_the_stand_in(tmp_path: Path, cloud: None) -> None:
    plain = {"reachable_from": ()}
    deploy(tmp_path, stack(**plain))
    rds: Any = boto3.client("rds", region_name="eu-central-1")
    (row,) = rds.describe_db_instances()["DBInstances"]
    assert (row["DBInstanceIdentifier"], row["MultiAZ"], row["PubliclyAccessible"]) == ("plaza-main", True, False)
    states = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"databases_main_password" in states
    password = deployment(tmp_path, stack(**plain)).store.read("plaza", "aws").secrets["databases_main_password"]
    assert password.value.encode() not in states

    # More room and another size in place; parameters in their group.
    bigger = {**plain, "storage": "200GiB", "size": {"cpu": 4, "memory": "16GiB"}}
    assert deploy(tmp_path, stack(**bigger)) == {"database": ("update", "restart")}
    other = {**bigger, "parameters": {"work_mem": 16384}}
    assert deploy(tmp_path, stack(**other)) == {"database parameters": ("update", "none")}
    # The next major version brings parameters of its own family along.
    newer = {**other, "version": "17"}
    plan = deployment(tmp_path, stack(**newer)).plan()
    steps = {(step.title, step.action.value) for step in plan.changing}
    assert steps == {
        ("database parameters", "create"),
        ("database", "update"),
        ("database parameters", "delete"),
    }
    assert deployment(tmp_path, stack(**newer)).deploy()[1].word == "done"

    # What would lose data is refused unless it is named.
    for change in ({"storage": "50GiB"}, {"database": "other"}, {"version": "16"}):
        with pytest.raises(Refused, match=r"databases\.main would lose data"):
            deployment(tmp_path, stack(**{**newer, **change})).deploy()
    with pytest.raises(Refused, match="would lose data"):
        deployment(tmp_path, stack(**newer)).destroy()
    _, outcome = deployment(tmp_path, stack(**newer)).destroy(Wishes(delete_data=("*",)))
    assert outcome.word == "done", [(s.urn, e.summary, e.why) for s, e in outcome.failed]
    cache: Any = boto3.client("elasticache", region_name="eu-central-1")
    assert not rds.describe_db_instances()["DBInstances"]
    assert not cache.describe_replication_groups()["ReplicationGroups"]
    assert [g["DBParameterGroupName"] for g in rds.describe_db_parameter_groups()["DBParameterGroups"]] == []
