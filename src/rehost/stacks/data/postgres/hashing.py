"""Checksums that do not depend on the order of rows, and compare over versions of PostgreSQL.

A row's hash is 64 bits of `hashtextextended` over its text: the function that hash partitions rely on, so that
it is
kept the same. Sessions pin what the text depends on. A range's checksum is count and sum of its rows' hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rehost.stacks.data.postgres.catalog import Table
from rehost.stacks.data.postgres.session import Connection, quoted

Sum = tuple[int, str]
"""Rows, and the sum of their hashes."""
BUCKETS = 256


def row_hash(table: Table, of: str = "") -> str:
    """SQL for the hash of a row, generated columns included. `of` is the table's name in the query, with a dot."""
    names = [*(column.name for column in table.columns), *table.generated]
    parts = ", ".join(of + quoted(name) for name in names) or "1"
    return f'hashtextextended(ROW({parts})::text COLLATE "C", 0)'


def key_text(table: Table) -> str:
    """SQL for a row's key, or all of the row, as a text."""
    names = table.key or tuple(column.name for column in table.columns)
    return f"json_build_array({', '.join(quoted(name) + '::text' for name in names)})::text"


def checksum(link: Connection, table: Table, where: str) -> Sum:
    """Of the rows that meet a condition."""
    row = link.execute(
        f"SELECT count(*), coalesce(sum({row_hash(table)}), 0)::text FROM ONLY {table.sql} WHERE {where}"
    ).fetchone()
    assert row is not None
    return int(row[0]), str(row[1])


def buckets(link: Connection, table: Table, where: str) -> dict[int, Sum]:
    """Of BUCKETS parts of the rows, by their keys' hashes."""
    part = f'(hashtextextended(({key_text(table)}) COLLATE "C", 1) & {BUCKETS - 1})'
    found = link.execute(
        f"SELECT {part}, count(*), sum({row_hash(table)})::text FROM ONLY {table.sql} WHERE {where} GROUP BY 1"
    )
    return {int(row[0]): (int(row[1]), str(row[2])) for row in found}


def rows_of(link: Connection, table: Table, where: str, parts: Sequence[int]) -> dict[tuple[str, int], int]:
    """Keys and hashes of the rows in some buckets, with how often they are there."""
    part = f'(hashtextextended(({key_text(table)}) COLLATE "C", 1) & {BUCKETS - 1})'
    found = link.execute(
        f"SELECT {key_text(table)}, {row_hash(table)}, count(*) FROM ONLY {table.sql}"
        f" WHERE {where} AND {part} = ANY(%s) GROUP BY 1, 2", (list(parts),),
    )  # fmt: skip
    return {(str(row[0]), int(row[1])): int(row[2]) for row in found}


def by_keys(link: Connection, table: Table, keys: Sequence[tuple[str, ...]]) -> Sum:
    """Of the rows with these keys."""
    arrays = ", ".join("%s::text[]" for _ in table.key)
    names = ", ".join(f"k{number}" for number in range(len(table.key)))
    match = " AND ".join(
        f"t.{quoted(name)} = k.k{number}::{table.type_of[name]}" for number, name in enumerate(table.key)
    )
    row = link.execute(
        f"SELECT count(*), coalesce(sum({row_hash(table, 't.')}), 0)::text FROM unnest({arrays}) k({names})"
        f" JOIN ONLY {table.sql} t ON {match}",
        [list(values) for values in zip(*keys, strict=True)],
    ).fetchone()
    assert row is not None
    return int(row[0]), str(row[1])


@dataclass(frozen=True, slots=True)
class Difference:
    """A range that is not the same on both sides. `keys` are some of the rows, where they could be told apart."""

    table: str
    range: str
    source: Sum
    destination: Sum
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"{self.table} {self.range}".strip()
        if self.source[0] != self.destination[0]:
            said = f"{self.destination[0]} rows instead of {self.source[0]}"
        else:
            said = f"the content of {self.source[0]} rows differs"
        some = f" (key {', '.join(self.keys[:5])}{', …' if len(self.keys) > 5 else ''})" if self.keys else ""
        return f"{where}: {said}{some}"
