"""hcloud:index/loadBalancer:LoadBalancer with its network, services and targets"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from rehost.providers.hetzner.kinds.common import CloudKind, Part
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class LoadBalancer(CloudKind):
    """A load balancer; what it answers and whom it sends it to are kinds of their own."""

    plural, word = "load_balancers", "load_balancer"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        public = record["public_net"]
        private = record["private_net"]
        return {
            "name": record["name"],
            "loadBalancerType": record["load_balancer_type"]["name"],
            "location": record["location"]["name"],
            "networkZone": record["location"]["network_zone"],
            "algorithm": {"type": record["algorithm"]["type"]},
            "ipv4": public["ipv4"]["ip"] or "",
            "ipv6": public["ipv6"]["ip"] or "",
            "networkId": private[0]["network"] if private else 0,
            "networkIp": private[0]["ip"] if private else "",
            "deleteProtection": record["protection"]["delete"],
        }

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        body = {
            "load_balancer_type": inputs["loadBalancerType"],
            "algorithm": inputs.get("algorithm") or {"type": "round_robin"},
        }
        place = {"location": inputs.get("location"), "network_zone": inputs.get("networkZone")}
        return body | {key: value for key, value in place.items() if value}

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if known.inputs.get("loadBalancerType") != inputs["loadBalancerType"]:
            self.act(call, known.id, "change_type", {"load_balancer_type": inputs["loadBalancerType"]})
        if known.inputs.get("algorithm") != inputs.get("algorithm") and inputs.get("algorithm"):
            self.act(call, known.id, "change_algorithm", inputs["algorithm"])


_HTTP = {
    "stickySessions": "sticky_sessions",
    "cookieName": "cookie_name",
    "cookieLifetime": "cookie_lifetime",
    "redirectHttp": "redirect_http",
    "timeoutIdle": "timeout_idle",
}
_CHECK = ("protocol", "port", "interval", "timeout", "retries")
_CHECK_HTTP = {
    "domain": "domain",
    "path": "path",
    "response": "response",
    "statusCodes": "status_codes",
    "tls": "tls",
}
_TARGETS = {"server": ("serverId", "id"), "label_selector": ("labelSelector", "selector"), "ip": ("ip", "ip")}
"""Where the name of a target stands, by its type: in the inputs and in the record."""


class _Part(Part):
    """Something inside a load balancer."""

    plural, word, parent = "load_balancers", "load_balancer", "loadBalancerId"


class LoadBalancerNetwork(_Part):
    """A load balancer in a private network; the natural key is both."""

    def seen(self, inputs: Mapping[str, Value], record: Mapping[str, Any]) -> Live | None:
        network = self._network(inputs)
        for net in record["private_net"]:
            if str(net["network"]) == network:
                subnet = str(inputs.get("subnetId") or "")
                within = subnet and ip_address(net["ip"]) in ip_network(subnet.partition("-")[2])
                outputs: dict[str, Value] = {
                    **({"subnetId": subnet if within else ""} if subnet else {}),
                    "loadBalancerId": inputs["loadBalancerId"],
                    "networkId": inputs.get("networkId", net["network"]),
                    "ip": net["ip"],
                    "enablePublicInterface": record["public_net"]["enabled"],
                }
                return self.live(f"{record['id']}-{network}", inputs, outputs)
        return None

    def named(self, id_: str) -> Mapping[str, Value]:
        balancer, _, network = id_.partition("-")
        return {"loadBalancerId": balancer, "networkId": network}

    @staticmethod
    def _network(inputs: Mapping[str, Value]) -> str:
        return str(inputs.get("networkId") or str(inputs.get("subnetId", "")).partition("-")[0])

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        if self.find(inputs) is None:
            body: dict[str, Any] = {"network": int(self._network(inputs))}
            if inputs.get("subnetId"):
                body["ip_range"] = str(inputs["subnetId"]).partition("-")[2]
            if inputs.get("ip"):
                body["ip"] = inputs["ip"]
            self.act(call, inputs, "attach_to_network", body)
        return self._opened(call, inputs)

    def _opened(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        """With a public interface, or without."""
        live, public = self.must(inputs), inputs.get("enablePublicInterface", True)
        if live.outputs["enablePublicInterface"] != public:
            self.act(call, inputs, "enable_public_interface" if public else "disable_public_interface", {})
            live = self.must(inputs)
        return live

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        del known
        live = self.find(inputs)
        if live is not None and live.outputs.get("subnetId") == inputs.get("subnetId"):
            return self._opened(call, inputs)
        record = self.api.call("GET", f"/load_balancers/{inputs['loadBalancerId']}")["load_balancer"]
        # It keeps one interface at least. What is internal must answer nobody while that is the public one.
        hidden = [] if record["public_net"]["enabled"] else record["services"]
        for service in hidden:
            self.act(call, inputs, "delete_service", {"listen_port": service["listen_port"]})
        if live is not None:
            self._leave(call, inputs)
        made = self.create(call, inputs)
        for service in hidden:
            self.act(call, inputs, "add_service", _again(service))
        return made

    def _leave(self, call: Call, inputs: Mapping[str, Value]) -> None:
        live = self.find(inputs)
        if live is not None and not live.outputs["enablePublicInterface"]:
            # A load balancer keeps one interface at least.
            self.act(call, inputs, "enable_public_interface", {})
        self.undo(call, Known("", "", inputs, {}), "detach_from_network", {"network": int(self._network(inputs))})

    def delete(self, call: Call, known: Known) -> None:
        self._leave(call, known.inputs)


def _again(service: Mapping[str, Any]) -> dict[str, Any]:
    """A service as it was told, in the form that makes one."""
    return {key: value for key, value in service.items() if value is not None}


class LoadBalancerTarget(_Part):
    """Whom a load balancer sends visitors to: a server, all servers with a label, or an address."""

    def _key(self, inputs: Mapping[str, Value]) -> tuple[str, str]:
        kind = str(inputs["type"])
        return kind, str(inputs[_TARGETS[kind][0]])

    def _body(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        kind, key = self._key(inputs)
        return {"type": kind, kind: {_TARGETS[kind][1]: int(key) if kind == "server" else key}}

    def seen(self, inputs: Mapping[str, Value], record: Mapping[str, Any]) -> Live | None:
        kind, key = self._key(inputs)
        ours, theirs = _TARGETS[kind]
        for target in record["targets"]:
            if target["type"] == kind and key == str(target[kind][theirs]):
                outputs: dict[str, Value] = {
                    "loadBalancerId": inputs["loadBalancerId"],
                    "type": kind,
                    ours: inputs[ours],
                    "usePrivateIp": bool(target.get("use_private_ip")),
                }
                return self.live(self._id(kind, key, record["id"]), inputs, outputs)
        return None

    @staticmethod
    def _id(kind: str, key: str, balancer: int) -> str:
        """As the official provider makes it."""
        if kind == "server":
            return f"lb-srv-tgt-{key}-{balancer}"
        word = "label-selector" if kind == "label_selector" else "ip"
        return f"lb-{word}-tgt-{hashlib.sha256(key.encode()).hexdigest()}-{balancer}"

    def named(self, id_: str) -> Mapping[str, Value]:
        balancer, kind, key = id_.split("__", 2)
        return {"loadBalancerId": balancer, "type": kind, _TARGETS[kind][0]: key}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        if self.find(inputs) is None:
            body = {**self._body(inputs), "use_private_ip": bool(inputs.get("usePrivateIp"))}
            self.act(call, inputs, "add_target", body)
        return self.must(inputs)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        live = self.find(inputs)
        if live is not None and live.outputs["usePrivateIp"] != bool(inputs.get("usePrivateIp")):
            self.act(call, inputs, "remove_target", self._body(inputs))
        return self.create(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        self.undo(call, known, "remove_target", self._body(known.inputs))


class LoadBalancerService(_Part):
    """A port that a load balancer answers; the natural key is load balancer and port."""

    def seen(self, inputs: Mapping[str, Value], record: Mapping[str, Any]) -> Live | None:
        for service in record["services"]:
            if service["listen_port"] == inputs["listenPort"]:
                return self.live(
                    f"{record['id']}__{service['listen_port']}",
                    inputs,
                    {"loadBalancerId": inputs["loadBalancerId"], **self._outputs(service)},
                )
        return None

    def _outputs(self, service: Mapping[str, Any]) -> dict[str, Value]:
        check = service["health_check"]
        health: dict[str, Value] = {
            key: check[key] for key in ("protocol", "port", "interval", "timeout", "retries")
        }
        if check.get("http"):
            http = check["http"]
            health["http"] = {
                "domain": http.get("domain") or "",
                "path": http["path"],
                "response": http.get("response") or "",
                "statusCodes": list(http.get("status_codes") or []),
                "tls": bool(http.get("tls")),
            }
        outputs: dict[str, Value] = {
            "protocol": service["protocol"],
            "listenPort": service["listen_port"],
            "destinationPort": service["destination_port"],
            "proxyprotocol": service["proxyprotocol"],
            "healthCheck": health,
        }
        if service["protocol"] != "tcp" and service.get("http"):
            about = service["http"]
            outputs["http"] = {ours: about.get(theirs) for ours, theirs in _HTTP.items()}
            outputs["http"]["certificates"] = [str(id_) for id_ in about.get("certificates") or []]
        return outputs

    def _body(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "protocol": inputs["protocol"],
            "listen_port": inputs["listenPort"],
            "destination_port": inputs["destinationPort"],
            "proxyprotocol": bool(inputs.get("proxyprotocol")),
        }
        health = inputs.get("healthCheck")
        if health:
            check: dict[str, Any] = {key: health[key] for key in _CHECK}
            http = health.get("http")
            if http:
                check["http"] = {theirs: http[ours] for ours, theirs in _CHECK_HTTP.items() if ours in http}
            body["health_check"] = check
        about = inputs.get("http")
        if about:
            body["http"] = {theirs: about[ours] for ours, theirs in _HTTP.items() if about.get(ours) is not None}
            if inputs["protocol"] == "https":
                body["http"]["certificates"] = [int(id_) for id_ in about.get("certificates") or []]
        return body

    def named(self, id_: str) -> Mapping[str, Value]:
        balancer, _, port = id_.partition("__")
        return {"loadBalancerId": balancer, "listenPort": int(port)}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        self.act(call, inputs, "add_service", self._body(inputs))
        return self.must(inputs)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        self.act(call, inputs, "update_service", self._body(inputs))
        return self.must(inputs)

    def delete(self, call: Call, known: Known) -> None:
        self.undo(call, known, "delete_service", {"listen_port": known.inputs["listenPort"]})
