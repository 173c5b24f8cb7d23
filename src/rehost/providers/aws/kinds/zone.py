"""aws:route53/zone:Zone"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import from_tags, mark, to_tags
from rehost.providers.base import described
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class Zone:
    """A hosted zone. Its caller reference is the step's token: repeating the call makes no second one."""

    def __init__(self, clients: Mapping[str, Any], rules: KindRules) -> None:
        self.client: Any = clients["route53"]
        self.rules = rules

    def _all(self) -> list[dict[str, Any]]:
        with guarded("list_hosted_zones"):
            pages = self.client.get_paginator("list_hosted_zones").paginate()
            return [zone for page in pages for zone in page["HostedZones"]]

    def _tags(self, ids: Sequence[str]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(ids), 10):
            with guarded("list_tags_for_resources"):
                answer = self.client.list_tags_for_resources(
                    ResourceType="hostedzone", ResourceIds=list(ids[start : start + 10])
                )
            found |= {row["ResourceId"]: from_tags(row["Tags"]) for row in answer["ResourceTagSets"]}
        return found

    def _live(self, asked: Mapping[str, Value], zone: Mapping[str, Any], tags: Mapping[str, str]) -> Live:
        id_ = zone["Id"].rsplit("/", 1)[-1]
        with guarded("get_hosted_zone"):
            detail = self.client.get_hosted_zone(Id=id_)
        outputs: dict[str, Value] = {
            "name": zone["Name"].rstrip("."),
            "comment": (zone.get("Config") or {}).get("Comment", ""),
            "zoneId": id_,
            "nameServers": sorted(detail.get("DelegationSet", {}).get("NameServers", [])),
            "tags": dict(tags),
            "tagsAll": dict(tags),
        }
        return Live(id_, described(self.rules, asked, outputs), outputs)

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        zones = {zone["Id"].rsplit("/", 1)[-1]: zone for zone in self._all()}
        tags = self._tags([item.id for item in known if item.id in zones])
        return [
            self._live(item.inputs, zones[item.id], tags.get(item.id, {})) if item.id in zones else None
            for item in known
        ]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        named = [zone for zone in self._all() if zone["Name"].rstrip(".") == inputs["name"]]
        tags = self._tags([zone["Id"].rsplit("/", 1)[-1] for zone in named])
        for zone in named:
            id_ = zone["Id"].rsplit("/", 1)[-1]
            ours = str(zone.get("CallerReference", "")).startswith(mark(inputs) + "-")
            if ours or tags.get(id_, {}).get("rehost-id") == mark(inputs):
                return self._live(inputs, zone, tags.get(id_, {}))
        return None

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_hosted_zone"):
            made = self.client.create_hosted_zone(
                Name=inputs["name"],
                # The mark in the reference is how a lost create is known before it could be tagged.
                CallerReference=f"{mark(inputs)}-{call.client_token}",
                HostedZoneConfig={"Comment": inputs.get("comment", "")},
            )
            id_ = made["HostedZone"]["Id"].rsplit("/", 1)[-1]
            call.made(id_)
            self.client.change_tags_for_resource(
                ResourceType="hostedzone", ResourceId=id_, AddTags=to_tags(inputs.get("tags"))
            )
        live = self.read([Known("", id_, inputs, {})])[0]
        assert live is not None
        return live

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        old, new = known.inputs.get("tags") or {}, inputs.get("tags") or {}
        with guarded("update_hosted_zone"):
            if known.inputs.get("comment") != inputs.get("comment"):
                self.client.update_hosted_zone_comment(Id=known.id, Comment=inputs.get("comment", ""))
            if old != new:
                request: dict[str, Any] = {"AddTags": to_tags(new)}
                if set(old) - set(new):
                    request["RemoveTagKeys"] = sorted(set(old) - set(new))
                self.client.change_tags_for_resource(ResourceType="hostedzone", ResourceId=known.id, **request)
        live = self.read([Known(known.urn, known.id, inputs, {})])[0]
        if live is None:
            raise ProviderError(f"zone {known.id} is gone", reason=Reason.NOT_FOUND)
        return live

    def delete(self, call: Call, known: Known) -> None:
        try:
            with guarded("delete_hosted_zone"):
                self.client.delete_hosted_zone(Id=known.id)
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
