"""What stands behind load balancers: servers, servers chosen by labels, and addresses."""

from __future__ import annotations

from rehost.providers.sandbox.hcloud_api import labels
from rehost.providers.sandbox.hcloud_api.errors import Record
from rehost.providers.sandbox.hcloud_api.store import Project, public

_HEALTHY_STATES = ("running",)
_FIRST_CHECKS = 3
"""After so many times that an action takes is known whether a new target is healthy."""


def _reaches(target: Record, server: Record) -> bool:
    if target["type"] == "server":
        return bool(target["server"]["id"] == server["id"])
    if target["type"] == "label_selector":
        return labels.selector(target["label_selector"]["selector"])(server["labels"])
    return False


def servers_of(project: Project, target: Record) -> list[Record]:
    """The servers behind a target."""
    if target["type"] == "server":
        server = project.find("servers", target["server"]["id"])
        return [server] if server else []
    return [server for server in project.all("servers").values() if _reaches(target, server)]


def balancers_of(project: Project, server: Record) -> list[int]:
    """Ids of the load balancers that send to a server."""
    return [
        id_
        for id_, balancer in project.all("load_balancers").items()
        if any(_reaches(target, server) for target in balancer["targets"])
    ]


def publicly_reached(project: Project, server: Record) -> bool:
    """Whether a load balancer uses a server's public address."""
    return any(
        not target.get("use_private_ip") and _reaches(target, server)
        for balancer in project.all("load_balancers").values()
        for target in balancer["targets"]
    )


def forget_server(project: Project, server: int) -> None:
    """Take a deleted server out of all load balancers."""
    for balancer in project.all("load_balancers").values():
        balancer["targets"] = [
            target for target in balancer["targets"] if (target.get("server") or {}).get("id") != server
        ]


def _health(project: Project, balancer: Record, target: Record, server: Record | None) -> list[Record]:
    first = target["_since"] + _FIRST_CHECKS * project.behaviour.action_seconds
    if server is None or project.clock() < first:
        status, detail = "unknown", None
    elif server["status"] in _HEALTHY_STATES:
        status, detail = "healthy", None
    else:
        status, detail = "unhealthy", "layer4_no_connection"
    return [
        {"listen_port": row["listen_port"], "status": status, "detail": detail, "http_status_code": None}
        for row in balancer["services"]
    ]


def shown(project: Project, balancer: Record) -> list[Record]:
    """The targets of a load balancer with their health: a server that runs is healthy; what is not a server of
    the project has no checks here."""
    rows = []
    for target in balancer["targets"]:
        row = public(target)
        if target["type"] == "label_selector":
            row["targets"] = [
                {
                    "type": "server",
                    "server": {"id": server["id"]},
                    "use_private_ip": target["use_private_ip"],
                    "health_status": _health(project, balancer, target, server),
                }
                for server in servers_of(project, target)
            ]
        else:
            found = servers_of(project, target)
            row["health_status"] = _health(project, balancer, target, found[0] if found else None)
        rows.append(row)
    return rows
