"""The keys of the sandbox's certificate authority, and what it signs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rehost.stacks.acme.client import renewal_id

_YEARS = timedelta(days=3650)


def names_of(request: x509.CertificateSigningRequest) -> list[str]:
    """The names that a request asks for."""
    found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted({name.lower() for name in found.get_values_for_type(x509.DNSName)})


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


class Issuer:
    """A root that signs an issuer that signs certificates, made at first or kept from before. `above` is the root,
    where there is one."""

    def __init__(self, kept: Mapping[str, str] | None = None, above: Signer | None = None) -> None:
        if kept:
            loaded = load_pem_private_key(kept["key"].encode(), None)
            assert isinstance(loaded, ec.EllipticCurvePrivateKey)
            self._key, self.root, self._middle = loaded, kept["root"], kept["middle"]
            return
        if above is None:
            key = ec.generate_private_key(ec.SECP256R1())
            title = _name("rehost sandbox root")
            above = _authority(title, title, key.public_key(), key), key
        top, signer = above
        self._key = ec.generate_private_key(ec.SECP256R1())
        middle = _authority(_name("rehost sandbox issuer"), top.subject, self._key.public_key(), signer)
        self.root, self._middle = (each.public_bytes(Encoding.PEM).decode() for each in (top, middle))

    def kept(self) -> dict[str, str]:
        """What a later one goes on with."""
        key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {"key": key, "root": self.root, "middle": self._middle}

    def issue(
        self, request: x509.CertificateSigningRequest, names: list[str], begin: datetime, end: datetime
    ) -> tuple[str, str]:
        """A chain in PEM, and what its certificate is called when its renewal is asked about."""
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(x509.load_pem_x509_certificate(self._middle.encode()).subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, SHA256())
        )
        return made.public_bytes(Encoding.PEM).decode() + self._middle, renewal_id(made)

    def key_of(self, certificate: x509.Certificate) -> str:
        """What a certificate is called when its renewal is asked about."""
        return renewal_id(certificate)


def _authority(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = datetime.now(UTC) - timedelta(days=365)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + _YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, SHA256())
    )
