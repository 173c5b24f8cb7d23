"""aws:lb/listenerRule:ListenerRule"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Item, everything, to_tags
from rehost.providers.aws.kinds.elb import UnderParent, actions_in, actions_out, plain_actions
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live

_VALUES = {
    "hostHeader": ("host-header", "HostHeaderConfig"),
    "httpRequestMethod": ("http-request-method", "HttpRequestMethodConfig"),
    "pathPattern": ("path-pattern", "PathPatternConfig"),
    "sourceIp": ("source-ip", "SourceIpConfig"),
}
"""Conditions that are a list of values: property to field and configuration."""


class ListenerRule(UnderParent):
    """Where requests go that meet its conditions; the lowest priority is asked first."""

    token = "aws:lb/listenerRule:ListenerRule"
    listing, items, id_field = "describe_rules", "Rules", "RuleArn"
    parent_input, parent_word, word = "listenerArn", "listener", "listener-rule"

    def children(self, parent: str) -> list[Item]:
        rows = everything(self.client, self.listing, self.items, ListenerArn=parent)
        return [{**row, "ListenerArn": parent} for row in rows if row["Priority"] != "default"]

    def properties(self, item: Item) -> dict[str, Value]:
        return {
            "actions": actions_in(item.get("Actions") or []),
            "arn": self.id_of(item),
            "conditions": [_condition_in(row) for row in item.get("Conditions") or []],
            "listenerArn": item["ListenerArn"],
            "priority": int(item["Priority"]),
        }

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        return {**inputs, "actions": plain_actions(inputs["actions"])}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        listener = str(inputs["listenerArn"])
        priority = (
            inputs.get("priority") or max((int(row["Priority"]) for row in self.children(listener)), default=0) + 1
        )
        with guarded("create_rule"):
            arn = self.client.create_rule(
                ListenerArn=listener,
                Priority=priority,
                Conditions=[_condition_out(row) for row in inputs["conditions"]],
                Actions=actions_out(inputs["actions"]),
                Tags=to_tags(inputs.get("tags")),
            )["Rules"][0]["RuleArn"]
        call.made(arn)
        return self.settled(call, arn, inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "priority") and inputs.get("priority"):
            self.client.set_rule_priorities(RulePriorities=[{"RuleArn": known.id, "Priority": inputs["priority"]}])
        if self.differs(known, inputs, "conditions", "actions"):
            self.client.modify_rule(
                RuleArn=known.id,
                Conditions=[_condition_out(row) for row in inputs["conditions"]],
                Actions=actions_out(inputs["actions"]),
            )

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_rule(RuleArn=known.id)


def _condition_out(condition: Mapping[str, Value]) -> dict[str, Any]:
    for name, (field, config) in _VALUES.items():
        if condition.get(name):
            return {"Field": field, config: {"Values": list(condition[name]["values"])}}
    if condition.get("httpHeader"):
        header = condition["httpHeader"]
        config_ = {"HttpHeaderName": header["httpHeaderName"], "Values": list(header["values"])}
        return {"Field": "http-header", "HttpHeaderConfig": config_}
    rows = [
        {k: v for k, v in (("Key", q.get("key")), ("Value", q["value"])) if v} for q in condition["queryStrings"]
    ]
    return {"Field": "query-string", "QueryStringConfig": {"Values": rows}}


def _condition_in(row: Mapping[str, Any]) -> dict[str, Value]:
    for name, (field, config) in _VALUES.items():
        if row["Field"] == field:
            return {name: {"values": list((row.get(config) or {}).get("Values") or row.get("Values") or [])}}
    if row["Field"] == "http-header":
        header = row["HttpHeaderConfig"]
        return {"httpHeader": {"httpHeaderName": header["HttpHeaderName"], "values": list(header["Values"])}}
    rows = row["QueryStringConfig"]["Values"]
    return {"queryStrings": [{key.lower(): value for key, value in item.items()} for item in rows]}
