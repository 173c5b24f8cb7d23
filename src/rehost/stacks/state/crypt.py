"""Secrets at rest, encrypted as Pulumi's passphrase provider does.

AES-256-GCM under a key from PBKDF2-HMAC-SHA256 with 1,000,000 rounds (pulumi/pulumi,
sdk/go/common/resource/config/crypt.go and pkg/secrets/passphrase).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehost.stacks.errors import InvalidInput
from rehost.stacks.graph import UNKNOWN, Secret, Unknown, Value

SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
_ROUNDS = 1_000_000


class Passphrase:
    """The operator's passphrase, or the lack of one; keys are derived when first used and kept."""

    def __init__(self, text: str | None) -> None:
        self._text = text
        self._keys: dict[bytes, bytes] = {}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Passphrase:
        """From PULUMI_CONFIG_PASSPHRASE (empty is a valid one) or the file PULUMI_CONFIG_PASSPHRASE_FILE names.

        Raises InvalidInput for a file that can't be read.
        """
        if "PULUMI_CONFIG_PASSPHRASE" in environment:
            return cls(environment["PULUMI_CONFIG_PASSPHRASE"])
        path = environment.get("PULUMI_CONFIG_PASSPHRASE_FILE")
        if not path:
            return cls(None)
        try:
            return cls(Path(path).read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"the passphrase file {path} can't be read",
                why=str(error),
                fix="set PULUMI_CONFIG_PASSPHRASE_FILE",
            ) from error

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return self._text is not None

    def key(self, salt: bytes) -> bytes:
        """The key for a salt. Raises InvalidInput without a passphrase."""
        if self._text is None:
            raise InvalidInput(
                "a passphrase is needed: this deployment has secrets",
                why="they are stored encrypted only",
                fix="set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it",
            )
        if salt not in self._keys:
            self._keys[salt] = hashlib.pbkdf2_hmac("sha256", self._text.encode(), salt, _ROUNDS, 32)
        return self._keys[salt]


class Crypter:
    """Encrypts and decrypts values under one salt. A value that was seen before keeps its ciphertext."""

    def __init__(self, passphrase: Passphrase, salt_state: str = "") -> None:
        self._passphrase = passphrase
        self.salt_state = salt_state
        """Pulumi's `secrets_providers.state.salt`; empty until the first secret is written."""
        self.locked = False
        """Whether a secret was met that could not be read."""
        self._checked = False
        self._ciphertexts: dict[str, str] = {}

    def adopt(self, salt_state: str) -> None:
        """Use the salt that a state or journal was written with."""
        if salt_state != self.salt_state:
            self.salt_state, self._checked = salt_state, False

    def _key(self) -> bytes:
        if not self.salt_state:
            salt = os.urandom(8)
            key = self._passphrase.key(salt)
            self.salt_state = f"v1:{base64.b64encode(salt).decode()}:{_encrypt(key, 'pulumi')}"
            self._checked = True
            return key
        version, salt_text, check = self.salt_state.split(":", 2)
        key = self._passphrase.key(base64.b64decode(salt_text))
        if not self._checked:
            if version != "v1":
                raise InvalidInput(f"secrets of the format {version} are not known", fix="use a newer version")
            if _decrypt(key, check) != "pulumi":
                raise InvalidInput("the passphrase is wrong", fix="set PULUMI_CONFIG_PASSPHRASE to the right one")
            self._checked = True
        return key

    def prepare(self) -> None:
        """Make sure that secrets can be written. Raises InvalidInput otherwise."""
        self._key()

    def seal(self, secret: Secret) -> dict[str, str]:
        """A secret as Pulumi's envelope."""
        if isinstance(secret.value, Unknown):
            raise InvalidInput("a secret that could not be read can't be written", fix="set the passphrase")
        text = json.dumps(secret.value, separators=(",", ":"))
        if text not in self._ciphertexts:
            self._ciphertexts[text] = _encrypt(self._key(), text)
        return {SIGNATURE_KEY: SECRET_SIGNATURE, "ciphertext": self._ciphertexts[text]}

    def open(self, envelope: Mapping[str, Any], *, strict: bool) -> Value:
        """The secret in an envelope; without a passphrase UNKNOWN, or InvalidInput if `strict`."""
        if not self._passphrase.given and not strict:
            self.locked = True
            return UNKNOWN
        if "ciphertext" not in envelope:
            return Secret(json.loads(envelope["plaintext"]))
        text = _decrypt(self._key(), envelope["ciphertext"])
        if text is None:
            raise InvalidInput("a secret can't be decrypted", why="the state was changed by hand or is damaged")
        self._ciphertexts[text] = envelope["ciphertext"]
        return Secret(json.loads(text))


def _encrypt(key: bytes, text: str) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(12)
    data = AESGCM(key).encrypt(nonce, text.encode(), None)
    return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(data).decode()}"


def _decrypt(key: bytes, ciphertext: str) -> str | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        _, nonce, data = ciphertext.split(":")
        return AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(data), None).decode()
    except (ValueError, InvalidTag):
        return None


def encode(value: Value, crypter: Crypter) -> str:
    """Compact JSON with secrets sealed. Raises TypeError for values that may not be stored (UNKNOWN)."""

    def default(item: object) -> object:
        if isinstance(item, Secret):
            return crypter.seal(item)
        raise TypeError(f"{item!r} can't be stored")

    return json.dumps(value, separators=(",", ":"), default=default, ensure_ascii=False)


def decode(text: str, crypter: Crypter, *, strict: bool) -> Any:
    """JSON with secrets opened. Raises ValueError for broken JSON, InvalidInput for unreadable secrets."""
    if SIGNATURE_KEY not in text:
        return json.loads(text)

    def hook(found: dict[str, Any]) -> Any:
        return crypter.open(found, strict=strict) if found.get(SIGNATURE_KEY) == SECRET_SIGNATURE else found

    return json.loads(text, object_hook=hook)
