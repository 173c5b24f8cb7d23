"""Addresses that outlive servers, and the names that they resolve back to.

hcloud:index/primaryIp:PrimaryIp, floatingIp:FloatingIp, floatingIpAssignment:FloatingIpAssignment, rdns:Rdns
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.hetzner.api import Api
from rehost.providers.hetzner.kinds.common import CloudKind, Part
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class PrimaryIp(CloudKind):
    """An address of a server's own; whose it is the server says."""

    plural, word = "primary_ips", "primary_ip"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        return {
            "name": record["name"],
            "type": record["type"],
            "location": record["location"]["name"],
            "assigneeType": record["assignee_type"],
            "assigneeId": record["assignee_id"] or 0,
            "autoDelete": record["auto_delete"],
            "ipAddress": record["ip"].removesuffix("/64"),
            "ipNetwork": record["ip"] if record["type"] == "ipv6" else "",
            "deleteProtection": record["protection"]["delete"],
        }

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        body = {"type": inputs["type"], "auto_delete": bool(inputs.get("autoDelete"))}
        return body | {"location": inputs["location"], "assignee_type": inputs.get("assigneeType", "server")}

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if known.inputs.get("autoDelete") != inputs.get("autoDelete"):
            self.api.call("PUT", f"/primary_ips/{known.id}", {"auto_delete": bool(inputs.get("autoDelete"))})

    def prepare_delete(self, call: Call, known: Known) -> None:
        record = self.api.call("GET", f"/primary_ips/{known.id}")["primary_ip"]
        server = record["assignee_id"]
        if not server:
            return
        # An address is only taken from a server that is off.
        on = self.api.call("GET", f"/servers/{server}")["server"]["status"] == "running"
        if on:
            self.api.done(call, self.api.call("POST", f"/servers/{server}/actions/poweroff", {}))
        self.act(call, known.id, "unassign")
        if on:
            self.api.done(call, self.api.call("POST", f"/servers/{server}/actions/poweron", {}))


class FloatingIp(CloudKind):
    """An address that moves between servers at once; the servers have to know it."""

    plural, word = "floating_ips", "floating_ip"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        return {
            "name": record["name"],
            "type": record["type"],
            "description": record.get("description") or "",
            "homeLocation": record["home_location"]["name"],
            "serverId": record["server"] or 0,
            "ipAddress": record["ip"].removesuffix("/64"),
            "ipNetwork": record["ip"] if record["type"] == "ipv6" else "",
            "deleteProtection": record["protection"]["delete"],
        }

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        body = {"type": inputs["type"], "home_location": inputs["homeLocation"]}
        return body | {"description": inputs.get("description")}

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if known.inputs.get("description") != inputs.get("description"):
            self.api.call("PUT", f"/floating_ips/{known.id}", {"description": inputs.get("description") or ""})

    def prepare_delete(self, call: Call, known: Known) -> None:
        if self.api.call("GET", f"/floating_ips/{known.id}")["floating_ip"]["server"]:
            self.act(call, known.id, "unassign")


class FloatingIpAssignment(Part):
    """The server that has a floating address; the id is the address's."""

    plural, word, parent = "floating_ips", "floating_ip", "floatingIpId"

    def seen(self, inputs: Mapping[str, Value], record: Mapping[str, Any]) -> Live | None:
        if not record["server"]:
            return None
        outputs = {"floatingIpId": inputs["floatingIpId"], "serverId": str(record["server"])}
        return self.live(str(record["id"]), inputs, outputs)

    def named(self, id_: str) -> Mapping[str, Value]:
        return {"floatingIpId": id_}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        self.act(call, inputs, "assign", {"server": int(inputs["serverId"])})
        return self.must(inputs)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self.create(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        live = self.find(known.inputs)
        # Another server may have it by now.
        if live is not None and live.inputs["serverId"] == str(known.inputs["serverId"]):
            self.undo(call, known, "unassign", {})


_PARENTS = {
    "serverId": ("servers", "server", "s"),
    "primaryIpId": ("primary_ips", "primary_ip", "p"),
    "floatingIpId": ("floating_ips", "floating_ip", "f"),
    "loadBalancerId": ("load_balancers", "load_balancer", "l"),
}


class Rdns:
    """The name of an address; deleting it brings Hetzner's default name back."""

    def __init__(self, api: Api, rules: KindRules) -> None:
        self.api = api
        self.rules = rules

    def _parent(self, inputs: Mapping[str, Value]) -> tuple[str, str, str, str]:
        key = next(key for key in _PARENTS if inputs.get(key))
        plural, word, letter = _PARENTS[key]
        return plural, word, letter, str(inputs[key])

    def _pointers(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Names by address, wherever the parent's record keeps them."""
        found: dict[str, str] = {}
        rows = list(record.get("dns_ptr") or []) if isinstance(record.get("dns_ptr"), list) else []
        for family in (record.get("public_net") or {}).values():
            if isinstance(family, dict) and family.get("dns_ptr"):
                one = family["dns_ptr"]
                rows += one if isinstance(one, list) else [{"ip": family["ip"], "dns_ptr": one}]
        for row in rows:
            found[row["ip"]] = row["dns_ptr"]
        return found

    def _default(self, address: str, name: str) -> bool:
        return name.startswith("static.") and ".clients.your-server.de" in name and bool(address)

    def _live(self, record: Mapping[str, Any] | None, inputs: Mapping[str, Value]) -> Live | None:
        if record is None:
            return None
        address = str(inputs["ipAddress"])
        name = self._pointers(record).get(address)
        if not name or self._default(address, name):
            return None
        _, _, letter, id_ = self._parent(inputs)
        values = {**inputs, "dnsPtr": name}
        return Live(f"{letter}-{id_}-{address}", values, dict(values))

    @staticmethod
    def _named(id_: str) -> dict[str, Value]:
        """The inputs that an import id stands for."""
        letter, parent, address = id_.split("-", 2)
        key = next(key for key, (_, _, known) in _PARENTS.items() if known == letter)
        return {key: parent, "ipAddress": address}

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        wanted = [item.inputs or self._named(item.id) for item in known]
        parents = [self._parent(inputs) for inputs in wanted]
        records = {
            (plural, str(record["id"])): record
            for plural in sorted({plural for plural, _, _, _ in parents})
            for record in self.api.all(plural)
        }
        return [
            self._live(records.get((plural, id_)), inputs)
            for inputs, (plural, _, _, id_) in zip(wanted, parents, strict=True)
        ]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        plural, word, _, id_ = self._parent(inputs)
        live = self._live(self.api.call("GET", f"/{plural}/{id_}")[word], inputs)
        return live if live and live.inputs["dnsPtr"] == inputs["dnsPtr"] else None

    def _set(self, call: Call, inputs: Mapping[str, Value], name: str | None) -> None:
        plural, _, _, id_ = self._parent(inputs)
        body = {"ip": inputs["ipAddress"], "dns_ptr": name}
        self.api.done(call, self.api.call("POST", f"/{plural}/{id_}/actions/change_dns_ptr", body))

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        self._set(call, inputs, str(inputs["dnsPtr"]))
        live = self.find(inputs)
        if live is None:
            raise ProviderError("the name was not taken", reason=Reason.FAILED)
        return live

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self.create(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        plural, word, _, id_ = self._parent(known.inputs)
        try:
            # An address that its server has lost took its name along.
            record = self.api.call("GET", f"/{plural}/{id_}")[word]
            if str(known.inputs["ipAddress"]) in self._pointers(record):
                self._set(call, known.inputs, None)
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
