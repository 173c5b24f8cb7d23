"""Networks, servers, volumes, addresses and keys."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from rehost.providers.hetzner import catalog
from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.lift.job import HetznerJob, is_public
from rehost.providers.hetzner.lower import RESOLVERS
from rehost.providers.hetzner.places import locations
from rehost.stacks.graph import Ref, Value
from rehost.stacks.hosts.cloudinit import MARK
from rehost.stacks.lift.draft import Draft, plain
from rehost.stacks.lift.groups import Member, grouped
from rehost.stacks.lift.items import Item
from rehost.stacks.lift.texts import Texts
from rehost.stacks.model import Network, Subnet
from rehost.stacks.userdata import separated, without
from rehost.stacks.wayout import client, gateway

_ARCHITECTURES = {"x86": "x86_64", "arm": "arm64"}
_ZONES = 6
"""Zones that a stack file counts, at most."""
_IMAGE = "debian-12"
"""Stands for an image that is not Hetzner's own; the real one is kept by an override."""


def network(made: HetznerJob) -> None:
    """The network that most servers are in. A stack has one; what is in others is told."""
    networks = made.items.of(t.NETWORK)
    inside = {item.key: 0 for item in networks}
    for server in made.items.of(t.SERVER):
        for net in server.inputs.get("networks") or []:
            found = made.items.get(net.get("networkId"), t.NETWORK)
            if found is not None:
                inside[found.key] += 1
    own = [item for item in networks if item.marked] or networks
    made.network = max(own, key=lambda item: inside[item.key], default=None)
    for item in networks:
        if item is not made.network:
            made.draft.leave(item, "a stack has one network, and the platform is in another one")
    if made.network is None:
        return
    made.draft.claim(t.NETWORK, "main", made.network)
    names: dict[str, dict[str, Any]] = {}
    scratch = Draft({"subnets": names})
    for item in made.items.of(t.SUBNET):
        if made.items.get(item.inputs["networkId"], t.NETWORK) is not made.network:
            made.draft.leave(item, "it is in another network")
        elif item.inputs.get("type", "cloud") == "vswitch":
            made.draft.leave(item, "a stack file has no subnets of dedicated servers; it stays as it is")
        else:
            # Hetzner knows a subnet by its range alone.
            name = scratch.name("subnets", f"zone-{len(names) + 1}")
            names[name] = {"cidr": item.inputs["ipRange"], "zone": _zone(made, item, len(names) + 1)}
            made.subnets[item.key] = name
            made.draft.claim(t.SUBNET, str(item.inputs["ipRange"]), item)
    cidr = str(made.network.inputs["ipRange"])
    made.draft.network = {"cidr": cidr, **_layout(cidr, names)}


def _zone(made: HetznerJob, subnet: Item, number: int) -> int:
    """The zone of a subnet: that of the location which its servers are in. Where there is one location only, no
    zone is another; elsewhere each subnet may be in one of its own."""
    places = locations(made.job.target)
    if len(places) < 2:
        return min(_ZONES, number)
    for server in made.items.of(t.SERVER):
        nets = server.inputs.get("networks") or []
        location = server.inputs.get("location")
        if location in places and any(made.items.get(net.get("subnetId"), t.SUBNET) is subnet for net in nets):
            return places.index(str(location)) + 1
    return 1


