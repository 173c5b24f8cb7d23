"""Values that somebody changed at the provider: status and plan say so, deploy puts them right, kind by kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, cloud, loaded
from test_interruptions import PROVIDERS, plaza
from test_random_stacks import deployed, told
from werkzeug.test import EnvironBuilder, run_wsgi_app

from rehost.stacks.status import status_of

Ids = dict[str, str]
"""Ids at the provider, by component and last word of the type (`servers.app-1 Instance`)."""


class Amazon:
    """A stranger's hand at Amazon."""

    def __init__(self, here: Cloud, ids: Ids) -> None:
        self._ids = ids
        self.ec2, self.s3, self.route53 = (here.client(name) for name in ("ec2", "s3", "route53"))

    def vpc(self) -> None:
        self.ec2.modify_vpc_attribute(VpcId=self._ids["network Vpc"], EnableDnsHostnames={"Value": False})

    def vpc_tag(self) -> None:
        self.ec2.create_tags(Resources=[self._ids["network Vpc"]], Tags=[{"Key": "Name", "Value": "other"}])

    def subnet_tag(self) -> None:
        self.ec2.create_tags(Resources=[self._ids["network Subnet"]], Tags=[{"Key": "Name", "Value": "other"}])

    def gateway_tag(self) -> None:
        self.ec2.delete_tags(Resources=[self._ids["network InternetGateway"]], Tags=[{"Key": "Name"}])

    def table_tag(self) -> None:
        id_ = self._ids["network RouteTable"]
        self.ec2.create_tags(Resources=[id_], Tags=[{"Key": "Name", "Value": "x"}])

    def group_tag(self) -> None:
        id_ = self._ids["firewalls.web SecurityGroup"]
        self.ec2.create_tags(Resources=[id_], Tags=[{"Key": "Name", "Value": "x"}])

    def rule(self) -> None:
        group = self._ids["firewalls.web SecurityGroup"]
        rules = self.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        (id_,) = [
            row["SecurityGroupRuleId"]
            for row in rules["SecurityGroupRules"]
            if row.get("CidrIpv4") == "198.51.100.0/24"
        ]
        rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "CidrIpv4": "203.0.113.0/24"}
        self.ec2.modify_security_group_rules(
            GroupId=group, SecurityGroupRules=[{"SecurityGroupRuleId": id_, "SecurityGroupRule": rule}]
        )

    def key_tag(self) -> None:
        (key,) = self.ec2.describe_key_pairs()["KeyPairs"]
        self.ec2.create_tags(Resources=[key["KeyPairId"]], Tags=[{"Key": "Name", "Value": "x"}])

    def server_type(self) -> None:
        id_ = self._ids["servers.app-1 Instance"]
        self.ec2.stop_instances(InstanceIds=[id_])
        self.ec2.modify_instance_attribute(InstanceId=id_, InstanceType={"Value": "t3.large"})
        self.ec2.start_instances(InstanceIds=[id_])

    def server_groups(self) -> None:
        groups = [self._ids["firewalls.web SecurityGroup"]]
        self.ec2.modify_instance_attribute(InstanceId=self._ids["servers.app-1 Instance"], Groups=groups)

    def server_tag(self) -> None:
        id_ = self._ids["servers.app-1 Instance"]
        self.ec2.create_tags(Resources=[id_], Tags=[{"Key": "role", "Value": "database"}])

    def server_metadata(self) -> None:
        id_ = self._ids["servers.app-1 Instance"]
        self.ec2.modify_instance_metadata_options(InstanceId=id_, HttpTokens="optional")

    def volume_tag(self) -> None:
        id_ = self._ids["volumes.data-1 Volume"]
        self.ec2.create_tags(Resources=[id_], Tags=[{"Key": "Name", "Value": "x"}])

    def volume_type(self) -> None:
        self.ec2.modify_volume(VolumeId=self._ids["volumes.data-1 Volume"], VolumeType="gp2")

    def zone_comment(self) -> None:
        self.route53.update_hosted_zone_comment(Id=self._ids["dns.plaza.example Zone"], Comment="x")

    def zone_tag(self) -> None:
        self.route53.change_tags_for_resource(
            ResourceType="hostedzone",
            ResourceId=self._ids["dns.plaza.example Zone"],
            AddTags=[{"Key": "Name", "Value": "x"}],
        )

    def record_values(self) -> None:
        self._record("MX", 300, "5 elsewhere.example")

    def record_ttl(self) -> None:
        self._record("MX", 7, "10 mail.plaza.example")

    def _record(self, type_: str, ttl: int, value: str) -> None:
        sets = {"Name": "plaza.example", "Type": type_, "TTL": ttl, "ResourceRecords": [{"Value": value}]}
        self.route53.change_resource_record_sets(
            HostedZoneId=self._ids["dns.plaza.example Zone"],
            ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": sets}]},
        )

    def bucket_tag(self) -> None:
        self.s3.put_bucket_tagging(
            Bucket=self._ids["buckets.media Bucket"],
            Tagging={"TagSet": [{"Key": "Name", "Value": "x"}]},
        )

    def bucket_versioning(self) -> None:
        self.s3.put_bucket_versioning(
            Bucket=self._ids["buckets.media Bucket"], VersioningConfiguration={"Status": "Suspended"}
        )

    def bucket_access(self) -> None:
        block = dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False
        )
        bucket = self._ids["buckets.private Bucket"]
        self.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)

    def bucket_policy(self) -> None:
        _open_policy(self.s3, self._ids["buckets.media Bucket"])


