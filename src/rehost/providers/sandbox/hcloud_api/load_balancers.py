"""Load balancers: how they are made, shown, changed and deleted, and their services."""

from __future__ import annotations

from typing import Any

from rehost.providers.sandbox.hcloud_api import catalog, labels, networks, primary_ips, targets
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, limited, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind, any_of, guard
from rehost.providers.sandbox.hcloud_api.store import Project, effect, public

_TRAFFIC = 20 * 1024**4
_FAMILIES = ("ipv4", "ipv6")
_PORTS = {"http": (80, 80), "https": (443, 80)}
_HTTP = {
    "certificates": [],
    "cookie_lifetime": 300,
    "cookie_name": "HCLBSTICKY",
    "redirect_http": False,
    "sticky_sessions": False,
    "timeout_idle": 60,
}
_CHECK = {"interval": 15, "timeout": 10, "retries": 3}
_HTTP_CHECK = {"domain": "", "path": "/", "response": "", "status_codes": ["2??", "3??"], "tls": False}


def _interface(project: Project, id_: int | None) -> Record:
    record = project.find("primary_ips", id_)
    if record is None:
        return {"ip": None, "blocked": False, "dns_ptr": None}
    pointer = record["dns_ptr"][0]["dns_ptr"] if record["dns_ptr"] else None
    return {"id": record["id"], "ip": address(record), "blocked": record["blocked"], "dns_ptr": pointer}


def address(record: Record) -> str:
    """The one address that a load balancer uses of a primary IP."""
    ip: str = record["ip"]
    return ip if record["type"] == "ipv4" else ip.removesuffix("/64") + "1"


def _view(project: Project, balancer: Record) -> Record:
    return {
        **public(balancer),
        "load_balancer_type": catalog.load_balancer_types()[balancer["load_balancer_type"]],
        "location": catalog.locations()[balancer["location"]],
        "public_net": {
            "enabled": balancer["_public"],
            **{family: _interface(project, balancer[f"_{family}"]) for family in _FAMILIES},
        },
        "targets": targets.shown(project, balancer),
    }


BALANCERS = Kind("load_balancers", "load_balancer", _view)


# Services


def service(project: Project, balancer: Record, body: Record, before: Record | None = None) -> Record:
    """A service with its defaults, or one that takes the place of `before`. Raises ApiError."""
    made: Record = dict(before or {})
    made.update(
        {key: value for key, value in body.items() if value is not None and key not in ("http", "health_check")}
    )
    protocol = made["protocol"]
    listen, destination = _PORTS.get(protocol, (None, None))
    made.setdefault("listen_port", listen)
    made.setdefault("destination_port", destination)
    for name in ("listen_port", "destination_port"):
        if made[name] is None:
            raise invalid(name, "is needed for protocol tcp")
    made.setdefault("proxyprotocol", False)
    http = {**_HTTP, **(made.get("http") or {}), **_given(body.get("http"))}
    if protocol == "tcp":
        if body.get("http") and any(_given(body["http"]).values()):
            raise invalid("http", "is only available for protocols http and https")
        made.pop("http", None)
    else:
        made["http"] = _checked_http(project, protocol, http)
    made["health_check"] = _check(made, (before or {}).get("health_check"), body.get("health_check") or {})
    _free_ports(balancer, made, before)
    return made


def _given(body: Record | None) -> Record:
    return {key: value for key, value in (body or {}).items() if value is not None}


def _checked_http(project: Project, protocol: str, http: Record) -> Record:
    if protocol == "https" and not http["certificates"]:
        raise invalid("http.certificates", "is needed for protocol https")
    if protocol == "http" and (http["certificates"] or http["redirect_http"]):
        field = "certificates" if http["certificates"] else "redirect_http"
        raise invalid(f"http.{field}", "is only available for protocol https")
    for id_ in http["certificates"]:
        if project.find("certificates", id_) is None:
            raise invalid("http.certificates", f"certificate with ID '{id_}' not found")
    return http


