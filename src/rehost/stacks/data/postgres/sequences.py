"""Sequences: the log does not have them, so they are put past what the source has given out."""

from __future__ import annotations

from rehost.stacks.data.postgres.catalog import one
from rehost.stacks.data.postgres.session import Connection, literal, quoted
from rehost.stacks.sql.lock import SCHEMA

MARGIN = 1000
"""So many steps further: sessions of the source may hold numbers that they have not used yet."""

_ALL = f"""
SELECT s.schemaname, s.sequencename, s.last_value, s.increment_by, s.min_value, s.max_value, s.cycle
FROM pg_sequences s JOIN pg_class c ON c.oid = to_regclass(quote_ident(s.schemaname) || '.' ||
quote_ident(s.sequencename))
WHERE s.schemaname <> '{SCHEMA}'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND
  d.deptype = 'e')
ORDER BY 1, 2"""


def advance(here: Connection, there: Connection, margin: int = MARGIN) -> int:
    """Put the destination's sequences past the source's; answers how many. One that is past already is left."""
    count = 0
    for schema, name, last, step, low, high, cycles in here.execute(_ALL).fetchall():
        sequence = quoted(schema, name)
        if last is None:
            continue
        value = last + step * margin
        if cycles and not low <= value <= high:
            value = last
        value = max(low, min(high, value))
        has = one(there, f"SELECT CASE WHEN is_called THEN last_value END FROM {sequence}")
        if has is None or (not cycles and (value - has) * step > 0) or (cycles and has != value):
            there.execute(f"SELECT setval({literal(sequence)}, {value}, true)")
        count += 1
    return count


def behind(here: Connection, there: Connection) -> list[str]:
    """Sequences that would give out a number which the source has given out, by name."""
    found = []
    known = {(row[0], row[1]): row for row in there.execute(_ALL)}
    for schema, name, last, step, _, _, cycles in here.execute(_ALL).fetchall():
        other = known.get((schema, name))
        if other is None:
            found.append(f"{schema}.{name}: missing")
        elif last is not None and not cycles and (other[2] is None or (other[2] - last) * step < 0):
            found.append(f"{schema}.{name}: at {other[2]} instead of {last} or later")
    return found
