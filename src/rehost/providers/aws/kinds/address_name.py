"""aws:ec2/eipDomainName:EipDomainName"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rehost.providers.aws.kinds.common import Item
from rehost.providers.aws.kinds.tie import Tie
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import OperatorNeeded, ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class EipDomainName(Tie):
    """The name of a static address; its natural key is the address, and so is its id.

    Amazon takes a name once the name resolves to the address, needs a while for it, and lets no address go that
    has one (EC2 user guide, reverse DNS for email applications).
    """

    token = "aws:ec2/eipDomainName:EipDomainName"

    def keyed(self, id_: str) -> dict[str, Value]:
        return {"allocationId": id_}

    def look(self, wanted: Sequence[Mapping[str, Value]]) -> list[Live | None]:
        ids = sorted({str(inputs["allocationId"]) for inputs in wanted})
        try:
            rows = self._rows(ids)
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise
            # One of several is gone: the answer names none of the others.
            rows = {id_: row for id_ in ids for row in self._one(id_)} if len(ids) > 1 else {}
        return [self._live(rows.get(str(inputs["allocationId"]))) for inputs in wanted]

    def _rows(self, ids: Sequence[str]) -> dict[str, Item]:
        found: dict[str, Item] = {}
        with guarded("describe_addresses_attribute"):
            pages = self.client.get_paginator("describe_addresses_attribute").paginate(
                AllocationIds=list(ids), Attribute="domain-name"
            )
            for page in pages:
                found |= {row["AllocationId"]: row for row in page.get("Addresses", [])}
        return found

    def _one(self, id_: str) -> list[Item]:
        try:
            return list(self._rows([id_]).values())
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return []
            raise

    @staticmethod
    def _live(row: Item | None) -> Live | None:
        name = (row or {}).get("PtrRecord") or ""
        if row is None or not name:
            return None
        id_ = row["AllocationId"]
        values: dict[str, Value] = {"allocationId": id_, "domainName": name.rstrip("."), "ptrRecord": name}
        return Live(id_, values, values)

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        name = str(inputs["domainName"])
        try:
            with guarded("modify_address_attribute"):
                self.client.modify_address_attribute(AllocationId=inputs["allocationId"], DomainName=name)
        except ProviderError as error:
            if error.reason is not Reason.INVALID:
                raise
            raise OperatorNeeded(
                f"Amazon does not take {name} as the address's name yet",
                why=error.summary,
                fix=f"let {name} resolve to the address for everybody (its zone is delegated), and deploy again",
            ) from error
        return self.appeared(call, inputs, lambda live: live.outputs["domainName"] == name)

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        del known
        return self.create(call, inputs)

    def remove(self, call: Call, known: Known) -> None:
        id_ = str(known.inputs["allocationId"])
        self.client.reset_address_attribute(AllocationId=id_, Attribute="domain-name")
        call.poll(lambda: self.look([{"allocationId": id_}]) == [None], "the name to be gone")
