"""What a change of a property means where that depends on more than its name: pure functions of old and new
inputs. Facts: the official provider's own conditions on replacement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rehost.providers.aws.catalog import CATALOG
from rehost.providers.base import Condition
from rehost.stacks.graph import Value, is_unknown
from rehost.stacks.ports import Change, Disruption

_DEFAULT = re.compile(r"default\.")
_PEERS = {"cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId"}


def _volume(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """EBS volumes grow and never shrink."""
    if change.path == "size" and not is_unknown(new.get("size")) and new["size"] < old["size"]:
        return replace(change, replaces=True)
    return change


def _instance(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """A type of another processor architecture means another server, and so does a smaller root volume."""
    if change.path == "instanceType":
        kinds = [CATALOG.types.get(str(side), {}).get("arch") for side in (change.old, change.new)]
        if None not in kinds and kinds[0] != kinds[1]:
            return replace(change, replaces=True)
    if change.path == "rootBlockDevice.volumeSize" and not is_unknown(change.new) and change.new < change.old:
        return replace(change, replaces=True)
    return change


def _rule(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """A peer of another kind is another rule."""
    if change.path in _PEERS and _PEERS & old.keys() != _PEERS & new.keys():
        return replace(change, replaces=True)
    return change


def _load_balancer(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """A network load balancer only ever gains subnets, and has security groups from the start or never."""
    if new.get("loadBalancerType", "application") != "network":
        return change
    name = change.path.partition("[")[0]
    before, after = old.get(name) or [], new.get(name) or []
    if name == "securityGroups" and bool(before) != bool(after):
        return replace(change, replaces=True)
    # A subnet that stays is known by now; what is unknown is another one.
    listed = name in ("subnets", "subnetMappings") and isinstance(after, list)
    if listed and any(row not in after for row in before):
        return replace(change, replaces=True)
    return change


def _target_group(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """Only HTTP has versions."""
    if change.path == "protocolVersion" and new.get("protocol") not in ("HTTP", "HTTPS"):
        return replace(change, replaces=False, disruption=Disruption.NONE)
    return change


def _cache(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change:
    """Versions only go up, and Valkey does not become Redis again."""
    if is_unknown(change.new):
        return change
    if change.path == "engine" and (change.old, change.new) == ("valkey", "redis"):
        return replace(change, replaces=True)
    same = old.get("engine", "redis") == new.get("engine", "redis")
    if change.path == "engineVersion" and same and _older(change.new, change.old):
        return replace(change, replaces=True)
    return change


def _database(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change | None:
    """Storage grows and never shrinks; versions only go up. Without parameters of its own it has Amazon's."""
    del old, new
    sides = [change.old, change.new]
    if change.path == "parameterGroupName" and None in sides and any(_DEFAULT.match(str(side)) for side in sides):
        return None
    if is_unknown(change.new) or change.new is None:
        return change
    shrinks = change.path == "allocatedStorage" and change.new < (change.old or 0)
    back = change.path == "engineVersion" and _older(change.new, change.old)
    return replace(change, replaces=True) if shrinks or back else change


def _older(one: Any, other: Any) -> bool:
    mine, theirs = ([int(part) for part in str(side or 0).split(".") if part.isdigit()] for side in (one, other))
    shared = min(len(mine), len(theirs))
    return mine[:shared] < theirs[:shared]


def _record(change: Change, old: Mapping[str, Value], new: Mapping[str, Value]) -> Change | None:
    """A full name is the same with and without the dot at its end."""
    del old, new
    same = change.path == "name" and str(change.old).rstrip(".") == str(change.new).rstrip(".")
    return None if same else change


CONDITIONS: Mapping[str, Condition] = {
    "aws:ebs/volume:Volume": _volume,
    "aws:ec2/instance:Instance": _instance,
    "aws:elasticache/replicationGroup:ReplicationGroup": _cache,
    "aws:lb/loadBalancer:LoadBalancer": _load_balancer,
    "aws:lb/targetGroup:TargetGroup": _target_group,
    "aws:rds/instance:Instance": _database,
    "aws:route53/record:Record": _record,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _rule,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _rule,
}