class Hetzner:
    """A stranger's hand at Hetzner."""

    def __init__(self, here: Cloud, ids: Ids) -> None:
        self._api, self._ids = here.api, ids
        self.s3 = here.client("s3")

    def _call(self, method: str, path: str, body: Any) -> None:
        headers = {"Authorization": "Bearer token"}
        made = EnvironBuilder(path=f"/v1{path}", method=method, headers=headers, json=body)
        chunks, status, _ = run_wsgi_app(self._api, made.get_environ())
        assert status.startswith("2"), (path, status, b"".join(chunks))

    def _labelled(self, path: str) -> None:
        method, headers = "GET", {"Authorization": "Bearer token"}
        made = EnvironBuilder(path=f"/v1{path}", method=method, headers=headers)
        chunks, _, _ = run_wsgi_app(self._api, made.get_environ())
        (row,) = json.loads(b"".join(chunks)).values()
        self._call("PUT", path, {"labels": {**row["labels"], "rehost-stack": "other"}})

    def network_label(self) -> None:
        self._labelled(f"/networks/{self._ids['network Network']}")

    def network_name(self) -> None:
        self._call("PUT", f"/networks/{self._ids['network Network']}", {"name": "other"})

    def firewall_rules(self) -> None:
        rule = {"direction": "in", "protocol": "tcp", "port": "1", "source_ips": ["0.0.0.0/0"]}
        path = f"/firewalls/{self._ids['firewalls.web Firewall']}/actions/set_rules"
        self._call("POST", path, {"rules": [rule]})

    def firewall_label(self) -> None:
        self._labelled(f"/firewalls/{self._ids['firewalls.web Firewall']}")

    def key_label(self) -> None:
        self._labelled(f"/ssh_keys/{self._ids['ssh_keys.ops SshKey']}")

    def key_name(self) -> None:
        self._call("PUT", f"/ssh_keys/{self._ids['ssh_keys.ops SshKey']}", {"name": "other"})

    def server_label(self) -> None:
        self._labelled(f"/servers/{self._ids['servers.app-1 Server']}")

    def server_name(self) -> None:
        self._call("PUT", f"/servers/{self._ids['servers.app-1 Server']}", {"name": "other"})

    def server_type(self) -> None:
        path = f"/servers/{self._ids['servers.app-1 Server']}/actions"
        self._call("POST", f"{path}/poweroff", {})
        self._call("POST", f"{path}/change_type", {"server_type": "cx43", "upgrade_disk": False})
        self._call("POST", f"{path}/poweron", {})

    def volume_label(self) -> None:
        self._labelled(f"/volumes/{self._ids['volumes.data-1 Volume']}")

    def volume_name(self) -> None:
        self._call("PUT", f"/volumes/{self._ids['volumes.data-1 Volume']}", {"name": "other"})

    def zone_label(self) -> None:
        self._labelled(f"/zones/{self._ids['dns.plaza.example Zone']}")

    def record_values(self) -> None:
        self._record("set_records", {"records": [{"value": "5 elsewhere.example."}]})

    def record_ttl(self) -> None:
        self._record("change_ttl", {"ttl": 77})

    def _record(self, action: str, body: Any) -> None:
        zone = self._ids["dns.plaza.example Zone"]
        self._call("POST", f"/zones/{zone}/rrsets/@/MX/actions/{action}", body)

    def bucket_versioning(self) -> None:
        self.s3.put_bucket_versioning(
            Bucket=self._ids["buckets.media S3Bucket"], VersioningConfiguration={"Status": "Suspended"}
        )

    def bucket_policy(self) -> None:
        _open_policy(self.s3, self._ids["buckets.media S3Bucket"])


def _open_policy(s3: Any, bucket: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


HANDS: dict[str, Any] = {"aws": Amazon, "hetzner": Hetzner}


def rounds(provider: str, here: Cloud, ids: Ids) -> Iterator[dict[str, Callable[[], None]]]:
    """Everything that a stranger does, by name, nothing twice to one resource in a round: names begin with it."""
    hand = HANDS[provider](here, ids)
    left = [name for name in vars(HANDS[provider]) if not name.startswith("_")]
    while left:
        first = {name.split("_")[0]: name for name in reversed(left)}
        yield {name: getattr(hand, name) for name in first.values()}
        left = [name for name in left if name not in first.values()]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_changed_values_are_seen_and_put_right(provider: str, tmp_path: Path) -> None:
    with cloud(provider) as here:
        stack = loaded(plaza(provider), tmp_path)
        deployed(here, tmp_path, stack)
        expected = here.inventory()
        ids: Ids = {}
        for resource in here.deployment(tmp_path, stack).status()[0].resources.values():
            ids.setdefault(f"{resource.component} {resource.type.rsplit(':')[-1]}", resource.id)
        for changes in rounds(provider, here, ids):
            before = here.inventory()
            for name, change in changes.items():
                change()
                after = here.inventory()
                assert after != before or name in UNLISTED, f"{name} changed nothing"
                before = after
            seen = status_of(here.deployment(tmp_path, stack), refresh=True)
            assert seen.plan is not None
            assert len(seen.changed_outside) == len(changes), (list(changes), told(seen.plan))
            assert all(step.action.value == "update" and step.changes for step in seen.changed_outside)
            plan = deployed(here, tmp_path, stack)
            assert {s.urn for s in plan.changing if s.drifted} == {s.urn for s in seen.changed_outside}
            again = here.deployment(tmp_path, stack).plan()
            assert again.empty, (list(changes), told(again))
            assert here.inventory() == expected, list(changes)


UNLISTED = {"server_metadata", "zone_comment"}
"""Values that the inventory does not hold; the plan that is empty again shows that they were put right."""
