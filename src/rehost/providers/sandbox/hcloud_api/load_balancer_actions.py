"""Actions of load balancers: services, targets, network, public interface, algorithm, type, protection, reverse
DNS. Those that change interfaces or the type keep each other away; services and new targets may come meanwhile, as
clients that make everything at once rely on."""

from __future__ import annotations

from rehost.providers.sandbox.hcloud_api import addresses, catalog, networks
from rehost.providers.sandbox.hcloud_api.errors import ApiError, Record, invalid, missing, refused
from rehost.providers.sandbox.hcloud_api.load_balancers import BALANCERS, fits, same, service, target
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, any_of
from rehost.providers.sandbox.hcloud_api.store import Effect, Project, effect


def _balancer(call: Call, id: int) -> Record:
    return call.project.get("load_balancers", id)


def _free(call: Call, id: int) -> Record:
    call.project.free("load_balancers", id)
    return _balancer(call, id)


def _answer(call: Call, command: str, id: int, *effects: Effect, lock: bool = False) -> Answer:
    return 201, {"action": BALANCERS.act(call, command, id, *effects, lock=lock)}


def _swap(
    call: Call, command: str, balancer: Record, field: str, gone: Record | None, made: Record | None
) -> Answer:
    """Change a row of a list at once, so that the next request sees it, and put it back when the action fails."""
    swap_row(call.project, balancer["id"], field, gone, made)
    back = ("swap_row", {"id": balancer["id"], "field": field, "gone": made, "made": gone})
    action = call.project.act(command, [("load_balancer", balancer["id"])], failed=[back])
    return 201, {"action": call.project.shown(action)}


@effect
def swap_row(project: Project, id: int, field: str, gone: Record | None, made: Record | None) -> None:
    """Take one row out of a list of a load balancer and put another in."""
    balancer = project.find("load_balancers", id)
    if balancer is not None:
        rows = [row for row in balancer[field] if row != gone]
        balancer[field] = [*rows, made] if made else rows


def _typed(balancer: Record, **fields: list[Record]) -> None:
    fits(catalog.load_balancer_types()[balancer["load_balancer_type"]], {**balancer, **fields})


def _service(balancer: Record, port: int) -> Record:
    found = next((row for row in balancer["services"] if row["listen_port"] == port), None)
    if found is None:
        raise missing(f"service with listen port '{port}'")
    result: Record = found
    return result


def _add_service(call: Call, id: int) -> Answer:
    balancer = _balancer(call, id)
    made = service(call.project, balancer, call.body)
    _typed(balancer, services=[*balancer["services"], made])
    return _swap(call, "add_service", balancer, "services", None, made)


def _update_service(call: Call, id: int) -> Answer:
    balancer = _balancer(call, id)
    before = _service(balancer, call.body["listen_port"])
    after = service(call.project, balancer, call.body, before)
    _typed(balancer, services=[after if row is before else row for row in balancer["services"]])
    return _swap(call, "update_service", balancer, "services", before, after)


def _delete_service(call: Call, id: int) -> Answer:
    balancer = _balancer(call, id)
    gone = _service(balancer, call.body["listen_port"])
    return _swap(call, "delete_service", balancer, "services", gone, None)


def _add_target(call: Call, id: int) -> Answer:
    balancer = _balancer(call, id)
    made = target(call.project, balancer, call.body)
    _typed(balancer, targets=[*balancer["targets"], made])
    return _swap(call, "add_target", balancer, "targets", None, made)


def _remove_target(call: Call, id: int) -> Answer:
    balancer = _free(call, id)
    gone = same(balancer, call.body)
    if gone is None:
        raise ApiError(404, "load_balancer_target_not_found", "the target does not exist")
    return _swap(call, "remove_target", balancer, "targets", gone, None)


def _attach(call: Call, id: int) -> Answer:
    project, balancer, body = call.project, _free(call, id), call.body
    network = project.get("networks", body["network"])
    if balancer["private_net"]:
        raise refused("load_balancer_already_attached", "the load balancer is already attached to a network")
    project.free("networks", network["id"], "conflict")
    ip = networks.allocate(project, network, balancer["location"], body.get("ip"), body.get("ip_range"))
    balancer["private_net"] = [{"network": network["id"], "ip": ip}]
    network["load_balancers"].append(id)
    failed = ("leave_network", {"kind": "load_balancers", "id": id, "network": network["id"]})
    owners = [("load_balancer", id), ("network", network["id"])]
    action = project.act("attach_to_network", owners, failed=[failed], locks=[("load_balancers", id)])
    return 201, {"action": project.shown(action)}