def _check(made: Record, before: Record | None, body: Record) -> Record:
    default = "tcp" if made["protocol"] == "tcp" else "http"
    check = {"protocol": default, "port": made["destination_port"], **_CHECK, **(before or {}), **_given(body)}
    if check["timeout"] > check["interval"]:
        raise invalid("health_check.timeout", "must not be longer than the interval")
    if check["protocol"] == "http":
        check["http"] = {**_HTTP_CHECK, **((before or {}).get("http") or {}), **_given(body.get("http"))}
    else:
        check.pop("http", None)
    return check


def _used_ports(service_: Record) -> set[int]:
    redirects = (service_.get("http") or {}).get("redirect_http")
    return {service_["listen_port"], 80} if redirects else {service_["listen_port"]}


def _free_ports(balancer: Record, made: Record, before: Record | None) -> None:
    for other in balancer["services"]:
        if other is not before and _used_ports(other) & _used_ports(made):
            raise refused("source_port_already_used", "the listen port is already in use")


def fits(type_: Record, balancer: Record) -> None:
    """Raise ApiError when a load balancer has more than its type allows."""
    certificates = {id_ for row in balancer["services"] for id_ in (row.get("http") or {}).get("certificates", ())}
    for name, used in (
        ("max_services", len(balancer["services"])),
        ("max_targets", len(balancer["targets"])),
        ("max_assigned_certificates", len(certificates)),
    ):
        if used > type_[name]:
            raise limited(name.removeprefix("max_"), f"the load balancer type allows at most {type_[name]}")


# Targets


def target(project: Project, balancer: Record, body: Record) -> Record:
    """A target that a load balancer may have. Raises ApiError."""
    type_, named = body["type"], body.get(body["type"])
    if named is None:
        raise invalid(type_, f"is needed for type {type_}")
    private = bool(body.get("use_private_ip"))
    row: Record = {"type": type_, type_: named, "_since": project.clock()}
    if same(balancer, row) is not None:
        raise refused("target_already_defined", "the target is already defined")
    if type_ == "ip":
        if private:
            raise invalid("use_private_ip", "is not available for type ip")
        _foreign(project, balancer, named["ip"])
        return row
    if private and not balancer["private_net"]:
        raise refused("load_balancer_not_attached_to_network", "the load balancer is not attached to a network")
    if not private and not balancer["_public"]:
        raise refused("load_balancer_public_interface_disabled", "the public interface is disabled")
    if type_ == "server":
        _reachable(balancer, project.get("servers", named["id"]), private)
    else:
        labels.selector(named["selector"])
    return {**row, "use_private_ip": private}


def _reachable(balancer: Record, server: Record, private: bool) -> None:
    if not private:
        if server["_ipv4"] is None:
            raise refused("missing_ipv4", "the server has no public IPv4 address")
        return
    joined = {net["network"] for net in balancer["private_net"]}
    if not any(net["network"] in joined for net in server["private_net"]):
        raise refused("server_not_attached_to_network", "the server is not in the load balancer's network")


def _foreign(project: Project, balancer: Record, ip: str) -> None:
    address_ = networks.ipv4(ip, "ip.ip")
    for kind in ("primary_ips", "floating_ips"):
        if any(record["ip"] == str(address_) for record in project.all(kind).values()):
            raise refused("cloud_resource_ip_not_allowed", "the address belongs to a cloud resource")
    if networks.private(address_):
        joined = [project.get("networks", net["network"]) for net in balancer["private_net"]]
        if not any(networks.behind_vswitch(network, address_) for network in joined):
            raise refused("ip_not_owned", "the address is in no vSwitch of the load balancer's network")
    elif not balancer["_public"]:
        raise refused("load_balancer_public_interface_disabled", "the public interface is disabled")


def same(balancer: Record, body: Record) -> Record | None:
    """The target of a load balancer that a request means."""
    wanted = {"type": body["type"], body["type"]: body.get(body["type"])}
    found = any_of(balancer["targets"], **wanted)
    return dict(found) if found is not None else None


# Requests


