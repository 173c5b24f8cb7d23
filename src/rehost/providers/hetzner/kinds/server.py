"""hcloud:index/server:Server"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from rehost.providers.hetzner.kinds.common import CloudKind
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Server(CloudKind):
    """A server, made with its networks: one without public addresses can't start otherwise."""

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
            "start_after_create": True,
        }

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        made = super().create(call, inputs)
        if not any(net.get("subnetId") for net in inputs.get("networks") or []):
            return made
        self._join(call, made.id, inputs)
        return self.one(made.id, inputs)

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

    def _power(self, call: Call, id_: str, *, on: bool) -> None:
        """Switch a server on or off, unless it is so already: an interrupted change may have begun."""
        status = self.api.call("GET", f"/servers/{id_}")["server"]["status"]
        if (status == "off") == on:
            self.act(call, id_, "poweron" if on else "poweroff")

    def _swap_address(self, call: Call, id_: str, wanted: str) -> None:
        """Give a server that is off another IPv4 address; one that was made with it goes, a static one stays."""
        present = self.api.call("GET", f"/servers/{id_}")["server"]["public_net"]["ipv4"]
        if present and str(present["id"]) != wanted:
            path = f"/primary_ips/{present['id']}"
            self.api.done(call, self.api.call("POST", f"{path}/actions/unassign", {}))
            if self.api.call("GET", path)["primary_ip"]["auto_delete"]:
                self.api.call("DELETE", path)
        if not wanted:
            name = f"server-{id_}-{call.client_token[:8]}"
            about = {"type": "ipv4", "assignee_type": "server", "assignee_id": int(id_)}
            answer = self.api.call("POST", "/primary_ips", {"name": name, "auto_delete": True, **about})
            self.api.done(call, answer)
        elif not present or str(present["id"]) != wanted:
            body = {"assignee_type": "server", "assignee_id": int(id_)}
            self.api.done(call, self.api.call("POST", f"/primary_ips/{wanted}/actions/assign", body))

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
