"""aws:iam/role:Role, aws:iam/rolePolicy:RolePolicy and aws:iam/instanceProfile:InstanceProfile"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import Item, ListedKind, everything, given, gone_is_fine, to_tags
from rehost.providers.aws.kinds.tie import Tie
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class _IamKind(ListedKind):
    """A kind of IAM: global, its id is its name. Tags have a call of their own."""

    service = "iam"
    word: str
    """The word in the names of its calls: `tag_role`, `list_role_tags`, RoleName."""

    def tagged(self, items: Sequence[Item]) -> list[Item]:
        return [{**item, "Tags": self._tags(self.id_of(item))} for item in items]

    def _tags(self, name: str) -> list[Item]:
        return everything(self.client, f"list_{self.word}_tags", "Tags", **{self.id_field: name})

    def tag(self, id_: str, tags: Mapping[str, Any]) -> None:
        getattr(self.client, f"tag_{self.word}")(**{self.id_field: id_}, Tags=to_tags(tags))

    def untag(self, id_: str, keys: list[str]) -> None:
        getattr(self.client, f"untag_{self.word}")(**{self.id_field: id_}, TagKeys=keys)


def uniform(policy: Any) -> str:
    """A policy as JSON text whose layout is no difference."""
    content = json.loads(policy) if isinstance(policy, str) else policy
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


class Role(_IamKind):
    """What a server may be; who may take it is its assume role policy."""

    token = "aws:iam/role:Role"
    word, id_field, name_input = "role", "RoleName", "name"
    listing, items = "list_roles", "Roles"

    def properties(self, item: Item) -> dict[str, Value]:
        return {
            "arn": item["Arn"],
            "assumeRolePolicy": uniform(item["AssumeRolePolicyDocument"]),
            "createDate": item["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "description": item.get("Description") or "",
            "maxSessionDuration": item.get("MaxSessionDuration") or 3600,
            "name": item["RoleName"],
            "path": item["Path"],
            "uniqueId": item["RoleId"],
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_role"):
            name = self.client.create_role(
                RoleName=inputs["name"],
                AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
                Tags=to_tags(inputs.get("tags")),
                **given(inputs, Path="path", Description="description", MaxSessionDuration="maxSessionDuration"),
            )["Role"]["RoleName"]
        call.made(name)
        return self.settled(call, name, inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "assumeRolePolicy"):
            self.client.update_assume_role_policy(RoleName=known.id, PolicyDocument=inputs["assumeRolePolicy"])
        if self.differs(known, inputs, "description", "maxSessionDuration"):
            self.client.update_role(
                RoleName=known.id,
                Description=inputs.get("description", ""),
                MaxSessionDuration=inputs.get("maxSessionDuration", self.rules.defaults["maxSessionDuration"]),
            )

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_role(RoleName=known.id)


class RolePolicy(Tie):
    """What a role may do; the natural key is role and name."""

    token = "aws:iam/rolePolicy:RolePolicy"
    service = "iam"

    def keyed(self, id_: str) -> dict[str, Value]:
        role, name = id_.split(":", 1)
        return {"role": role, "name": name}

    def look(self, wanted: Sequence[Mapping[str, Value]]) -> list[Live | None]:
        return [self._of(str(inputs["role"]), str(inputs["name"])) for inputs in wanted]

    def _of(self, role: str, name: str) -> Live | None:
        document: Any = None
        with gone_is_fine(), guarded("get_role_policy"):
            document = self.client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        if document is None:
            return None
        values: dict[str, Value] = {"role": role, "name": name, "policy": uniform(document)}
        return Live(f"{role}:{name}", values, values)

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("put_role_policy"):
            self.client.put_role_policy(
                RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
            )
        return self.appeared(call, inputs, lambda live: live.outputs["policy"] == uniform(inputs["policy"]))

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self.create(call, inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_role_policy(RoleName=known.inputs["role"], PolicyName=known.inputs["name"])


class InstanceProfile(_IamKind):
    """What hands a role to a server. EC2 knows it some seconds after it was made."""

    token = "aws:iam/instanceProfile:InstanceProfile"
    word, id_field, name_input = "instance_profile", "InstanceProfileName", "name"
    listing, items = "list_instance_profiles", "InstanceProfiles"

    def properties(self, item: Item) -> dict[str, Value]:
        roles = item.get("Roles") or []
        return {
            "arn": item["Arn"],
            "createDate": item["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "name": item["InstanceProfileName"],
            "path": item["Path"],
            "role": roles[0]["RoleName"] if roles else "",
            "uniqueId": item["InstanceProfileId"],
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_instance_profile"):
            name = self.client.create_instance_profile(
                InstanceProfileName=inputs["name"], Tags=to_tags(inputs.get("tags")), **given(inputs, Path="path")
            )["InstanceProfile"]["InstanceProfileName"]
            call.made(name)
            self.settled(call, name, inputs)
            if inputs.get("role"):
                self.client.add_role_to_instance_profile(InstanceProfileName=name, RoleName=inputs["role"])
        return self.settled(call, name, inputs)

    def _empty(self, name: str) -> None:
        item = self.one(name)
        for role in item.get("Roles") or [] if item else []:
            self.client.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role["RoleName"])

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "role"):
            self._empty(known.id)
            if inputs.get("role"):
                self.client.add_role_to_instance_profile(InstanceProfileName=known.id, RoleName=inputs["role"])

    def remove(self, call: Call, known: Known) -> None:
        self._empty(known.id)
        self.client.delete_instance_profile(InstanceProfileName=known.id)
