"""Values that EC2 refuses by themselves: ports, sizes, names, identifiers that are none.

Sources: EC2 API reference, Error codes, CreateVolume, RunInstances; VPC user guide, "Subnet sizing".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from rehost.providers.sandbox.aws_api.strict.ec2_network import living
from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, before, settle

USER_DATA_BYTES = 16 * 1024
_HEX = "[0-9a-f]{8}(?:[0-9a-f]{9})?"
_IDS = {
    # parameter: prefix, and the code of one that is not well formed
    "InstanceId": ("i", "InvalidInstanceID.Malformed"),
    "VolumeId": ("vol", "InvalidVolumeID.Malformed"),
    "SnapshotId": ("snap", "InvalidSnapshotID.Malformed"),
    "GroupId": ("sg", "InvalidGroupId.Malformed"),
}
_SIZES = {
    # GiB; CreateVolume, parameter Size
    "gp2": (1, 16384),
    "gp3": (1, 65536),
    "io1": (4, 16384),
    "io2": (4, 65536),
    "st1": (125, 16384),
    "sc1": (125, 16384),
    "standard": (1, 1024),
}
_TAGGED: dict[str, tuple[str, Callable[[Any, str], bool]]] = {
    "i": ("InvalidInstanceID.NotFound", lambda ec2, id_: any(row.id == id_ for row in living(ec2))),
    "vol": ("InvalidVolume.NotFound", lambda ec2, id_: id_ in ec2.volumes),
    "vpc": ("InvalidVpcID.NotFound", lambda ec2, id_: id_ in ec2.vpcs),
    "subnet": ("InvalidSubnetID.NotFound", lambda ec2, id_: any(id_ in zone for zone in ec2.subnets.values())),
    "sg": ("InvalidGroup.NotFound", lambda ec2, id_: ec2.get_security_group_from_id(id_) is not None),
    "rtb": ("InvalidRouteTableID.NotFound", lambda ec2, id_: id_ in ec2.route_tables),
    "igw": ("InvalidInternetGatewayID.NotFound", lambda ec2, id_: id_ in ec2.internet_gateways),
    "eni": ("InvalidNetworkInterfaceID.NotFound", lambda ec2, id_: id_ in ec2.enis),
    "eipalloc": (
        "InvalidAllocationID.NotFound",
        lambda ec2, id_: any(row.allocation_id == id_ for row in ec2.addresses),
    ),
}


@settle("ec2")
def _malformed(request: Request) -> None:
    for name, value in request.call.params.items():
        known = _IDS.get(re.sub(r"\.\d+$", "", name))
        if known and value and not re.fullmatch(f"{known[0]}-{_HEX}", value):
            raise Refusal(known[1], f'Invalid id: "{value}" (expecting "{known[0]}-...")')


@before("ec2:CreateSubnet")
def _subnet(request: Request) -> None:
    cidr = request.get("CidrBlock")
    try:
        length = ipaddress.ip_network(cidr).prefixlen
    except ValueError:
        return
    if not 16 <= length <= 28:
        raise Refusal("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid.")


@before("ec2:CreateSecurityGroup")
def _group_name(request: Request) -> None:
    name = request.get("GroupName")
    if name.startswith("sg-"):
        text = f"Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*."
        raise Refusal("InvalidParameterValue", text)
    if name == "default":
        raise Refusal("InvalidParameterValue", "Cannot use reserved security group name: default")


@before("ec2:AuthorizeSecurityGroupIngress", "ec2:AuthorizeSecurityGroupEgress")
def _ports(request: Request) -> None:
    params = request.call.params
    for name, protocol in params.items():
        if not name.endswith("IpProtocol") or protocol not in ("tcp", "udp", "6", "17"):
            continue
        stem = name[: -len("IpProtocol")]
        first, last = params.get(f"{stem}FromPort", ""), params.get(f"{stem}ToPort", "")
        if not first or not last:
            text = "Invalid value for portRange. Must specify both from and to ports with TCP/UDP."
            raise Refusal("InvalidParameterValue", text)
        for port in (first, last):
            if not 0 <= int(port) <= 65535:
                raise Refusal("InvalidParameterValue", f"TCP/UDP port ({port}) out of range")
        if int(first) > int(last):
            raise Refusal("InvalidParameterValue", f"Invalid TCP/UDP port range ({first}:{last})")


@before("ec2:CreateVolume")
def _volume(request: Request) -> None:
    kind, size, iops = request.get("VolumeType") or "gp2", request.get("Size"), request.get("Iops")
    if kind not in _SIZES:
        raise Refusal("InvalidParameterValue", f"Value ({kind}) for parameter volumeType is invalid.")
    if not size and not request.get("SnapshotId"):
        raise Refusal("MissingParameter", "The request must contain the parameter size or snapshotId")
    least, most = _SIZES[kind]
    if size and not least <= int(size) <= most:
        bound = f"at least {least}" if int(size) < least else f"at most {most}"
        raise Refusal("InvalidParameterValue", f"Volume of {size}GiB is invalid; it must be {bound} GiB.")
    if iops and kind not in ("gp3", "io1", "io2"):
        text = f"The parameter iops is not supported for {kind} volumes."
        raise Refusal("InvalidParameterCombination", text)


@before("ec2:RunInstances")
def _launch(request: Request) -> None:
    ec2 = request.backend()
    least, most = int(request.get("MinCount") or 1), int(request.get("MaxCount") or 1)
    if least < 1 or most < least:
        raise Refusal("InvalidParameterValue", f"Invalid value '{least}' for minCount, '{most}' for maxCount.")
    if not request.get("ImageId") and not any(name.startswith("LaunchTemplate.") for name in request.call.params):
        raise Refusal("MissingParameter", "The request must contain the parameter ImageId")
    # Encoded in base 64 it has four bytes for three.
    if len(request.get("UserData").rstrip("=")) * 3 // 4 > USER_DATA_BYTES:
        raise Refusal("InvalidParameterValue", f"User data is limited to {USER_DATA_BYTES} bytes")
    _place(request, ec2)
    _root(request, ec2)


def _place(request: Request, ec2: Any) -> None:
    id_ = request.get("SubnetId") or request.get("NetworkInterface.1.SubnetId")
    subnet = next((zone[id_] for zone in ec2.subnets.values() if id_ in zone), None)
    if subnet is None:
        return
    zone = request.get("Placement.AvailabilityZone")
    if zone and zone != subnet.availability_zone:
        raise Refusal(
            "InvalidParameterValue",
            f"The specified Subnet [{subnet.id}] is not in the Availability Zone [{zone}]",
        )
    for given in [*request.all("SecurityGroupId"), *request.all("NetworkInterface.1.SecurityGroupId")]:
        group = ec2.get_security_group_from_id(given)
        if group is not None and group.vpc_id != subnet.vpc_id:
            text = f"Security group {given} and subnet {subnet.id} belong to different networks."
            raise Refusal("InvalidParameter", text)


def _root(request: Request, ec2: Any) -> None:
    image = ec2.amis.get(request.get("ImageId"))
    if image is None:
        return
    shown = image.block_device_mappings[0]["Ebs"]
    least, snapshot = shown["VolumeSize"], shown["SnapshotId"]
    for name, value in request.call.params.items():
        if re.fullmatch(r"BlockDeviceMapping\.\d+\.DeviceName", name) and value == image.root_device_name:
            size = request.get(name.removesuffix("DeviceName") + "Ebs.VolumeSize")
            if size and int(size) < least:
                text = f"Volume of size {size}GB is smaller than snapshot '{snapshot}', expect size >= {least}GB"
                raise Refusal("InvalidBlockDeviceMapping", text)


@before("ec2:CreateImage", "ec2:RegisterImage")
def _image(request: Request) -> None:
    for image in request.backend().amis.values():
        if image.name == request.get("Name") and image.owner_id == request.backend().account_id:
            text = f"AMI name {image.name} is already in use by AMI {image.id}"
            raise Refusal("InvalidAMIName.Duplicate", text)


@before("ec2:CreateTags", "ec2:DeleteTags")
def _tagged(request: Request) -> None:
    for id_ in request.all("ResourceId"):
        code, there = _TAGGED.get(id_.split("-")[0], ("", None))
        if there is not None and not there(request.backend(), id_):
            raise Refusal(code, f"The ID '{id_}' does not exist")
