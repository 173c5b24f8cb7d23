"""aws:lb/listener:Listener and aws:lb/listenerCertificate:ListenerCertificate"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import Item, everything, given, to_tags
from rehost.providers.aws.kinds.elb import UnderParent, actions_in, actions_out, plain_actions
from rehost.providers.aws.kinds.tie import Tie
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live

_SETTINGS = ("port", "protocol", "sslPolicy", "certificateArn", "defaultActions", "alpnPolicy")


class Listener(UnderParent):
    """A port of a load balancer. It takes no certificate that is still pending."""

    token = "aws:lb/listener:Listener"
    listing, items, id_field = "describe_listeners", "Listeners", "ListenerArn"
    parent_input, parent_word, word = "loadBalancerArn", "loadbalancer", "listener"

    def children(self, parent: str) -> list[Item]:
        return everything(self.client, self.listing, self.items, LoadBalancerArn=parent)

    def properties(self, item: Item) -> dict[str, Value]:
        certificates = item.get("Certificates") or []
        alpn = item.get("AlpnPolicy") or []
        return {
            "alpnPolicy": alpn[0] if alpn else "",
            "arn": self.id_of(item),
            "certificateArn": certificates[0]["CertificateArn"] if certificates else "",
            "defaultActions": actions_in(item.get("DefaultActions") or []),
            "loadBalancerArn": item["LoadBalancerArn"],
            "port": item.get("Port", 0),
            "protocol": item.get("Protocol", ""),
            "sslPolicy": item.get("SslPolicy") or "",
        }

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        return {**inputs, "defaultActions": plain_actions(inputs["defaultActions"])}

    @staticmethod
    def _request(inputs: Mapping[str, Value]) -> dict[str, Any]:
        request = given(inputs, Port="port", Protocol="protocol", SslPolicy="sslPolicy")
        request["DefaultActions"] = actions_out(inputs["defaultActions"])
        if inputs.get("certificateArn"):
            request["Certificates"] = [{"CertificateArn": inputs["certificateArn"]}]
        if inputs.get("alpnPolicy"):
            request["AlpnPolicy"] = [inputs["alpnPolicy"]]
        return request

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("create_listener"):
            arn = self.client.create_listener(
                LoadBalancerArn=inputs["loadBalancerArn"],
                Tags=to_tags(inputs.get("tags")),
                **self._request(inputs),
            )["Listeners"][0]["ListenerArn"]
        call.made(arn)
        return self.settled(call, arn, inputs)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        if self.differs(known, inputs, *_SETTINGS):
            self.client.modify_listener(ListenerArn=known.id, **self._request(inputs))

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_listener(ListenerArn=known.id)


class ListenerCertificate(Tie):
    """A further certificate of a listener, chosen by the name that a browser asks for."""

    token = "aws:lb/listenerCertificate:ListenerCertificate"
    service = "elbv2"

    def keyed(self, id_: str) -> dict[str, Value]:
        listener, _, certificate = id_.partition("_")
        return {"listenerArn": listener, "certificateArn": certificate}

    def look(self, wanted: Sequence[Mapping[str, Value]]) -> list[Live | None]:
        listeners = sorted({str(inputs["listenerArn"]) for inputs in wanted})
        held = {listener: self._of(listener) for listener in listeners}
        found: list[Live | None] = []
        for inputs in wanted:
            listener, certificate = str(inputs["listenerArn"]), str(inputs["certificateArn"])
            values: dict[str, Value] = {"listenerArn": listener, "certificateArn": certificate}
            there = certificate in held[listener]
            found.append(Live(f"{listener}_{certificate}", values, values) if there else None)
        return found

    def _of(self, listener: str) -> set[str]:
        rows = everything(self.client, "describe_listener_certificates", "Certificates", ListenerArn=listener)
        return {row["CertificateArn"] for row in rows if not row.get("IsDefault")}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("add_listener_certificates"):
            self.client.add_listener_certificates(
                ListenerArn=inputs["listenerArn"], Certificates=[{"CertificateArn": inputs["certificateArn"]}]
            )
        return self.appeared(call, inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.remove_listener_certificates(
            ListenerArn=known.inputs["listenerArn"],
            Certificates=[{"CertificateArn": known.inputs["certificateArn"]}],
        )
