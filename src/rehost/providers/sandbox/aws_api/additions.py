"""Operations of AWS that moto does not have, and results of its own that are no state of AWS's.

`add` and `complete` put them into moto's classes, once in a process. What they remember is kept on moto's
backends, so that it lives and dies with them.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

from rehost.providers.sandbox.aws_api import managed

IMAGE_GIB = 8


def add() -> None:
    """Complete all of moto."""
    for service in ("ec2", "iam", "acm", "rds", "elasticache", "s3"):
        complete(service)


@cache
def complete(service: str) -> None:
    """Complete one service, which imports moto's half of it. Does nothing the second time."""
    match service:
        case "ec2":
            _placement_groups()
            _groups_of_servers()
            _sizes_of_images()
            _names_of_addresses()
            _peers_of_rules()
            _watched_servers()
            _tenancy()
            _nat_addresses()
        case "iam":
            _instance_profile_tags()
        case "acm":
            _certificates()
        case "rds":
            managed.databases(_put)
        case "elasticache":
            managed.caches(_put)
        case "s3":
            _delete_markers()


def _put(owner: type, name: str, function: Callable[..., Any]) -> None:
    setattr(owner, name, function)


def _groups_of_servers() -> None:
    """The groups of a server are those of its first network interface, whichever of the two they are set at."""
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.instances import Instance

    interfaces = Instance.prep_nics

    def launched(self: Any, *args: Any, **kwargs: Any) -> None:
        interfaces(self, *args, **kwargs)
        if not self.security_groups and 0 in self.nics:
            self.security_groups = list(self.nics[0]._group_set)

    at_server = EC2Backend.modify_instance_security_groups
    at_interface = EC2Backend.modify_network_interface_attribute

    def server(self: Any, instance_id: str, new_group_id_list: list[str]) -> Any:
        instance = at_server(self, instance_id, new_group_id_list)
        if 0 in instance.nics:
            instance.nics[0]._group_set = list(instance.security_groups)
        return instance

    def interface(self: Any, eni_id: str, group_ids: list[str], *rest: Any) -> None:
        at_interface(self, eni_id, group_ids, *rest)
        eni = self.get_network_interface(eni_id)
        if group_ids and eni.instance is not None and eni.instance.nics.get(0) is eni:
            eni.instance.security_groups = list(eni._group_set)

    _put(Instance, "prep_nics", launched)
    _put(EC2Backend, "modify_instance_security_groups", server)
    _put(EC2Backend, "modify_network_interface_attribute", interface)


