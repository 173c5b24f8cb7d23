"""hcloud:index/uploadedCertificate:UploadedCertificate and hcloud:index/managedCertificate:ManagedCertificate"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.providers.hetzner.kinds.common import CloudKind
from rehost.stacks.graph import Value


class UploadedCertificate(CloudKind):
    """A certificate that was issued elsewhere."""

    plural, word = "certificates", "certificate"

    def properties(self, record: Mapping[str, Any]) -> dict[str, Value]:
        return {
            "name": record["name"],
            "type": record["type"],
            "certificate": (record.get("certificate") or "").strip(),
            "domainNames": list(record["domain_names"]),
            "fingerprint": record.get("fingerprint") or "",
            "created": record["created"],
            "notValidBefore": record.get("not_valid_before") or "",
            "notValidAfter": record.get("not_valid_after") or "",
        }

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {"type": "uploaded", "certificate": inputs["certificate"], "private_key": inputs["privateKey"]}


class ManagedCertificate(UploadedCertificate):
    """A certificate that Hetzner has issued; the create's action ends when it is there."""

    def request(self, inputs: Mapping[str, Value]) -> dict[str, Any]:
        return {"type": "managed", "domain_names": inputs["domainNames"]}
