"""Instances, volumes, addresses and keys to servers and what belongs to them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from rehost.providers.aws import tokens as t
from rehost.providers.aws.catalog import CATALOG
from rehost.providers.aws.lift.job import AwsJob
from rehost.providers.aws.lift.rules import kind, rules_of
from rehost.providers.aws.places import ADDED
from rehost.stacks.graph import Value
from rehost.stacks.hosts.cloudinit import MARK
from rehost.stacks.lift.draft import plain
from rehost.stacks.lift.groups import Member, grouped
from rehost.stacks.lift.items import Item
from rehost.stacks.lift.texts import Texts
from rehost.stacks.model import show_size
from rehost.stacks.sshkeys import kind_of
from rehost.stacks.userdata import separated, without
from rehost.stacks.wayout import gateway

_GIB = 1024**3
_MIB = 1024**2
_OURS = ("Name", "rehost-id", "rehost-stack")
_IMAGE = "debian-12"
"""Stands for an image that the catalog does not know; the real one is kept by an override."""


def group(made: AwsJob) -> None:
    """Which groups the servers are."""
    inside = [item for item in made.items.of(t.INSTANCE) if _subnet(made, item) is not None]
    for item in made.items.of(t.INSTANCE):
        if item not in inside:
            made.draft.leave(item, "it is in another network")
    for item in made.items.of(t.GROUP):
        # A group without servers has its security group all the same.
        if kind(item) == "servers-":
            made.draft.family("servers")[item.name.removeprefix("servers-")] = {"count": 0}
    made.members = grouped(inside, made.draft, _alike)
    for member in made.members:
        made.draft.claim(t.INSTANCE, member.name, member.item)


def _alike(item: Item) -> Value:
    inputs = item.inputs
    told = ("ami", "instanceType", "keyName", "placementGroup", "associatePublicIpAddress", "iamInstanceProfile")
    groups = sorted(map(str, inputs.get("vpcSecurityGroupIds") or []))
    root = dict(inputs.get("rootBlockDevice") or {})
    return [inputs.get(key) for key in told], groups, sorted(_labels(item).items()), sorted(root.items())


def _subnet(made: AwsJob, item: Item) -> str | None:
    found = made.items.get(item.inputs.get("subnetId"), t.SUBNET)
    return made.subnets.get(found.key) if found is not None else None


def _labels(item: Item) -> dict[str, str]:
    tags: Mapping[str, Any] = item.inputs.get("tags") or {}
    return {key: value for key, value in tags.items() if key not in _OURS and not key.startswith("rehost-")}


def keys(made: AwsJob) -> None:
    """Public keys."""
    for item in made.items.of(t.KEY):
        text = item.inputs.get("publicKey") or made.job.about.get("keys", {}).get(item.id)
        text = str(text).strip() if text else ""
        if kind_of(text) is None:
            made.draft.leave(item, "Amazon does not tell its public half; servers keep it as an override")
            continue
        name = made.draft.name("ssh_keys", item.name, exact=item.marked)
        made.draft.family("ssh_keys")[name] = text
        made.draft.claim(t.KEY, name, item)


def lift(made: AwsJob) -> None:
    """Server groups."""
    by_group: dict[str, list[Member]] = {}
    for member in made.members:
        by_group.setdefault(member.group, []).append(member)
    for name, members in by_group.items():
        made.draft.family("servers")[name] = _server(made, name, members)
    for name, data in made.draft.family("servers").items():
        if name not in by_group:
            _nobody(made, name, data)


def _nobody(made: AwsJob, name: str, data: dict[str, Any]) -> None:
    """A group without servers: what there is of it are its security group and perhaps a placement group."""
    own = next(item for item in made.items.of(t.GROUP) if item.marked and item.name == f"servers-{name}")
    if not rules_of(made, own, t.EGRESS) and made.firewalls:
        # Servers that stand behind no firewall have an open way out.
        data["firewalls"] = [next(iter(made.firewalls.values()))]
    for item in made.items.of(t.PLACEMENT):
        if item.marked and item.name == name:
            data["placement"] = "spread"
            made.draft.claim(t.PLACEMENT, name, item)


def _server(made: AwsJob, name: str, members: list[Member]) -> dict[str, Any]:
    draft, first = made.draft, members[0].item
    inputs = first.inputs
    root = inputs.get("rootBlockDevice") or {}
    disk = int(root.get("volumeSize") or 8)
    type_, image = str(inputs["instanceType"]), str(inputs["ami"])
    known, size = CATALOG.types.get(type_), {"disk": f"{disk}GiB"}
    about = made.job.about.get("images", {}).get(image, {})
    data: dict[str, Any] = {"count": len(members), "size": size, "image": about.get("name") or _IMAGE}
    if known:
        size |= {"cpu": known["vcpu"], "memory": show_size(known["memory_mib"] * _MIB)}
        data["architecture"] = known["arch"]
        draft.fact(f"servers.{name}.type", type_, "what the servers run on")
    else:
        # The lowering writes what is pinned; the override says it where nothing is.
        draft.note("servers", name, text=f"the catalog does not know {type_}: it is kept; say what size is needed")
    if about.get("name") or first.marked:
        draft.fact(f"servers.{name}.image", image, "what the servers were made from")
    else:
        text = f"{image} is an image of one's own: it is kept here, and elsewhere it would be {_IMAGE}"
        draft.note("servers", name, text=text)
    groups = made.items.each(inputs.get("vpcSecurityGroupIds"), t.GROUP)
    data["firewalls"] = [made.firewalls[item.key] for item in groups if item.key in made.firewalls]
    data["public"] = bool(inputs.get("associatePublicIpAddress"))
    key = made.name_of(inputs.get("keyName"), t.KEY)
    data["ssh_keys"] = [key] if key else []
    data["labels"] = _labels(first)
    if inputs.get("placementGroup"):
        spread = made.items.get(inputs["placementGroup"], t.PLACEMENT)
        if spread is not None and spread.inputs.get("strategy") == "spread":
            data["placement"] = "spread"
            draft.claim(t.PLACEMENT, name, spread)
    value = _user_data(made, members)
    if value:

        def later(texts: Texts) -> None:
            draft.family("servers")[name]["user_data"] = texts.text(value, f"{name}-user-data")

        made.later.append(later)
    _places(made, data, members)
    return plain(data) | {"count": len(members)}


def _user_data(made: AwsJob, members: list[Member]) -> Value:
    """What the servers of a group are told; what the way out is told beside follows from its being that."""
    plain_ = next((member for member in members if member.name != made.way_out), None)
    if plain_ is not None:
        return without(plain_.item.inputs.get("userData"), MARK)
    value = without(members[0].item.inputs.get("userData"), MARK)
    cidr = IPv4Network((made.draft.network or {})["cidr"])
    return separated(value, gateway(cidr)) if value else None


def _places(made: AwsJob, data: dict[str, Any], members: list[Member]) -> None:
    """The subnet that all are in; or that of each, as a fact."""
    subnets = {member.name: _subnet(made, member.item) for member in members}
    one = next(iter(subnets.values())) if len(set(subnets.values())) == 1 else None
    network: Mapping[str, Any] = made.draft.network or {}
    # Which subnets public servers name counts where others have a way out of their own.
    told = len(made.subnets) > 1 or "way_out" in network
    if one is not None and told and not one.startswith(f"{ADDED}-"):
        data["subnet"] = one
        return
    for member, subnet in subnets.items():
        made.draft.fact(f"servers.{member}.subnet", subnet, "where the server is")


def roles(made: AwsJob) -> None:
    """What lets services of a group into buckets, where the stack has such services."""
    services = made.draft.family("services").values()
    groups = {service["on"] for service in services if service.get("buckets")}
    for token in (t.ROLE, t.ROLE_POLICY, t.PROFILE):
        for item in made.items.of(token):
            if item.name in groups:
                made.draft.claim(token, item.name, item)


def volumes(made: AwsJob) -> None:
    """Volumes that are on servers. A numbered set on all of a group is one volume of that."""
    attached: dict[str, tuple[str, Item]] = {}
    for item in made.items.of(t.ATTACHMENT):
        volume = made.items.get(item.inputs["volumeId"], t.VOLUME)
        member = made.member_of(item.inputs["instanceId"])
        if volume is None or member is None:
            made.draft.known.add(item.key)
        else:
            attached[volume.key] = member, item
    sets: dict[str, list[Item]] = {}
    for volume in made.items.of(t.VOLUME):
        if volume.key not in attached:
            made.draft.leave(volume, "it is on no server of this stack; a volume is on one here")
        elif volume.marked:
            sets.setdefault(volume.name.rpartition("-")[0], []).append(volume)
        else:
            sets.setdefault(made.draft.name("volumes", volume.name or "data"), []).append(volume)
            made.draft.family("volumes")[next(reversed(sets))] = {}
    for name, rows in sets.items():
        rows.sort(key=lambda row: int(row.name.rpartition("-")[2]) if row.marked else 0)
        _volume(made, name, rows, attached)


def _volume(made: AwsJob, name: str, rows: list[Item], attached: Mapping[str, tuple[str, Item]]) -> None:
    on = [attached[row.key][0] for row in rows]
    group_name = on[0].rpartition("-")[0]
    whole = on == made.everyone(group_name)
    size = max(int(row.inputs["size"]) for row in rows)
    made.draft.family("volumes")[name] = {"size": f"{size}GiB", "on": group_name if whole else on[0]}
    if not rows[0].marked:
        made.draft.note("volumes", name, text="Amazon does not tell its file system: ext4 is assumed")
    for number, row in enumerate(rows, 1):
        member, join = attached[row.key]
        made.draft.claim(t.VOLUME, f"{name}-{number}", row)
        made.draft.claim(t.ATTACHMENT, f"{name}-{number}", join)
        device = join.inputs.get("deviceName") or join.outputs.get("deviceName")
        made.draft.fact(f"volumes.{name}-{number}.device.{member}", device, "the device that it is")


def addresses(made: AwsJob) -> None:
    """Static addresses that servers have."""
    joins = {
        found.key: item
        for item in made.items.of(t.ADDRESSED)
        if (found := made.items.get(item.inputs["allocationId"], t.ADDRESS)) is not None
    }
    for item in made.items.of(t.ADDRESS):
        if item.key in made.draft.claims.values():
            continue
        join = joins.get(item.key)
        member = made.member_of(join.inputs.get("instanceId")) if join is not None else None
        if member is None and (join is not None or item.outputs.get("associationId")):
            made.draft.leave(item, "what has it is no server of this stack")
            if join is not None:
                made.draft.known.add(join.key)
            continue
        name = made.draft.name("static_addresses", item.name or member or "address", exact=item.marked)
        data = made.draft.family("static_addresses")[name] = {"on": f"servers.{member}"} if member else {}
        made.draft.claim(t.ADDRESS, name, item)
        if join is not None:
            made.draft.claim(t.ADDRESSED, name, join)
        for named in made.items.of(t.ADDRESS_NAME):
            if made.items.get(named.inputs["allocationId"], t.ADDRESS) is item:
                data["reverse"] = named.inputs["domainName"]
                made.draft.claim(t.ADDRESS_NAME, name, named)
