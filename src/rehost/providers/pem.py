"""Certificates in PEM: what one says of itself, and a chain apart."""

from __future__ import annotations

import re
from typing import Any

from rehost.stacks.graph import UNKNOWN, Join, Secret, Value, is_secret, is_unknown, reveal

_BEGINS = re.compile("-----BEGIN CERTIFICATE-----")


def names_in(text: Any) -> list[str]:
    """The domain names that the first certificate of a text holds for; none where it is no certificate."""
    if not isinstance(text, str) or "BEGIN CERTIFICATE" not in text:
        return []
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound):
        return []
    return found.value.get_values_for_type(x509.DNSName)


def leaf_and_issuers(chain: Value) -> tuple[Value, Value]:
    """The first certificate of a chain, and those that follow (None where none does), as secret as it is. Their
    texts together are the chain. What holds a reference stays in one piece."""
    whole = [reveal(part) for part in (chain.parts if isinstance(chain, Join) else (chain,))]
    if any(is_unknown(part) for part in whole):
        return UNKNOWN, UNKNOWN
    if not all(isinstance(part, str) for part in whole):
        return chain, None
    text = "".join(whole)
    begins = [match.start() for match in _BEGINS.finditer(text)]
    if len(begins) < 2:
        return chain, None
    parts = text[: begins[1]], text[begins[1] :]
    if is_secret(chain):
        return Secret(parts[0]), Secret(parts[1])
    return parts


def chain_of(leaf: Value, issuers: Value) -> Value:
    """The chain that was taken apart."""
    texts = [reveal(part) for part in (leaf, issuers) if part is not None]
    if not all(isinstance(text, str) for text in texts):
        return leaf
    joined = "".join(text if text.endswith("\n") else f"{text}\n" for text in texts[:-1]) + texts[-1]
    return Secret(joined) if is_secret(leaf) or is_secret(issuers) else joined
