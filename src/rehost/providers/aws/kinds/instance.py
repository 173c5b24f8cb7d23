"""aws:ec2/instance:Instance"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import Clients, Ec2Kind, Item, camel, given, to_tags
from rehost.providers.aws.kinds.volume import Volume
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live

_METADATA = ("httpEndpoint", "httpTokens", "httpPutResponseHopLimit", "httpProtocolIpv6", "instanceMetadataTags")
_STARTING = {"httpEndpoint": "enabled", "httpTokens": "required"}
USUAL_METADATA = {"httpPutResponseHopLimit": 1, "httpProtocolIpv6": "disabled", "instanceMetadataTags": "disabled"}
"""What servers have where nothing is said (EC2 API reference, InstanceMetadataOptionsRequest)."""
_ROOT = {"volumeSize": "Size", "volumeType": "VolumeType", "iops": "Iops", "throughput": "Throughput"}
"""Properties of the root volume that change in place."""
_ROOT_ASKED = ("encrypted", "volumeSize", "volumeType")


class Instance(Ec2Kind):
    """A server. Its size changes while it is stopped; its root volume grows in place."""

    token = "aws:ec2/instance:Instance"
    describe, items, id_field = "describe_instances", "Reservations", "InstanceId"
    id_filter, resource_type = "instance-id", "instance"

    def __init__(self, clients: Clients, rules: KindRules) -> None:
        super().__init__(clients, rules)
        self._volumes = Volume(clients, rules)

    def unpack(self, page: Mapping[str, Any]) -> list[Item]:
        return [
            {**item, "OwnerId": reservation.get("OwnerId", "")}
            for reservation in page["Reservations"]
            for item in reservation["Instances"]
        ]

    def alive(self, item: Item) -> bool:
        return item["State"]["Name"] not in ("terminated", "shutting-down")

    def query(self, name: str, values: Sequence[str]) -> list[Item]:
        found = super().query(name, values)
        roots = {item["InstanceId"]: _root_volume(item) for item in found}
        volumes = {row["VolumeId"]: row for row in self._volumes.select(sorted(filter(None, roots.values())))}
        return [{**item, "RootVolume": volumes.get(roots[item["InstanceId"]], {})} for item in found]

    def properties(self, item: Item) -> dict[str, Value]:
        options, root = item.get("MetadataOptions") or {}, item["RootVolume"]
        first = _first(item)
        # The groups are those of the first network interface; the server's own list repeats them.
        groups = first.get("Groups") or item.get("SecurityGroups", [])
        placement, profile = item["Placement"], item.get("IamInstanceProfile") or {}
        return {
            "arn": self.arn(f"instance/{self.id_of(item)}", account=item["OwnerId"]),
            "ami": item["ImageId"],
            "instanceType": item["InstanceType"],
            "instanceState": item["State"]["Name"],
            "instanceLifecycle": item.get("InstanceLifecycle", ""),
            "spotInstanceRequestId": item.get("SpotInstanceRequestId", ""),
            "outpostArn": item.get("OutpostArn", ""),
            "passwordData": "",
            "primaryNetworkInterfaceId": first.get("NetworkInterfaceId", ""),
            "availabilityZone": placement["AvailabilityZone"],
            "placementGroup": placement.get("GroupName", ""),
            "tenancy": placement.get("Tenancy", "default"),
            "subnetId": item.get("SubnetId", ""),
            "keyName": item.get("KeyName", ""),
            "privateIp": item.get("PrivateIpAddress", ""),
            "privateDns": item.get("PrivateDnsName", ""),
            "publicIp": item.get("PublicIpAddress", ""),
            "publicDns": item.get("PublicDnsName", ""),
            "associatePublicIpAddress": bool(item.get("PublicIpAddress")),
            "vpcSecurityGroupIds": sorted({group["GroupId"] for group in groups}),
            "metadataOptions": {name: options[camel(name)] for name in _METADATA if camel(name) in options},
            "iamInstanceProfile": profile.get("Arn", "").rsplit("/", 1)[-1],
            "monitoring": (item.get("Monitoring") or {}).get("State") in ("enabled", "pending"),
            "sourceDestCheck": item.get("SourceDestCheck", True),
            "rootBlockDevice": {
                "volumeId": root.get("VolumeId", ""),
                "deviceName": item.get("RootDeviceName", ""),
                "encrypted": root.get("Encrypted", False),
                "kmsKeyId": root.get("KmsKeyId", ""),
                **{ours: root[theirs] for ours, theirs in _ROOT.items() if theirs in root},
            },
        }

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        root = inputs.get("rootBlockDevice") or {}
        kept = {key: value for key, value in inputs.items() if key not in ("availabilityZone", "privateIp")}
        return {**kept, "rootBlockDevice": {key: root[key] for key in _ROOT_ASKED if key in root}}

    def live(self, asked: Mapping[str, Value], item: Item) -> Live:
        live = super().live(asked, item)
        inputs, outputs = dict(live.inputs), dict(live.outputs)
        static = (_first(item).get("Association") or {}).get("IpOwnerId", "amazon") != "amazon"
        if "associatePublicIpAddress" in asked and (static or item["State"]["Name"] != "running"):
            # A stopped server shows no public address, one with a static address shows that one.
            inputs["associatePublicIpAddress"] = outputs["associatePublicIpAddress"] = asked[
                "associatePublicIpAddress"
            ]
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
                    **given(inputs, PrivateIpAddress="privateIp"),
                }
            ],
            "MetadataOptions": _metadata({**_STARTING, **(inputs.get("metadataOptions") or {})}),
            "TagSpecifications": [
                *self.specification(inputs),
                {"ResourceType": "volume", "Tags": to_tags(inputs.get("tags"))},
            ],
            **given(inputs, KeyName="keyName", UserData="userData"),
        }
        if inputs.get("iamInstanceProfile"):
            request["IamInstanceProfile"] = {"Name": inputs["iamInstanceProfile"]}
        if inputs.get("placementGroup"):
            request["Placement"] = {"GroupName": inputs["placementGroup"]}
        if inputs.get("monitoring"):
            request["Monitoring"] = {"Enabled": True}
        with guarded("run_instances"):
            request["BlockDeviceMappings"] = [
                {
                    "DeviceName": self._root_device(str(inputs["ami"])),
                    "Ebs": {
                        "Encrypted": bool(root.get("encrypted", True)),
                        "VolumeSize": root.get("volumeSize", 10),
                        "VolumeType": root.get("volumeType", "gp3"),
                        "DeleteOnTermination": True,
                        **given(root, Iops="iops", Throughput="throughput", KmsKeyId="kmsKeyId"),
                    },
                }
            ]
            id_ = self.client.run_instances(**request)["Instances"][0]["InstanceId"]
            call.made(id_)
            self._until(call, id_, "running")
            if not inputs.get("sourceDestCheck", True):
                self._check_source(id_, inputs)
        return self.settled(call, id_, inputs)

    def _root_device(self, ami: str) -> str:
        images = self.client.describe_images(ImageIds=[ami])["Images"]
        return str(images[0].get("RootDeviceName") or "/dev/xvda") if images else "/dev/xvda"

    def _until(self, call: Call, id_: str, state: str) -> None:
        def there() -> bool:
            # Not through `one`: a server that ended by itself has to be seen.
            with guarded("describe_instances"):
                answer = self.client.describe_instances(Filters=[{"Name": "instance-id", "Values": [id_]}])
            for item in self.unpack(answer):
                if item["State"]["Name"] == "terminated" and state != "terminated":
                    raise ProviderError(
                        f"{id_} terminated by itself",
                        reason=Reason.FAILED,
                        why=str((item.get("StateReason") or {}).get("Message", "")),
                    )
                return bool(item["State"]["Name"] == state)
            return state == "terminated"

        call.poll(there, f"{id_} to be {state}")

    def _check_source(self, id_: str, inputs: Mapping[str, Value]) -> None:
        checks = {"Value": bool(inputs.get("sourceDestCheck", True))}
        self.client.modify_instance_attribute(InstanceId=id_, SourceDestCheck=checks)

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
        if self.differs(known, inputs, "sourceDestCheck"):
            self._check_source(known.id, inputs)
        if self.differs(known, inputs, "metadataOptions"):
            # What is no longer asked for goes back to what a server starts with.
            before = known.inputs.get("metadataOptions") or {}
            usual = {key: value for key, value in USUAL_METADATA.items() if key in before}
            options = {**_STARTING, **usual, **(inputs.get("metadataOptions") or {})}
            self.client.modify_instance_metadata_options(InstanceId=known.id, **_metadata(options))
        if self.differs(known, inputs, "monitoring"):
            watch = self.client.monitor_instances if inputs.get("monitoring") else self.client.unmonitor_instances
            watch(InstanceIds=[known.id])
        if self.differs(known, inputs, "iamInstanceProfile"):
            self._profile(call, known.id, inputs.get("iamInstanceProfile"))
        if self.differs(known, inputs, "rootBlockDevice"):
            self._grow_root(call, known.id, inputs.get("rootBlockDevice") or {})

    def _profile(self, call: Call, id_: str, name: Any) -> None:
        """A server has one profile at most; taking one away takes a moment."""
        filters = [{"Name": "instance-id", "Values": [id_]}]

        def held() -> list[Mapping[str, Any]]:
            answer = self.client.describe_iam_instance_profile_associations(Filters=filters)
            return [
                row
                for row in answer["IamInstanceProfileAssociations"]
                if row["State"] in ("associating", "associated")
            ]

        for row in held():
            self.client.disassociate_iam_instance_profile(AssociationId=row["AssociationId"])
        call.poll(lambda: not held(), f"{id_} to be without its profile")
        if name:
            self.client.associate_iam_instance_profile(InstanceId=id_, IamInstanceProfile={"Name": name})

    def _grow_root(self, call: Call, id_: str, root: Mapping[str, Value]) -> None:
        item = self.one(id_)
        volume = str(item["RootVolume"].get("VolumeId", "")) if item else ""
        wanted = {theirs: root[ours] for ours, theirs in _ROOT.items() if ours in root}
        if volume and wanted:
            self.client.modify_volume(VolumeId=volume, **wanted)
            self._volumes.until(
                call, volume, lambda row: all(row.get(key) == value for key, value in wanted.items()), "changed"
            )

    def remove(self, call: Call, known: Known) -> None:
        self.client.terminate_instances(InstanceIds=[known.id])
        self._until(call, known.id, "terminated")


def _first(item: Item) -> Item:
    """The first network interface of a server."""
    for interface in item.get("NetworkInterfaces", []):
        if (interface.get("Attachment") or {}).get("DeviceIndex", 0) == 0:
            return dict(interface)
    return {}


def _root_volume(item: Item) -> str:
    for mapping in item.get("BlockDeviceMappings", []):
        if mapping.get("DeviceName") == item.get("RootDeviceName"):
            return str((mapping.get("Ebs") or {}).get("VolumeId", ""))
    return ""


def _metadata(options: Mapping[str, Value]) -> dict[str, Any]:
    return {camel(name): options[name] for name in _METADATA if name in options}
