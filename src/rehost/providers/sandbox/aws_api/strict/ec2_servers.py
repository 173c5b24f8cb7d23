"""Instances: names are checked, tokens make calls idempotent, states take their time.

Sources: EC2 API reference, Error codes; EC2 user guide, "Ensuring idempotency" and "Instance lifecycle".
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from rehost.providers.sandbox.aws_api.strict.ec2_network import living
from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Replayed, Request, after, before, settle
from rehost.providers.sandbox.wire import Answer

STATE_SECONDS = 0.3
"""So long an instance starts, stops or shuts down; a minute or more at AWS."""

_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
_IDEMPOTENT = ("RunInstances", "CreateVolume", "CreateNatGateway", "CreateRouteTable", "CreateNetworkInterface")


@settle("ec2")
def _states(request: Request) -> None:
    for instance in living(request.backend()):
        due, name = getattr(instance, "rehost_due", (0.0, ""))
        if name and request.now >= due:
            _set(instance, name)
            instance.rehost_due = (0.0, "")


def _set(instance: Any, name: str) -> None:
    instance._state.name, instance._state.code = name, _CODES[name]


def _moves(request: Request, ids: list[str], now: str, then: str) -> None:
    ec2 = request.backend()
    for id_ in ids:
        instance = ec2.get_instance(id_)
        _set(instance, now)
        instance.rehost_due = (request.due(STATE_SECONDS), then)


@before(*(f"ec2:{name}" for name in _IDEMPOTENT))
def _token(request: Request) -> None:
    """The same token and parameters: the first answer again. Raises Refusal for other parameters."""
    token = request.get("ClientToken")
    known = request.backend().__dict__.setdefault("rehost_tokens", {}).get((request.call.operation, token))
    if not token or known is None:
        return
    parameters, answer = known
    if parameters != _parameters(request):
        raise Refusal(
            "IdempotentParameterMismatch",
            "The request uses the same client token as a previous, but non-identical request.",
        )
    gone = re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", answer.body.decode())
    if gone and not {instance.id for instance in living(request.backend())} & set(gone):
        raise Refusal(
            "IdempotentInstanceTerminated",
            "The request to launch an instance uses the same client token as a previous request "
            "for which the instance has been terminated.",
        )
    raise Replayed(answer)


@after(*(f"ec2:{name}" for name in _IDEMPOTENT))
def _remember(request: Request, answer: Answer) -> None:
    token = request.get("ClientToken")
    if token:
        tokens = request.backend().__dict__.setdefault("rehost_tokens", {})
        tokens[request.call.operation, token] = (_parameters(request), answer)


def _parameters(request: Request) -> dict[str, str]:
    return {key: value for key, value in request.call.params.items() if key != "ClientToken"}


@before("ec2:RunInstances")
def _launch(request: Request) -> None:
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    ec2, image, kind = request.backend(), request.get("ImageId"), request.get("InstanceType")
    if image and not re.fullmatch(r"ami-[0-9a-f]{8}([0-9a-f]{9})?", image):
        raise Refusal("InvalidAMIID.Malformed", f'Invalid id: "{image}"')
    if image and image not in ec2.amis:
        raise Refusal("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
    if kind:
        if kind not in INSTANCE_TYPES:
            raise Refusal("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
        built = INSTANCE_TYPES[kind]["ProcessorInfo"]["SupportedArchitectures"]
        if image and ec2.amis[image].architecture not in built:
            raise Refusal(
                "InvalidParameterValue",
                f"The architecture '{','.join(built)}' of the specified instance type does not match the "
                f"architecture '{ec2.amis[image].architecture}' of the specified AMI.",
            )
    key = request.get("KeyName")
    if key and key not in ec2.key_pairs:
        raise Refusal("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
    _profile(request)
    _private_address(request)


def _profile(request: Request) -> None:
    name, arn = request.get("IamInstanceProfile.Name"), request.get("IamInstanceProfile.Arn")
    profiles = request.backend("iam").instance_profiles.values()
    if (name and all(p.name != name for p in profiles)) or (arn and all(p.arn != arn for p in profiles)):
        raise Refusal(
            "InvalidParameterValue", f"Value ({name or arn}) for parameter iamInstanceProfile is invalid."
        )


def _private_address(request: Request) -> None:
    given = request.get("PrivateIpAddress") or request.get("NetworkInterface.1.PrivateIpAddress")
    subnet_id = request.get("SubnetId") or request.get("NetworkInterface.1.SubnetId")
    if not given or not subnet_id:
        return
    ec2 = request.backend()
    subnet = ec2.get_subnet(subnet_id)
    addresses = list(ipaddress.ip_network(subnet.cidr_block))
    # Amazon keeps the first four and the last address of a subnet.
    if ipaddress.ip_address(given) not in addresses[4:-1]:
        raise Refusal("InvalidParameterValue", f"Address {given} does not fall within the subnet's address range")
    if any(i.subnet_id == subnet_id and i.private_ip == given for i in living(ec2)):
        raise Refusal("InvalidIPAddress.InUse", f"Address {given} is in use.")


@after("ec2:RunInstances")
def _launched(request: Request, answer: Answer) -> None:
    ids = re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", answer.body.decode())
    _moves(request, list(dict.fromkeys(ids)), "pending", "running")


@after("ec2:StartInstances")
def _started(request: Request, answer: Answer) -> None:
    _moves(request, request.all("InstanceId"), "pending", "running")


@after("ec2:StopInstances")
def _stopped(request: Request, answer: Answer) -> None:
    _moves(request, request.all("InstanceId"), "stopping", "stopped")


@after("ec2:TerminateInstances")
def _terminated(request: Request, answer: Answer) -> None:
    _moves(request, request.all("InstanceId"), "shutting-down", "terminated")


@before("ec2:StartInstances")
def _start(request: Request) -> None:
    for instance in living(request.backend()):
        if instance.id in request.all("InstanceId") and instance._state.name in ("stopping", "shutting-down"):
            raise Refusal(
                "IncorrectInstanceState",
                f"The instance '{instance.id}' is not in a state from which it can be started.",
            )


@before("ec2:ModifyInstanceAttribute")
def _modify(request: Request) -> None:
    stopped_only = any(
        key.startswith(("InstanceType", "UserData", "EbsOptimized"))
        or (key == "Attribute" and value in ("instanceType", "userData", "ebsOptimized"))
        for key, value in request.call.params.items()
    )
    for instance in living(request.backend()):
        if instance.id == request.get("InstanceId") and stopped_only and instance._state.name != "stopped":
            raise Refusal("IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state.")
