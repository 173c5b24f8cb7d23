"""What Hetzner's stand-in says there is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rehost.providers.sandbox.hcloud_api import HcloudApi, addresses, targets
from rehost.providers.sandbox.hcloud_api.store import Project
from rehost.providers.sandbox.machines import block
from rehost.providers.sandbox.machines.world import Balancer, Listener, Machine, Pair, Target, World
from rehost.providers.sandbox.wire import Call

Record = dict[str, Any]
_ON = ("running", "starting", "stopping", "deleting", "rebuilding", "migrating")
_REBOOT = re.compile(r"POST /(?:v1/)?servers/(\d+)/actions/(?:reboot|reset)")


class Hetzner:
    """Reads an emulator's projects."""

    name = "hetzner"

    def __init__(self, api: HcloudApi, number: int) -> None:
        self._api, self._block = api, number
        self._boots: Counter[str] = Counter()
        addresses.place(lambda place: block.public(number, self.name, place))

    def note(self, call: Call) -> None:
        """A call that was answered: what leaves no trace in what there is."""
        match = _REBOOT.fullmatch(call.operation)
        if match:
            self._boots[match[1]] += 1

    def about(self, machine: str) -> None:
        """Servers are told nothing that services ask for."""

    def told(self, ready: dict[str, str]) -> None:
        """Nothing here waits for what is real."""

    def world(self) -> World:
        """All of it."""
        machines: list[Machine] = []
        balancers: list[Balancer] = []
        ranges: list[tuple[str, str]] = []
        with self._api.looking() as projects:
            for project in projects:
                machines += [self._machine(project, row) for row in project.all("servers").values()]
                balancers += [_balancer(project, row) for row in project.all("load_balancers").values()]
                ranges += [(str(row["id"]), row["ip_range"]) for row in project.all("networks").values()]
        return World(tuple(machines), tuple(balancers), (), tuple(ranges))

    def _machine(self, project: Project, row: Record) -> Machine:
        public = [project.get("primary_ips", row["_ipv4"])["ip"]] if row["_ipv4"] is not None else []
        floating = [project.get("floating_ips", id_) for id_ in row["_floating"]]
        public += [record["ip"] for record in floating if record["type"] == "ipv4"]
        private = [
            (str(net["network"]), ip) for net in row["private_net"] for ip in (net["ip"], *net["alias_ips"])
        ]
        id_ = str(row["id"])
        on = row["status"] in _ON
        return Machine(id_, row["name"], on, self._boots[id_], tuple(public), tuple(private))


def _balancer(project: Project, row: Record) -> Balancer:
    address = project.find("primary_ips", row["_ipv4"]) if row["_public"] else None
    public = address["ip"] if address is not None else ""
    names = [(str(net["network"]), net["ip"]) for net in row["private_net"]]
    listeners = [made for service in row["services"] for made in _listeners(project, row, service)]
    return Balancer(str(row["id"]), tuple(names), public, tuple(listeners))


def _listeners(project: Project, row: Record, service: Record) -> Iterator[Listener]:
    http = service.get("http") or {}
    pairs = [_pair(project.get("certificates", id_)) for id_ in http.get("certificates", ())]
    check = service["health_check"]
    path = check["http"]["path"] if check["protocol"] == "http" else ""
    found = []
    for target in row["targets"]:
        for server in targets.servers_of(project, target):
            found.append(Target(str(server["id"]), service["destination_port"], check["port"], path))
    yield Listener(service["listen_port"], service["protocol"] != "tcp", tuple(pairs), tuple(found))
    if http.get("redirect_http"):
        yield Listener(80, True, redirect=(service["listen_port"], 301))


def _pair(record: Record) -> Pair:
    if record["type"] == "managed":
        return Pair(tuple(record["domain_names"]))
    return Pair(tuple(record["domain_names"]), record["certificate"], record.get("_private_key", ""))
