"""EC2 refuses what Amazon's refuses, and takes its time."""

from __future__ import annotations

from typing import Any

import pytest

from control_tools import until
from rehost.providers.sandbox.aws_api.app import AwsApi
from rehost.providers.sandbox.faults import Faults
from served import KEY, SECRET, Hand, Served, refused


class Net:
    """A network with a subnet, a group and an image."""

    def __init__(self, aws: Served) -> None:
        self.ec2 = aws.client("ec2")
        self.vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet = self.add_subnet("10.0.0.0/24", "a")
        self.group = self.add_group("web")
        self.image = next(
            i["ImageId"] for i in self.ec2.describe_images()["Images"] if i["Architecture"] == "x86_64"
        )

    def add_subnet(self, cidr: str, zone: str) -> str:
        made = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=f"eu-central-1{zone}")
        return str(made["Subnet"]["SubnetId"])

    def add_group(self, name: str) -> str:
        return str(self.ec2.create_security_group(GroupName=name, Description="d", VpcId=self.vpc)["GroupId"])

    def launch(self, **more: Any) -> Any:
        call = {
            "ImageId": self.image,
            "MinCount": 1,
            "MaxCount": 1,
            "InstanceType": "t3.small",
            "SubnetId": self.subnet,
            "SecurityGroupIds": [self.group],
        }
        return self.ec2.run_instances(**{**call, **more})["Instances"]

    def state(self, id_: str) -> str:
        rows = self.ec2.describe_instances(InstanceIds=[id_])["Reservations"]
        return str(rows[0]["Instances"][0]["State"]["Name"])

    def running(self, **more: Any) -> str:
        id_ = str(self.launch(**more)[0]["InstanceId"])
        until(lambda: self.state(id_) == "running")
        return id_

    def volume(self, zone: str = "a", **more: Any) -> str:
        made = self.ec2.create_volume(Size=more.pop("Size", 1), AvailabilityZone=f"eu-central-1{zone}", **more)
        id_ = str(made["VolumeId"])
        until(lambda: self.ec2.describe_volumes(VolumeIds=[id_])["Volumes"][0]["State"] == "available")
        return id_


@pytest.fixture
def net(aws: Served) -> Net:
    return Net(aws)


def test_nothing_of_a_network_goes_while_it_is_needed(net: Net) -> None:
    ec2 = net.ec2
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=net.vpc)
    table = ec2.create_route_table(VpcId=net.vpc)["RouteTable"]["RouteTableId"]
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=net.subnet)["AssociationId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    server = net.running(NetworkInterfaces=[])
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=server)

    violation = ("DependencyViolation", 400)
    assert refused(ec2.delete_security_group, GroupId=net.group) == violation
    assert refused(ec2.delete_subnet, SubnetId=net.subnet) == violation
    assert refused(ec2.delete_vpc, VpcId=net.vpc) == violation
    assert refused(ec2.delete_route_table, RouteTableId=table) == violation
    assert refused(ec2.delete_internet_gateway, InternetGatewayId=gateway) == violation
    assert refused(ec2.detach_internet_gateway, InternetGatewayId=gateway, VpcId=net.vpc) == violation
    assert refused(ec2.release_address, AllocationId=address)[0] == "InvalidIPAddress.InUse"
    again = {"RouteTableId": table, "SubnetId": net.subnet}
    assert refused(ec2.associate_route_table, **again)[0] == "Resource.AlreadyAssociated"
    route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}
    assert refused(ec2.create_route, **route)[0] == "RouteAlreadyExists"

    # In the order that Amazon wants, all of it goes.
    ec2.disassociate_address(AssociationId=ec2.describe_addresses()["Addresses"][0]["AssociationId"])
    ec2.release_address(AllocationId=address)
    ec2.terminate_instances(InstanceIds=[server])
    assert net.state(server) == "shutting-down"
    assert refused(ec2.delete_security_group, GroupId=net.group) == violation
    until(lambda: net.state(server) == "terminated")
    ec2.delete_security_group(GroupId=net.group)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=net.vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_subnet(SubnetId=net.subnet)
    ec2.delete_vpc(VpcId=net.vpc)


