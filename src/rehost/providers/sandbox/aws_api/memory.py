"""All that moto knows, as bytes; the content of objects lies in files beside them, each written once."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moto
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from moto import backends
from moto.core.base_backend import BackendDict
from moto.s3.models import FakeKey, s3_backends
from moto.s3.utils import _VersionedKeyStore

_HEAD = f"rehost sandbox 1, moto {moto.__version__}, Python {sys.version_info[0]}.{sys.version_info[1]}\n".encode()
_LOCKS = (type(threading.Lock()), type(threading.RLock()))


class MotoMemory:
    """The backends of this process and the objects in a folder of files named by their SHA-256."""

    def __init__(self, objects: Path) -> None:
        objects.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._objects = objects
        self._used: set[str] = set()

    def dump(self) -> bytes:
        """Everything of every service that was called."""
        self._used = set()
        tables: Any = BackendDict
        held = {
            kind.service_name: {account: dict(regions.items()) for account, regions in kind.items()}
            for kind in list(tables._instances)
        }
        out = io.BytesIO(_HEAD)
        out.seek(0, io.SEEK_END)
        _Writer(out, self._store).dump({"backends": held, "buckets": dict(s3_backends.bucket_accounts)})
        return out.getvalue()

    def load(self, kept: bytes) -> None:
        """Put everything back. Raises ValueError for what another moto or Python wrote, or for a torn file."""
        head, _, content = kept.partition(b"\n")
        if head + b"\n" != _HEAD:
            was, now = head[:80].decode(errors="replace"), _HEAD.decode().strip()
            raise ValueError(f"the kept state is of {was!r}, this is {now!r}")
        try:
            data = _Reader(io.BytesIO(content), self._objects).load()
        except Exception as error:
            raise ValueError(f"the kept state can't be read: {error}") from error
        for service, accounts in data["backends"].items():
            found = _backends(service)
            for account, regions in accounts.items():
                for region, backend in regions.items():
                    found[account][region] = backend
        s3_backends.bucket_accounts.update(data["buckets"])

    def kept(self) -> None:
        """Files that no object refers to any more go."""
        for file in self._objects.iterdir():
            if file.name not in self._used:
                file.unlink(missing_ok=True)

    def _store(self, key: Any) -> None:
        """Let an object read its content from a file of the folder, which is made if there is none. What lies in
        one is neither written nor held in memory again."""
        buffer = key._value_buffer
        if not isinstance(buffer, StoredContent) or not buffer.name:
            content = b"" if key.disposed else key.value
            target = self._objects / hashlib.sha256(content).hexdigest()
            if not target.exists():
                fresh = target.with_suffix(".new")
                fresh.write_bytes(content)
                fresh.replace(target)
            buffer.close()
            buffer = key._value_buffer = StoredContent(target)
        self._used.add(buffer.name)


class StoredContent:
    """An object's content in a file, behind the part of a file's interface that moto uses. Opened for each read:
    there may be more objects than a process may have files."""

    def __init__(self, path: Path) -> None:
        self._path: Path | None = path
        self._position = 0
        self._written = io.BytesIO()

    @property
    def name(self) -> str:
        """The file's name; empty once something else was written."""
        return self._path.name if self._path else ""

    def seek(self, position: int) -> int:
        """Go to a position from the start."""
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        """Bytes from the position on."""
        if self._path is None:
            self._written.seek(self._position)
            found = self._written.read(size)
        else:
            with self._path.open("rb") as file:
                file.seek(self._position)
                found = file.read(size)
        self._position += len(found)
        return found

    def truncate(self) -> None:
        """Forget the content."""
        self._path, self._written = None, io.BytesIO()

    def write(self, content: bytes) -> int:
        """Take other content."""
        self._written.seek(self._position)
        self._position += len(content)
        return self._written.write(content)

    def close(self) -> None:
        """Nothing is held open."""


class _Writer(pickle.Pickler):
    def __init__(self, out: io.BytesIO, store: Callable[[Any], None]) -> None:
        super().__init__(out, protocol=5)
        self._store = store

    def persistent_id(self, thing: Any) -> Any:
        # Backends refer to the tables of others, which belong to the process.
        if isinstance(thing, BackendDict):
            return "backends", thing.service_name
        if isinstance(thing, StoredContent):
            return "object", thing.name
        return None

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, FakeKey):
            self._store(thing)
            state = {key: value for key, value in thing.__dict__.items() if key != "lock"}
            return _new, (type(thing),), state, None, None, _fill
        if isinstance(thing, _VersionedKeyStore):
            # Its items() are the latest versions only.
            return _VersionedKeyStore, (), dict(thing), None, None, _put_all
        if isinstance(thing, _LOCKS):
            return (threading.Lock if isinstance(thing, _LOCKS[0]) else threading.RLock), ()
        if isinstance(thing, RSAPrivateKey | EllipticCurvePrivateKey):
            pem = thing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            return _private_key, (pem,)
        if isinstance(thing, x509.Certificate):
            return _certificate, (thing.public_bytes(Encoding.PEM),)
        return NotImplemented


class _Reader(pickle.Unpickler):
    def __init__(self, source: io.BytesIO, objects: Path) -> None:
        super().__init__(source)
        self._objects = objects

    def persistent_load(self, pid: tuple[str, str]) -> Any:
        what, name = pid
        return StoredContent(self._objects / name) if what == "object" else _backends(name)


def _backends(service: str) -> Any:
    get: Any = backends.get_backend
    return get(service)


def _put_all(store: dict[str, Any], versions: dict[str, Any]) -> None:
    dict.update(store, versions)


def _private_key(pem: bytes) -> Any:
    return load_pem_private_key(pem, None)


def _certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _new(kind: Any) -> Any:
    return kind.__new__(kind)


def _fill(key: Any, state: dict[str, Any]) -> None:
    key.__dict__.update(state, lock=threading.Lock())
