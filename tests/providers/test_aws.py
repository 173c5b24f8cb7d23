"""The AWS adapter: lowering against the official names, and a whole life against a stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from rehost.providers.aws.adapter import AwsAdapter
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import Refused
from rehost.stacks.graph import Graph
from rehost.stacks.lower import Lowering, lower
from rehost.stacks.model import Stack
from rehost.stacks.plan import Action, Wishes
from rehost.stacks.resolve import resolve_facts
from rehost.stacks.state import Passphrase, file_store

SPECS = Path(__file__).parents[3] / "shared" / "specs"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQwNcWnJqHqYz0zjC7aVf8V3nJr5b8sY7mT1l2k3j4h ops@example"

PLAZA: dict[str, Any] = {
    "stack": "plaza",
    "targets": {"aws": {"provider": "aws", "region": "eu-central-1"}},
    "network": {"cidr": "10.20.0.0/16", "zones": 2},
    "firewalls": {
        "web": {"ingress": [{"ports": [80, 443]}, {"ports": [22], "from": "198.51.100.0/24"}]},
        "data": {"ingress": [{"ports": [5432], "from": "servers.app"}]},
    },
    "ssh_keys": {"ops": KEY},
    "servers": {
        "app": {
            "count": 2,
            "size": {"cpu": 2, "memory": "4GiB"},
            "image": "ubuntu-24.04",
            "public": True,
            "firewalls": ["web"],
            "ssh_keys": ["ops"],
            "labels": {"role": "web"},
            "user_data": "#cloud-config\n# ${servers.db.private_ip}\n",
        },
        "db": {"image": "ubuntu-24.04", "firewalls": ["data"]},
    },
    "volumes": {"data": {"size": "20GiB", "on": "db"}},
    "buckets": {"media": {"versioning": True, "public_read": True}, "backups": {}},
    "dns": {
        "plaza.example": [
            {"name": "@", "to": "servers.app"},
            {"name": "www", "cname": "plaza.example"},
            {"name": "@", "mx": ["10 mail.plaza.example"]},
            {"name": "note", "txt": 'v=1; say "hello"'},
        ]
    },
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # What it holds lives in this process: other modules may have left something.
    requests.post(f"{url}/moto-api/reset", timeout=10).raise_for_status()
    ec2 = _client("ec2", url)
    ec2.copy_image(
        SourceImageId=ec2.describe_images(Owners=["099720109477"])["Images"][0]["ImageId"],
        SourceRegion="eu-central-1",
        Name="unused",
    )
    yield url
    server.stop()


def _client(name: str, url: str) -> Any:
    make: Any = boto3.client
    return make(
        name, endpoint_url=url, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )


class FixedImages(AwsAdapter):
    """The stand-in has images of its own only: any Ubuntu of the right owner does."""

    def connect(self, target: Any, environment: Any) -> Any:
        connection = super().connect(target, environment)
        ask = connection.offers

        def offers(need: Any) -> Any:
            if need.kind != "image":
                return ask(need)
            from rehost.stacks.ports import Candidate

            images = connection._clients["ec2"].describe_images(Owners=["099720109477"])["Images"]
            return [Candidate(images[0]["ImageId"], images[0]["ImageId"])]

        connection.offers = offers
        return connection


def deployment(tmp_path: Path, url: str, **changes: Any) -> Deployment:
    stack = Stack.model_validate({**PLAZA, **changes})
    environment = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    store = file_store(tmp_path, Passphrase("horse"))
    return Deployment(stack, stack.targets["aws"], FixedImages(), store, environment, clock=Clock(pace=100))


def changed(group: str, **fields: Any) -> dict[str, Any]:
    return {"servers": {**PLAZA["servers"], group: {**PLAZA["servers"][group], **fields}}}


def graph() -> Graph:
    stack = Stack.model_validate(PLAZA)
    facts = {"network.zones": ["eu-central-1a", "eu-central-1b"]}
    for group in stack.servers:
        facts |= {f"servers.{group}.type": "t3.medium", f"servers.{group}.image": "ami-1"}  # type: ignore[dict-item]
    chosen = resolve_facts(AwsAdapter(), stack, stack.targets["aws"], {}).values()
    return lower(AwsAdapter(), Lowering(stack, stack.targets["aws"], {**chosen, **facts}, "d" * 32))


@pytest.mark.skipif(not (SPECS / "pulumi-aws.json").exists(), reason="no copy of the official schema beside")
def test_lowered_resources_have_official_names() -> None:
    spec = json.loads((SPECS / "pulumi-aws.json").read_text())["resources"]
    for resource in graph().resources.values():
        assert set(resource.inputs) <= set(spec[resource.type]["inputs"]), resource.urn
        required = {name for name, type_ in spec[resource.type]["inputs"].items() if not type_.endswith("?")}
        assert required <= set(resource.inputs), resource.urn


@pytest.mark.skipif(not (SPECS / "aws-kinds.json").exists(), reason="no copy of the official facts beside")
def test_rules_say_what_the_official_provider_says() -> None:
    kinds = json.loads((SPECS / "aws-kinds.json").read_text())["kinds"]
    book = AwsAdapter().book
    for token in kinds.keys() & set(book.tokens()):
        top = {path for path in kinds[token]["force_new"] if "." not in path}
        assert top <= book.rules(token).force_new, token


def test_a_rule_put_in_between_leaves_the_others_alone() -> None:
    before = set(graph().resources)
    rules = PLAZA["firewalls"]["web"]["ingress"]
    PLAZA["firewalls"]["web"]["ingress"] = [{"ports": [8080]}, *rules]
    try:
        assert before < set(graph().resources)
    finally:
        PLAZA["firewalls"]["web"]["ingress"] = rules


def test_a_whole_life_on_the_stand_in(tmp_path: Path, endpoint: str) -> None:
    plan, outcome = deployment(tmp_path, endpoint).deploy()
    assert outcome.word == "done", [(str(s.urn), e.summary) for s, e in outcome.failed]
    assert all(step.action is Action.CREATE for step in plan.steps)

    again = deployment(tmp_path, endpoint).plan()
    assert again.empty, [(s.component, c.path, c.old, c.new) for s in again.changing for c in s.changes]

    ec2 = _client("ec2", endpoint)
    ours = [{"Name": "tag:rehost-stack", "Values": ["plaza"]}]
    instances = [i for r in ec2.describe_instances(Filters=ours)["Reservations"] for i in r["Instances"]]
    assert len(instances) == 3

    # Size: a restart. Count: more. A rule, a record: in place or one more.
    bigger = changed("app", size={"cpu": 4, "memory": "16GiB"}, count=3)
    plan, outcome = deployment(tmp_path, endpoint, **bigger).deploy()
    assert outcome.word == "done", [(str(s.urn), e.summary) for s, e in outcome.failed]
    servers = {(s.component, s.action.value, s.disruption.label) for s in plan.changing if s.title == "server"}
    assert servers == {
        ("servers.app-1", "update", "restart"),
        ("servers.app-2", "update", "restart"),
        ("servers.app-3", "create", "none"),
    }
    assert deployment(tmp_path, endpoint, **bigger).plan().empty

    # Drift is seen and repaired; what was deleted comes back.
    rules = ec2.describe_security_group_rules(Filters=[*ours])["SecurityGroupRules"]
    rule = next(r for r in rules if not r["IsEgress"] and r["FromPort"] == 80 and r.get("CidrIpv4"))
    ec2.revoke_security_group_ingress(GroupId=rule["GroupId"], SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    instance = next(i for i in instances if {"Key": "role", "Value": "web"} in i["Tags"])
    ec2.create_tags(Resources=[instance["InstanceId"]], Tags=[{"Key": "role", "Value": "other"}])
    plan, outcome = deployment(tmp_path, endpoint, **bigger).deploy()
    seen = {(s.component, s.action, s.drifted) for s in plan.changing}
    assert seen == {("servers.app-1", Action.UPDATE, True), ("firewalls.web", Action.CREATE, False)} or seen == {
        ("servers.app-2", Action.UPDATE, True),
        ("firewalls.web", Action.CREATE, False),
    }
    assert deployment(tmp_path, endpoint, **bigger).plan().empty

    # Content stops a destroy unless it is named; then nothing is left.
    state = json.loads((tmp_path / ".rehost" / "plaza" / "aws.json").read_text())["deployment"]["resources"]
    bucket = next(r["id"] for r in state if r["type"] == "aws:s3/bucket:Bucket")
    _client("s3", endpoint).put_object(Bucket=bucket, Key="a", Body=b"b")
    with pytest.raises(Refused, match="would lose data"):
        deployment(tmp_path, endpoint, **bigger).destroy()
    _, outcome = deployment(tmp_path, endpoint, **bigger).destroy(Wishes(delete_data=("*",)))
    assert outcome.word == "done", [(str(s.urn), e.summary) for s, e in outcome.failed]
    assert not _client("s3", endpoint).list_buckets()["Buckets"]
    assert not ec2.describe_vpcs(Filters=ours)["Vpcs"]
    assert not ec2.describe_volumes(Filters=ours)["Volumes"]
    assert not ec2.describe_security_groups(Filters=ours)["SecurityGroups"]
    assert not _client("route53", endpoint).list_hosted_zones()["HostedZones"]


def test_services_are_left_to_a_person_once_everything_else_is_made(tmp_path: Path, endpoint: str) -> None:
    variables = {"DATABASE": "${servers.db.private_ip}", "MEDIA": "${buckets.media.name}"}
    services = {"web": {"on": "app", "image": "plaza:1", "ports": [8080], "environment": variables}}
    _, outcome = deployment(tmp_path, endpoint, stack="shop", services=services).deploy()
    assert (outcome.word, outcome.failed) == ("waiting", [])
    assert {step.component for step, _ in outcome.waiting} == {"servers.app-1", "servers.app-2"}
    assert all("is left to you" in error.summary and error.fix for _, error in outcome.waiting)
    # Nothing pretends that they run: they are still to be made, and nothing of them is in state.
    left = deployment(tmp_path, endpoint, stack="shop", services=services).plan()
    made = {"rehost:host/host:Host": "servers.app", "rehost:host/unit:Unit": "services.web"}
    assert {(step.type, step.component, step.action) for step in left.changing} == {
        (token, f"{what}-{number}", Action.CREATE) for token, what in made.items() for number in (1, 2)
    }
    unit = next(step for step in left.changing if step.component == "services.web-1")
    environment = next(c.new for c in unit.changes if c.path == "environment")
    assert environment["MEDIA"].startswith("shop-media-") and environment["DATABASE"].startswith("10.20.")
    _, outcome = deployment(tmp_path, endpoint, stack="shop", services=services).destroy(
        Wishes(delete_data=("*",))
    )
    assert outcome.word == "done", [(str(s.urn), e.summary) for s, e in outcome.failed]


def test_state_of_another_account_is_refused_before_anything_is_written(tmp_path: Path, endpoint: str) -> None:
    small = {"servers": {}, "volumes": {}, "network": None, "firewalls": {}, "dns": {}, "ssh_keys": {}}
    one = deployment(tmp_path, endpoint, **small)
    one.deploy()
    other = deployment(tmp_path, endpoint, **small)
    other.environment = {**other.environment, "REHOST_SANDBOX": "another"}
    with pytest.raises(Refused, match="belongs to endpoint"):
        other.deploy()
    one.destroy(Wishes(delete_data=("*",)))
