"""Secrets that are drawn: random text, or private keys."""

from __future__ import annotations

import base64
import secrets

from rehost.stacks.errors import InvalidInput
from rehost.stacks.model import Secret, SshKey


def draw(secret: Secret) -> str:
    """A fresh value: text that no URL needs to escape, or a private key: as PEM (PKCS #8), that for SSH in
    OpenSSH's own format."""
    if isinstance(secret, SshKey):
        from rehost.stacks.hosts.cloudinit import new_key

        return new_key().private
    if secret.key is None:
        return secrets.token_urlsafe(secret.generate or 32)
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if secret.key == "p256":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(65537, int(secret.key.removeprefix("rsa-")))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_key(name: str, value: str) -> str:
    """The public half of an RSA key, base64 of its DER form. Raises InvalidInput for what is no such key."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        key = load_pem_private_key(value.encode(), None)
    except (TypeError, ValueError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise InvalidInput(
            f"the secret {name} has no public half",
            why="it is no private RSA key in PEM",
            fix="have one drawn: `key: rsa-2048`",
        )
    if key.key_size < 1024:
        raise InvalidInput(
            f"the key in the secret {name} has {key.key_size} bits",
            why="receivers of mail trust no signature of fewer than 1024",
            fix="have one drawn: `key: rsa-2048`",
        )
    made = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(made).decode()