def _place(body: Record) -> str:
    if (body.get("location") is None) == (body.get("network_zone") is None):
        raise invalid("location", "exactly one of location and network_zone is needed")
    if body.get("location") is not None:
        return str(catalog.location(body["location"])["name"])
    if body["network_zone"] not in catalog.zones():
        raise invalid("network_zone", f"must be one of {', '.join(sorted(catalog.zones()))}")
    places = catalog.locations().values()
    return next(str(row["name"]) for row in places if row["network_zone"] == body["network_zone"])


def _addresses(project: Project, body: Record, place: str) -> dict[str, int | None]:
    asked = body.get("public_net") or {}
    given: dict[str, int | None] = {}
    for family in _FAMILIES:
        id_ = asked.get(family)
        given[family] = primary_ips.usable(project, id_, family, place)["id"] if id_ is not None else None
    project.room("primary_ips", list(given.values()).count(None))
    return given


def _add(call: Call) -> Answer:
    project, body = call.project, call.body
    type_, place = catalog.load_balancer_type(body["load_balancer_type"]), _place(body)
    given = _addresses(project, body, place)
    record: Record = {
        "name": body["name"],
        "load_balancer_type": type_["name"],
        "location": place,
        "algorithm": dict(body.get("algorithm") or {"type": "round_robin"}),
        "labels": labels.checked(body.get("labels")),
        "private_net": [],
        "protection": {"delete": False},
        "services": [],
        "targets": [],
        "included_traffic": _TRAFFIC,
        "ingoing_traffic": None,
        "outgoing_traffic": None,
        "_public": body.get("public_interface") is not False,
        "_ipv4": None,
        "_ipv6": None,
    }
    network = project.get("networks", body["network"]) if body.get("network") is not None else None
    if network is not None:
        record["private_net"].append({"network": network["id"], "ip": networks.allocate(project, network, place)})
    elif not record["_public"]:
        raise refused("load_balancer_not_attached_to_network", "a load balancer needs an interface")
    for row in body.get("services") or []:
        record["services"].append(service(project, record, row))
    for row in body.get("targets") or []:
        record["targets"].append(target(project, record, row))
    fits(type_, record)
    made = project.add("load_balancers", record)
    _equip(project, made, given)
    if network is not None:
        network["load_balancers"].append(made["id"])
    failed = ("balancer_gone", {"kind": "load_balancers", "id": made["id"]})
    owners, locks = [("load_balancer", made["id"])], [("load_balancers", made["id"])]
    action = project.act("create_load_balancer", owners, failed=[failed], locks=locks)
    return 201, {"load_balancer": _view(project, made), "action": project.shown(action)}


def _equip(project: Project, balancer: Record, given: dict[str, int | None]) -> None:
    fields: dict[str, Any] = {"assignee_id": balancer["id"], "assignee_type": "load_balancer"}
    for family, id_ in given.items():
        if id_ is None:
            id_ = primary_ips.make(project, family, balancer["location"], auto_delete=True, **fields)["id"]
        else:
            project.get("primary_ips", id_).update(fields)
        balancer[f"_{family}"] = id_


@effect
def balancer_gone(project: Project, kind: str, id: int) -> None:
    """A load balancer is deleted: what hung on it is let go."""
    balancer = project.find(kind, id)
    if balancer is None:
        return
    for net in list(balancer["private_net"]):
        networks.leave_network(project, kind, id, net["network"])
    for family in _FAMILIES:
        primary_ips.release(project, balancer[f"_{family}"])
    project.remove(kind, id)


def _change(call: Call, id: int) -> Answer:
    call.project.get("load_balancers", id)
    call.project.free("load_balancers", id, "conflict")
    return BALANCERS.change(call, id)


def _delete(call: Call, id: int) -> Answer:
    balancer = call.project.get("load_balancers", id)
    guard(balancer, "load_balancer")
    call.project.free("load_balancers", id)
    return 201, {"action": BALANCERS.act(call, "delete_load_balancer", id, ("balancer_gone", {}), lock=True)}


ROUTES = (
    *BALANCERS.reads(),
    ("POST", "/load_balancers", _add),
    ("PUT", "/load_balancers/<int:id>", _change),
    ("DELETE", "/load_balancers/<int:id>", _delete),
)
