"""Route 53, certificates and load balancers refuse what Amazon's refuse."""

from __future__ import annotations

from typing import Any

import pytest

from control_tools import until
from served import Served, refused


class Zone:
    """A zone, and changes in it."""

    def __init__(self, aws: Served) -> None:
        self.client = aws.client("route53")
        made = self.client.create_hosted_zone(Name="plaza.example", CallerReference="1")
        self.id = made["HostedZone"]["Id"]

    def change(self, *changes: tuple[str, str, str, list[str]]) -> Any:
        rows = [
            {
                "Action": action,
                "ResourceRecordSet": {
                    "Name": name,
                    "Type": type_,
                    "TTL": 60,
                    "ResourceRecords": [{"Value": value} for value in values],
                },
            }
            for action, name, type_, values in changes
        ]
        return self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch={"Changes": rows})

    def refused(self, action: str, name: str, type_: str, *values: str) -> bool:
        return refused(lambda: self.change((action, name, type_, list(values)))) == ("InvalidChangeBatch", 400)


@pytest.fixture
def zone(aws: Served) -> Zone:
    return Zone(aws)


def test_a_cname_stands_alone(zone: Zone) -> None:
    zone.change(("CREATE", "www.plaza.example", "A", ["192.0.2.1"]))
    assert zone.refused("CREATE", "www.plaza.example", "CNAME", "x.example")
    assert zone.refused("CREATE", "plaza.example", "CNAME", "x.example")
    zone.change(("CREATE", "c.plaza.example", "CNAME", ["x.example"]))
    assert zone.refused("UPSERT", "C.plaza.example.", "A", "192.0.2.1")
    assert zone.refused("CREATE", "d.plaza.example", "CNAME", "a.example", "b.example")
    # One batch may put one in the place of the other.
    zone.change(
        ("DELETE", "c.plaza.example", "CNAME", ["x.example"]), ("CREATE", "c.plaza.example", "A", ["192.0.2.1"])
    )


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("A", "hello"), ("A", "2001:db8::1"), ("AAAA", "192.0.2.1"), ("TXT", "hello"), ("TXT", f'"{"x" * 256}"'),
        ("MX", "mail"), ("MX", "ten mail.example"), ("CAA", "issue x"), ("SRV", "1 2 host.example"),
        ("CNAME", "not a host"),
    ],
)  # fmt: skip
def test_values_have_the_form_of_their_type(zone: Zone, type_: str, value: str) -> None:
    assert zone.refused("CREATE", "v.plaza.example", type_, value)


def test_good_values_are_taken_and_go_again(zone: Zone) -> None:
    records = [
        ("a.plaza.example", "A", ["192.0.2.1", "192.0.2.2"]),
        ("plaza.example", "MX", ["10 mail.plaza.example", "20 b.example."]),
        ("plaza.example", "TXT", ['"v=spf1 -all"', '"one" "two \\"three\\""']),
        ("plaza.example", "CAA", ['0 issue "letsencrypt.org"']),
        ("_sip._tcp.plaza.example", "SRV", ["1 2 5060 sip.example."]),
        ("*.plaza.example", "AAAA", ["2001:db8::1"]),
        ("nomail.plaza.example", "MX", ["0 ."]),
    ]
    for record in records:
        zone.change(("CREATE", *record))
    for record in records:
        zone.change(("DELETE", *record))


def test_what_is_outside_there_or_not_there_is_told(zone: Zone) -> None:
    assert zone.refused("CREATE", "www.other.example", "A", "192.0.2.1")
    assert zone.refused("CREATE", "notplaza.example", "A", "192.0.2.1")
    assert zone.refused("DELETE", "none.plaza.example", "A", "192.0.2.1")
    zone.change(("CREATE", "a.plaza.example", "A", ["192.0.2.1"]))
    assert zone.refused("CREATE", "a.plaza.example", "A", "192.0.2.1")
    assert zone.refused("DELETE", "a.plaza.example", "A", "192.0.2.9")
    servers = zone.client.list_resource_record_sets(HostedZoneId=zone.id)["ResourceRecordSets"]
    own = next([v["Value"] for v in r["ResourceRecords"]] for r in servers if r["Type"] == "NS")
    assert zone.refused("DELETE", "plaza.example", "NS", *own)
    assert refused(zone.client.delete_hosted_zone, Id=zone.id)[0] == "HostedZoneNotEmpty"
    again = {"Name": "plaza.example", "CallerReference": "1"}
    assert refused(zone.client.create_hosted_zone, **again) == ("HostedZoneAlreadyExists", 409)


