"""Certificates that rehost had issued, and the authority: the inverse of `stacks/acme/lower.py`, the same for all
providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehost.stacks.acme.resource import CERTIFICATE, ORDER
from rehost.stacks.graph import Secret, Value, reveal
from rehost.stacks.lift.draft import plain
from rehost.stacks.lift.job import Underway
from rehost.stacks.lift.texts import Texts


def issued(made: Underway) -> None:
    """The certificates of all orders. Keys are secrets of the stack, which follow from their names."""
    for order in made.items.of(ORDER):
        made.draft.claim(ORDER, order.name, order)
        made.draft.family("certificates")[order.name] = {
            "domains": list(order.inputs["domains"]),
            "issuer": "acme",
        }
        _authority(made, order.inputs)
    for certificate in made.items.of(CERTIFICATE):
        made.draft.claim(CERTIFICATE, certificate.name, certificate)


def holder(made: Underway, value: Value) -> str | None:
    """The name of the certificate that rehost had issued and that a provider's own is made of, None for others."""
    found = made.items.get(value, CERTIFICATE)
    return found.name if found is not None else None


def _authority(made: Underway, inputs: Mapping[str, Value]) -> None:
    data: dict[str, Any] = plain({"directory": inputs.get("directory"), "email": inputs.get("email")})
    data["terms_agreed"] = bool(inputs.get("termsAgreed"))
    made.draft.families["acme"] = data
    external = reveal(inputs.get("externalAccount"))
    if external:
        data["external_account"] = given = {"key_id": external["keyId"], "hmac_key": "${secrets.unknown}"}

        def later(texts: Texts) -> None:
            given["hmac_key"] = texts.text(Secret(external["hmacKey"]), "acme-hmac-key")

        made.later.append(later)
