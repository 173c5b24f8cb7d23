"""Texts in zones that may not be rehost's: proofs of certificates (Hetzner DNS)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rehost.providers.hetzner.api import Api
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import Call, HostedZone

_TTL = 60


class Texts:
    """The API adds and removes single values by itself."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def hosted_zones(self, name: str) -> Sequence[HostedZone]:
        """Zones that a name could be in, the longest first. Their servers are those that Hetzner gave them."""
        found = []
        for row in self._api.all("zones"):
            zone = row["name"].lower()
            if (name == zone or name.endswith("." + zone)) and row.get("mode", "primary") == "primary":
                servers = (row.get("authoritative_nameservers") or {}).get("assigned") or ()
                names = tuple(server.rstrip(".").lower() for server in servers)
                found.append(HostedZone(str(row["id"]), zone, names))
        return sorted(found, key=lambda zone: -len(zone.name))

    def _path(self, zone: HostedZone, name: str) -> str:
        relative = name.removesuffix(zone.name).rstrip(".") or "@"
        return f"/zones/{zone.id}/rrsets/{relative}/TXT"

    def _values(self, path: str) -> list[str]:
        try:
            row: dict[str, Any] = self._api.call("GET", path)["rrset"]
        except ProviderError as error:
            if error.reason is Reason.NOT_FOUND:
                return []
            raise
        return [record["value"] for record in row["records"]]

    def add_text(self, call: Call, zone: HostedZone, name: str, text: str) -> None:
        """Add a text beside the others."""
        path, value = self._path(zone, name), f'"{text}"'
        there = self._values(path)
        if value not in there:
            # A set that is there has a lifetime of its own.
            body = {"records": [{"value": value}], **({} if there else {"ttl": _TTL})}
            self._api.done(call, self._api.call("POST", f"{path}/actions/add_records", body))

    def drop_text(self, call: Call, zone: HostedZone, name: str, text: str) -> None:
        """Take a text away."""
        path, value = self._path(zone, name), f'"{text}"'
        if value in self._values(path):
            body = {"records": [{"value": value}]}
            self._api.done(call, self._api.call("POST", f"{path}/actions/remove_records", body))
