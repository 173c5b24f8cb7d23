"""Firewalls: their rules, and the servers that they stand before, named or chosen by labels."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from rehost.providers.sandbox.hcloud_api import catalog, labels
from rehost.providers.sandbox.hcloud_api.errors import ApiError, Record, invalid, limited, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind
from rehost.providers.sandbox.hcloud_api.store import Project, effect, public

_WAYS = {"in": "source_ips", "out": "destination_ips"}


def chosen(project: Project, selector: str) -> list[int]:
    """Ids of the servers with a public interface that a selector matches."""
    matches = labels.selector(selector)
    return [
        server["id"]
        for server in project.all("servers").values()
        if matches(server["labels"]) and (server["_ipv4"] or server["_ipv6"])
    ]


def _view(project: Project, firewall: Record) -> Record:
    applied: list[Record] = [{"type": "server", "server": {"id": id_}} for id_ in firewall["_servers"]]
    for selector in firewall["_selectors"]:
        reached = [{"type": "server", "server": {"id": id_}} for id_ in chosen(project, selector)]
        applied.append(
            {"type": "label_selector", "label_selector": {"selector": selector}, "applied_to_resources": reached}
        )
    return {**public(firewall), "applied_to": applied}


FIREWALLS = Kind("firewalls", "firewall", _view)


def standing_before(project: Project, server: Record) -> list[Record]:
    """The firewalls of a server as it shows them."""
    rows: list[Record] = []
    reachable = server["_ipv4"] or server["_ipv6"]
    for id_, firewall in project.all("firewalls").items():
        if server["id"] in firewall["_servers"]:
            pending = server["id"] in firewall["_pending"]
            rows.append({"id": id_, "status": "pending" if pending else "applied"})
        elif reachable and any(labels.selector(text)(server["labels"]) for text in firewall["_selectors"]):
            rows.append({"id": id_, "status": "applied"})
    return rows


def _rules(rows: list[Record]) -> list[Record]:
    return [_rule(row, f"rules[{number}]") for number, row in enumerate(rows)]


def _rule(row: Record, path: str) -> Record:
    with_port, port = row["protocol"] in ("tcp", "udp"), row.get("port") or None
    if with_port != (port is not None):
        raise invalid(f"{path}.port", "is needed for tcp and udp, and only there")
    side = _WAYS[row["direction"]]
    for name in _WAYS.values():
        if name != side and row.get(name):
            raise invalid(f"{path}.{name}", f"can't be set with direction {row['direction']}")
    if not row.get(side):
        raise invalid(f"{path}.{side}", "must not be empty")
    rule: Record = {
        "direction": row["direction"],
        "protocol": row["protocol"],
        "port": _port(port, f"{path}.port") if port else None,
        "source_ips": [],
        "destination_ips": [],
        "description": row.get("description"),
    }
    rule[side] = [_block(text, f"{path}.{side}") for text in row[side]]
    return rule


def _port(text: str, path: str) -> str:
    if text == "any":
        return text
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isdigit() and 1 <= int(part) <= 65535 for part in parts):
        raise invalid(path, "must be a port, a range of ports or 'any'")
    if int(parts[0]) > int(parts[-1]):
        raise invalid(path, "a range must not end before it begins")
    return text


def _block(text: str, path: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise invalid(path, f"'{text}' is not a network in CIDR notation with empty host bits") from None


def _wanted(project: Project, rows: list[Record], status: int) -> Iterator[tuple[Record, Any]]:
    """Resources of a request with what they name. Raises ApiError, with the status for one that is not there."""
    for row in rows:
        named = row.get(row["type"])
        if named is None:
            raise invalid(row["type"], f"is needed for type {row['type']}")
        if row["type"] == "label_selector":
            labels.selector(named["selector"])
            yield row, named["selector"]
            continue
        server = project.find("servers", named["id"])
        if server is None:
            raise ApiError(status, "firewall_resource_not_found", f"server with ID '{named['id']}' not found")
        yield row, server


def check_room(project: Project, server: Record, more: int = 1) -> None:
    """Raise ApiError when a server can't stand behind more firewalls."""
    if not (server["_ipv4"] or server["_ipv6"]):
        raise refused("private_net_only_server", "the server has no public interface")
    if len(standing_before(project, server)) + more > catalog.limit("firewalls_per_server"):
        raise limited("firewalls_per_server_limit", "the server has too many firewalls")


def put_before(project: Project, firewall: Record, server: Record) -> Record:
    """Start to put a firewall before a server."""
    firewall["_servers"].append(server["id"])
    firewall["_pending"].append(server["id"])
    owners = [("firewall", firewall["id"]), ("server", server["id"])]
    arguments = {"firewall": firewall["id"], "server": server["id"]}
    effects = [("firewall_applied", arguments)]
    return project.act("apply_firewall", owners, effects, failed=[("firewall_removed", arguments)])


@effect
def firewall_applied(project: Project, firewall: int, server: int) -> None:
    """A firewall stands before a server."""
    record = project.find("firewalls", firewall)
    if record is not None and server in record["_pending"]:
        record["_pending"].remove(server)


@effect
def firewall_removed(project: Project, firewall: int, server: int) -> None:
    """A firewall no longer stands before a server."""
    record = project.find("firewalls", firewall)
    if record is not None:
        firewall_applied(project, firewall, server)
        record["_servers"] = [id_ for id_ in record["_servers"] if id_ != server]