def _layout(cidr: str, names: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How many zones, where that says it all; otherwise the subnets."""
    told = {name: row["cidr"] for name, row in names.items()}
    try:
        usual: Mapping[str, Subnet] = Network(cidr=IPv4Network(cidr), zones=max(1, len(names))).layout()
    except ValueError:
        return {"subnets": names}
    same = [(name, str(subnet.cidr)) for name, subnet in usual.items()] == list(told.items())
    same = same and all(row.get("zone", 1) == usual[name].zone for name, row in names.items() if "zone" in row)
    return {"zones": len(names)} if same else {"subnets": names} if names else {}


def group(made: HetznerJob) -> None:
    """Which groups the servers are."""
    here: list[Item] = []
    for item in made.items.of(t.SERVER):
        if item.inputs.get("location", made.job.target.region) not in locations(made.job.target):
            made.draft.leave(item, f"it is in {item.inputs['location']}, which is no location of the target")
        else:
            here.append(item)
    made.members = grouped(here, made.draft, _alike)
    for member in made.members:
        made.draft.claim(t.SERVER, member.name, member.item)


def _alike(item: Item) -> Value:
    inputs = item.inputs
    told = ("serverType", "image", "placementGroupId")
    firewalls = sorted(map(str, inputs.get("firewallIds") or []))
    return [inputs.get(key) for key in told], firewalls, sorted(_labels(item).items()), is_public(item)


def _labels(item: Item) -> dict[str, str]:
    labels: Mapping[str, Any] = item.inputs.get("labels") or {}
    return {key: value for key, value in labels.items() if not key.startswith("rehost-")}


def keys(made: HetznerJob) -> None:
    """Public keys."""
    for item in made.items.of(t.KEY):
        name = made.draft.name("ssh_keys", item.name, exact=item.marked)
        made.draft.family("ssh_keys")[name] = str(item.inputs["publicKey"]).strip()
        made.draft.claim(t.KEY, name, item)


def addresses(made: HetznerJob) -> None:
    """Addresses that outlive servers. Others come and go with theirs."""
    for item in made.items.of(t.PRIMARY_IP):
        member = _holder(made, item)
        passing = item.inputs.get("autoDelete") or item.inputs.get("type") != "ipv4"
        if not item.marked and passing and (member or item.outputs.get("assigneeId")):
            made.draft.known.add(item.key)
            continue
        if member is None and item.outputs.get("assigneeId"):
            made.draft.leave(item, "what has it is no server of this stack")
            continue
        if item.inputs.get("type") != "ipv4" or item.inputs.get("location") not in locations(made.job.target):
            made.draft.leave(item, "it is of the sixth version of IP, or at another location; it stays as it is")
            continue
        name = made.draft.name("static_addresses", item.name or member or "address", exact=item.marked)
        data = made.draft.family("static_addresses")[name] = {"on": f"servers.{member}"} if member else {}
        if member:
            made.static[member] = name
        made.draft.claim(t.PRIMARY_IP, name, item)
        for pointer in made.items.of(t.RDNS):
            if made.items.get(pointer.inputs.get("primaryIpId"), t.PRIMARY_IP) is item:
                data["reverse"] = pointer.inputs["dnsPtr"]
                made.draft.claim(t.RDNS, name, pointer)


def _holder(made: HetznerJob, item: Item) -> str | None:
    """The server that has an address."""
    for member in made.members:
        for net in member.item.inputs.get("publicNets") or []:
            if made.items.get(net.get("ipv4") or net.get("ipv6"), t.PRIMARY_IP) is item:
                return member.name
    return made.member_of(item.outputs.get("assigneeId"))


def lift(made: HetznerJob) -> None:
    """Server groups. Without a group of its own there is one placement group that is our anchor."""
    for item in made.items.of(t.PLACEMENT):
        if item.marked and item.name == "anchor":
            made.draft.claim(t.ANCHOR, "anchor", item)
    by_group: dict[str, list[Member]] = {}
    for member in made.members:
        by_group.setdefault(member.group, []).append(member)
    for name, members in by_group.items():
        made.draft.family("servers")[name] = _server(made, name, members)


def _server(made: HetznerJob, name: str, members: list[Member]) -> dict[str, Any]:
    draft, first = made.draft, members[0].item
    inputs = first.inputs
    type_, image = str(inputs["serverType"]), str(inputs.get("image") or "")
    rows = {row["name"]: row for row in catalog.server_types()}
    data: dict[str, Any] = {"image": image, "public": is_public(first)}
    known = rows.get(type_)
    if known:
        data["size"] = {
            "cpu": known["cores"],
            "memory": f"{known['memory_gib']}GiB",
            "disk": f"{known['disk_gb']}GB",
        }
        data["architecture"] = _ARCHITECTURES[known["architecture"]]
        draft.fact(f"servers.{name}.type", type_, "what the servers run on")
    else:
        draft.note("servers", name, text=f"the catalog does not know {type_}: it is kept; say what size is needed")
    if any(image == one for one, _ in catalog.images()):
        draft.fact(f"servers.{name}.image", image, "what the servers were made from")
    else:
        data["image"] = _IMAGE
        draft.fact(f"servers.{name}.image", _IMAGE, "stands for an image of one's own")
        told = image or "an image that has no name"
        draft.note("servers", name, text=f"they were made from {told}: elsewhere it would be {_IMAGE}")
    data["labels"] = _labels(first)
    data["firewalls"] = _firewalls(made, first)
    data["ssh_keys"] = [
        key for value in inputs.get("sshKeys") or [] if (key := made.name_of(value, t.KEY)) is not None
    ]
    data["reverse"] = _reverse(made, members)
    places = {member.name: _subnet(made, member.item) for member in members}
    if len(set(places.values())) == 1:
        data["subnet"] = next(iter(places.values()))
    for member_name, place in places.items():
        if "subnet" not in data and place is not None:
            draft.fact(f"servers.{member_name}.subnet", place, "where the server is")
    _spread(made, name, members, data)
    value = _user_data(made, members)
    if value:

        def later(texts: Texts) -> None:
            draft.family("servers")[name]["user_data"] = texts.text(value, f"{name}-user-data")

        made.later.append(later)
    return plain(data) | {"count": len(members)}


def _subnet(made: HetznerJob, item: Item) -> str | None:
    """The subnet that a server is in."""
    net: Mapping[str, Value] = next(iter(item.inputs.get("networks") or []), {})
    subnet = made.items.get(net.get("subnetId"), t.SUBNET)
    return None if subnet is None else made.subnets.get(subnet.key)


def _reverse(made: HetznerJob, members: list[Member]) -> str | None:
    """The name that all servers of a group lead back to, each with its own name in it. Others stay as they are."""
    found: dict[str, list[tuple[str, Item]]] = {}
    for pointer in made.items.of(t.RDNS):
        for member in members:
            if made.items.get(pointer.inputs.get("serverId"), t.SERVER) is member.item:
                family = "v4" if _is_v4(made, pointer, member.item) else "v6"
                found.setdefault(member.name, []).append((family, pointer))
    names = {
        str(pointer.inputs["dnsPtr"]).replace(member, "{server}", 1)
        for member, rows in found.items()
        for _, pointer in rows
    }
    whole = all(
        {family for family, _ in found.get(member.name, [])}
        >= ({"v6"} if member.name in made.static else {"v4", "v6"})
        for member in members
    )
    if len(names) != 1 or not whole:
        return None
    for member_name, rows in found.items():
        for family, pointer in rows:
            made.draft.claim(t.RDNS, f"servers.{member_name}.{family}", pointer)
    return names.pop()


def _is_v4(made: HetznerJob, pointer: Item, server: Item) -> bool:
    address = pointer.inputs["ipAddress"]
    return address == Ref(server.key, "ipv4Address") or (isinstance(address, str) and "." in address)


def way_out(made: HetznerJob) -> None:
    """The server that the others' way to the Internet leads through."""
    for route in made.items.of(t.NETWORK_ROUTE):
        if made.items.get(route.inputs["networkId"], t.NETWORK) is not made.network or made.draft.network is None:
            continue
        for member in made.members:
            nets = member.item.outputs.get("networks") or member.item.inputs.get("networks") or [{}]
            gateway_ = route.inputs["gateway"]
            here = made.items.get(gateway_, t.SERVER) is member.item or gateway_ == nets[0].get("ip")
            if here and route.inputs["destination"] == "0.0.0.0/0" and is_public(member.item):
                made.draft.network["way_out"] = f"servers.{member.name}"
                made.draft.claim(t.NETWORK_ROUTE, "way-out", route)


def _user_data(made: HetznerJob, members: list[Member]) -> Value:
    """What the servers of a group are told, without what follows from the way out."""
    chosen = next((member for member in members if member.name != made.way_out), members[0])
    value = without(chosen.item.inputs.get("userData"), MARK)
    if not value or made.way_out is None:
        return value
    cidr = IPv4Network((made.draft.network or {})["cidr"])
    if chosen.name == made.way_out:
        return separated(value, gateway(cidr))
    return value if is_public(chosen.item) else separated(value, client(str(cidr[1]), RESOLVERS))


def _firewalls(made: HetznerJob, item: Item) -> list[str]:
    """Firewalls that a server names, then those that were put before it."""
    named = [name for value in item.inputs.get("firewallIds") or [] if (name := made.name_of(value, t.FIREWALL))]
    for join in made.items.of(t.FENCED):
        if item in made.items.each(join.inputs.get("serverIds"), t.SERVER):
            name = made.name_of(join.inputs["firewallId"], t.FIREWALL)
            if name is not None and name not in named:
                named.append(name)
    return named


def _spread(made: HetznerJob, name: str, members: list[Member], data: dict[str, Any]) -> None:
    """Placement groups, ten servers in each."""
    groups = [made.items.get(member.item.inputs.get("placementGroupId"), t.PLACEMENT) for member in members]
    if all(item is not None and item.inputs.get("type") == "spread" for item in groups):
        data["placement"] = "spread"
        for position, item in enumerate(groups):
            made.draft.claim(t.PLACEMENT, f"{name}-{position // 10 + 1}", item)


def volumes(made: HetznerJob) -> None:
    """Volumes that are on servers. A numbered set on all of a group is one volume of that."""
    attached: dict[str, tuple[str, Item]] = {}
    for item in made.items.of(t.ATTACHMENT):
        volume = made.items.get(item.inputs["volumeId"], t.VOLUME)
        member = made.member_of(item.inputs["serverId"])
        if volume is None or member is None:
            made.draft.known.add(item.key)
        else:
            attached[volume.key] = member, item
    sets: dict[str, list[Item]] = {}
    for volume in made.items.of(t.VOLUME):
        if volume.key not in attached:
            made.draft.leave(volume, "it is on no server of this stack; a volume is on one here")
            continue
        name = volume.name.rpartition("-")[0] if volume.marked else ""
        name = name or made.draft.name("volumes", volume.name or "data")
        made.draft.family("volumes").setdefault(name, {})
        sets.setdefault(name, []).append(volume)
    for name, rows in sets.items():
        rows.sort(key=lambda row: int(row.name.rpartition("-")[2]) if row.marked else 0)
        on = [attached[row.key][0] for row in rows]
        whole = on == made.everyone(on[0].rpartition("-")[0])
        data = {
            "size": f"{max(int(row.inputs['size']) for row in rows)}GiB",
            "on": on[0].rpartition("-")[0] if whole else on[0],
            "filesystem": rows[0].inputs.get("format"),
        }
        if data["filesystem"] not in ("ext4", "xfs"):
            del data["filesystem"]
            made.draft.note("volumes", name, text="Hetzner does not tell its file system: ext4 is assumed")
        made.draft.family("volumes")[name] = data
        for number, row in enumerate(rows, 1):
            made.draft.claim(t.VOLUME, f"{name}-{number}", row)
            made.draft.claim(t.ATTACHMENT, f"{name}-{number}", attached[row.key][1])


def pointed_at(made: HetznerJob, values: list[Value]) -> str | None:
    """The component whose public addresses these are, all of them and in this order."""
    told: dict[str, list[Value]] = {}
    for member in made.members:
        if is_public(member.item):
            here = made.address(member.item)
            told.setdefault(f"servers.{member.group}", []).append(here)
            told[f"servers.{member.name}"] = [here]
    for name in made.draft.family("static_addresses"):
        item = made.items.key(made.draft.claims[t.PRIMARY_IP, name])
        told[f"static_addresses.{name}"] = [item.outputs.get("ipAddress") or Ref(item.key, "ipAddress")]
    for name in made.draft.family("load_balancers"):
        item = made.items.key(made.draft.claims[t.BALANCER, name])
        told[f"load_balancers.{name}"] = [item.outputs.get("ipv4") or Ref(item.key, "ipv4")]
    for name, addresses_ in told.items():
        texts = all(isinstance(value, str) for value in values)
        if addresses_ == values or (texts and sorted(map(str, addresses_)) == sorted(values)):
            return name
    return None
