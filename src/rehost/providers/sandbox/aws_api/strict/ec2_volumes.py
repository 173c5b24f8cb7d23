"""Volumes: zones and device names have to fit, attaching, detaching and growing take their time.

Source: EC2 API reference, Error codes and VolumeModification.
"""

from __future__ import annotations

import re
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.models.elastic_block_store import Volume, VolumeModification

from rehost.providers.sandbox.aws_api.strict.ec2_network import living
from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, after, before, settle
from rehost.providers.sandbox.wire import Answer

STATE_SECONDS = 0.2
"""So long a volume is created, attached or detached, and each of the two stages of its growth takes."""


def _status(volume: Any) -> str:
    """moto has available and in-use; what is under way is noted on the volume with the time of its end."""
    _, name = getattr(volume, "rehost_due", (0.0, ""))
    return name or ("in-use" if volume.attachment else "available")


def _stage(modification: Any) -> str:
    if not getattr(modification.volume, "rehost_staged", False):
        return "completed"
    age = (utcnow() - modification.start_time).total_seconds()
    return "modifying" if age < STATE_SECONDS else "optimizing" if age < 2 * STATE_SECONDS else "completed"


def _progress(modification: Any) -> int:
    return {"modifying": 0, "optimizing": 50, "completed": 100}[_stage(modification)]


# Without what the rules below note on a volume, all of it is as moto has it.
_models: Any = (Volume, VolumeModification)
_models[0].status = property(_status)
_models[1].modification_state = property(_stage)
_models[1].progress = property(_progress)


@settle("ec2")
def _states(request: Request) -> None:
    for volume in request.backend().volumes.values():
        if request.now >= getattr(volume, "rehost_due", (0.0, ""))[0]:
            volume.rehost_due = (0.0, "")


def _volume(request: Request) -> Any:
    return request.backend().volumes.get(request.get("VolumeId"))


@before("ec2:CreateVolume")
def _create(request: Request) -> None:
    zone = request.get("AvailabilityZone")
    zones = [z.name for z in request.backend().describe_availability_zones()]
    if zone and zone not in zones:
        raise Refusal("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")


@after("ec2:CreateVolume")
def _created(request: Request, answer: Answer) -> None:
    found = re.search(r"<volumeId>(vol-[0-9a-f]+)</volumeId>", answer.body.decode())
    if found:
        request.backend().volumes[found[1]].rehost_due = (request.due(STATE_SECONDS), "creating")


@before("ec2:AttachVolume")
def _attach(request: Request) -> None:
    ec2, volume = request.backend(), _volume(request)
    instance = next((i for i in living(ec2) if i.id == request.get("InstanceId")), None)
    if volume is None or instance is None:
        return
    if volume.attachment:
        raise Refusal("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.status != "available":
        raise Refusal("IncorrectState", f"Volume '{volume.id}' is not 'available'.")
    if instance._state.name not in ("running", "stopped"):
        raise Refusal("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    if volume.availability_zone != instance.availability_zone:
        raise Refusal(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'",
        )
    device = request.get("Device")
    taken = [name for name, _ in instance.get_block_device_mapping]
    if device in taken:
        raise Refusal(
            "InvalidParameterValue",
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use",
        )


@before("ec2:DeleteVolume")
def _delete(request: Request) -> None:
    volume = _volume(request)
    if volume is not None and volume.status != "available" and not volume.attachment:
        if volume.status == "creating":
            raise Refusal("IncorrectState", f"Volume '{volume.id}' is in the 'creating' state.")
        raise Refusal("VolumeInUse", f"Volume {volume.id} is currently being detached")


@before("ec2:DetachVolume")
def _detach(request: Request) -> None:
    volume = _volume(request)
    if volume is None:
        return
    if volume.attachment is None:
        raise Refusal("IncorrectState", f"Volume '{volume.id}' is in the 'available' state.")
    if not request.get("InstanceId"):
        # Amazon knows where it is attached; moto wants to be told.
        request.add("InstanceId", volume.attachment.instance.id)


@after("ec2:DetachVolume")
def _detached(request: Request, answer: Answer) -> None:
    volume = _volume(request)
    if volume is not None:
        volume.rehost_due = (request.due(STATE_SECONDS), "in-use")


@before("ec2:ModifyVolume")
def _modify(request: Request) -> None:
    volume = _volume(request)
    if volume is None:
        return
    if volume.modifications and _stage(volume.modifications[-1]) != "completed":
        raise Refusal("IncorrectModificationState", f"Volume {volume.id} is being modified already.")
    size = request.get("Size")
    if size and int(size) < volume.size:
        raise Refusal("InvalidParameterValue", "New size cannot be smaller than existing size")
    volume.rehost_staged = not request.settings.instant