def _sizes_of_images() -> None:
    """Images of Debian and Ubuntu take 8 GiB; moto says 15 of every image."""
    from moto.ec2.models.amis import Ami

    shown: Any = Ami.block_device_mappings

    def mappings(self: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = shown.fget(self)
        return [{**row, "Ebs": {**row["Ebs"], "VolumeSize": IMAGE_GIB}} for row in rows]

    setattr(Ami, "block_device_mappings", property(mappings))  # noqa: B010


def _peers_of_rules() -> None:
    """A rule that is changed may have another peer, be it a group or a range of the sixth version of IP."""
    from moto.ec2.models import EC2Backend

    modify = EC2Backend.modify_security_group_rules

    def changed(self: Any, group_id: str, rules: dict[str, dict[str, Any]]) -> None:
        modify(self, group_id, rules)
        group = self.get_security_group_by_name_or_id(group_id)
        for id_, wanted in rules.items():
            rule = group.get_rule(id_)
            if wanted.get("ReferencedGroupId"):
                rule.source_group = {**rule.source_group, "GroupId": wanted["ReferencedGroupId"]}
            if wanted.get("CidrIpv6"):
                rule.ip_range["CidrIpv6"] = wanted["CidrIpv6"]

    _put(EC2Backend, "modify_security_group_rules", changed)


def _names_of_addresses() -> None:
    """Reverse names of static addresses. That a name resolves to its address nobody can tell here."""
    from moto.core.responses import ActionResult
    from moto.ec2.exceptions import EC2ClientError
    from moto.ec2.models import EC2Backend
    from moto.ec2.responses import EC2Response

    def shown(address: Any) -> dict[str, Any]:
        about = {"PublicIp": address.public_ip, "AllocationId": address.allocation_id}
        name = vars(address).get("rehost_name")
        return {**about, **({"PtrRecord": f"{name}."} if name else {})}

    def addresses(self: Any, ids: list[str]) -> list[Any]:
        found: list[Any] = self.ec2_backend.describe_addresses(ids)
        return found

    def describe(self: Any) -> ActionResult:
        rows = [shown(address) for address in addresses(self, self._get_param("AllocationIds", []))]
        # What has no name has no attribute.
        return ActionResult({"Addresses": [row for row in rows if "PtrRecord" in row]})

    def modify(self: Any) -> ActionResult:
        (address,) = addresses(self, [self._get_param("AllocationId")])
        address.rehost_name = str(self._get_param("DomainName")).rstrip(".")
        return ActionResult({"Address": shown(address)})

    def reset(self: Any) -> ActionResult:
        (address,) = addresses(self, [self._get_param("AllocationId")])
        address.rehost_name = None
        return ActionResult({"Address": shown(address)})

    release = EC2Backend.release_address

    def kept(self: Any, address: Any = None, allocation_id: Any = None) -> None:
        named = self.address_by_ip([address]) if address else self.address_by_allocation([allocation_id])
        if any(vars(row).get("rehost_name") for row in named):
            error = EC2ClientError("You must remove the reverse DNS record of the address before you release it.")
            error.code = "InvalidAddress.Locked"
            raise error
        release(self, address, allocation_id)

    _put(EC2Response, "describe_addresses_attribute", describe)
    _put(EC2Response, "modify_address_attribute", modify)
    _put(EC2Response, "reset_address_attribute", reset)
    _put(EC2Backend, "release_address", kept)


def _placement_groups() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.exceptions import EC2ClientError
    from moto.ec2.responses import EC2Response
    from moto.ec2.utils import EC2_RESOURCE_TO_PREFIX

    EC2_RESOURCE_TO_PREFIX["placement-group"] = "pg"

    def groups(self: Any) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = vars(self.ec2_backend).setdefault("rehost_placement_groups", {})
        return found

    def refused(code: str, message: str) -> EC2ClientError:
        error = EC2ClientError(message)
        error.code = code
        return error

    def create(self: Any) -> ActionResult:
        name = str(self._get_param("GroupName"))
        if name in groups(self):
            raise refused("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
        id_, backend = f"pg-{uuid.uuid4().hex[:17]}", self.ec2_backend
        group = {
            "GroupName": name,
            "State": "available",
            "Strategy": self._get_param("Strategy") or "cluster",
            "PartitionCount": self._get_int_param("PartitionCount"),
            "SpreadLevel": self._get_param("SpreadLevel"),
            "GroupId": id_,
            "GroupArn": f"arn:aws:ec2:{backend.region_name}:{backend.account_id}:placement-group/{name}",
        }
        tags = self._parse_tag_specification("placement-group").get("placement-group", {})
        backend.create_tags([id_], tags)
        groups(self)[name] = {key: value for key, value in group.items() if value is not None}
        return ActionResult({"PlacementGroup": shown(self, groups(self)[name])})

    def shown(self: Any, group: dict[str, Any]) -> dict[str, Any]:
        rows = self.ec2_backend.describe_tags(filters={"resource-id": [group["GroupId"]]})
        return {**group, "Tags": [{"Key": row["key"], "Value": row["value"]} for row in rows]}

    def describe(self: Any) -> ActionResult:
        found = [shown(self, group) for group in groups(self).values()]
        wanted = {"group-name": self._get_param("GroupNames") or [], **self._filters_from_querystring()}
        for name, values in wanted.items():
            if values:
                found = [group for group in found if value_of(group, name) in values]
        return ActionResult({"PlacementGroups": found})

    def value_of(group: dict[str, Any], name: str) -> Any:
        if name.startswith("tag:"):
            return {row["Key"]: row["Value"] for row in group["Tags"]}.get(name[4:])
        fields = {"group-name": "GroupName", "group-arn": "GroupArn", "state": "State", "strategy": "Strategy"}
        return group.get(fields.get(name, name))

    def delete(self: Any) -> ActionResult:
        name = str(self._get_param("GroupName"))
        if name not in groups(self):
            raise refused("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        for reservation in self.ec2_backend.all_reservations():
            for server in reservation.instances:
                if server.state != "terminated" and server.placement.group_name == name:
                    raise refused("InvalidPlacementGroup.InUse", f"The placement group '{name}' is in use.")
        group = groups(self).pop(name)
        self.ec2_backend.tags.pop(group["GroupId"], None)
        return ActionResult({})

    run = EC2Response.run_instances

    def run_in_group(self: Any) -> ActionResult:
        name = str(self._get_param("Placement.GroupName") or "")
        if name and name not in groups(self):
            raise refused("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        made = run(self)
        for server in getattr(made.result, "instances", ()) if name else ():
            server.placement.group_name = name
        return made

    _put(EC2Response, "run_instances", run_in_group)
    for name, function in (("create", create), ("describe", describe), ("delete", delete)):
        many = "s" if name == "describe" else ""
        _put(EC2Response, f"{name}_placement_group{many}", function)


def _instance_profile_tags() -> None:
    from moto.core.responses import ActionResult
    from moto.iam.responses import IamResponse

    def tags(self: Any) -> ActionResult:
        profile = self.backend.get_instance_profile(self._get_param("InstanceProfileName"))
        rows = [{"Key": key, "Value": value} for key, value in _pairs(profile.tags)]
        return ActionResult({"Tags": rows, "IsTruncated": False})

    _put(IamResponse, "list_instance_profile_tags", tags)


def _pairs(tags: Any) -> list[tuple[str, str]]:
    if isinstance(tags, dict):
        return [
            (str(row["Key"]), str(row["Value"])) if isinstance(row, dict) else (str(key), str(row))
            for key, row in tags.items()
        ]
    return [(str(row["Key"]), str(row["Value"])) for row in tags]


def _watched_servers() -> None:
    """Servers that are watched closely, or no longer."""
    from moto.core.responses import ActionResult
    from moto.ec2.responses import EC2Response

    def watching(state: str) -> Callable[..., ActionResult]:
        def act(self: Any) -> ActionResult:
            rows = []
            for id_ in self._get_param("InstanceIds", []):
                self.ec2_backend.get_instance(id_).monitoring_state = state
                rows.append({"InstanceId": id_, "Monitoring": {"State": state}})
            return ActionResult({"InstanceMonitorings": rows})

        return act

    _put(EC2Response, "monitor_instances", watching("enabled"))
    _put(EC2Response, "unmonitor_instances", watching("disabled"))


def _nat_addresses() -> None:
    """A NAT gateway has the private address that was asked for."""
    from moto.ec2.responses import EC2Response

    create = EC2Response.create_nat_gateway

    def at_address(self: Any) -> Any:
        made: Any = create(self)
        wanted = self._get_param("PrivateIpAddress")
        if wanted:
            gateway = made.result["NatGateway"]
            gateway.private_ip = gateway._eni.private_ip_address = wanted
            for row in gateway.address_set:
                row["privateIp"] = wanted
        return made

    _put(EC2Response, "create_nat_gateway", at_address)


def _tenancy() -> None:
    """A network of dedicated hardware can be opened to all; there is no way back."""
    from moto.core.responses import ActionResult
    from moto.ec2.exceptions import EC2ClientError
    from moto.ec2.responses import EC2Response

    def modify(self: Any) -> ActionResult:
        if self._get_param("InstanceTenancy") != "default":
            error = EC2ClientError("The tenancy of a VPC can be changed to default only.")
            error.code = "InvalidParameterValue"
            raise error
        self.ec2_backend.get_vpc(self._get_param("VpcId")).instance_tenancy = "default"
        return ActionResult({"Return": True})

    _put(EC2Response, "modify_vpc_tenancy", modify)


def _certificates() -> None:
    """Renewing an uploaded certificate leaves its tags; an issued one has the key and the proof asked for."""
    from moto.acm.models import AWSCertificateManagerBackend as Backend
    from moto.acm.models import CertBundle
    from moto.acm.responses import AWSCertificateManagerResponse as Response
    from moto.core.responses import EmptyResult

    real, request, describe = Backend.import_certificate, Response.request_certificate, CertBundle.describe

    def keeping(self: Any, *args: Any, **kwargs: Any) -> str:
        arn = kwargs.get("arn") or (args[3] if len(args) > 3 else None)
        old = copy.copy(self._certificates[arn].tags) if arn in self._certificates else None
        made = real(self, *args, **kwargs)
        if old is not None:
            self._certificates[made].tags = old
        return made

    def asked(self: Any) -> Any:
        answer: Any = request(self)
        made = self.acm_backend._certificates[answer.result["CertificateArn"]]
        made.rehost_method = self._get_param("ValidationMethod") or "EMAIL"
        made.rehost_key = self._get_param("KeyAlgorithm") or "RSA_2048"
        return answer

    def told(self: Any) -> dict[str, Any]:
        answer: dict[str, Any] = describe(self)
        about = vars(self)
        if "rehost_method" in about:
            rows = answer["Certificate"].get("DomainValidationOptions") or []
            for row in rows:
                row["ValidationMethod"] = about["rehost_method"]
                if about["rehost_method"] == "EMAIL":
                    row.pop("ResourceRecord", None)
            answer["Certificate"]["KeyAlgorithm"] = about["rehost_key"]
        return answer

    def options(self: Any) -> EmptyResult:
        found = self.acm_backend.get_certificate(self._get_param("CertificateArn"))
        found.cert_options = {**found.cert_options, **self._get_param("Options")}
        return EmptyResult()

    _put(Backend, "import_certificate", keeping)
    _put(Response, "request_certificate", asked)
    _put(Response, "update_certificate_options", options)
    _put(CertBundle, "describe", told)


def _delete_markers() -> None:
    """A bucket that keeps no versions any more may hold marks of deleted objects, which hold nothing to let go."""
    from moto.s3.models import FakeDeleteMarker

    _put(FakeDeleteMarker, "dispose", lambda self, garbage=False: None)
