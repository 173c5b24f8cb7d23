"""aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule and its twin for egress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Ec2Kind, Item
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Rule(Ec2Kind):
    """One rule of a security group."""

    describe, items, id_field = "describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"
    id_filter, resource_type = "security-group-rule-id", "security-group-rule"
    egress = False

    def alive(self, item: Item) -> bool:
        return bool(item.get("IsEgress", self.egress)) == self.egress

    def properties(self, item: Item) -> dict[str, Value]:
        found: dict[str, Value] = {
            "securityGroupId": item["GroupId"],
            "securityGroupRuleId": item["SecurityGroupRuleId"],
            "arn": self.arn(f"security-group-rule/{self.id_of(item)}", account=item.get("GroupOwnerId", "")),
            "ipProtocol": str(item["IpProtocol"]),
            "cidrIpv4": item.get("CidrIpv4"),
            "cidrIpv6": item.get("CidrIpv6"),
            "referencedSecurityGroupId": (item.get("ReferencedGroupInfo") or {}).get("GroupId"),
            "description": item.get("Description") or None,
        }
        if found["ipProtocol"] != "-1":
            found |= {"fromPort": item.get("FromPort"), "toPort": item.get("ToPort")}
        return {key: value for key, value in found.items() if value is not None}

    def _request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        request = {
            "IpProtocol": inputs["ipProtocol"],
            "FromPort": inputs.get("fromPort", -1),
            "ToPort": inputs.get("toPort", -1),
            "CidrIpv4": inputs.get("cidrIpv4"),
            "CidrIpv6": inputs.get("cidrIpv6"),
            "ReferencedGroupId": inputs.get("referencedSecurityGroupId"),
            # Left out it would stay; empty it goes.
            "Description": inputs.get("description", ""),
        }
        return {key: value for key, value in request.items() if value is not None}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        permission: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
        if "fromPort" in inputs:
            permission |= {"FromPort": inputs["fromPort"], "ToPort": inputs["toPort"]}
        said = {"Description": inputs["description"]} if inputs.get("description") else {}
        if "cidrIpv4" in inputs:
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **said}]
        elif "cidrIpv6" in inputs:
            permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **said}]
        else:
            permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **said}]
        authorize = (
            self.client.authorize_security_group_egress
            if self.egress
            else self.client.authorize_security_group_ingress
        )
        with guarded("authorize_security_group"):
            made = authorize(
                GroupId=inputs["securityGroupId"],
                IpPermissions=[permission],
                TagSpecifications=self.specification(inputs),
            )["SecurityGroupRules"][0]
        call.made(made["SecurityGroupRuleId"])
        return self.settled(call, made["SecurityGroupRuleId"], inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, *(self.rules.inputs - {"tags"})):
            rule = {"SecurityGroupRuleId": known.id, "SecurityGroupRule": self._request(inputs)}
            self.client.modify_security_group_rules(GroupId=inputs["securityGroupId"], SecurityGroupRules=[rule])

    def remove(self, call: Call, known: Known) -> None:
        revoke = (
            self.client.revoke_security_group_egress if self.egress else self.client.revoke_security_group_ingress
        )
        revoke(GroupId=known.inputs["securityGroupId"], SecurityGroupRuleIds=[known.id])


class IngressRule(Rule):
    """What may come in."""

    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"


class EgressRule(Rule):
    """What may go out."""

    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    egress = True
