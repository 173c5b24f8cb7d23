"""Secrets at rest, encrypted as Pulumi's passphrase provider does.

AES-256-GCM under a key from PBKDF2-HMAC-SHA256 with 1,000,000 rounds (pulumi/pulumi,
sdk/go/common/resource/config/crypt.go and pkg/secrets/passphrase).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from rehost.stacks.errors import InvalidInput
from rehost.stacks.graph import UNKNOWN, Secret, Value, is_unknown, reveal

SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
_ROUNDS = 1_000_000


class Opening(Enum):
    """What becomes of sealed secrets that are read."""

    REQUIRED = "required"
    """They are opened, or it is an error."""
    POSSIBLE = "possible"
    """They are opened; UNKNOWN without a passphrase."""
    NEVER = "never"
    """They stay as they are, envelopes among the other values, to be written again."""


def no_passphrase() -> InvalidInput:
    """The error where one is needed."""
    return InvalidInput(
        "a passphrase is needed: this deployment has secrets",
        why="they are stored encrypted only",
        fix="set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it",
    )


class Passphrase:
    """The operator's passphrase, or the lack of one; keys are derived when first used and kept."""

    def __init__(self, text: str | None) -> None:
        self._text = text
        self._keys: dict[bytes, bytes] = {}

    def __repr__(self) -> str:
        return "Passphrase(***)" if self.given else "Passphrase(None)"

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
            raise no_passphrase()
        if salt not in self._keys:
            self._keys[salt] = hashlib.pbkdf2_hmac("sha256", self._text.encode(), salt, _ROUNDS, 32)
        return self._keys[salt]


class Crypter:
    """Encrypts and decrypts values under one salt, from any thread. A value that was seen before keeps its
    ciphertext. With `shown` secrets are written in plain, as an export may ask for."""

    def __init__(self, passphrase: Passphrase, salt_state: str = "", *, shown: bool = False) -> None:
        self._passphrase = passphrase
        self.salt_state = salt_state
        """Pulumi's `secrets_providers.state.salt`; empty until the first secret is written."""
        self.locked = False
        """Whether a secret was met that could not be read."""
        self._shown = shown
        self._checked = False
        self._ciphertexts: dict[str, str] = {}
        self._drawing = threading.RLock()

    def adopt(self, salt_state: str) -> None:
        """Use the salt that a state or journal was written with."""
        with self._drawing:
            if salt_state != self.salt_state:
                self.salt_state, self._checked = salt_state, False

    def _key(self) -> bytes:
        # One salt only, however many threads seal the first secret: what is sealed under another is lost.
        with self._drawing:
            if not self.salt_state:
                salt = os.urandom(8)
                key = self._passphrase.key(salt)
                self.salt_state = f"v1:{base64.b64encode(salt).decode()}:{_encrypt(key, 'pulumi')}"
                self._checked = True
                return key
            version, salt_text, check = f"{self.salt_state}::".split(":", 2)
            if version != "v1":
                raise InvalidInput(f"secrets of the format {version} are not known", fix="use a newer version")
            try:
                key = self._passphrase.key(base64.b64decode(salt_text, validate=True))
            except ValueError as error:
                raise InvalidInput("the salt of the secrets is damaged", fix="restore a backup") from error
            if not self._checked:
                if _decrypt(key, check.removesuffix("::")) != "pulumi":
                    raise InvalidInput(
                        "the passphrase is wrong", fix="set PULUMI_CONFIG_PASSPHRASE to the right one"
                    )
                self._checked = True
            return key

    def prepare(self) -> None:
        """Make sure that secrets can be written. Raises InvalidInput otherwise."""
        self._key()

    def seal(self, secret: Secret) -> dict[str, str]:
        """A secret as Pulumi's envelope."""
        if is_unknown(secret):
            raise InvalidInput("a secret that could not be read can't be written", fix="set the passphrase")
        text = json.dumps(reveal(secret), separators=(",", ":"))
        if self._shown:
            return {SIGNATURE_KEY: SECRET_SIGNATURE, "plaintext": text}
        if text not in self._ciphertexts:
            self._ciphertexts[text] = _encrypt(self._key(), text)
        return {SIGNATURE_KEY: SECRET_SIGNATURE, "ciphertext": self._ciphertexts[text]}

    def open(self, envelope: Mapping[str, Any], opening: Opening) -> Value:
        """The secret in an envelope. Raises InvalidInput for one that can't be opened."""
        try:
            if "ciphertext" not in envelope:
                return Secret(json.loads(envelope["plaintext"]))
            if not self._passphrase.given and opening is Opening.POSSIBLE:
                self.locked = True
                return UNKNOWN
            text = _decrypt(self._key(), envelope["ciphertext"])
            if text is None:
                raise InvalidInput(
                    "a secret can't be decrypted", why="the state was changed by hand or is damaged"
                )
            self._ciphertexts[text] = envelope["ciphertext"]
            return Secret(json.loads(text))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(
                "a secret is not written as one", why="the state was changed by hand or is damaged"
            ) from error


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
    """Compact JSON with secrets sealed. Raises TypeError or ValueError for what may not be stored: UNKNOWN."""

    def default(item: object) -> object:
        if isinstance(item, Secret):
            return crypter.seal(item)
        raise TypeError(f"{item!r} can't be stored")

    return json.dumps(value, separators=(",", ":"), default=default, allow_nan=False)


def decode(text: str, crypter: Crypter, opening: Opening) -> Any:
    """JSON with secrets opened. Raises ValueError for broken JSON, InvalidInput for unreadable secrets."""
    if opening is Opening.NEVER or SIGNATURE_KEY not in text:
        return json.loads(text)

    def hook(found: dict[str, Any]) -> Any:
        return crypter.open(found, opening) if found.get(SIGNATURE_KEY) == SECRET_SIGNATURE else found

    return json.loads(text, object_hook=hook)
