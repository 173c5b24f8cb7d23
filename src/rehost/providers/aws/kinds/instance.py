"""aws:ec2/instance:Instance"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Ec2Kind, to_tags
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Instance(Ec2Kind):
    """A server. Its size changes while it is stopped."""

    token = "aws:ec2/instance:Instance"
    describe, items, id_field = "describe_instances", "Reservations", "InstanceId"
    id_filter, resource_type = "instance-id", "instance"

    def unpack(self, page: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [item for reservation in page["Reservations"] for item in reservation["Instances"]]

    def alive(self, item: Mapping[str, Any]) -> bool:
        return item["State"]["Name"] not in ("terminated", "shutting-down")

    def properties(self, item: Mapping[str, Any]) -> dict[str, Value]:
        options = item.get("MetadataOptions") or {}
        # The groups are those of the first network interface; the server's own list repeats them.
        groups = [
            group
            for interface in item.get("NetworkInterfaces", [])
            if (interface.get("Attachment") or {}).get("DeviceIndex", 0) == 0
            for group in interface.get("Groups", [])
        ] or item.get("SecurityGroups", [])
        return {
            "ami": item["ImageId"],
            "instanceType": item["InstanceType"],
            "instanceState": item["State"]["Name"],
            "availabilityZone": item["Placement"]["AvailabilityZone"],
            "subnetId": item.get("SubnetId", ""),
            "keyName": item.get("KeyName", ""),
            "privateIp": item.get("PrivateIpAddress", ""),
            "privateDns": item.get("PrivateDnsName", ""),
            "publicIp": item.get("PublicIpAddress", ""),
            "publicDns": item.get("PublicDnsName", ""),
            "associatePublicIpAddress": bool(item.get("PublicIpAddress")),
            "vpcSecurityGroupIds": sorted({group["GroupId"] for group in groups}),
            "metadataOptions": {
                "httpEndpoint": options.get("HttpEndpoint", "enabled"),
                "httpTokens": options.get("HttpTokens", "optional"),
            },
            "sourceDestCheck": item.get("SourceDestCheck", True),
        }

    def live(self, asked: Mapping[str, Value], item: Mapping[str, Any]) -> Live:
        live = super().live(asked, item)
        inputs, outputs = dict(live.inputs), dict(live.outputs)
        # The root volume's facts are in another call; a stopped server shows no public address.
        for key in ("rootBlockDevice", "associatePublicIpAddress", "metadataOptions"):
            unseen = key != "metadataOptions" or not item.get("MetadataOptions")
            stopped = item["State"]["Name"] != "running"
            if key in asked and (key == "rootBlockDevice" or (unseen and (stopped or key == "metadataOptions"))):
                inputs[key] = outputs[key] = asked[key]
        return Live(live.id, inputs, outputs)

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        root = inputs.get("rootBlockDevice") or {}
        request: dict[str, Any] = {
            "ClientToken": call.client_token,
            "MinCount": 1,
            "MaxCount": 1,
            "ImageId": inputs["ami"],
            "InstanceType": inputs["instanceType"],
            "NetworkInterfaces": [
                {
                    "DeviceIndex": 0,
                    "SubnetId": inputs["subnetId"],
                    "Groups": list(inputs["vpcSecurityGroupIds"]),
                    "AssociatePublicIpAddress": bool(inputs.get("associatePublicIpAddress")),
                }
            ],
            "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
            "TagSpecifications": [
                *self.specification(inputs),
                {"ResourceType": "volume", "Tags": to_tags(inputs.get("tags"))},
            ],
        }
        with guarded("run_instances"):
            device = self._root_device(str(inputs["ami"]))
            request["BlockDeviceMappings"] = [
                {
                    "DeviceName": device,
                    "Ebs": {
                        "Encrypted": True,
                        "VolumeSize": root.get("volumeSize", 10),
                        "VolumeType": root.get("volumeType", "gp3"),
                        "DeleteOnTermination": True,
                    },
                }
            ]
            if inputs.get("keyName"):
                request["KeyName"] = inputs["keyName"]
            if inputs.get("userData"):
                request["UserData"] = str(inputs["userData"])
            id_ = self.client.run_instances(**request)["Instances"][0]["InstanceId"]
            call.made(id_)
            self._until(call, id_, "running")
        return self.settled(call, id_, inputs)

    def _root_device(self, ami: str) -> str:
        images = self.client.describe_images(ImageIds=[ami])["Images"]
        return str(images[0].get("RootDeviceName") or "/dev/xvda") if images else "/dev/xvda"

    def _until(self, call: Call, id_: str, state: str) -> None:
        def there() -> bool:
            item = self.one(id_)
            if item is not None and item["State"]["Name"] == "terminated":
                raise ProviderError(
                    f"{id_} terminated by itself",
                    reason=Reason.FAILED,
                    why=str((item.get("StateReason") or {}).get("Message", "")),
                )
            return item is not None and item["State"]["Name"] == state

        call.poll(there, f"{id_} to be {state}")

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "instanceType"):
            self.client.stop_instances(InstanceIds=[known.id])
            self._until(call, known.id, "stopped")
            self.client.modify_instance_attribute(
                InstanceId=known.id, InstanceType={"Value": inputs["instanceType"]}
            )
            self.client.start_instances(InstanceIds=[known.id])
            self._until(call, known.id, "running")
        if self.differs(known, inputs, "vpcSecurityGroupIds"):
            self.client.modify_instance_attribute(InstanceId=known.id, Groups=list(inputs["vpcSecurityGroupIds"]))
        if self.differs(known, inputs, "metadataOptions"):
            self.client.modify_instance_metadata_options(
                InstanceId=known.id, HttpTokens=inputs["metadataOptions"]["httpTokens"], HttpEndpoint="enabled"
            )

    def remove(self, call: Call, known: Known) -> None:
        self.client.terminate_instances(InstanceIds=[known.id])

        def gone() -> bool:
            with guarded("describe_instances"):
                answer = self.client.describe_instances(Filters=[{"Name": "instance-id", "Values": [known.id]}])
            return all(item["State"]["Name"] == "terminated" for item in self.unpack(answer))

        call.poll(gone, f"{known.id} to be terminated")