class Balanced:
    """A network over two zones with a load balancer."""

    def __init__(self, aws: Served) -> None:
        self.ec2, self.elb, self.acm = aws.client("ec2"), aws.client("elbv2"), aws.client("acm")
        vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            self.ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"eu-central-1{z}")[
                "Subnet"
            ]["SubnetId"]
            for n, z in enumerate("ab")
        ]
        self.group = self.ec2.create_security_group(GroupName="lb", Description="d", VpcId=vpc)["GroupId"]
        made = self.elb.create_load_balancer(Name="lb", Subnets=self.subnets, SecurityGroups=[self.group])
        self.arn = made["LoadBalancers"][0]["LoadBalancerArn"]
        target = self.elb.create_target_group(Name="tg", Protocol="HTTP", Port=80, VpcId=vpc)
        self.target = target["TargetGroups"][0]["TargetGroupArn"]

    def listener(self, port: int, **more: Any) -> Any:
        actions = [{"Type": "forward", "TargetGroupArn": self.target}]
        return {"LoadBalancerArn": self.arn, "Port": port, "DefaultActions": actions, **more}


@pytest.fixture
def balanced(aws: Served) -> Balanced:
    return Balanced(aws)


def test_a_certificate_is_served_once_its_record_is_in_dns(balanced: Balanced, zone: Zone) -> None:
    acm, elb = balanced.acm, balanced.elb
    arn = acm.request_certificate(DomainName="www.plaza.example", ValidationMethod="DNS")["CertificateArn"]
    https = balanced.listener(443, Protocol="HTTPS", Certificates=[{"CertificateArn": arn}])
    assert refused(elb.create_listener, **https) == ("UnsupportedCertificate", 400)
    certificate = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert certificate["Status"] == "PENDING_VALIDATION"
    record = certificate["DomainValidationOptions"][0]["ResourceRecord"]
    zone.change(("CREATE", record["Name"], record["Type"], [record["Value"]]))
    assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["Status"] == "ISSUED"
    made = elb.create_listener(**https)["Listeners"][0]["ListenerArn"]
    assert refused(acm.delete_certificate, CertificateArn=arn)[0] == "ResourceInUseException"
    elb.delete_listener(ListenerArn=made)
    acm.delete_certificate(CertificateArn=arn)


def test_listeners_and_balancers_are_what_they_have_to_be(balanced: Balanced) -> None:
    elb = balanced.elb
    assert refused(elb.create_listener, **balanced.listener(443, Protocol="HTTPS"))[0] == "ValidationError"
    elb.create_listener(**balanced.listener(80, Protocol="HTTP"))
    assert refused(elb.create_listener, **balanced.listener(80, Protocol="HTTP"))[0] == "DuplicateListener"
    name = {"Name": "lb", "Subnets": balanced.subnets}
    assert refused(elb.create_load_balancer, **name)[0] == "DuplicateLoadBalancerName"
    one = {"Name": "one", "Subnets": balanced.subnets[:1]}
    assert refused(elb.create_load_balancer, **one)[0] == "ValidationError"
    targets = {"TargetGroupArn": balanced.target, "Targets": [{"Id": "i-0123456789abcdef0"}]}
    assert refused(elb.register_targets, **targets)[0] == "InvalidTarget"
    assert refused(elb.delete_target_group, TargetGroupArn=balanced.target)[0] == "ResourceInUse"


def test_groups_and_subnets_are_in_use_for_a_while_after_their_balancer(balanced: Balanced) -> None:
    ec2 = balanced.ec2
    assert refused(ec2.delete_security_group, GroupId=balanced.group)[0] == "DependencyViolation"
    balanced.elb.delete_load_balancer(LoadBalancerArn=balanced.arn)
    assert refused(ec2.delete_security_group, GroupId=balanced.group)[0] == "DependencyViolation"
    assert refused(ec2.delete_subnet, SubnetId=balanced.subnets[0])[0] == "DependencyViolation"

    def gone() -> bool:
        try:
            ec2.delete_security_group(GroupId=balanced.group)
        except ec2.exceptions.ClientError:
            return False
        return True

    until(gone)
    ec2.delete_subnet(SubnetId=balanced.subnets[0])
