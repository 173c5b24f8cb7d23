"""Faults: which calls are hit, how often, and that each looks as the real API's does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from botocore.exceptions import ConnectionClosedError

from rehost.providers.sandbox.aws_api.operations import call_of
from rehost.providers.sandbox.faults import Faults, Rule
from rehost.providers.sandbox.hcloud_api import HcloudApi
from rehost.providers.sandbox.hcloud_dialect import HcloudDialect
from served import TRUST, Hand, Served, refused

PUT = {"Bucket": "b-1", "Key": "k", "Body": b"x" * 3_000_000}
WRONG_RULES: list[Any] = [
    {"call": "x", "do": "boom"},
    {"call": "x"},
    [1],
    {"call": "x", "do": "error", "typo": 1},
    {"call": "x", "do": "error", "share": "half"},
    {"call": "x", "do": "error", "times": 0},
    {"call": "x", "do": "latency"},
    {"call": 1, "do": "error"},
]


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "throttled", "failed"),
    [
        ("ec2", "describe_vpcs", {}, ("RequestLimitExceeded", 503), ("InternalError", 500)),
        ("route53", "list_hosted_zones", {}, ("Throttling", 400), ("InternalFailure", 500)),
        ("s3", "put_object", PUT, ("SlowDown", 503), ("InternalError", 500)),
        ("iam", "list_roles", {}, ("Throttling", 400), ("InternalFailure", 500)),
        ("elbv2", "describe_load_balancers", {}, ("Throttling", 400), ("InternalFailure", 500)),
        ("acm", "list_certificates", {}, ("ThrottlingException", 400), ("InternalServiceError", 500)),
    ],
)
def test_throttling_and_errors_are_worded_by_each_service(
    aws: Served, service: str, operation: str, arguments: Any, throttled: tuple[str, int], failed: tuple[str, int]
) -> None:
    call = getattr(aws.client(service), operation)
    rule = aws.faults.add(Rule(f"{service}:*", "throttle", times=1))
    assert refused(call, **arguments) == throttled
    aws.faults.add(Rule("*", "error", times=1))
    assert refused(call, **arguments) == failed
    assert (rule.matched, rule.hits) == (2, 1)
    assert sum(aws.faults.calls.values()) == 2


def test_only_the_named_operation_is_hit_so_often_and_after_so_many(aws: Served) -> None:
    ec2 = aws.client("ec2")
    aws.faults.add(Rule("CreateVpc", "throttle", times=2, after=1))
    ec2.create_vpc(CidrBlock="10.1.0.0/16")
    for _ in range(2):
        assert refused(ec2.create_vpc, CidrBlock="10.2.0.0/16")[0] == "RequestLimitExceeded"
        ec2.describe_vpcs()
    ec2.create_vpc(CidrBlock="10.2.0.0/16")
    mine = [v for v in ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"]]
    assert len(mine) == 2
    assert aws.faults.calls["ec2:CreateVpc"] == 4


def test_a_share_of_the_calls_is_hit_the_same_ones_every_time() -> None:
    def pattern(seed: int) -> list[bool]:
        rule = Rule("*", "error", share=0.3, seed=seed)
        return [rule.strikes() for _ in range(200)]

    assert pattern(1) == pattern(1) != pattern(2)
    assert 30 < sum(pattern(1)) < 90


def test_a_time_out_before_has_no_effect_and_one_after_has(aws: Served) -> None:
    ec2 = aws.client("ec2")
    for do, made in (("timeout_before", 0), ("timeout_after", 1)):
        aws.faults.add(Rule("CreateVpc", do, times=1))
        with pytest.raises(ConnectionClosedError):
            ec2.create_vpc(CidrBlock="10.9.0.0/16")
        found = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.9.0.0/16"]}])["Vpcs"]
        assert len(found) == made


def test_a_code_of_ones_own(aws: Served) -> None:
    aws.faults.add(Rule("RunInstances", "error", code="InsufficientInstanceCapacity", status=500))
    got = refused(aws.client("ec2").run_instances, ImageId="ami-1", MinCount=1, MaxCount=1)
    assert got == ("InsufficientInstanceCapacity", 500)


def test_latency_waits_and_lets_through(aws: Served, hand: Hand) -> None:
    aws.faults.add(Rule("sts:*", "latency", seconds=0.25))
    aws.client("sts").get_caller_identity()
    assert hand.pauses == [0.25]


def test_reads_are_stale_for_a_while_by_id_filter_and_tag(aws: Served, hand: Hand) -> None:
    ec2 = aws.client("ec2")
    aws.faults.add(Rule("Describe*", "stale", seconds=5))
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "rehost-id", "Value": "x"}]}]
    vpc = ec2.create_vpc(CidrBlock="10.3.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc, TagSpecifications=tags)["GroupId"]
    by_tag = [{"Name": "tag:rehost-id", "Values": ["x"]}]
    assert refused(ec2.describe_security_groups, GroupIds=[group]) == ("InvalidGroup.NotFound", 400)
    assert refused(ec2.describe_vpcs, VpcIds=[vpc]) == ("InvalidVpcID.NotFound", 400)
    assert ec2.describe_security_groups(Filters=by_tag)["SecurityGroups"] == []
    assert vpc not in [v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"]]
    assert [v for v in ec2.describe_vpcs()["Vpcs"] if v["IsDefault"]]
    hand.now += 6
    assert [g["GroupId"] for g in ec2.describe_security_groups(Filters=by_tag)["SecurityGroups"]] == [group]
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]


def test_instances_of_a_launch_are_not_seen_at_once(aws: Served, hand: Hand) -> None:
    ec2 = aws.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    before = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    aws.faults.add(Rule("DescribeInstances", "stale", seconds=5))
    made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]

    def seen() -> set[str]:
        rows = ec2.describe_instances()["Reservations"]
        return {i["InstanceId"] for r in rows for i in r["Instances"]}

    assert seen() == {before}
    hand.now += 6
    assert seen() == {before, made}


def test_roles_and_profiles_lag_and_a_launch_does_not_know_the_profile(aws: Served, hand: Hand) -> None:
    iam, ec2 = aws.client("iam"), aws.client("ec2")
    aws.faults.add(Rule("*", "stale", seconds=5))
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="p")
    assert refused(iam.get_role, RoleName="r") == ("NoSuchEntity", 404)
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    launch = {
        "ImageId": ec2.describe_images()["Images"][0]["ImageId"],
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": "p"},
    }
    assert refused(ec2.run_instances, **launch) == ("InvalidParameterValue", 400)
    hand.now += 6
    assert iam.get_role(RoleName="r")["Role"]["RoleName"] == "r"
    assert [p["InstanceProfileName"] for p in iam.list_instance_profiles()["InstanceProfiles"]] == ["p"]
    ec2.run_instances(**launch)


def test_zones_and_certificates_lag_too(aws: Served, hand: Hand) -> None:
    route53, acm = aws.client("route53"), aws.client("acm")
    aws.faults.add(Rule("*", "stale", seconds=5))
    zone = route53.create_hosted_zone(Name="plaza.example", CallerReference="1")["HostedZone"]["Id"]
    arn = acm.request_certificate(DomainName="plaza.example")["CertificateArn"]
    assert refused(route53.get_hosted_zone, Id=zone) == ("NoSuchHostedZone", 404)
    assert route53.list_hosted_zones()["HostedZones"] == []
    assert route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    assert refused(acm.describe_certificate, CertificateArn=arn)[0] == "ResourceNotFoundException"
    assert acm.list_certificates()["CertificateSummaryList"] == []
    hand.now += 6
    assert [z["Id"] for z in route53.list_hosted_zones()["HostedZones"]] == [zone]
    assert len(acm.list_certificates()["CertificateSummaryList"]) == 1


def test_each_call_is_logged_by_its_name(serve: Callable[..., Served]) -> None:
    lines: list[str] = []
    api = HcloudApi({"token": "p"}, action_seconds=0)
    served = serve(Faults(api, HcloudDialect(), log=lines.append))
    served.faults.add(Rule("GET /networks", "timeout_before", times=1))
    headers = {"Authorization": "Bearer token"}
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{served.url}/v1/networks", headers=headers, timeout=10)
    requests.get(f"{served.url}/v1/networks", headers=headers, timeout=10)
    assert [line.rsplit(" ", 2)[0] for line in lines][1:] == ["hcloud:GET /networks 200"]
    assert lines[0].startswith("hcloud:GET /networks no answer ")
    assert "token" not in "".join(lines)


def test_rules_are_set_shown_and_dropped_over_http(aws: Served) -> None:
    url = f"{aws.url}/_sandbox/faults"
    posted = requests.post(url, json={"call": "RunInstances", "do": "throttle", "times": 3}, timeout=10).json()
    assert posted["rules"][0]["id"] == 1
    requests.post(url, json=[{"call": "s3:*", "do": "error", "share": 0.5, "group": "g"}], timeout=10)
    assert [r["call"] for r in requests.get(url, timeout=10).json()["rules"]] == ["RunInstances", "s3:*"]
    assert requests.delete(f"{url}?group=g", timeout=10).json() == {"dropped": 1}
    assert requests.delete(f"{url}?id=7", timeout=10).json() == {"dropped": 0}
    assert requests.delete(url, timeout=10).json() == {"dropped": 1}
    for wrong in WRONG_RULES:
        answer = requests.post(url, json=wrong, timeout=10)
        assert answer.status_code == 400
        assert answer.json()["error"]
    assert requests.get(url, timeout=10).json() == {"rules": []}


@pytest.mark.parametrize(
    ("method", "path", "headers", "name"),
    [
        ("PUT", "/b/k", {}, "PutObject"),
        ("PUT", "/b/k", {"HTTP_X_AMZ_COPY_SOURCE": "/b/j"}, "CopyObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", {}, "UploadPart"),
        ("POST", "/b/k?uploads", {}, "CreateMultipartUpload"),
        ("POST", "/b/k?uploadId=u", {}, "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=u", {}, "AbortMultipartUpload"),
        ("DELETE", "/b/a/b/c", {}, "DeleteObject"),
        ("GET", "/b?list-type=2&prefix=x", {}, "ListObjectsV2"),
        ("GET", "/b/", {}, "ListObjects"),
        ("GET", "/", {}, "ListBuckets"),
        ("GET", "/b?versioning", {}, "GetBucketVersioning"),
        ("PUT", "/b?policy", {}, "PutBucketPolicy"),
        ("PUT", "/b?lifecycle", {}, "PutBucketLifecycleConfiguration"),
        ("HEAD", "/b", {}, "HeadBucket"),
        ("GET", "/b/%2Flead", {}, "GetObject"),
    ],
)
def test_rest_calls_are_named_as_the_documentation_names_them(
    method: str, path: str, headers: Any, name: str
) -> None:
    bare, _, query = path.partition("?")
    environ = {"REQUEST_METHOD": method, "PATH_INFO": bare, "RAW_URI": path, "QUERY_STRING": query, **headers}
    assert call_of(environ).name == f"s3:{name}"


class TestHetzner:
    """The same middleware round the Cloud API."""

    @pytest.fixture
    def api(self, serve: Callable[..., Served], hand: Hand) -> Served:
        return serve(
            Faults(HcloudApi({"token": "p"}, action_seconds=0), HcloudDialect(), pause=hand.pause, clock=hand)
        )

    def call(self, api: Served, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": "Bearer token"}
        return requests.request(method, f"{api.url}/v1{path}", json=body, headers=headers, timeout=10)

    def test_429_has_the_headers_of_the_limit(self, api: Served) -> None:
        api.faults.add(Rule("POST /networks", "throttle", times=1))
        answer = self.call(api, "POST", "/networks", {"name": "n", "ip_range": "10.0.0.0/16"})
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert answer.headers["RateLimit-Remaining"] == "0"
        assert int(answer.headers["RateLimit-Reset"]) > 0
        assert self.call(api, "POST", "/networks", {"name": "n", "ip_range": "10.0.0.0/16"}).status_code == 201

    def test_errors_are_of_the_api_or_of_its_gateway(self, api: Served) -> None:
        api.faults.add(Rule("GET /servers", "error", times=1))
        answer = self.call(api, "GET", "/servers")
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "server_error")
        api.faults.add(Rule("GET /servers", "error", times=1, status=504))
        answer = self.call(api, "GET", "/servers")
        assert answer.status_code == 504
        assert "json" not in answer.headers["Content-Type"]
        api.faults.add(Rule("GET /servers", "error", times=1, code="resource_unavailable"))
        assert self.call(api, "GET", "/servers").status_code == 412

    def test_stale_lists_and_reads(self, api: Served, hand: Hand) -> None:
        api.faults.add(Rule("GET *", "stale", seconds=3))
        id_ = self.call(api, "POST", "/networks", {"name": "n", "ip_range": "10.0.0.0/16"}).json()["network"]["id"]
        assert self.call(api, "GET", "/networks").json()["networks"] == []
        assert self.call(api, "GET", f"/networks/{id_}").status_code == 404
        hand.now += 4
        assert [n["id"] for n in self.call(api, "GET", "/networks").json()["networks"]] == [id_]

    def test_closed_connections(self, api: Served) -> None:
        for do, made in (("timeout_before", 0), ("timeout_after", 1)):
            api.faults.add(Rule("POST /networks", do, times=1))
            with pytest.raises(requests.ConnectionError):
                self.call(api, "POST", "/networks", {"name": "n", "ip_range": "10.0.0.0/16"})
            assert len(self.call(api, "GET", "/networks").json()["networks"]) == made
