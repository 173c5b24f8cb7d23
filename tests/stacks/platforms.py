"""A small platform as people make one, by calls of the providers' own SDKs: nothing here knows of rehost."""

from __future__ import annotations

from typing import Any

from clouds import Cloud, _Wire
from hcloud import Client
from hcloud.firewalls import FirewallRule
from hcloud.images import Image
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.load_balancers import (
    LoadBalancerAlgorithm,
    LoadBalancerHealthCheck,
    LoadBalancerHealthCheckHttp,
    LoadBalancerService,
    LoadBalancerTarget,
)
from hcloud.locations import Location
from hcloud.networks import NetworkSubnet
from hcloud.server_types import ServerType
from hcloud.servers import ServerCreatePublicNetwork
from hcloud.zones import ZoneRecord
from strategies import public_key

REGION = "eu-central-1"


def _named(kind: str, name: str, **tags: str) -> list[dict[str, Any]]:
    pairs = [{"Key": key, "Value": value} for key, value in {"Name": name, **tags}.items()]
    return [{"ResourceType": kind, "Tags": pairs}]


def amazon(here: Cloud) -> None:
    """Two web servers behind a load balancer, a database server with a volume, a zone and a bucket."""
    ec2 = here.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.50.0.0/16", TagSpecifications=_named("vpc", "acme"))["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    subnets = []
    for number, letter in enumerate("ab"):
        place = {"CidrBlock": f"10.50.{number}.0/24", "AvailabilityZone": f"{REGION}{letter}"}
        made = ec2.create_subnet(VpcId=vpc, **place, TagSpecifications=_named("subnet", f"public-{letter}"))
        subnets.append(made["Subnet"]["SubnetId"])
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[-1])
    web, data, front = (
        ec2.create_security_group(GroupName=f"{name}-sg", Description=name, VpcId=vpc)["GroupId"]
        for name in ("web", "db", "front")
    )
    for group, port, peer in (
        (web, 443, {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}),
        (web, 22, {"IpRanges": [{"CidrIp": "198.51.100.0/24", "Description": "office"}]}),
        (web, 8080, {"UserIdGroupPairs": [{"GroupId": front}]}),
        (data, 5432, {"UserIdGroupPairs": [{"GroupId": web}]}),
        (front, 80, {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}),
    ):
        permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peer}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    ec2.import_key_pair(KeyName="deploy", PublicKeyMaterial=public_key(1).encode())
    rows = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"]
    image = next(row["ImageId"] for row in rows if row["Name"].startswith("debian-12"))
    common = {"ImageId": image, "MinCount": 1, "MaxCount": 1}
    servers = []
    for number in (1, 2):
        net = {
            "DeviceIndex": 0,
            "SubnetId": subnets[number - 1],
            "Groups": [web],
            "AssociatePublicIpAddress": True,
        }
        tags = _named("instance", f"web-{number}", env="prod")
        made = ec2.run_instances(
            InstanceType="t3.small", KeyName="deploy", NetworkInterfaces=[net], TagSpecifications=tags, **common
        )
        servers.append(made["Instances"][0]["InstanceId"])
    made = ec2.run_instances(
        InstanceType="t3.medium",
        SubnetId=subnets[0],
        SecurityGroupIds=[data],
        TagSpecifications=_named("instance", "db"),
        **common,
    )
    tags = _named("volume", "pgdata")
    volume = ec2.create_volume(Size=20, AvailabilityZone=f"{REGION}a", VolumeType="gp3", TagSpecifications=tags)[
        "VolumeId"
    ]
    ec2.attach_volume(VolumeId=volume, InstanceId=made["Instances"][0]["InstanceId"], Device="/dev/sdf")
    balancer = _amazon_balancer(here, vpc, subnets, front, servers)
    _amazon_zone(here, balancer)
    s3 = here.client("s3")
    s3.create_bucket(Bucket="acme-media-prod", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket="acme-media-prod", VersioningConfiguration={"Status": "Enabled"})
    here.client("iam").create_role(RoleName="app", AssumeRolePolicyDocument="{}")


def _amazon_balancer(here: Cloud, vpc: str, subnets: list[str], group: str, servers: list[str]) -> dict[str, Any]:
    elb = here.client("elbv2")
    made = elb.create_load_balancer(
        Name="front", Subnets=subnets, SecurityGroups=[group], Type="application", Scheme="internet-facing"
    )
    balancer: dict[str, Any] = made["LoadBalancers"][0]
    target = elb.create_target_group(
        Name="front-web", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="instance", HealthCheckPath="/healthz"
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=target, Targets=[{"Id": id_, "Port": 8080} for id_ in servers])
    action = {"Type": "forward", "TargetGroupArn": target}
    arn = balancer["LoadBalancerArn"]
    elb.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=[action])
    return balancer


