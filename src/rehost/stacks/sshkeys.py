"""Public keys in OpenSSH's format (RFC 4253, section 6.6)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from rehost.stacks.diagnostics import Diagnostic, PathKey, did_you_mean

TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


def kind_of(text: str) -> str:
    """The type of a key: its first word."""
    return (text.split() or [""])[0]


def fields(text: str) -> list[bytes] | None:
    """The fields of a key's body, None if it is no well-formed key."""
    parts = text.split()
    if len(parts) < 2:
        return None
    try:
        body = base64.b64decode(parts[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    made: list[bytes] = []
    while body:
        length = int.from_bytes(body[:4], "big")
        if len(body) < 4 + length:
            return None
        made.append(body[4 : 4 + length])
        body = body[4 + length :]
    return made


def rsa_bits(text: str) -> int:
    """The length of an RSA key's modulus; 0 for other keys."""
    made = fields(text)
    if kind_of(text) != "ssh-rsa" or made is None or len(made) != 3:
        return 0
    return int.from_bytes(made[2], "big").bit_length()


def check_key(text: str, path: PathKey) -> Iterator[Diagnostic]:
    """Findings about a public key."""
    kind = kind_of(text)
    if "PRIVATE KEY" in text:
        why = "whoever reads the file could log in"
        fix = "replace it by the line of the .pub file, and make a new pair"
        yield Diagnostic("private-key", "this is a private key", why, fix, path)
    elif kind not in TYPES:
        why = f"a public key starts with its type, one of {', '.join(TYPES)}"
        fix = "copy the line of the .pub file"
        if kind == "ssh-dss":
            why, fix = "DSA keys are refused by OpenSSH itself", "make a new one: ssh-keygen -t ed25519"
        elif kind.startswith(("ssh-", "ecdsa-")):
            fix = did_you_mean(kind, TYPES)
        yield Diagnostic("ssh-key", "this is no public key in OpenSSH's format", why, fix, path)
    elif len(text.strip().splitlines()) > 1:
        fix = "give each key a name of its own"
        yield Diagnostic("ssh-key", "there is more than one line", "a name stands for one key", fix, path)
    else:
        made = fields(text)
        if not made or made[0] != kind.encode() or (kind == "ssh-ed25519" and [len(m) for m in made[1:]] != [32]):
            why = "its second word is not the body of a key of this type; part of it may be missing"
            fix = "copy the whole line of the .pub file"
            yield Diagnostic("ssh-key", f"this is no complete {kind} key", why, fix, path)