def _detach(call: Call, id: int) -> Answer:
    project, balancer, network = call.project, _free(call, id), call.body["network"]
    if any_of(balancer["private_net"], network=network) is None:
        raise invalid("network", "the load balancer is not attached to the network")
    if not balancer["_public"]:
        raise refused("load_balancer_public_interface_disabled", "the load balancer has no other interface")
    gone = ("leave_network", {"kind": "load_balancers", "id": id, "network": network})
    owners = [("load_balancer", id), ("network", network)]
    action = project.act("detach_from_network", owners, [gone], locks=[("load_balancers", id)])
    return 201, {"action": project.shown(action)}


def _enable_public(call: Call, id: int) -> Answer:
    _free(call, id)
    change = ("update", {"values": {"_public": True}})
    return _answer(call, "enable_public_interface", id, change, lock=True)


def _disable_public(call: Call, id: int) -> Answer:
    balancer = _free(call, id)
    if not balancer["private_net"]:
        raise refused("load_balancer_not_attached_to_network", "the load balancer is not attached to a network")
    for row in balancer["targets"]:
        inside = row["type"] == "ip" and networks.private(networks.ipv4(row["ip"]["ip"], "ip"))
        if not row.get("use_private_ip") and not inside:
            raise refused("targets_without_use_private_ip", "a target uses its public address")
    change = ("update", {"values": {"_public": False}})
    return _answer(call, "disable_public_interface", id, change, lock=True)


def _change_algorithm(call: Call, id: int) -> Answer:
    _balancer(call, id)
    change = ("update", {"values": {"algorithm": {"type": call.body["type"]}}})
    return _answer(call, "change_algorithm", id, change)


def _change_type(call: Call, id: int) -> Answer:
    balancer, type_ = _free(call, id), catalog.load_balancer_type(call.body["load_balancer_type"])
    if type_["name"] == balancer["load_balancer_type"]:
        raise refused("invalid_load_balancer_type", "the load balancer has this type already")
    try:
        fits(type_, balancer)
    except ApiError as error:
        raise refused("invalid_load_balancer_type", "the load balancer type does not fit") from error
    change = ("update", {"values": {"load_balancer_type": type_["name"]}})
    return _answer(call, "change_load_balancer_type", id, change, lock=True)


def _pointer(call: Call, id: int) -> Answer:
    project, balancer, ip = call.project, call.project.get("load_balancers", id), call.body["ip"]
    for family in ("ipv4", "ipv6"):
        record = project.find("primary_ips", balancer[f"_{family}"])
        if record is not None and addresses.owns(record, ip):
            entries = addresses.pointer(record, ip, call.body["dns_ptr"])
            arguments = {"kind": "primary_ips", "id": record["id"], "entries": entries}
            action = project.act("change_dns_ptr", [("load_balancer", id)], [("point", arguments)])
            return 201, {"action": project.shown(action)}
    raise invalid("ip", "does not belong to the load balancer")


_ACTIONS = "/load_balancers/<int:id>/actions"
ROUTES = (
    ("POST", f"{_ACTIONS}/add_service", _add_service),
    ("POST", f"{_ACTIONS}/update_service", _update_service),
    ("POST", f"{_ACTIONS}/delete_service", _delete_service),
    ("POST", f"{_ACTIONS}/add_target", _add_target),
    ("POST", f"{_ACTIONS}/remove_target", _remove_target),
    ("POST", f"{_ACTIONS}/attach_to_network", _attach),
    ("POST", f"{_ACTIONS}/detach_from_network", _detach),
    ("POST", f"{_ACTIONS}/enable_public_interface", _enable_public),
    ("POST", f"{_ACTIONS}/disable_public_interface", _disable_public),
    ("POST", f"{_ACTIONS}/change_algorithm", _change_algorithm),
    ("POST", f"{_ACTIONS}/change_type", _change_type),
    ("POST", f"{_ACTIONS}/change_protection", BALANCERS.protect),
    ("POST", f"{_ACTIONS}/change_dns_ptr", _pointer),
)
