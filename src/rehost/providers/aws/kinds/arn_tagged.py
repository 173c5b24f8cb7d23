"""Kinds whose tags go by ARN, whatever their id is: databases and caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import Item, ListedKind, everything, from_tags, to_tags
from rehost.stacks.errors import ProviderError, Reason


class ArnTaggedKind(ListedKind):
    """Tags come one by one, where they do not come along with the listing."""

    arn_field = "ARN"

    def tagged(self, items: Sequence[Item]) -> list[Item]:
        listing = "list_tags_for_resource"
        return [
            {**item, "TagList": everything(self.client, listing, "TagList", ResourceName=item[self.arn_field])}
            for item in items
        ]

    def tags(self, item: Item) -> dict[str, str]:
        return from_tags(item.get("TagList"))

    def tag(self, id_: str, tags: Mapping[str, Any]) -> None:
        self.client.add_tags_to_resource(ResourceName=self._arn(id_), Tags=to_tags(tags))

    def untag(self, id_: str, keys: list[str]) -> None:
        self.client.remove_tags_from_resource(ResourceName=self._arn(id_), TagKeys=keys)

    def _arn(self, id_: str) -> str:
        item = self.one(id_)
        if item is None:
            raise ProviderError(f"{id_} is gone", reason=Reason.NOT_FOUND)
        return str(item[self.arn_field])