def test_a_group_that_another_names_and_the_default_group_stay(net: Net) -> None:
    ec2, other = net.ec2, net.add_group("data")
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": net.group}]}
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[rule])
    assert refused(ec2.delete_security_group, GroupId=net.group)[0] == "DependencyViolation"
    ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=[rule])
    ec2.delete_security_group(GroupId=net.group)
    own = [{"Name": "vpc-id", "Values": [net.vpc]}, {"Name": "group-name", "Values": ["default"]}]
    default = ec2.describe_security_groups(Filters=own)["SecurityGroups"][0]["GroupId"]
    assert refused(ec2.delete_security_group, GroupId=default)[0] == "CannotDelete"
    assert refused(ec2.create_security_group, GroupName="data", Description="d", VpcId=net.vpc)[0] == (
        "InvalidGroup.Duplicate"
    )
    ec2.create_key_pair(KeyName="k")
    assert refused(ec2.create_key_pair, KeyName="k")[0] == "InvalidKeyPair.Duplicate"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "debian"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "t9.huge"}, "InvalidParameterValue"),
        ({"InstanceType": "t4g.small"}, "InvalidParameterValue"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"IamInstanceProfile": {"Name": "none"}}, "InvalidParameterValue"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        ({"PrivateIpAddress": "10.0.0.3"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "10.9.0.9"}, "InvalidParameterValue"),
    ],
)
def test_a_launch_with_a_name_of_nothing_is_refused(net: Net, given: dict[str, Any], code: str) -> None:
    assert refused(net.launch, **given) == (code, 400)


def test_a_server_shows_the_groups_that_its_interface_was_launched_with(net: Net) -> None:
    other = net.add_group("other")
    interface = {"DeviceIndex": 0, "SubnetId": net.subnet, "Groups": [net.group, other]}
    call = {"MinCount": 1, "MaxCount": 1, "InstanceType": "t3.small", "ImageId": net.image}
    id_ = net.ec2.run_instances(NetworkInterfaces=[interface], **call)["Instances"][0]["InstanceId"]
    seen = net.ec2.describe_instances(InstanceIds=[id_])["Reservations"][0]["Instances"][0]
    assert {group["GroupId"] for group in seen["SecurityGroups"]} == {net.group, other}


def test_private_addresses_are_given_once(net: Net) -> None:
    first = net.launch(PrivateIpAddress="10.0.0.9")[0]
    assert first["PrivateIpAddress"] == "10.0.0.9"
    assert refused(net.launch, PrivateIpAddress="10.0.0.9")[0] == "InvalidIPAddress.InUse"
    more = net.launch(MinCount=3, MaxCount=3)
    addresses = {row["PrivateIpAddress"] for row in [first, *more]}
    assert len(addresses) == 4
    assert all(address.startswith("10.0.0.") for address in addresses)


def test_tokens_make_launches_and_volumes_idempotent(net: Net) -> None:
    first = net.launch(ClientToken="t")
    assert [i["InstanceId"] for i in net.launch(ClientToken="t")] == [i["InstanceId"] for i in first]
    assert refused(net.launch, ClientToken="t", InstanceType="t3.large")[0] == "IdempotentParameterMismatch"
    volume = {"AvailabilityZone": "eu-central-1a", "ClientToken": "v"}
    made = net.ec2.create_volume(Size=1, **volume)["VolumeId"]
    assert net.ec2.create_volume(Size=1, **volume)["VolumeId"] == made
    assert refused(net.ec2.create_volume, Size=2, **volume)[0] == "IdempotentParameterMismatch"
    id_ = first[0]["InstanceId"]
    net.ec2.terminate_instances(InstanceIds=[id_])
    until(lambda: net.state(id_) == "terminated")
    assert refused(net.launch, ClientToken="t")[0] == "IdempotentInstanceTerminated"


def test_states_follow_one_another(net: Net) -> None:
    ec2 = net.ec2
    id_ = net.launch()[0]["InstanceId"]
    seen = [net.state(id_)]
    until(lambda: net.state(id_) == "running")
    assert refused(ec2.modify_instance_attribute, InstanceId=id_, InstanceType={"Value": "t3.large"})[0] == (
        "IncorrectInstanceState"
    )
    ec2.stop_instances(InstanceIds=[id_])
    seen.append(net.state(id_))
    assert refused(ec2.start_instances, InstanceIds=[id_])[0] == "IncorrectInstanceState"
    until(lambda: net.state(id_) == "stopped")
    ec2.modify_instance_attribute(InstanceId=id_, InstanceType={"Value": "t3.large"})
    ec2.start_instances(InstanceIds=[id_])
    seen.append(net.state(id_))
    until(lambda: net.state(id_) == "running")
    assert seen == ["pending", "stopping", "pending"]


