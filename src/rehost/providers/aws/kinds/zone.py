"""aws:route53/zone:Zone"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import AwsKind, Item, chunks, everything, from_tags, mark, to_tags
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Zone(AwsKind):
    """A hosted zone. Its caller reference is the step's token: repeating the call makes no second one."""

    token = "aws:route53/zone:Zone"
    service, id_field = "route53", "Id"

    def id_of(self, item: Item) -> str:
        return str(item["Id"]).rsplit("/", 1)[-1]

    def _all(self) -> list[Item]:
        return everything(self.client, "list_hosted_zones", "HostedZones")

    def _with_tags(self, zones: Sequence[Item]) -> list[Item]:
        found: dict[str, Any] = {}
        for chunk in chunks([self.id_of(zone) for zone in zones], 10):
            with guarded("list_tags_for_resources"):
                answer = self.client.list_tags_for_resources(ResourceType="hostedzone", ResourceIds=chunk)
            found |= {row["ResourceId"]: row["Tags"] for row in answer["ResourceTagSets"]}
        return [{**zone, "Tags": found.get(self.id_of(zone), [])} for zone in zones]

    def select(self, ids: Sequence[str]) -> list[Item]:
        return self._with_tags([zone for zone in self._all() if self.id_of(zone) in ids])

    def twins(self, inputs: Mapping[str, Value]) -> list[Item]:
        return self._with_tags([zone for zone in self._all() if zone["Name"].rstrip(".") == inputs["name"]])

    def tags(self, item: Item) -> dict[str, str]:
        return from_tags(item["Tags"])

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        for zone in self.twins(inputs):
            ours = str(zone.get("CallerReference", "")).startswith(mark(inputs) + "-")
            if ours or self.tags(zone).get("rehost-id") == mark(inputs):
                return self.live(inputs, zone)
        return None

    def properties(self, item: Item) -> dict[str, Value]:
        id_ = self.id_of(item)
        with guarded("get_hosted_zone"):
            servers = list(self.client.get_hosted_zone(Id=id_).get("DelegationSet", {}).get("NameServers", []))
        return {
            "arn": f"arn:{self.client.meta.partition}:route53:::hostedzone/{id_}",
            "name": item["Name"].rstrip("."),
            "comment": (item.get("Config") or {}).get("Comment", ""),
            "zoneId": id_,
            "nameServers": sorted(servers),
            "primaryNameServer": servers[0] if servers else "",
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_hosted_zone"):
            made = self.client.create_hosted_zone(
                Name=inputs["name"],
                # The mark in the reference is how a lost create is known before it could be tagged.
                CallerReference=f"{mark(inputs)}-{call.client_token}",
                HostedZoneConfig={"Comment": inputs.get("comment", self.rules.defaults["comment"])},
            )
            id_ = self.id_of(made["HostedZone"])
            call.made(id_)
            self.tag(id_, inputs.get("tags") or {})
        return self.settled(call, id_, inputs)

    def tag(self, id_: str, tags: Mapping[str, Any]) -> None:
        self.client.change_tags_for_resource(ResourceType="hostedzone", ResourceId=id_, AddTags=to_tags(tags))

    def untag(self, id_: str, keys: list[str]) -> None:
        self.client.change_tags_for_resource(ResourceType="hostedzone", ResourceId=id_, RemoveTagKeys=keys)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "comment"):
            self.client.update_hosted_zone_comment(Id=known.id, Comment=inputs.get("comment", ""))

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_hosted_zone(Id=known.id)
