"""Actions that put servers into networks and take them out."""

from __future__ import annotations

from rehost.providers.sandbox.hcloud_api import catalog, networks
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, limited, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, any_of
from rehost.providers.sandbox.hcloud_api.servers import check_overlap, join, ready
from rehost.providers.sandbox.hcloud_api.store import Effect, Project, effect


def _start(call: Call, command: str, id: int, done: Effect | None, failed: Effect | None = None) -> Answer:
    owners = [("server", id), ("network", call.body["network"])]
    action = call.project.act(
        command,
        owners,
        [done] if done else [],
        failed=[failed] if failed else [],
        locks=[("servers", id)],
    )
    return 201, {"action": call.project.shown(action)}


def _attach(call: Call, id: int) -> Answer:
    project, server = call.project, ready(call.project, id)
    network = project.get("networks", call.body["network"])
    joined = [net["network"] for net in server["private_net"]]
    if network["id"] in joined:
        raise refused("server_already_attached", "server is already attached to the network")
    project.free("networks", network["id"], "conflict")
    if len(joined) >= catalog.limit("networks_per_server"):
        raise limited("networks_per_server_limit", "the server is in too many networks")
    check_overlap(project, joined, network)
    body = call.body
    ip = networks.allocate(project, network, server["location"], body.get("ip"), body.get("ip_range"))
    wanted = networks.aliases(project, network, body.get("alias_ips") or [])
    if ip in wanted:
        raise refused("ip_not_available", f"the address {ip} is not available")
    # The address is the server's from now on, so that nobody else gets it.
    join(project, server, network, ip, wanted)
    failed = ("leave_network", {"kind": "servers", "id": id, "network": network["id"]})
    return _start(call, "attach_to_network", id, None, failed)


def _detach(call: Call, id: int) -> Answer:
    server = ready(call.project, id)
    _net(server, call.body["network"])
    gone = ("leave_network", {"kind": "servers", "id": id, "network": call.body["network"]})
    return _start(call, "detach_from_network", id, gone)


def _change_aliases(call: Call, id: int) -> Answer:
    project, server = call.project, ready(call.project, id)
    net = _net(server, call.body["network"])
    network = project.get("networks", call.body["network"])
    wanted = networks.aliases(project, network, call.body["alias_ips"], net["alias_ips"])
    changed = ("set_aliases", {"server": id, "network": network["id"], "ips": wanted})
    return _start(call, "change_alias_ips", id, changed)


def _net(server: Record, network: int) -> Record:
    net = any_of(server["private_net"], network=network)
    if net is None:
        raise invalid("network", "server is not attached to the network")
    return dict(net)


@effect
def set_aliases(project: Project, server: int, network: int, ips: list[str]) -> None:
    """Give a server other further addresses in a network."""
    record = project.find("servers", server)
    for net in record["private_net"] if record else []:
        if net["network"] == network:
            net["alias_ips"] = ips


_ACTIONS = "/servers/<int:id>/actions"
ROUTES = (
    ("POST", f"{_ACTIONS}/attach_to_network", _attach),
    ("POST", f"{_ACTIONS}/detach_from_network", _detach),
    ("POST", f"{_ACTIONS}/change_alias_ips", _change_aliases),
)
