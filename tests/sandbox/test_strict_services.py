"""Databases, caches, balancers, identities and secrets refuse what Amazon's refuse, and take their time."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehost.providers.sandbox.aws_api.app import AwsApi
from rehost.providers.sandbox.faults import Faults
from served import KEY, SECRET, TRUST, Hand, Served, refused

DATABASE = {
    "DBInstanceIdentifier": "main",
    "DBInstanceClass": "db.t3.micro",
    "Engine": "postgres",
    "AllocatedStorage": 20,
    "MasterUsername": "rehost",
    "MasterUserPassword": "a good one",
}
CACHE = {
    "ReplicationGroupId": "fast",
    "ReplicationGroupDescription": "d",
    "Engine": "redis",
    "CacheNodeType": "cache.t3.micro",
    "NumCacheClusters": 1,
}
PASSWORD = {"MasterUserPassword": "correct-horse"}


class Cloud:
    """Clients on a clock that is set by hand, and a network in two zones."""

    def __init__(self, serve: Any) -> None:
        self.hand = Hand()
        app = AwsApi({KEY: SECRET}, clock=self.hand)
        self._served = serve(Faults(app, app.dialect))
        ec2 = self.client("ec2")
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"eu-central-1{zone}")[
                "Subnet"
            ]["SubnetId"]
            for n, zone in enumerate("ab")
        ]

    def client(self, name: str) -> Any:
        return self._served.client(name)


@pytest.fixture
def cloud(serve: Any, aws: Served) -> Cloud:
    return Cloud(serve)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"MasterUserPassword": "short"}, "InvalidParameterValue"),
        ({"MasterUserPassword": "with/slash@sign"}, "InvalidParameterValue"),
        ({"MasterUsername": "admin"}, "InvalidParameterValue"),
        ({"Engine": "nonsense"}, "InvalidParameterValue"),
        ({"AllocatedStorage": 5}, "InvalidParameterValue"),
        ({"DBInstanceIdentifier": "-main-"}, "InvalidParameterValue"),
        ({"DBInstanceClass": "t3.micro"}, "InvalidParameterValue"),
        ({"DBSubnetGroupName": "none"}, "DBSubnetGroupNotFoundFault"),
        ({"DBParameterGroupName": "none"}, "DBParameterGroupNotFound"),
        ({"VpcSecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidParameterValue"),
    ],
)
def test_a_database_is_described_well(cloud: Cloud, given: dict[str, Any], code: str) -> None:
    call = {**DATABASE, **PASSWORD, **given}
    assert refused(cloud.client("rds").create_db_instance, **call)[0] == code


def test_a_database_takes_its_time_and_holds_what_it_stands_on(cloud: Cloud) -> None:
    rds, ec2 = cloud.client("rds"), cloud.client("ec2")
    group = {"DBSubnetGroupName": "both", "DBSubnetGroupDescription": "d", "SubnetIds": cloud.subnets}
    one_zone = {**group, "SubnetIds": cloud.subnets[:1]}
    assert refused(rds.create_db_subnet_group, **one_zone)[0] == "DBSubnetGroupDoesNotCoverEnoughAZs"
    rds.create_db_subnet_group(**group)
    assert refused(rds.create_db_subnet_group, **group)[0] == "DBSubnetGroupAlreadyExists"
    parameters = {"DBParameterGroupName": "ours", "DBParameterGroupFamily": "postgres16", "Description": "d"}
    rds.create_db_parameter_group(**parameters)
    guard = ec2.create_security_group(GroupName="db", Description="d", VpcId=cloud.vpc)["GroupId"]
    call = {
        **DATABASE, **PASSWORD, "DBSubnetGroupName": "both", "DBParameterGroupName": "ours",
        "VpcSecurityGroupIds": [guard], "DeletionProtection": True,
    }  # fmt: skip
    assert rds.create_db_instance(**call)["DBInstance"]["DBInstanceStatus"] == "creating"
    assert refused(rds.create_db_instance, **call)[0] == "DBInstanceAlreadyExists"
    main = {"DBInstanceIdentifier": "main"}

    def status() -> str:
        return str(rds.describe_db_instances(**main)["DBInstances"][0]["DBInstanceStatus"])

    assert refused(rds.modify_db_instance, **main, DeletionProtection=False)[0] == "InvalidDBInstanceState"
    cloud.hand.now += 1
    assert status() == "available"
    end = {**main, "SkipFinalSnapshot": True}
    assert refused(rds.delete_db_instance, **end)[0] == "InvalidParameterCombination"
    assert refused(rds.modify_db_instance, **main, AllocatedStorage=10)[0] == "InvalidParameterCombination"
    rds.modify_db_instance(**main, DeletionProtection=False, ApplyImmediately=True)
    assert status() == "modifying"
    cloud.hand.now += 1
    assert refused(rds.delete_db_instance, **main)[0] == "InvalidParameterCombination"
    rds.delete_db_instance(**end)
    assert status() == "deleting"
    assert refused(rds.delete_db_instance, **end)[0] == "InvalidDBInstanceState"
    in_use = refused(rds.delete_db_subnet_group, DBSubnetGroupName="both")[0]
    assert in_use == "InvalidDBSubnetGroupStateFault"
    in_use = refused(rds.delete_db_parameter_group, DBParameterGroupName="ours")[0]
    assert in_use == "InvalidDBParameterGroupState"
    assert refused(ec2.delete_subnet, SubnetId=cloud.subnets[0])[0] == "DependencyViolation"
    assert refused(ec2.delete_security_group, GroupId=guard)[0] == "DependencyViolation"
    cloud.hand.now += 1
    with pytest.raises(ClientError, match="DBInstanceNotFound"):
        status()
    rds.delete_db_subnet_group(DBSubnetGroupName="both")
    ec2.delete_security_group(GroupId=guard)
    ec2.delete_subnet(SubnetId=cloud.subnets[0])


def test_a_cache_takes_its_time_and_holds_what_it_stands_on(cloud: Cloud) -> None:
    caches, ec2 = cloud.client("elasticache"), cloud.client("ec2")
    group = {"CacheSubnetGroupName": "both", "CacheSubnetGroupDescription": "d", "SubnetIds": cloud.subnets}
    caches.create_cache_subnet_group(**group)
    assert refused(caches.create_cache_subnet_group, **group)[0] == "CacheSubnetGroupAlreadyExists"
    make = caches.create_replication_group
    for given in (
        {"CacheNodeType": "t3.micro"},
        {"ReplicationGroupId": "-x-"},
        {"AutomaticFailoverEnabled": True},
    ):
        assert refused(make, **{**CACHE, **given})[0] == "InvalidParameterValue"
    assert refused(make, **CACHE, CacheSubnetGroupName="none")[0] == "CacheSubnetGroupNotFoundFault"
    made = make(**CACHE, CacheSubnetGroupName="both")
    assert made["ReplicationGroup"]["Status"] == "creating"
    fast = {"ReplicationGroupId": "fast"}
    assert refused(caches.delete_replication_group, **fast)[0] == "InvalidReplicationGroupState"
    cloud.hand.now += 1
    assert refused(caches.delete_cache_subnet_group, CacheSubnetGroupName="both")[0] == "CacheSubnetGroupInUse"
    caches.delete_replication_group(**fast)
    assert caches.describe_replication_groups(**fast)["ReplicationGroups"][0]["Status"] == "deleting"
    assert refused(ec2.delete_subnet, SubnetId=cloud.subnets[0])[0] == "DependencyViolation"
    cloud.hand.now += 1
    assert refused(caches.describe_replication_groups, **fast)[0] == "ReplicationGroupNotFoundFault"
    caches.delete_cache_subnet_group(CacheSubnetGroupName="both")
    ec2.delete_subnet(SubnetId=cloud.subnets[0])


def test_balancers_are_named_and_protected_and_their_groups_in_use(cloud: Cloud) -> None:
    elb = cloud.client("elbv2")
    for name in ("-edge", "a" * 33, "under_score", "internal-edge"):
        assert refused(elb.create_load_balancer, Name=name, Subnets=cloud.subnets)[0] == "ValidationError"
    edge = elb.create_load_balancer(Name="edge", Subnets=cloud.subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    group = {"Protocol": "HTTP", "Port": 80, "VpcId": cloud.vpc}
    web, ips = (
        elb.create_target_group(Name=name, TargetType=kind, **group)["TargetGroups"][0]["TargetGroupArn"]
        for name, kind in (("web", "instance"), ("ips", "ip"))
    )
    assert refused(elb.create_target_group, Name="web", **{**group, "Port": 81})[0] == "DuplicateTargetGroupName"
    for target in ("8.8.8.8", "nonsense"):
        assert refused(elb.register_targets, TargetGroupArn=ips, Targets=[{"Id": target}])[0] == "ValidationError"
    elb.register_targets(TargetGroupArn=ips, Targets=[{"Id": "10.0.0.9"}])
    forward = [{"Type": "forward", "TargetGroupArn": web}]
    listener = elb.create_listener(LoadBalancerArn=edge, Protocol="HTTP", Port=80, DefaultActions=forward)
    assert refused(elb.delete_target_group, TargetGroupArn=web)[0] == "ResourceInUse"
    rule = {
        "ListenerArn": listener["Listeners"][0]["ListenerArn"],
        "Priority": 1,
        "Conditions": [{"Field": "path-pattern", "Values": ["/x"]}],
        "Actions": [{"Type": "forward", "TargetGroupArn": ips}],
    }
    elb.create_rule(**rule)
    assert refused(elb.create_rule, **rule)[0] == "PriorityInUse"
    assert refused(elb.delete_target_group, TargetGroupArn=ips)[0] == "ResourceInUse"
    protection = "deletion_protection.enabled"

    def protect(value: str) -> None:
        rows = [{"Key": protection, "Value": value}]
        elb.modify_load_balancer_attributes(LoadBalancerArn=edge, Attributes=rows)

    protect("true")
    assert refused(elb.delete_load_balancer, LoadBalancerArn=edge)[0] == "OperationNotPermitted"
    protect("false")
    elb.delete_load_balancer(LoadBalancerArn=edge)


def test_identities_in_use_stay(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    allow = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    )
    role = {"RoleName": "app"}
    for document in ("nonsense", "{}", allow):
        made = refused(iam.create_role, **role, AssumeRolePolicyDocument=document)[0]
        assert made == "MalformedPolicyDocument"
    iam.create_role(**role, AssumeRolePolicyDocument=TRUST)
    assert refused(iam.create_role, **role, AssumeRolePolicyDocument=TRUST)[0] == "EntityAlreadyExists"
    iam.put_role_policy(**role, PolicyName="inline", PolicyDocument=allow)
    assert refused(iam.delete_role, **role) == ("DeleteConflict", 409)
    iam.delete_role_policy(**role, PolicyName="inline")
    policy = {"PolicyArn": iam.create_policy(PolicyName="ours", PolicyDocument=allow)["Policy"]["Arn"]}
    iam.attach_role_policy(**role, **policy)
    assert refused(iam.delete_role, **role) == ("DeleteConflict", 409)
    assert refused(iam.delete_policy, **policy) == ("DeleteConflict", 409)
    iam.detach_role_policy(**role, **policy)
    iam.delete_policy(**policy)
    profile = {"InstanceProfileName": "app"}
    iam.create_instance_profile(**profile)
    iam.add_role_to_instance_profile(**profile, **role)
    assert refused(iam.delete_role, **role) == ("DeleteConflict", 409)
    assert refused(iam.delete_instance_profile, **profile) == ("DeleteConflict", 409)
    iam.create_user(UserName="ops")
    key = iam.create_access_key(UserName="ops")["AccessKey"]["AccessKeyId"]
    assert refused(iam.delete_user, UserName="ops") == ("DeleteConflict", 409)
    iam.delete_access_key(UserName="ops", AccessKeyId=key)
    iam.delete_user(UserName="ops")


def test_the_name_of_a_deleted_secret_is_blocked(cloud: Cloud) -> None:
    secrets = cloud.client("secretsmanager")
    secrets.create_secret(Name="key", SecretString="x")
    assert refused(secrets.create_secret, Name="key", SecretString="y")[0] == "ResourceExistsException"
    window = {"SecretId": "key", "RecoveryWindowInDays": 3}
    assert refused(secrets.delete_secret, **window)[0] == "InvalidParameterException"
    secrets.delete_secret(SecretId="key", RecoveryWindowInDays=7)
    assert refused(secrets.create_secret, Name="key", SecretString="y")[0] == "InvalidRequestException"
    assert refused(secrets.get_secret_value, SecretId="key")[0] == "InvalidRequestException"
    secrets.restore_secret(SecretId="key")
    secrets.delete_secret(SecretId="key", ForceDeleteWithoutRecovery=True)
    secrets.create_secret(Name="key", SecretString="y")


def test_zones_and_certificates_have_domain_names(cloud: Cloud) -> None:
    route53, acm = cloud.client("route53"), cloud.client("acm")
    for name in ("bad..example", "a" * 64 + ".example"):
        call = {"Name": name, "CallerReference": name}
        assert refused(route53.create_hosted_zone, **call)[0] == "InvalidDomainName"
    zone = route53.create_hosted_zone(Name="plaza.example", CallerReference="1")["HostedZone"]["Id"]

    def change(action: str, name: str, **what: Any) -> dict[str, Any]:
        row = {"Name": f"{name}.plaza.example", "Type": "A", **what}
        return {"HostedZoneId": zone, "ChangeBatch": {"Changes": [{"Action": action, "ResourceRecordSet": row}]}}

    own = zone.rpartition("/")[2]
    alias = {"AliasTarget": {"HostedZoneId": own, "DNSName": "app.plaza.example", "EvaluateTargetHealth": False}}
    to_nothing = change("CREATE", "www", **alias)
    assert refused(route53.change_resource_record_sets, **to_nothing)[0] == "InvalidChangeBatch"
    address = {"TTL": 60, "ResourceRecords": [{"Value": "198.51.100.1"}]}
    route53.change_resource_record_sets(**change("CREATE", "app", **address))
    route53.change_resource_record_sets(**change("CREATE", "www", **alias))
    assert refused(route53.delete_hosted_zone, Id=zone)[0] == "HostedZoneNotEmpty"
    assert refused(acm.request_certificate, DomainName="no domain")[0] == "ValidationException"
    acm.request_certificate(DomainName="*.plaza.example", SubjectAlternativeNames=["plaza.example"])


SUMS = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}


@pytest.mark.parametrize("name", SUMS)
def test_every_checksum_of_an_upload_is_computed_again(aws: Served, name: str) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="box", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    call = {"Bucket": "box", "Key": "k", "Body": b"content"}
    header = f"Checksum{name}"
    wrong = base64.b64encode(bytes(SUMS[name])).decode()
    assert refused(s3.put_object, **call, **{header: wrong})[0] == "BadDigest"
    assert refused(s3.put_object, **call, **{header: "nonsense!"})[0] == "InvalidRequest"
    made = s3.put_object(**call, ChecksumAlgorithm=name)
    s3.put_object(**call, **{header: made[header]})
    upload = {"Bucket": "box", "Key": "m"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, ChecksumAlgorithm=name)["UploadId"]
    part = {**upload, "PartNumber": 1, "Body": b"part"}
    assert refused(s3.upload_part, **part, **{header: wrong})[0] == "BadDigest"


def test_parts_come_in_order_and_large_enough_and_metadata_is_small(aws: Served) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="box", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    upload = {"Bucket": "box", "Key": "m"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    parts = [{"PartNumber": n, "ETag": s3.upload_part(**upload, PartNumber=n, Body=b"x")["ETag"]} for n in (1, 2)]

    def complete(rows: Any) -> str:
        return refused(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": rows})[0]

    assert complete(parts[::-1]) == "InvalidPartOrder"
    assert complete(parts) == "EntityTooSmall"
    assert complete([{**parts[0], "PartNumber": 9}]) == "InvalidPart"
    assert complete([]) == "MalformedXML"
    large = {"Bucket": "box", "Key": "k", "Body": b"", "Metadata": {"a": "x" * 2048}}
    assert refused(s3.put_object, **large)[0] == "MetadataTooLarge"
