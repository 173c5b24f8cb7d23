"""What a certificate in PEM says of itself."""

from __future__ import annotations

from typing import Any


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
