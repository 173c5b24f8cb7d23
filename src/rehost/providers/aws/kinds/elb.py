"""What the kinds of load balancing share: tags in batches, attributes, and actions of listeners and rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import Item, ListedKind, camel, chunks, to_tags
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value

TAG_BATCH = 20
"""Resources whose tags one call describes (API reference)."""

Attributes = Mapping[str, tuple[str, type]]
"""Property to attribute and type: `idleTimeout` is `idle_timeout.timeout_seconds`, a number."""


class ElbKind(ListedKind):
    """A kind of the load balancing API; ids are ARNs."""

    service = "elbv2"

    def tagged(self, items: Sequence[Item]) -> list[Item]:
        found: dict[str, Any] = {}
        for chunk in chunks([self.id_of(item) for item in items], TAG_BATCH):
            with guarded("describe_tags"):
                answer = self.client.describe_tags(ResourceArns=chunk)
            found |= {row["ResourceArn"]: row["Tags"] for row in answer["TagDescriptions"]}
        return [{**item, "Tags": found.get(self.id_of(item), [])} for item in items]

    def tag(self, id_: str, tags: Mapping[str, Any]) -> None:
        self.client.add_tags(ResourceArns=[id_], Tags=to_tags(tags))

    def untag(self, id_: str, keys: list[str]) -> None:
        self.client.remove_tags(ResourceArns=[id_], TagKeys=keys)


class UnderParent(ElbKind):
    """A kind that is listed by the one that it is a part of, whose ARN its own ARN holds."""

    parent_input: str
    parent_word: str
    word: str

    def parent_of(self, id_: str) -> str:
        """The ARN of what a resource is a part of: `.../listener/app/x/1/2` is of `.../loadbalancer/app/x/1`."""
        head, _, tail = id_.partition(f":{self.word}/")
        return f"{head}:{self.parent_word}/{tail.rpartition('/')[0]}"

    def children(self, parent: str) -> list[Item]:
        """The items of one parent; none where the parent is gone."""
        raise AssertionError(f"{self.token} does not say what is in {parent}")

    def select(self, ids: Sequence[str]) -> list[Item]:
        parents = sorted({self.parent_of(id_) for id_ in ids})
        found = [item for parent in parents for item in self.children(parent) if self.id_of(item) in ids]
        return self.tagged(found)

    def twins(self, inputs: Mapping[str, Value]) -> list[Item]:
        return self.tagged(self.children(str(inputs[self.parent_input])))


def attributes_in(rows: Sequence[Mapping[str, str]], names: Attributes) -> dict[str, Value]:
    """Attributes as properties, those that the resource has."""
    found = {row["Key"]: row["Value"] for row in rows}
    return {name: _typed(found[key], kind) for name, (key, kind) in names.items() if key in found}


def attributes_out(inputs: Mapping[str, Value], names: Attributes) -> list[dict[str, str]]:
    """Properties as attributes."""
    return [{"Key": key, "Value": _text(inputs[name])} for name, (key, _) in names.items() if name in inputs]


def _typed(text: str, kind: type) -> Value:
    return text == "true" if kind is bool else kind(text)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_REDIRECT = ("protocol", "port", "host", "path", "query", "statusCode")
_FIXED = ("contentType", "messageBody", "statusCode")


def actions_out(actions: Sequence[Mapping[str, Value]]) -> list[dict[str, Any]]:
    """Actions as the API takes them."""
    made: list[dict[str, Any]] = []
    for number, action in enumerate(actions, 1):
        row: dict[str, Any] = {"Type": action["type"], "Order": action.get("order", number)}
        if action.get("forward"):
            forward = action["forward"]
            row["ForwardConfig"] = {
                "TargetGroups": [
                    {"TargetGroupArn": group["arn"], "Weight": group.get("weight", 1)}
                    for group in forward["targetGroups"]
                ]
            }
            if forward.get("stickiness"):
                sticky = forward["stickiness"]
                row["ForwardConfig"]["TargetGroupStickinessConfig"] = {
                    "Enabled": bool(sticky.get("enabled")),
                    "DurationSeconds": sticky["duration"],
                }
        elif action.get("targetGroupArn"):
            row["TargetGroupArn"] = action["targetGroupArn"]
        for name, keys, field in (
            ("redirect", _REDIRECT, "RedirectConfig"),
            ("fixedResponse", _FIXED, "FixedResponseConfig"),
        ):
            if action.get(name):
                row[field] = {camel(key): str(action[name][key]) for key in keys if key in action[name]}
        made.append(row)
    return made


def actions_in(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Value]]:
    """Actions as properties. One target group is told in both ways that it can be asked for."""
    made: list[dict[str, Value]] = []
    for number, row in enumerate(sorted(rows, key=lambda row: row.get("Order") or 0), 1):
        action: dict[str, Value] = {"type": row["Type"], "order": row.get("Order") or number}
        config = row.get("ForwardConfig") or {}
        groups = [
            {"arn": group["TargetGroupArn"], "weight": group.get("Weight", 1)}
            for group in config.get("TargetGroups", [])
        ]
        single = row.get("TargetGroupArn") or (groups[0]["arn"] if len(groups) == 1 else "")
        if single:
            action["targetGroupArn"] = single
            groups = groups or [{"arn": single, "weight": 1}]
        if groups:
            sticky = config.get("TargetGroupStickinessConfig") or {}
            action["forward"] = {"targetGroups": groups}
            if sticky.get("Enabled"):
                action["forward"]["stickiness"] = {"enabled": True, "duration": sticky["DurationSeconds"]}
        for name, keys, field in (
            ("redirect", _REDIRECT, "RedirectConfig"),
            ("fixedResponse", _FIXED, "FixedResponseConfig"),
        ):
            if row.get(field):
                action[name] = {key: row[field][camel(key)] for key in keys if camel(key) in row[field]}
        made.append(action)
    return made


def plain_actions(actions: Sequence[Mapping[str, Value]]) -> list[dict[str, Value]]:
    """Actions of an import: one target group is asked for in one way."""
    made = []
    for action in actions:
        row = {key: value for key, value in action.items() if key != "order"}
        if "targetGroupArn" in row and "stickiness" not in row.get("forward", {}):
            row.pop("forward", None)
        elif "forward" in row:
            row.pop("targetGroupArn", None)
        made.append(row)
    return made
