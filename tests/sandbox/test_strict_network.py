"""Networks, gateways and values of EC2's: every refusal by the code that Amazon's has."""

from __future__ import annotations

from typing import Any

import pytest

from control_tools import until
from rehost.providers.sandbox.aws_api.app import AwsApi
from rehost.providers.sandbox.faults import Faults
from served import KEY, SECRET, Hand, Served, refused

SMALL_DISK = "InvalidBlockDeviceMapping"
NOBODY = {"i": "i-0123456789abcdef0", "sg": "sg-0123456789abcdef0", "igw": "igw-0123456789abcdef0"}


@pytest.fixture
def ec2(aws: Served) -> Any:
    return aws.client("ec2")


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone="eu-central-1a")
    return str(made["Subnet"]["SubnetId"])


@pytest.fixture
def image(ec2: Any) -> str:
    return next(row["ImageId"] for row in ec2.describe_images()["Images"] if row["Architecture"] == "x86_64")


@pytest.mark.parametrize(
    ("cidr", "more", "code"),
    [
        ("10.0.1.128/25", {}, "InvalidSubnet.Conflict"),
        ("10.9.0.0/24", {}, "InvalidSubnet.Range"),
        ("10.0.9.0/29", {}, "InvalidSubnet.Range"),
        ("10.0.9.0/24", {"AvailabilityZone": "eu-central-1z"}, "InvalidParameterValue"),
        ("10.0.9.0/24", {"VpcId": "vpc-0123456789abcdef0"}, "InvalidVpcID.NotFound"),
    ],
)
def test_a_subnet_fits(ec2: Any, vpc: str, subnet: str, cidr: str, more: Any, code: str) -> None:
    assert refused(ec2.create_subnet, **{"VpcId": vpc, "CidrBlock": cidr, **more})[0] == code


def test_groups_have_names_of_their_own(ec2: Any, vpc: str) -> None:
    make = {"Description": "d", "VpcId": vpc}
    ec2.create_security_group(GroupName="web", **make)
    assert refused(ec2.create_security_group, GroupName="web", **make)[0] == "InvalidGroup.Duplicate"
    for name in ("sg-web", "default"):
        assert refused(ec2.create_security_group, GroupName=name, **make)[0] == "InvalidParameterValue"


@pytest.mark.parametrize(("first", "last"), [(90, 80), (80, 70000), (-2, 80)])
def test_ports_are_a_range(ec2: Any, vpc: str, first: int, last: int) -> None:
    group = ec2.create_security_group(GroupName="web", Description="d", VpcId=vpc)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    call = {"GroupId": group, "IpPermissions": [rule]}
    assert refused(ec2.authorize_security_group_ingress, **call)[0] == "InvalidParameterValue"
    good = {"GroupId": group, "IpPermissions": [{**rule, "FromPort": 80, "ToPort": 90}]}
    ec2.authorize_security_group_ingress(**good)
    assert refused(ec2.authorize_security_group_ingress, **good)[0] == "InvalidPermission.Duplicate"
    assert refused(ec2.revoke_security_group_egress, **good)[0] == "InvalidPermission.NotFound"


def test_a_network_has_one_gateway_and_routes_lead_to_it(ec2: Any, vpc: str) -> None:
    gateway, other = (ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"] for _ in range(2))
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    assert refused(ec2.create_route, GatewayId=gateway, **route)[0] == "InvalidParameterValue"
    assert refused(ec2.create_route, GatewayId=NOBODY["igw"], **route)[0] == "InvalidInternetGatewayID.NotFound"
    join = {"VpcId": vpc}
    assert refused(ec2.detach_internet_gateway, InternetGatewayId=gateway, **join)[0] == "Gateway.NotAttached"
    ec2.attach_internet_gateway(InternetGatewayId=gateway, **join)
    assert refused(ec2.attach_internet_gateway, InternetGatewayId=other, **join)[0] == "InvalidParameterValue"
    assert refused(ec2.delete_internet_gateway, InternetGatewayId=gateway)[0] == "DependencyViolation"
    ec2.create_route(GatewayId=gateway, **route)
    assert refused(ec2.create_route, GatewayId=gateway, **route)[0] == "RouteAlreadyExists"
    local = {"RouteTableId": table, "DestinationCidrBlock": "10.0.0.0/16"}
    assert refused(ec2.delete_route, **local)[0] == "InvalidParameterValue"
    nowhere = {"RouteTableId": table, "DestinationCidrBlock": "9.0.0.0/8"}
    assert refused(ec2.delete_route, **nowhere)[0] == "InvalidRoute.NotFound"


def test_a_nat_gateway_holds_its_address_and_subnet_until_it_is_gone(serve: Any, aws: Served) -> None:
    hand = Hand()
    app = AwsApi({KEY: SECRET}, clock=hand)
    ec2 = serve(Faults(app, app.dialect)).client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    assert refused(ec2.create_nat_gateway, SubnetId=subnet)[0] == "MissingParameter"
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]
    assert made["State"] == "pending"
    id_ = made["NatGatewayId"]

    def state() -> str:
        return str(ec2.describe_nat_gateways(NatGatewayIds=[id_])["NatGateways"][0]["State"])

    hand.now += 1
    assert state() == "available"
    again = {"SubnetId": subnet, "AllocationId": address}
    assert refused(ec2.create_nat_gateway, **again)[0] == "Resource.AlreadyAssociated"
    assert refused(ec2.release_address, AllocationId=address)[0] == "InvalidIPAddress.InUse"
    ec2.delete_nat_gateway(NatGatewayId=id_)
    assert state() == "deleting"
    assert refused(ec2.delete_subnet, SubnetId=subnet)[0] == "DependencyViolation"
    hand.now += 1
    assert state() == "deleted"
    ec2.release_address(AllocationId=address)
    ec2.delete_subnet(SubnetId=subnet)
    missing = {"NatGatewayId": "nat-0123456789abcdef0"}
    assert refused(ec2.delete_nat_gateway, **missing)[0] == "NatGatewayNotFound"