def _amazon_zone(here: Cloud, balancer: dict[str, Any]) -> None:
    route53 = here.client("route53")
    zone = route53.create_hosted_zone(Name="acme.example", CallerReference="once")["HostedZone"]["Id"]
    alias = {
        "HostedZoneId": balancer["CanonicalHostedZoneId"],
        "DNSName": balancer["DNSName"],
        "EvaluateTargetHealth": False,
    }
    texts = [{"Value": '"v=spf1 -all"'}]
    records = [
        {"Name": "acme.example", "Type": "A", "AliasTarget": alias},
        {"Name": "acme.example", "Type": "TXT", "TTL": 300, "ResourceRecords": texts},
        {
            "Name": "sip.acme.example",
            "Type": "NAPTR",
            "TTL": 300,
            "ResourceRecords": [{"Value": '1 1 "s" "" "" .'}],
        },
    ]
    changes = [{"Action": "CREATE", "ResourceRecordSet": record} for record in records]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


def hetzner(here: Cloud) -> None:
    """The same at Hetzner, with a floating address beside it."""
    client = Client(token="token", api_endpoint="http://hcloud.invalid/v1", poll_interval=0)
    client._client._session.mount("http://hcloud.invalid", _Wire(here))
    key = client.ssh_keys.create("deploy", public_key(1))
    subnets = [
        NetworkSubnet(type="cloud", ip_range=f"10.60.{number}.0/24", network_zone="eu-central")
        for number in (1, 2)
    ]
    network = client.networks.create("acme", "10.60.0.0/16", subnets=subnets)
    everywhere = ["0.0.0.0/0", "::/0"]
    rules = [
        FirewallRule(direction="in", protocol="tcp", port=port, source_ips=peers)
        for port, peers in (("80", everywhere), ("443", everywhere), ("22", ["198.51.100.0/24"]))
    ]
    firewall = client.firewalls.create("web", rules=rules).firewall
    common: dict[str, Any] = {
        "image": Image(name="debian-12"),
        "location": Location(name="fsn1"),
        "networks": [network],
    }
    servers = [
        client.servers.create(
            f"web-{number}",
            ServerType(name="cx23"),
            ssh_keys=[key],
            firewalls=[firewall],
            labels={"env": "prod"},
            **common,
        ).server
        for number in (1, 2)
    ]
    inside = ServerCreatePublicNetwork(enable_ipv4=False, enable_ipv6=False)
    data = client.servers.create("db", ServerType(name="cx33"), public_net=inside, **common).server
    client.volumes.create(20, "pgdata", server=data, format="ext4")
    http = LoadBalancerHealthCheckHttp(path="/healthz", status_codes=["2??"])
    check = LoadBalancerHealthCheck(protocol="http", port=8080, interval=15, timeout=10, retries=3, http=http)
    service = LoadBalancerService(
        protocol="http", listen_port=80, destination_port=8080, proxyprotocol=False, health_check=check
    )
    targets = [LoadBalancerTarget(type="server", server=server, use_private_ip=True) for server in servers]
    balancer = client.load_balancers.create(
        "front",
        LoadBalancerType(name="lb11"),
        location=Location(name="fsn1"),
        network=network,
        algorithm=LoadBalancerAlgorithm(type="round_robin"),
        services=[service],
        targets=targets,
    ).load_balancer
    zone = client.zones.create(name="acme.example", mode="primary").zone
    address = client.load_balancers.get_by_id(balancer.id).public_net.ipv4.ip
    client.zones.create_rrset(zone, name="@", type="A", ttl=300, records=[ZoneRecord(value=address)])
    client.zones.create_rrset(zone, name="@", type="TXT", ttl=300, records=[ZoneRecord(value='"v=spf1 -all"')])
    client.floating_ips.create("ipv4", name="old", home_location=Location(name="fsn1"))
    # The region is where the stand-in of the object storage is.
    here.client("s3").create_bucket(
        Bucket="acme-media-prod", CreateBucketConfiguration={"LocationConstraint": REGION}
    )


PLATFORMS = {"aws": amazon, "hetzner": hetzner}
