"""aws:ec2/securityGroup:SecurityGroup"""

from __future__ import annotations

from collections.abc import Mapping

from rehost.providers.aws.kinds.common import Ec2Kind, Item
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class SecurityGroup(Ec2Kind):
    """A group without rules of its own: rules are resources."""

    token = "aws:ec2/securityGroup:SecurityGroup"
    describe, items, id_field = "describe_security_groups", "SecurityGroups", "GroupId"
    id_filter, resource_type = "group-id", "security-group"

    def properties(self, item: Item) -> dict[str, Value]:
        owner = item.get("OwnerId", "")
        return {
            "arn": self.arn(f"security-group/{self.id_of(item)}", account=owner),
            "name": item["GroupName"],
            "description": item.get("Description", ""),
            "vpcId": item.get("VpcId", ""),
            "ownerId": owner,
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_security_group"):
            id_ = self.client.create_security_group(
                GroupName=inputs["name"],
                Description=inputs.get("description", self.rules.defaults["description"]),
                VpcId=inputs["vpcId"],
                TagSpecifications=self.specification(inputs),
            )["GroupId"]
            call.made(id_)
            live = self.settled(call, id_, inputs)
            self._bare(id_)
        return live

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        # A create that was interrupted may have left it open; one that was made elsewhere has rules of its own.
        if not self.differs(known, inputs, "tags"):
            self._bare(known.id)

    def _bare(self, id_: str) -> None:
        """Amazon gives every new group a rule that lets everything out; ours are resources, and tagged."""
        answer = self.client.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [id_]}])
        opening = [
            rule["SecurityGroupRuleId"]
            for rule in answer["SecurityGroupRules"]
            if rule["IsEgress"] and rule["IpProtocol"] == "-1" and not rule.get("Tags")
        ]
        if opening:
            self.client.revoke_security_group_egress(GroupId=id_, SecurityGroupRuleIds=opening)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_security_group(GroupId=known.id)
