"""hcloud:index/server:Server"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from rehost.providers.hetzner.kinds.common import CloudKind
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Server(CloudKind):
    """A server, made with its networks. One that is to be in a certain subnet is put into it before it starts,
    since the call that makes it takes networks alone; without public addresses it can't start before."""

    plural, word = "servers", "server"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        public = record["public_net"]
        v4, v6 = public.get("ipv4"), public.get("ipv6")
        return {
            "name": record["name"],
            "serverType": record["server_type"]["name"],
            "image": (record.get("image") or {}).get("name", ""),
            "location": record["location"]["name"],
            "status": record["status"],
            "ipv4Address": v4["ip"] if v4 else "",
            "ipv6Address": v6["ip"].replace("/64", "1") if v6 else "",
            "ipv6Network": v6["ip"] if v6 else "",
            "publicNets": [
                {
                    "ipv4Enabled": v4 is not None,
                    "ipv6Enabled": v6 is not None,
                    "ipv4": str(v4["id"]) if v4 else "",
                }
            ],
            "placementGroupId": str((record.get("placement_group") or {}).get("id", "")),
            "networks": [
                {
                    "networkId": str(net["network"]),
                    "ip": net["ip"],
                    "macAddress": net.get("mac_address", ""),
                    "aliasIps": list(net.get("alias_ips") or []),
                    **({"subnetId": net["subnet"]} if net.get("subnet") else {}),
                }
                for net in record["private_net"]
            ],
            "firewallIds": [str(row["id"]) for row in public.get("firewalls") or []],
            "primaryDiskSize": record.get("primary_disk_size", 0),
            "backupWindow": record.get("backup_window") or "",
            "deleteProtection": record["protection"]["delete"],
            "rebuildProtection": record["protection"]["rebuild"],
        }

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        if all(item.inputs for item in known):
            return super().read(known)
        # What is imported has no inputs that name its subnets: the networks tell.
        ranges = {
            str(network["id"]): [subnet["ip_range"] for subnet in network["subnets"]]
            for network in self.api.all("networks")
        }
        records = {str(record["id"]): record for record in self.api.all(self.plural)}
        return [self._read(item, records.get(item.id), ranges) for item in known]

    def _read(
        self, item: Known, record: Mapping[str, Any] | None, ranges: Mapping[str, Sequence[str]]
    ) -> Live | None:
        if record is None:
            return None
        if item.inputs:
            return self.live(item.inputs, record)
        private = [
            {**net, "subnet": f"{net['network']}-{range_}"}
            for net in record["private_net"]
            for range_ in ranges.get(str(net["network"]), ())
            if ip_address(net["ip"]) in ip_network(range_)
        ]
        return super().live({}, {**record, "private_net": private})

    def live(self, asked: Mapping[str, Value], record: Mapping[str, Any]) -> Live:
        # The API does not say which subnet an address is from: the one asked for, if it is in there.
        subnets = {str(net["networkId"]): str(net.get("subnetId") or "") for net in asked.get("networks") or []}
        private = []
        for net in record["private_net"]:
            subnet = subnets.get(str(net["network"]), "")
            private.append({**net, "subnet": subnet if subnet and _within(net["ip"], subnet) else ""})
        live = super().live(asked, {**record, "private_net": private})
        if not asked.get("ignoreRemoteFirewallIds"):
            return live
        # Firewalls that are put before the server by an attachment are not the server's own.
        wanted = {str(id_) for id_ in asked.get("firewallIds") or []}
        own = [id_ for id_ in live.outputs["firewallIds"] if id_ in wanted]
        inputs = {**live.inputs, "firewallIds": asked["firewallIds"] if set(own) == wanted else own}
        return Live(live.id, inputs, live.outputs)

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        nets = (inputs.get("publicNets") or [{}])[0]
        return {
            "server_type": inputs["serverType"],
            "image": inputs["image"],
            "location": inputs["location"],
            "ssh_keys": [int(key) for key in inputs.get("sshKeys") or []],
            "user_data": inputs.get("userData") or None,
            "networks": [int(net["networkId"]) for net in inputs.get("networks") or [] if not net.get("subnetId")],
            "firewalls": [{"firewall": int(id_)} for id_ in inputs.get("firewallIds") or []],
            "public_net": {
                "enable_ipv4": nets.get("ipv4Enabled", True),
                "enable_ipv6": nets.get("ipv6Enabled", True),
                **({"ipv4": int(nets["ipv4"])} if nets.get("ipv4") else {}),
            },
            **({"placement_group": int(inputs["placementGroupId"])} if inputs.get("placementGroupId") else {}),
            "start_after_create": self._starts_at_once(inputs),
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        made = super().create(call, inputs)
        if not any(net.get("subnetId") for net in inputs.get("networks") or []):
            return made
        self._join(call, made.id, inputs)
        self._start(call, made.id)
        return self.one(made.id, inputs)

    @staticmethod
    def _starts_at_once(inputs: Mapping[str, Value]) -> bool:
        public = (inputs.get("publicNets") or [{}])[0]
        inside = any(net.get("subnetId") for net in inputs.get("networks") or [])
        return bool(public.get("ipv4Enabled", True) or public.get("ipv6Enabled", True) or not inside)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        resized = known.inputs.get("serverType") != inputs.get("serverType")
        moved = self._address(known.inputs) != self._address(inputs)
        before, after = (str(side.get("placementGroupId") or "") for side in (known.inputs, inputs))
        grouped = before != after
        if resized or moved or grouped:
            self._power(call, known.id, on=False)
            if resized:
                body = {"server_type": inputs["serverType"], "upgrade_disk": False}
                self.act(call, known.id, "change_type", body)
            if moved:
                self._swap_address(call, known.id, self._address(inputs))
            if grouped:
                self._regroup(call, known.id, after)
            self._power(call, known.id, on=True)
        had = {str(id_) for id_ in known.inputs.get("firewallIds") or []}
        gets = {str(id_) for id_ in inputs.get("firewallIds") or []}
        row = [{"type": "server", "server": {"id": int(known.id)}}]
        for command, key, ids in (
            ("apply_to_resources", "apply_to", gets - had),
            ("remove_from_resources", "remove_from", had - gets),
        ):
            for id_ in sorted(ids):
                self.api.done(call, self.api.call("POST", f"/firewalls/{id_}/actions/{command}", {key: row}))
        if known.inputs.get("networks") != inputs.get("networks"):
            self._join(call, known.id, inputs)
        unchanged = all(known.inputs.get(key) == value for key, value in inputs.items())
        if not self._starts_at_once(inputs) and (unchanged or not known.inputs.get("networks")):
            # An interrupted create may have left it before its start.
            self._start(call, known.id)

    def _join(self, call: Call, id_: str, inputs: Mapping[str, Value]) -> None:
        """Put a server into the networks, and in the subnets, that it should be in, and out of others."""
        rows = self.api.call("GET", f"/servers/{id_}")["server"]["private_net"]
        present = {str(net["network"]): str(net["ip"]) for net in rows}
        wanted = {str(n["networkId"]): str(n.get("subnetId") or "") for n in inputs.get("networks") or []}
        for network, address in sorted(present.items()):
            subnet = wanted.get(network)
            if subnet is None or (subnet and not _within(address, subnet)):
                self.act(call, id_, "detach_from_network", {"network": int(network)})
                del present[network]
        for network in sorted(wanted.keys() - present.keys()):
            body: dict[str, Any] = {"network": int(network)}
            if wanted[network]:
                body["ip_range"] = _range(wanted[network])
            self.act(call, id_, "attach_to_network", body)

    @staticmethod
    def _address(inputs: Mapping[str, Value]) -> str:
        """The static address that is asked for, by id."""
        return str((inputs.get("publicNets") or [{}])[0].get("ipv4") or "")

    def _start(self, call: Call, id_: str) -> None:
        """Start a server that was made without being started, and wait until it runs: a look may be too early."""

        def runs() -> bool:
            status = self.api.call("GET", f"/servers/{id_}")["server"]["status"]
            if status == "off":
                self.act(call, id_, "poweron")
            return bool(status == "running")

        call.poll(runs, f"the {self.rules.title} to run")

    def _power(self, call: Call, id_: str, *, on: bool) -> None:
        """Switch a server on or off, unless it is so already: an interrupted change may have begun."""
        status = self.api.call("GET", f"/servers/{id_}")["server"]["status"]
        if (status == "off") == on:
            self.act(call, id_, "poweron" if on else "poweroff")

    def _swap_address(self, call: Call, id_: str, wanted: str) -> None:
        """Give a server that is off another IPv4 address; one that was made with it goes, a static one stays."""
        present = self.api.call("GET", f"/servers/{id_}")["server"]["public_net"]["ipv4"]
        passing = False
        if present and str(present["id"]) != wanted:
            path = f"/primary_ips/{present['id']}"
            passing = self.api.call("GET", path)["primary_ip"]["auto_delete"]
            if not (passing and not wanted):
                self.api.done(call, self.api.call("POST", f"{path}/actions/unassign", {}))
                if passing:
                    self.api.call("DELETE", path)
        if not wanted and not passing:
            self._passing_address(call, id_)
        elif wanted and (not present or str(present["id"]) != wanted):
            holder = str(self.api.call("GET", f"/primary_ips/{wanted}")["primary_ip"]["assignee_id"] or "")
            if holder and holder != id_:
                self._take_from(call, holder, wanted)
            body = {"assignee_type": "server", "assignee_id": int(id_)}
            self.api.done(call, self.api.call("POST", f"/primary_ips/{wanted}/actions/assign", body))

    def _passing_address(self, call: Call, id_: str) -> None:
        """Give a server that is off an address that goes with it."""
        name = f"server-{id_}-{call.client_token[:8]}"
        about = {"type": "ipv4", "assignee_type": "server", "assignee_id": int(id_)}
        answer = self.api.call("POST", "/primary_ips", {"name": name, "auto_delete": True, **about})
        self.api.done(call, answer)

    def _take_from(self, call: Call, holder: str, address: str) -> None:
        """Take a static address from the server that had it so far, which gets a passing one."""
        on = self.api.call("GET", f"/servers/{holder}")["server"]["status"] == "running"
        self._power(call, holder, on=False)
        self.api.done(call, self.api.call("POST", f"/primary_ips/{address}/actions/unassign", {}))
        self._passing_address(call, holder)
        if on:
            self._power(call, holder, on=True)

    def _regroup(self, call: Call, id_: str, wanted: str) -> None:
        if self.api.call("GET", f"/servers/{id_}")["server"]["placement_group"]:
            self.act(call, id_, "remove_from_placement_group")
        if wanted:
            self.act(call, id_, "add_to_placement_group", {"placement_group": int(wanted)})


def _range(subnet: str) -> str:
    """The address range in a subnet's id (`42-10.0.1.0/24`)."""
    return subnet.partition("-")[2]


def _within(address: str, subnet: str) -> bool:
    return ip_address(address) in ip_network(_range(subnet))