@effect
def selector_removed(project: Project, firewall: int, selector: str) -> None:
    """A firewall no longer applies to a selector."""
    record = project.find("firewalls", firewall)
    if record is not None:
        record["_selectors"] = [text for text in record["_selectors"] if text != selector]


def forget_server(project: Project, server: int) -> None:
    """Take a deleted server out of all firewalls."""
    for id_ in project.all("firewalls"):
        firewall_removed(project, id_, server)


def _checked(project: Project, firewall: Record, rows: list[Record], status: int) -> list[tuple[Record, Any]]:
    """What a firewall is to be put before, checked as a whole. Raises ApiError."""
    wanted = list(_wanted(project, rows, status))
    names = [str(named["id"]) if row["type"] == "server" else named for row, named in wanted]
    if len(set(names)) != len(names):
        raise refused("server_already_added", "a resource was named more than once")
    for row, named in wanted:
        if row["type"] == "server":
            if named["id"] in firewall["_servers"]:
                raise refused("firewall_already_applied", "firewall is already applied to the server")
            check_room(project, named)
        elif named in firewall["_selectors"]:
            raise refused("firewall_already_applied", "firewall is already applied to the label selector")
    return wanted


def _apply_to(project: Project, firewall: Record, wanted: list[tuple[Record, Any]]) -> list[Record]:
    actions = []
    for row, named in wanted:
        if row["type"] == "server":
            actions.append(project.shown(put_before(project, firewall, named)))
            continue
        firewall["_selectors"].append(named)
        failed = ("selector_removed", {"firewall": firewall["id"], "selector": named})
        actions.append(
            project.shown(project.act("apply_firewall", [("firewall", firewall["id"])], failed=[failed]))
        )
    return actions


def _set(project: Project, firewall: Record, rules: list[Record]) -> list[Record]:
    owner, before = [("firewall", firewall["id"])], firewall["rules"]
    firewall["rules"] = rules
    failed = ("update", {"kind": "firewalls", "id": firewall["id"], "values": {"rules": before}})
    locks = [("firewalls", firewall["id"])]
    actions = [project.act("set_firewall_rules", owner, failed=[failed], locks=locks)]
    for server in firewall["_servers"]:
        actions.append(project.act("apply_firewall", [*owner, ("server", server)]))
    return [project.shown(action) for action in actions]


def _add(call: Call) -> Answer:
    project, body = call.project, call.body
    record: Record = {
        "name": body["name"],
        "labels": labels.checked(body.get("labels")),
        "rules": [],
        "_servers": [],
        "_selectors": [],
        "_pending": [],
    }
    rules = _rules(body.get("rules") or [])
    wanted = _checked(project, record, body.get("apply_to") or [], 422)
    made = project.add("firewalls", record)
    actions = _set(project, made, rules) if rules else []
    actions += _apply_to(project, made, wanted)
    return 201, {"firewall": _view(project, made), "actions": actions}


def _change(call: Call, id: int) -> Answer:
    firewall = call.project.get("firewalls", id)
    call.project.free("firewalls", id, "conflict")
    FIREWALLS.apply_plain(call, firewall)
    return 200, {"firewall": _view(call.project, firewall)}


def _delete(call: Call, id: int) -> Answer:
    firewall = call.project.get("firewalls", id)
    call.project.free("firewalls", id, "conflict")
    if firewall["_servers"] or firewall["_selectors"]:
        raise refused("resource_in_use", "firewall is still in use")
    call.project.remove("firewalls", id)
    return 204, {}


def _set_rules(call: Call, id: int) -> Answer:
    firewall = call.project.get("firewalls", id)
    call.project.free("firewalls", id, "conflict")
    return 201, {"actions": _set(call.project, firewall, _rules(call.body["rules"]))}


def _apply(call: Call, id: int) -> Answer:
    firewall = call.project.get("firewalls", id)
    wanted = _checked(call.project, firewall, call.body["apply_to"], 404)
    return 201, {"actions": _apply_to(call.project, firewall, wanted)}


def _remove(call: Call, id: int) -> Answer:
    project, firewall = call.project, call.project.get("firewalls", id)
    wanted = list(_wanted(project, call.body["remove_from"], 404))
    for row, named in wanted:
        if row["type"] != "server":
            known = named in firewall["_selectors"]
        else:
            known = named["id"] in firewall["_servers"]
            if not known and any(named["id"] in chosen(project, text) for text in firewall["_selectors"]):
                raise refused("firewall_managed_by_label_selector", "firewall is applied by a label selector")
        if not known:
            raise ApiError(404, "firewall_resource_not_found", "firewall is not applied to the resource")
    actions = []
    for row, named in wanted:
        owners = [("firewall", id)]
        if row["type"] == "server":
            owners.append(("server", named["id"]))
            effect_ = ("firewall_removed", {"firewall": id, "server": named["id"]})
        else:
            effect_ = ("selector_removed", {"firewall": id, "selector": named})
        actions.append(project.shown(project.act("remove_firewall", owners, [effect_])))
    return 201, {"actions": actions}


_ACTIONS = "/firewalls/<int:id>/actions"
ROUTES = (
    *FIREWALLS.reads(),
    ("POST", "/firewalls", _add),
    ("PUT", "/firewalls/<int:id>", _change),
    ("DELETE", "/firewalls/<int:id>", _delete),
    ("POST", f"{_ACTIONS}/set_rules", _set_rules),
    ("POST", f"{_ACTIONS}/apply_to_resources", _apply),
    ("POST", f"{_ACTIONS}/remove_from_resources", _remove),
)
