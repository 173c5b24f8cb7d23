"""Changes on their way into the destination: what many of them come to, in a few statements.

Rows with a key are absolute: whatever happened to a key within a batch comes to one row or none, so all keys that
were touched are deleted and the rows that are left are copied in. No order of statements is in the way of a unique
index then. Rows without a key are told apart by all of their values, and are changed one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rehost.stacks.data.postgres.catalog import Table
from rehost.stacks.data.postgres.session import Connection, Server, quoted
from rehost.stacks.data.postgres.stream import UNCHANGED, Row
from rehost.stacks.sql.lock import SCHEMA

Key = tuple[str, ...]
Fetch = Callable[[Table, Key], Row | None]
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


@dataclass
class _Keyed:
    rows: dict[Key, Row | None] = field(default_factory=dict)
    bases: dict[Key, Key] = field(default_factory=dict)
    """Where the destination has the values that the log left out, by the key of the row that lacks them."""


class Batch:
    """What one connection to the destination is about to be told. `fetch` reads a row at the source, for values
    that neither log nor destination have."""

    def __init__(self, server: Server, link: Connection, fetch: Fetch, touched: Callable[[], str]) -> None:
        self._server = server
        self._link = link
        self._fetch = fetch
        self._touched = touched
        self._keyed: dict[str, tuple[Table, _Keyed]] = {}
        self._plain: list[tuple[Table, Row | None, Row | None]] = []
        self.size = 0
        self.changes = 0

    def change(self, table: Table, old: Row | None, new: Row | None, old_key: Key, new_key: Key) -> None:
        """One row: inserted (`old` is None), deleted (`new` is None) or updated. For an update of a row with a key
        `old` may be its key alone."""
        self.size += 1
        self.changes += 1
        if not table.key:
            self._plain.append((table, old, new))
            return
        keyed = self._keyed.setdefault(table.label, (table, _Keyed()))[1]
        if new is not None:
            self._put(keyed, old_key or new_key, new_key, new)
        if old_key and old_key != new_key:
            keyed.rows[old_key] = None
            keyed.bases.pop(old_key, None)

    def _put(self, keyed: _Keyed, base: Key, key: Key, row: Row) -> None:
        keyed.bases.pop(key, None) if key != base else None
        if UNCHANGED in row:
            known = keyed.rows.get(base)
            if known is not None:
                row = tuple(b if a is UNCHANGED else a for a, b in zip(row, known, strict=True))
                base = keyed.bases.get(base, base)
            if UNCHANGED in row:
                keyed.bases[key] = base
            else:
                keyed.bases.pop(key, None)
        else:
            keyed.bases.pop(key, None)
        keyed.rows[key] = row

    def clear(self, table: Table, where: str) -> None:
        """A range was emptied. What came before is flushed first, so that the order holds."""
        self.flush()
        if self._touched() and table.key:
            keys = f"json_build_array({', '.join(quoted(name) + '::text' for name in table.key)})::text"
            self._link.execute(
                f"INSERT INTO {SCHEMA}.touched SELECT %s, %s, {keys} FROM ONLY {table.sql} WHERE {where}"
                " ON CONFLICT DO NOTHING",
                (self._touched(), table.label),
            )
        self._link.execute(f"DELETE FROM ONLY {table.sql} WHERE {where}")
        self.changes += 1

    def flush(self) -> None:
        """Tell the destination, within its open transaction. Raises RehostError."""
        with self._server.speaking("apply changes"):
            for table, keyed in self._keyed.values():
                self._complete(table, keyed)
                self._delete(table, list(keyed.rows))
                self._insert(table, [row for row in keyed.rows.values() if row is not None])
                self._note(table, keyed.rows)
            self._one_by_one()
        self._keyed.clear()
        self._plain.clear()
        self.size = 0

    def _complete(self, table: Table, keyed: _Keyed) -> None:
        for key, base in keyed.bases.items():
            row = keyed.rows[key]
            assert row is not None
            where = " AND ".join(f"{quoted(name)} = %s::{table.type_of[name]}" for name in table.key)
            texts = ", ".join(f"{quoted(column.name)}::text" for column in table.columns)
            known = self._link.execute(f"SELECT {texts} FROM ONLY {table.sql} WHERE {where}", base).fetchone()
            if known is None:
                keyed.rows[key] = self._fetch(table, key)
            else:
                keyed.rows[key] = tuple(b if a is UNCHANGED else a for a, b in zip(row, known, strict=True))

    def _delete(self, table: Table, keys: Sequence[Key]) -> None:
        if not keys:
            return
        arrays, names, match = [], [], []
        for number, name in enumerate(table.key):
            arrays.append("%s::text[]")
            names.append(f"k{number}")
            match.append(f"t.{quoted(name)} = k.k{number}::{table.type_of[name]}")
        self._link.execute(
            f"DELETE FROM ONLY {table.sql} t USING unnest({', '.join(arrays)}) k({', '.join(names)})"
            f" WHERE {' AND '.join(match)}",
            [list(values) for values in zip(*keys, strict=True)],
        )

    def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            with self._link.cursor().copy(f"COPY {table.sql} ({table.names}) FROM STDIN") as copy:
                copy.write("".join(map(line, rows)).encode())

    def _note(self, table: Table, rows: dict[Key, Row | None]) -> None:
        move = self._touched()
        if move and rows:
            self._link.execute(
                f"INSERT INTO {SCHEMA}.touched SELECT %s, %s, unnest(%s::text[]) ON CONFLICT DO NOTHING",
                (move, table.label, [json.dumps(key) for key in rows]),
            )

    def _one_by_one(self) -> None:
        waiting: list[Row] = []
        tables: dict[str, Table] = {}
        last: Table | None = None
        for table, old, new in self._plain:
            tables[table.label] = table
            if (last is not table or old is not None) and waiting and last is not None:
                self._insert(last, waiting)
                waiting = []
            last = table
            if old is not None:
                match = " AND ".join(
                    f"{quoted(column.name)}::text IS NOT DISTINCT FROM %s" for column in table.columns
                )
                self._link.execute(
                    f"DELETE FROM ONLY {table.sql} WHERE ctid = "
                    f"(SELECT ctid FROM ONLY {table.sql} WHERE {match} LIMIT 1)",
                    old,
                )
            if new is not None:
                if old is not None and UNCHANGED in new:
                    new = tuple(b if a is UNCHANGED else a for a, b in zip(new, old, strict=True))
                waiting.append(new)
        if waiting and last is not None:
            self._insert(last, waiting)
        move = self._touched()
        for label in tables if move else ():
            self._link.execute(
                f"INSERT INTO {SCHEMA}.touched VALUES (%s, %s, '') ON CONFLICT DO NOTHING", (move, label)
            )


def line(row: Row) -> str:
    """A row as COPY reads it."""
    return "\t".join("\\N" if value is None else str(value).translate(_ESCAPES) for value in row) + "\n"
