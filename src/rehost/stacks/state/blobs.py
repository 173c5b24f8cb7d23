"""What a shared store needs of an object storage: whole objects, written on conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rehost.stacks.errors import RehostError


class Conflict(RehostError):
    """The condition of a write does not hold: somebody else was there first."""


@dataclass(frozen=True, slots=True)
class Blob:
    """An object. `tag` changes with every write."""

    data: bytes
    tag: str


class Blobs(Protocol):
    """Objects under one prefix. Reads see the last write; all methods raise RehostError, and each may run in many
    threads at once."""

    url: str
    """What `--state` takes."""

    def get(self, key: str) -> Blob | None:
        """The object, None where there is none."""

    def put(self, key: str, data: bytes, *, absent: bool = False, match: str = "") -> str:
        """Write the object and answer its new tag; with `absent` only if there is none yet, with `match` only if
        its tag is still this one. Raises Conflict if it is not so."""

    def delete(self, key: str) -> None:
        """Remove the object; one that is gone already is no error."""

    def list(self, prefix: str) -> list[tuple[str, int]]:
        """Keys that begin so, with sizes in bytes, in order."""


def put_once(blobs: Blobs, key: str, data: bytes, *, absent: bool = False, match: str = "") -> str:
    """Like `put`, for content that nobody else writes: a conflict with our own earlier attempt, whose answer got
    lost, is none."""
    try:
        return blobs.put(key, data, absent=absent, match=match)
    except Conflict:
        found = blobs.get(key)
        if found is not None and found.data == data:
            return found.tag
        raise
