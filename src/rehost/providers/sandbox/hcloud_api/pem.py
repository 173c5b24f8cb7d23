"""Certificates in PEM: reading what was uploaded, and issuing what was asked for. The library is loaded when it is
first needed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from rehost.providers.sandbox.hcloud_api import catalog
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid

_DAYS = 90
_CLOCK_SKEW = timedelta(hours=1)


def read(certificate: str, private_key: str) -> Record:
    """What the API shows of an uploaded certificate. Raises ApiError for PEM that is not valid, too large, out of
    order or does not fit the key."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if len(private_key.encode()) > catalog.limit("key_bytes"):
        raise invalid("private_key", "is too large")
    if len(certificate.encode()) > catalog.limit("chain_bytes"):
        raise invalid("certificate", "is too large")
    try:
        chain = x509.load_pem_x509_certificates(certificate.encode())
    except ValueError:
        raise invalid("certificate", "must be a certificate (chain) in PEM format") from None
    if len(chain) > catalog.limit("chain_length"):
        raise invalid("certificate", "has too many certificates")
    try:
        key = load_pem_private_key(private_key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise invalid("private_key", "must be a private key in PEM format without a passphrase") from None
    if key.public_key() != chain[0].public_key():
        raise invalid("private_key", "does not belong to the certificate")
    for one, issuer in pairwise(chain):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            raise invalid("certificate", "each certificate must be certified by the one after it") from None
    return _facts(chain[0])


def _facts(leaf: object) -> Record:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA1

    assert isinstance(leaf, x509.Certificate)
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        domains = names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        common = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        domains = [str(attribute.value) for attribute in common]
    return {
        "domain_names": domains,
        "fingerprint": leaf.fingerprint(SHA1()).hex(":"),
        "not_valid_before": _stamp(leaf.not_valid_before_utc),
        "not_valid_after": _stamp(leaf.not_valid_after_utc),
    }


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def issue(domains: Sequence[str], now: float) -> tuple[str, Record]:
    """A certificate for domains as PEM, and what the API shows of it; `now` is Unix time. Nobody keeps its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    moment = datetime.fromtimestamp(now, UTC).replace(microsecond=0)
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, domains[0][:64])])
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rehost sandbox authority")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _CLOCK_SKEW)
        .not_valid_after(moment + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain) for domain in domains]), critical=False)
        .sign(key, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode(), {**_facts(certificate), "domain_names": list(domains)}
