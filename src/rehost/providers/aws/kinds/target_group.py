"""aws:lb/targetGroup:TargetGroup and aws:lb/targetGroupAttachment:TargetGroupAttachment"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import Item, everything, given, to_tags
from rehost.providers.aws.kinds.elb import Attributes, ElbKind, attributes_in, attributes_out
from rehost.providers.aws.kinds.tie import Tie
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live

ATTRIBUTES: Attributes = {
    "connectionTermination": ("deregistration_delay.connection_termination.enabled", bool),
    "deregistrationDelay": ("deregistration_delay.timeout_seconds", int),
    "loadBalancingAlgorithmType": ("load_balancing.algorithm.type", str),
    "preserveClientIp": ("preserve_client_ip.enabled", str),
    "proxyProtocolV2": ("proxy_protocol_v2.enabled", bool),
    "slowStart": ("slow_start.duration_seconds", int),
}
"""Elastic Load Balancing API reference, TargetGroupAttribute."""
_STICKY: Attributes = {
    "enabled": ("stickiness.enabled", bool),
    "type": ("stickiness.type", str),
    "cookieDuration": ("stickiness.lb_cookie.duration_seconds", int),
}
_HEALTH = {
    "enabled": "HealthCheckEnabled",
    "healthyThreshold": "HealthyThresholdCount",
    "interval": "HealthCheckIntervalSeconds",
    "path": "HealthCheckPath",
    "port": "HealthCheckPort",
    "protocol": "HealthCheckProtocol",
    "timeout": "HealthCheckTimeoutSeconds",
    "unhealthyThreshold": "UnhealthyThresholdCount",
}


class TargetGroup(ElbKind):
    """Where a load balancer sends what it gets, and how it knows who is well; its id is its ARN."""

    token = "aws:lb/targetGroup:TargetGroup"
    listing, items, id_field = "describe_target_groups", "TargetGroups", "TargetGroupArn"
    name_input, name_field = "name", "TargetGroupName"

    def properties(self, item: Item) -> dict[str, Value]:
        arn = self.id_of(item)
        with guarded("describe_target_group_attributes"):
            rows = self.client.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        health = {ours: item[theirs] for ours, theirs in _HEALTH.items() if item.get(theirs) is not None}
        matcher = item.get("Matcher") or {}
        if matcher:
            health["matcher"] = matcher.get("HttpCode") or matcher.get("GrpcCode", "")
        return {
            "arn": arn,
            "arnSuffix": arn.rpartition(":")[2],
            "healthCheck": health,
            "ipAddressType": item.get("IpAddressType", "ipv4"),
            "loadBalancerArns": list(item.get("LoadBalancerArns") or []),
            "name": item["TargetGroupName"],
            "port": item.get("Port", 0),
            "protocol": item.get("Protocol", ""),
            "protocolVersion": item.get("ProtocolVersion", ""),
            "stickiness": attributes_in(rows, _STICKY),
            "targetType": item.get("TargetType", "instance"),
            "vpcId": item.get("VpcId", ""),
            **attributes_in(rows, ATTRIBUTES),
        }

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        # Everybody has a kind of stickiness, also who has none.
        sticky = inputs.get("stickiness") or {}
        return {key: value for key, value in inputs.items() if key != "stickiness" or sticky.get("enabled")}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_target_group"):
            arn = self.client.create_target_group(
                Name=inputs["name"],
                Tags=to_tags(inputs.get("tags")),
                **given(
                    inputs,
                    Protocol="protocol",
                    ProtocolVersion="protocolVersion",
                    Port="port",
                    VpcId="vpcId",
                    TargetType="targetType",
                    IpAddressType="ipAddressType",
                ),
                **_health(inputs),
            )["TargetGroups"][0]["TargetGroupArn"]
            call.made(arn)
            self._attributes(arn, inputs)
        return self.settled(call, arn, inputs)

    def _attributes(self, arn: str, inputs: Mapping[str, Value]) -> None:
        rows = attributes_out(inputs, ATTRIBUTES)
        if "stickiness" in inputs:
            rows += attributes_out({"enabled": True, **inputs["stickiness"]}, _STICKY)
        if rows:
            self.client.modify_target_group_attributes(TargetGroupArn=arn, Attributes=rows)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, "healthCheck"):
            self.client.modify_target_group(TargetGroupArn=known.id, **_health(inputs))
        if self.differs(known, inputs, "stickiness", *ATTRIBUTES):
            # Everybody has a kind of stickiness: what is not asked for any more is switched off.
            off = {**(known.inputs.get("stickiness") or {}), "enabled": False}
            self._attributes(known.id, {**({"stickiness": off} if len(off) > 1 else {}), **inputs})

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_target_group(TargetGroupArn=known.id)


def _health(inputs: Mapping[str, Value]) -> dict[str, Any]:
    check = inputs.get("healthCheck") or {}
    request = {theirs: check[ours] for ours, theirs in _HEALTH.items() if ours in check}
    if "matcher" in check:
        grpc = inputs.get("protocolVersion") == "GRPC"
        request["Matcher"] = {"GrpcCode" if grpc else "HttpCode": check["matcher"]}
    return request


class TargetGroupAttachment(Tie):
    """A target in a group; the natural key is group, target and port. One that drains is on its way out."""

    token = "aws:lb/targetGroupAttachment:TargetGroupAttachment"
    service = "elbv2"

    def keyed(self, id_: str) -> dict[str, Value]:
        group, target, *rest = id_.split(",")
        port = next((int(part) for part in rest if part.isdigit()), None)
        return {"targetGroupArn": group, "targetId": target, **({"port": port} if port else {})}

    def look(self, wanted: Sequence[Mapping[str, Value]]) -> list[Live | None]:
        groups = sorted({str(inputs["targetGroupArn"]) for inputs in wanted})
        members = {group: self._members(group) for group in groups}
        return [self._among(members[str(inputs["targetGroupArn"])], inputs) for inputs in wanted]

    def _members(self, group: str) -> list[Item]:
        return everything(self.client, "describe_target_health", "TargetHealthDescriptions", TargetGroupArn=group)

    @staticmethod
    def _among(rows: Sequence[Item], inputs: Mapping[str, Value]) -> Live | None:
        for row in rows:
            target = row["Target"]
            leaving = (row.get("TargetHealth") or {}).get("State") == "draining"
            if target["Id"] == inputs["targetId"] and not leaving:
                if inputs.get("port") not in (None, target.get("Port")):
                    continue
                values: dict[str, Value] = {
                    "targetGroupArn": inputs["targetGroupArn"],
                    "targetId": target["Id"],
                    "port": target.get("Port", 0),
                }
                port = [str(inputs["port"])] if "port" in inputs else []
                return Live(",".join([values["targetGroupArn"], values["targetId"], *port]), values, values)
        return None

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("register_targets"):
            self.client.register_targets(
                TargetGroupArn=inputs["targetGroupArn"],
                Targets=[given(inputs, Id="targetId", Port="port", AvailabilityZone="availabilityZone")],
            )
        return self.appeared(call, inputs)

    def remove(self, call: Call, known: Known) -> None:
        group, target = str(known.inputs["targetGroupArn"]), given(known.inputs, Id="targetId", Port="port")
        if self.find(known.inputs) is None:
            return
        self.client.deregister_targets(TargetGroupArn=group, Targets=[target])

        def drained() -> bool:
            # What it still answers would be cut off if the server behind it went now.
            return all(
                row["Target"]["Id"] != target["Id"] or target.get("Port") not in (None, row["Target"].get("Port"))
                for row in self._members(group)
            )

        call.poll(drained, "the target to have answered what it had")