def test_volumes_fit_are_attached_once_and_grow_in_stages(net: Net) -> None:
    ec2, server = net.ec2, net.running()
    here, there = net.volume(), net.volume("b")
    assert refused(ec2.create_volume, Size=1, AvailabilityZone="eu-central-9a")[0] == "InvalidZone.NotFound"
    attach = {"InstanceId": server, "Device": "/dev/sdf"}
    assert refused(ec2.attach_volume, VolumeId=there, **attach)[0] == "InvalidVolume.ZoneMismatch"
    ec2.attach_volume(VolumeId=here, **attach)
    assert refused(ec2.attach_volume, VolumeId=here, InstanceId=server, Device="/dev/sdg")[0] == "VolumeInUse"
    assert refused(ec2.attach_volume, VolumeId=net.volume(), **attach)[0] == "InvalidParameterValue"
    assert refused(ec2.delete_volume, VolumeId=here) == ("VolumeInUse", 400)

    def stage() -> str:
        rows = ec2.describe_volumes_modifications(VolumeIds=[here])["VolumesModifications"]
        return str(rows[0]["ModificationState"])

    assert ec2.modify_volume(VolumeId=here, Size=5)["VolumeModification"]["ModificationState"] == "modifying"
    assert refused(ec2.modify_volume, VolumeId=here, Size=9)[0] == "IncorrectModificationState"
    until(lambda: stage() == "completed")
    assert refused(ec2.modify_volume, VolumeId=here, Size=2)[0] == "InvalidParameterValue"
    ec2.detach_volume(VolumeId=here)
    assert refused(ec2.delete_volume, VolumeId=here)[0] == "VolumeInUse"
    until(lambda: ec2.describe_volumes(VolumeIds=[here])["Volumes"][0]["State"] == "available")
    ec2.delete_volume(VolumeId=here)


def test_an_attachment_waits_for_its_server(serve: Any, aws: Served) -> None:
    hand = Hand()
    app = AwsApi({KEY: SECRET}, clock=hand)
    net = Net(serve(Faults(app, app.dialect)))
    volume = net.ec2.create_volume(Size=1, AvailabilityZone="eu-central-1a")["VolumeId"]
    hand.now += 1
    call = {"VolumeId": volume, "InstanceId": net.launch()[0]["InstanceId"], "Device": "/dev/sdf"}
    assert refused(net.ec2.attach_volume, **call)[0] == "IncorrectState"
    hand.now += 1
    net.ec2.attach_volume(**call)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([{"Key": f"k{n}", "Value": ""} for n in range(51)], "TagLimitExceeded"),
        ([{"Key": "aws:x", "Value": ""}], "InvalidParameterValue"),
        ([{"Key": "x" * 129, "Value": ""}], "InvalidParameterValue"),
        ([{"Key": "x", "Value": "y" * 257}], "InvalidParameterValue"),
    ],
)
def test_tags_have_limits_wherever_they_are_given(net: Net, tags: Any, code: str) -> None:
    assert refused(net.ec2.create_tags, Resources=[net.vpc], Tags=tags)[0] == code
    specification = [{"ResourceType": "vpc", "Tags": tags}]
    assert refused(net.ec2.create_vpc, CidrBlock="10.7.0.0/16", TagSpecifications=specification)[0] == code


def test_quotas_hold_when_they_are_on(aws: Served, serve: Any) -> None:
    app = AwsApi({KEY: SECRET}, quotas=True)
    ec2 = serve(Faults(app, app.dialect)).client("ec2")
    for n in range(4):
        ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")
    assert refused(ec2.create_vpc, CidrBlock="10.9.0.0/16") == ("VpcLimitExceeded", 400)
    for _ in range(5):
        ec2.allocate_address(Domain="vpc")
    assert refused(ec2.allocate_address, Domain="vpc")[0] == "AddressLimitExceeded"
    group = ec2.create_security_group(
        GroupName="g", Description="d", VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    )

    def rules(first: int, count: int) -> dict[str, Any]:
        ranges = [{"CidrIp": f"10.0.{first + n}.0/24"} for n in range(count)]
        return {
            "GroupId": group["GroupId"],
            "IpPermissions": [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": ranges}],
        }

    ec2.authorize_security_group_ingress(**rules(0, 60))
    assert refused(ec2.authorize_security_group_ingress, **rules(60, 1))[0] == "RulesPerSecurityGroupLimitExceeded"
    image = next(i["ImageId"] for i in ec2.describe_images()["Images"] if i["Architecture"] == "x86_64")
    launch = {"ImageId": image, "InstanceType": "t3.2xlarge"}
    ec2.run_instances(MinCount=4, MaxCount=4, **launch)
    assert refused(ec2.run_instances, MinCount=1, MaxCount=1, **launch)[0] == "VcpuLimitExceeded"
    # Without the switch the same account has no limits.
    aws.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")
