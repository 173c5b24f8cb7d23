"""What a move keeps at the destination, written in the same transactions as the data that it speaks of.

| table | |
| --- | --- |
| move | one row for each move: where it comes from, slot, how far changes were applied, what was done |
| units | ranges that are there, with the snapshot that they were copied from |
| touched | keys that were changed since the last comparison |
"""

from __future__ import annotations

import json
from typing import Any

from rehost.stacks.data.postgres.catalog import WHOLE, Table
from rehost.stacks.data.postgres.lsn import Snapshot, lsn_text, parse_lsn
from rehost.stacks.data.postgres.session import Connection
from rehost.stacks.data.postgres.units import READY, Bound, Unit, splittable
from rehost.stacks.sql.lock import SCHEMA

_MAKE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.move (id text PRIMARY KEY, applied pg_lsn NOT NULL DEFAULT '0/0',
    facts jsonb NOT NULL DEFAULT '{{}}');
CREATE TABLE IF NOT EXISTS {SCHEMA}.units (move text, relation text, low text, high text, snapshot text NOT NULL,
    at pg_lsn NOT NULL, upto pg_lsn NOT NULL, spoiled bool NOT NULL DEFAULT false);
CREATE TABLE IF NOT EXISTS {SCHEMA}.touched (move text, relation text, key text, PRIMARY KEY (move, relation,
key));
"""


class Ledger:
    """The notes of one move, by its id. Methods that take a link write within its transaction."""

    def __init__(self, move: str) -> None:
        self.move = move

    def make(self, link: Connection) -> None:
        """The tables, and the move's own row."""
        link.execute(_MAKE)
        link.execute(f"INSERT INTO {SCHEMA}.move (id) VALUES (%s) ON CONFLICT DO NOTHING", (self.move,))

    def exists(self, link: Connection) -> bool:
        """Whether this move has been here."""
        there = link.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{SCHEMA}.move",)).fetchone()
        if not there or not there[0]:
            return False
        row = link.execute(f"SELECT count(*) FROM {SCHEMA}.move WHERE id = %s", (self.move,)).fetchone()
        return bool(row and row[0])

    def facts(self, link: Connection) -> dict[str, Any]:
        """What was done."""
        row = link.execute(f"SELECT facts FROM {SCHEMA}.move WHERE id = %s", (self.move,)).fetchone()
        return dict(row[0]) if row else {}

    def note(self, link: Connection, **facts: Any) -> None:
        """Add to the facts."""
        link.execute(
            f"UPDATE {SCHEMA}.move SET facts = facts || %s::jsonb WHERE id = %s", (json.dumps(facts), self.move)
        )

    def applied(self, link: Connection) -> int:
        """How far changes were applied."""
        row = link.execute(f"SELECT applied::text FROM {SCHEMA}.move WHERE id = %s", (self.move,)).fetchone()
        return parse_lsn(row[0]) if row else 0

    def apply(self, link: Connection, position: int) -> None:
        """Changes before `position` are in."""
        link.execute(
            f"UPDATE {SCHEMA}.move SET applied = %s::pg_lsn WHERE id = %s", (lsn_text(position), self.move)
        )

    def plan(self, link: Connection, units: list[Unit]) -> None:
        """Write down how tables are cut: it stays so for the whole move. Nothing of them is there yet."""
        with link.transaction():
            link.execute(f"DELETE FROM {SCHEMA}.units WHERE move = %s", (self.move,))
            self.add(link, units)

    def add(self, link: Connection, units: list[Unit]) -> None:
        """Further ranges, of which nothing is there yet."""
        for unit in units:
            link.execute(
                f"INSERT INTO {SCHEMA}.units VALUES (%s, %s, %s, %s, '', '0/0', '0/0', %s)",
                (self.move, unit.table.label, *_texts(unit), unit.compare),
            )

    def ready(self, link: Connection, unit: Unit, snapshot: Snapshot, at: int, upto: int) -> None:
        """A range is there."""
        link.execute(
            f"UPDATE {SCHEMA}.units SET snapshot = %s, at = %s::pg_lsn, upto = %s::pg_lsn, spoiled = false"
            " WHERE move = %s AND relation = %s AND low IS NOT DISTINCT FROM %s AND high IS NOT DISTINCT FROM %s",
            (str(snapshot), lsn_text(at), lsn_text(upto), self.move, unit.table.label, *_texts(unit)),
        )

    def spoil(self, link: Connection, units: list[Unit]) -> None:
        """Ranges have to be compared and copied anew."""
        if units:
            self._uncompared(link)
        for unit in units:
            link.execute(
                f"UPDATE {SCHEMA}.units SET snapshot = '', spoiled = true"
                " WHERE move = %s AND relation = %s AND low IS NOT DISTINCT FROM %s AND high IS NOT"
                " DISTINCT FROM %s",
                (self.move, unit.table.label, *_texts(unit)),
            )

    def _uncompared(self, link: Connection) -> None:
        """The sides have to be compared as a whole again."""
        link.execute(
            f"UPDATE {SCHEMA}.move SET facts = facts || '{{\"compared\": false}}'"
            " WHERE id = %s AND facts->>'compared' = 'true'",
            (self.move,),
        )

    def forget_copies(self, link: Connection) -> None:
        """The slot is gone: changes were missed, so every range has to be compared."""
        self._uncompared(link)
        link.execute(f"UPDATE {SCHEMA}.units SET snapshot = '', spoiled = true WHERE move = %s", (self.move,))

    def units(self, link: Connection, tables: dict[str, Table]) -> list[Unit]:
        """The ranges as they were planned, of the tables that are still there."""
        found = []
        for relation, low, high, snapshot, at, upto, spoiled in link.execute(
            f"SELECT relation, low, high, snapshot, at::text, upto::text, spoiled FROM {SCHEMA}.units"
            " WHERE move = %s", (self.move,),
        ):  # fmt: skip
            table = tables.get(relation)
            if table is None:
                continue
            unit = Unit(table, _bound(table, low), _bound(table, high), compare=spoiled)
            if snapshot:
                unit.state, unit.snapshot = READY, Snapshot.parse(snapshot)
                unit.at, unit.upto = parse_lsn(at), parse_lsn(upto)
            found.append(unit)
        return found

    def take_touched(self, link: Connection) -> dict[str, list[tuple[str, ...]]]:
        """Keys that were changed since the last comparison, by table; an empty one stands for the whole table.
        They
        are put aside until `touched_are_same`: those that change from now on count for the next comparison."""
        aside = f"{self.move}/"
        with link.transaction():
            link.execute(
                f"INSERT INTO {SCHEMA}.touched SELECT %s, relation, key FROM {SCHEMA}.touched WHERE move = %s"
                " ON CONFLICT DO NOTHING",
                (aside, self.move),
            )
            link.execute(f"DELETE FROM {SCHEMA}.touched WHERE move = %s", (self.move,))
        found: dict[str, list[tuple[str, ...]]] = {}
        for relation, key in link.execute(f"SELECT relation, key FROM {SCHEMA}.touched WHERE move = %s", (aside,)):
            found.setdefault(relation, []).append(tuple(json.loads(key)) if key else ())
        return found

    def touched_are_same(self, link: Connection, *, all_: bool = False) -> None:
        """What was put aside is the same on both sides; `all_`: everything is."""
        moves = [f"{self.move}/", *([self.move] if all_ else [])]
        link.execute(f"DELETE FROM {SCHEMA}.touched WHERE move = ANY(%s)", (moves,))

    def remove(self, link: Connection) -> None:
        """Forget the move; the last one takes the schema with it."""
        self.touched_are_same(link, all_=True)
        link.execute(f"DELETE FROM {SCHEMA}.units WHERE move = %s", (self.move,))
        link.execute(f"DELETE FROM {SCHEMA}.move WHERE id = %s", (self.move,))


def _texts(unit: Unit) -> tuple[str | None, str | None]:
    low, high = (None if bound is None else str(bound) for bound in (unit.low, unit.high))
    return low, high


def _bound(table: Table, text: str | None) -> Bound:
    if text is None:
        return None
    return int(text) if splittable(table) in WHOLE else text
