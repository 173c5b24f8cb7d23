"""aws:ec2/eip:Eip and aws:ec2/eipAssociation:EipAssociation"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rehost.providers.aws.kinds.common import Clients, Ec2Kind, Item, given
from rehost.providers.aws.kinds.tie import Tie
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, KindRules, Known, Live


class Eip(Ec2Kind):
    """A static public address. The API has no pages here."""

    token = "aws:ec2/eip:Eip"
    describe, items, id_field = "describe_addresses", "Addresses", "AllocationId"
    id_filter, resource_type = "allocation-id", "elastic-ip"
    paged = False

    def properties(self, item: Item) -> dict[str, Value]:
        id_, public, private = self.id_of(item), item["PublicIp"], item.get("PrivateIpAddress") or ""
        return {
            "allocationId": id_,
            "arn": self.arn(f"elastic-ip/{id_}"),
            "associationId": item.get("AssociationId") or "",
            "carrierIp": item.get("CarrierIp") or "",
            "customerOwnedIp": item.get("CustomerOwnedIp") or "",
            "customerOwnedIpv4Pool": item.get("CustomerOwnedIpv4Pool") or "",
            "domain": item.get("Domain") or "vpc",
            "instance": item.get("InstanceId") or "",
            "networkBorderGroup": item.get("NetworkBorderGroup") or "",
            "networkInterface": item.get("NetworkInterfaceId") or "",
            "privateDns": self._name("ip", private, "internal"),
            "privateIp": private,
            "ptrRecord": "",
            "publicDns": self._name("ec2", public, "amazonaws.com"),
            "publicIp": public,
            "publicIpv4Pool": item.get("PublicIpv4Pool") or "amazon",
        }

    def _name(self, prefix: str, address: str, suffix: str) -> str:
        """The name that Amazon gives to an address (EC2 user guide, instance hostnames)."""
        region, inside = self.client.meta.region_name, suffix == "internal"
        place = f"{region}.compute"
        if region == "us-east-1":
            place = "ec2" if inside else "compute-1"
        return f"{prefix}-{address.replace('.', '-')}.{place}.{suffix}" if address else ""

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("allocate_address"):
            made = self.client.allocate_address(
                Domain=inputs.get("domain", "vpc"),
                TagSpecifications=self.specification(inputs),
                **given(inputs, PublicIpv4Pool="publicIpv4Pool", Address="address"),
            )
        call.made(made["AllocationId"])
        return self.settled(call, made["AllocationId"], inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.release_address(AllocationId=known.id)


class EipAssociation(Tie):
    """Which server or network interface has a static address; an address is at one place at most."""

    token = "aws:ec2/eipAssociation:EipAssociation"

    def __init__(self, clients: Clients, rules: KindRules) -> None:
        super().__init__(clients, rules)
        self._addresses = Eip(clients, rules)

    def keyed(self, id_: str) -> dict[str, Value]:
        found = self._addresses.query("association-id", [id_])
        return {"allocationId": found[0]["AllocationId"] if found else ""}

    def look(self, wanted: Sequence[Mapping[str, Value]]) -> list[Live | None]:
        ids = sorted({str(inputs["allocationId"]) for inputs in wanted})
        addresses = {address["AllocationId"]: address for address in self._addresses.select(ids)}
        return [self._live(addresses.get(str(inputs["allocationId"])), inputs) for inputs in wanted]

    @staticmethod
    def _live(address: Item | None, inputs: Mapping[str, Value]) -> Live | None:
        if address is None or not address.get("AssociationId"):
            return None
        values: dict[str, Value] = {
            "allocationId": address["AllocationId"],
            "instanceId": address.get("InstanceId") or "",
            "networkInterfaceId": address.get("NetworkInterfaceId") or "",
            "privateIpAddress": address.get("PrivateIpAddress") or "",
            "publicIp": address["PublicIp"],
        }
        for holder in ("instanceId", "networkInterfaceId"):
            if inputs.get(holder, values[holder]) != values[holder]:
                return None
        return Live(address["AssociationId"], values, values)

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        # Interface and private address follow from the server.
        names = ("allocationId", "instanceId") if "instanceId" in inputs else tuple(inputs)
        return {name: inputs[name] for name in names}

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        with guarded("associate_address"):
            self.client.associate_address(
                AllocationId=inputs["allocationId"],
                AllowReassociation=bool(inputs.get("allowReassociation", False)),
                **given(
                    inputs,
                    InstanceId="instanceId",
                    NetworkInterfaceId="networkInterfaceId",
                    PrivateIpAddress="privateIpAddress",
                ),
            )
        return self.appeared(call, inputs)

    def remove(self, call: Call, known: Known) -> None:
        self.client.disassociate_address(AssociationId=known.id)
