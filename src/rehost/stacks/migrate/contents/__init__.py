"""What a move carries, by kind."""

from __future__ import annotations

from rehost.stacks.migrate.contents.buckets import Buckets
from rehost.stacks.migrate.contents.databases import Databases, carried
from rehost.stacks.migrate.move import Content, Move


def contents_of(move: Move) -> list[Content]:
    """The kinds of data that the source's stack has."""
    return [Buckets(move), *([Databases(move)] if carried(move.source.stack) else [])]


__all__ = ["contents_of"]
