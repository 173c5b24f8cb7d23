"""All that the platform is told comes from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


class Incomplete(Exception):
    """Variables are missing; their names are in the message."""


@dataclass(frozen=True)
class Config:
    """Where its data is and where it listens."""

    database_url: str
    bucket: str
    media_url: str
    """What the public names of pictures begin with: `https://media.plaza.example`."""
    host: str
    port: int
    session_key: str

    @classmethod
    def from_environment(cls, given: Mapping[str, str] = os.environ) -> Config:
        """Read it. Raises Incomplete naming all that is missing."""
        needed = ("DATABASE_URL", "MEDIA_BUCKET", "MEDIA_URL", "SESSION_KEY")
        missing = [name for name in needed if not given.get(name)]
        if missing:
            raise Incomplete(f"not set: {', '.join(missing)}")
        return cls(
            database_url=given["DATABASE_URL"],
            bucket=given["MEDIA_BUCKET"],
            media_url=given["MEDIA_URL"].rstrip("/"),
            host=given.get("HOST", "127.0.0.1"),
            port=int(given.get("PORT", "8080")),
            session_key=given["SESSION_KEY"],
        )