def test_interfaces_are_held_by_their_server(ec2: Any, vpc: str, subnet: str, image: str) -> None:
    launch = {"ImageId": image, "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.small", "SubnetId": subnet}
    server = ec2.run_instances(**launch)["Instances"][0]["InstanceId"]
    eni = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=server, DeviceIndex=1)
    again = {"NetworkInterfaceId": eni, "InstanceId": server, "DeviceIndex": 2}
    assert refused(ec2.attach_network_interface, **again)[0] == "InvalidNetworkInterface.InUse"
    assert refused(ec2.delete_network_interface, NetworkInterfaceId=eni)[0] == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"MinCount": 2}, "InvalidParameterValue"),
        ({"MinCount": 0, "MaxCount": 0}, "InvalidParameterValue"),
        ({"ImageId": None}, "MissingParameter"),
        ({"UserData": "x" * (16 * 1024 + 3)}, "InvalidParameterValue"),
        ({"Placement": {"AvailabilityZone": "eu-central-1b"}}, "InvalidParameterValue"),
        ({"SecurityGroupIds": ["other"]}, "InvalidParameter"),
        ({"SecurityGroupIds": [NOBODY["sg"]]}, "InvalidGroup.NotFound"),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 7}}]},
            "InvalidBlockDeviceMapping",
        ),
    ],
)
def test_a_launch_makes_sense(ec2: Any, subnet: str, image: str, given: dict[str, Any], code: str) -> None:
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="other", Description="d", VpcId=other)["GroupId"]
    call = {
        "ImageId": image,
        "MinCount": 1,
        "MaxCount": 1,
        "InstanceType": "t3.small",
        "SubnetId": subnet,
        **given,
    }
    if call.get("SecurityGroupIds") == ["other"]:
        call["SecurityGroupIds"] = [group]
    assert (
        refused(ec2.run_instances, **{key: value for key, value in call.items() if value is not None})[0] == code
    )


def test_disks_of_images_and_names_of_images(ec2: Any, subnet: str, image: str) -> None:
    call = {"ImageId": image, "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.small", "SubnetId": subnet}
    disk = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8}}]
    id_ = ec2.run_instances(**call, BlockDeviceMappings=disk)["Instances"][0]["InstanceId"]
    assert refused(ec2.terminate_instances, InstanceIds=["nonsense"])[0] == "InvalidInstanceID.Malformed"
    assert refused(ec2.terminate_instances, InstanceIds=[NOBODY["i"]])[0] == "InvalidInstanceID.NotFound"
    ec2.create_image(InstanceId=id_, Name="golden")
    assert refused(ec2.create_image, InstanceId=id_, Name="golden")[0] == "InvalidAMIName.Duplicate"
    tags = {"Tags": [{"Key": "a", "Value": "b"}]}
    assert refused(ec2.create_tags, Resources=[NOBODY["i"]], **tags)[0] == "InvalidInstanceID.NotFound"
    ec2.create_tags(Resources=[id_], **tags)
    until(lambda: ec2.describe_instances()["Reservations"][0]["Instances"][0]["State"]["Name"] == "running")
    ec2.modify_instance_attribute(InstanceId=id_, DisableApiTermination={"Value": True})
    assert refused(ec2.terminate_instances, InstanceIds=[id_])[0] == "OperationNotPermitted"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"Size": 0, "VolumeType": "gp3"}, "InvalidParameterValue"),
        ({"Size": 70000, "VolumeType": "gp3"}, "InvalidParameterValue"),
        ({"Size": 100, "VolumeType": "st1"}, "InvalidParameterValue"),
        ({"Size": 1, "VolumeType": "gp9"}, "InvalidParameterValue"),
        ({"Size": 1, "VolumeType": "gp2", "Iops": 3000}, "InvalidParameterCombination"),
        ({}, "MissingParameter"),
        ({"Size": 1, "AvailabilityZone": "eu-central-1z"}, "InvalidZone.NotFound"),
    ],
)
def test_volumes_have_a_type_and_its_size(ec2: Any, given: dict[str, Any], code: str) -> None:
    assert refused(ec2.create_volume, **{"AvailabilityZone": "eu-central-1a", **given})[0] == code
