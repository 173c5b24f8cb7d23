"""aws:lb/loadBalancer:LoadBalancer"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.aws.kinds.common import Item, given, to_tags
from rehost.providers.aws.kinds.elb import Attributes, ElbKind, attributes_in, attributes_out
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live

ATTRIBUTES: Attributes = {
    "clientKeepAlive": ("client_keep_alive.seconds", int),
    "desyncMitigationMode": ("routing.http.desync_mitigation_mode", str),
    "dnsRecordClientRoutingPolicy": ("dns_record.client_routing_policy", str),
    "dropInvalidHeaderFields": ("routing.http.drop_invalid_header_fields.enabled", bool),
    "enableCrossZoneLoadBalancing": ("load_balancing.cross_zone.enabled", bool),
    "enableDeletionProtection": ("deletion_protection.enabled", bool),
    "enableHttp2": ("routing.http2.enabled", bool),
    "idleTimeout": ("idle_timeout.timeout_seconds", int),
    "preserveHostHeader": ("routing.http.preserve_host_header.enabled", bool),
    "xffHeaderProcessingMode": ("routing.http.xff_header_processing.mode", str),
}
"""Elastic Load Balancing API reference, LoadBalancerAttribute."""


class LoadBalancer(ElbKind):
    """An application or network load balancer; its id is its ARN."""

    token = "aws:lb/loadBalancer:LoadBalancer"
    listing, items, id_field = "describe_load_balancers", "LoadBalancers", "LoadBalancerArn"
    name_input, name_field = "name", "LoadBalancerName"

    def properties(self, item: Item) -> dict[str, Value]:
        arn, zones = self.id_of(item), item.get("AvailabilityZones", [])
        with guarded("describe_load_balancer_attributes"):
            rows = self.client.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        return {
            "arn": arn,
            "arnSuffix": arn.partition(":loadbalancer/")[2],
            "dnsName": item.get("DNSName", ""),
            "internal": item.get("Scheme") == "internal",
            "ipAddressType": item.get("IpAddressType", "ipv4"),
            "loadBalancerType": item.get("Type", "application"),
            "name": item["LoadBalancerName"],
            "securityGroups": sorted(item.get("SecurityGroups") or []),
            "subnets": sorted(zone["SubnetId"] for zone in zones),
            "subnetMappings": [_mapping(zone) for zone in zones],
            "vpcId": item.get("VpcId", ""),
            "zoneId": item.get("CanonicalHostedZoneId", ""),
            **attributes_in(rows, ATTRIBUTES),
        }

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        # Either the subnets or their mappings are asked for; mappings where they have static addresses.
        fixed = any(len(mapping) > 1 for mapping in inputs.get("subnetMappings", []))
        left_out = "subnets" if fixed else "subnetMappings"
        return {key: value for key, value in inputs.items() if key != left_out}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        request: dict[str, Any] = {
            "Name": inputs["name"],
            "Scheme": "internal" if inputs.get("internal") else "internet-facing",
            "Tags": to_tags(inputs.get("tags")),
            **given(
                inputs,
                Type="loadBalancerType",
                Subnets="subnets",
                SecurityGroups="securityGroups",
                IpAddressType="ipAddressType",
            ),
        }
        if inputs.get("subnetMappings"):
            request["SubnetMappings"] = _mappings(inputs["subnetMappings"])
        with guarded("create_load_balancer"):
            arn = self.client.create_load_balancer(**request)["LoadBalancers"][0]["LoadBalancerArn"]
            call.made(arn)
            self._active(call, arn)
            self._attributes(arn, inputs)
        return self.settled(call, arn, inputs)

    def _active(self, call: Call, arn: str) -> None:
        def ready(item: Item) -> bool:
            state = item.get("State") or {}
            if state.get("Code") == "failed":
                raise ProviderError(
                    "the load balancer could not be made", reason=Reason.FAILED, why=state.get("Reason", "")
                )
            return state.get("Code") in ("active", "active_impaired")

        self.until(call, arn, ready, "active")

    def _attributes(self, arn: str, inputs: Mapping[str, Value]) -> None:
        rows = attributes_out(inputs, ATTRIBUTES)
        if rows:
            self.client.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=rows)

    def change(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> None:
        arn = known.id
        if self.differs(known, inputs, *ATTRIBUTES):
            self._attributes(arn, inputs)
        if self.differs(known, inputs, "securityGroups"):
            self.client.set_security_groups(
                LoadBalancerArn=arn, SecurityGroups=list(inputs.get("securityGroups") or [])
            )
        if self.differs(known, inputs, "subnets"):
            self.client.set_subnets(LoadBalancerArn=arn, Subnets=list(inputs["subnets"]))
        if self.differs(known, inputs, "subnetMappings"):
            self.client.set_subnets(LoadBalancerArn=arn, SubnetMappings=_mappings(inputs["subnetMappings"]))
        if self.differs(known, inputs, "ipAddressType"):
            self.client.set_ip_address_type(LoadBalancerArn=arn, IpAddressType=inputs.get("ipAddressType", "ipv4"))
        self._active(call, arn)

    def remove(self, call: Call, known: Known) -> None:
        self.client.delete_load_balancer(LoadBalancerArn=known.id)
        self.until_gone(call, known.id)
        # Its network interfaces stay for minutes, and with them the use of subnets and security groups.
        name = f"ELB {known.id.partition(':loadbalancer/')[2]}"
        ec2, filters = self.clients["ec2"], [{"Name": "description", "Values": [name]}]

        def released() -> bool:
            with guarded("describe_network_interfaces"):
                return not ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]

        call.poll(released, "its network interfaces to be gone")


def _mapping(zone: Item) -> dict[str, Value]:
    addresses: Item = next(iter(zone.get("LoadBalancerAddresses") or []), {})
    found = {
        "subnetId": zone["SubnetId"],
        "allocationId": addresses.get("AllocationId"),
        "privateIpv4Address": addresses.get("PrivateIPv4Address"),
    }
    return {key: value for key, value in found.items() if value}


def _mappings(mappings: Any) -> list[dict[str, Any]]:
    return [
        given(row, SubnetId="subnetId", AllocationId="allocationId", PrivateIPv4Address="privateIpv4Address")
        for row in mappings
    ]
