"""Texts in zones that may not be rehost's: proofs of certificates (Route 53)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.providers.aws.kinds.common import everything
from rehost.providers.aws.txt import quoted
from rehost.providers.botoerrors import guarded
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import Call, HostedZone

_TTL = 60
_TRIES = 5
"""So often a change is made again that somebody else's came before."""


class Texts:
    """Record sets are read, and replaced only as long as they are as they were read."""

    def __init__(self, clients: Mapping[str, Any]) -> None:
        self._clients = clients

    @property
    def _client(self) -> Any:
        return self._clients["route53"]

    def hosted_zones(self, name: str) -> Sequence[HostedZone]:
        """Public zones that a name could be in, the longest first."""
        found = []
        for row in everything(self._client, "list_hosted_zones", "HostedZones"):
            zone = row["Name"].rstrip(".").lower()
            if (name == zone or name.endswith("." + zone)) and not (row.get("Config") or {}).get("PrivateZone"):
                with guarded("get_hosted_zone"):
                    servers = self._client.get_hosted_zone(Id=row["Id"]).get("DelegationSet", {})
                names = tuple(server.rstrip(".").lower() for server in servers.get("NameServers", ()))
                found.append(HostedZone(row["Id"].rsplit("/", 1)[-1], zone, names))
        return sorted(found, key=lambda zone: -len(zone.name))

    def _values(self, zone: str, name: str) -> tuple[list[str], int]:
        with guarded("list_resource_record_sets"):
            rows = self._client.list_resource_record_sets(
                HostedZoneId=zone, StartRecordName=name, StartRecordType="TXT", MaxItems="1"
            )["ResourceRecordSets"]
        for row in rows:
            if (row["Name"].rstrip(".").lower(), row["Type"]) == (name, "TXT"):
                return [item["Value"] for item in row.get("ResourceRecords", ())], row.get("TTL", _TTL)
        return [], _TTL

    def add_text(self, call: Call, zone: HostedZone, name: str, text: str) -> None:
        """Add a text beside the others."""
        self._change(call, zone.id, name, lambda values: [*values, text] if text not in values else values, text)

    def drop_text(self, call: Call, zone: HostedZone, name: str, text: str) -> None:
        """Take a text away."""
        self._change(call, zone.id, name, lambda values: [value for value in values if value != text], text)

    def _change(self, call: Call, zone: str, name: str, made: Any, text: str) -> None:
        wanted = quoted(text, "TXT")
        for attempt in range(_TRIES):
            old, ttl = self._values(zone, name)
            new = [wanted if value == text else value for value in made([text if v == wanted else v for v in old])]
            if new == old:
                return
            changes = [_row("DELETE", name, old, ttl)] if old else []
            changes += [_row("UPSERT", name, new, ttl)] if new else []
            try:
                with guarded("change_resource_record_sets"):
                    self._client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
            except ProviderError as error:
                # Another's change came in between: what is deleted has to be named as it is.
                if error.code != "InvalidChangeBatch" or attempt + 1 == _TRIES:
                    raise
                call.pause(1)
            else:
                return
        raise ProviderError(f"{name} is being changed by somebody else", reason=Reason.BUSY)


def _row(action: str, name: str, values: Sequence[str], ttl: int) -> dict[str, Any]:
    records = [{"Value": value} for value in values]
    return {
        "Action": action,
        "ResourceRecordSet": {"Name": name, "Type": "TXT", "TTL": ttl, "ResourceRecords": records},
    }
