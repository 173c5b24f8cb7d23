"""What a database consists of, read from its catalog."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from rehost.stacks.data.postgres.session import Connection, quoted
from rehost.stacks.sql.lock import SCHEMA

_OWN = f"n.nspname NOT IN ('pg_catalog', 'information_schema', '{SCHEMA}') AND n.nspname NOT LIKE 'pg\\_t%%'"
_NO_EXTENSION = (
    "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{}'::regclass AND d.objid = {} AND d.deptype = 'e')"
)
WHOLE = ("int2", "int4", "int8")


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is copied: generated ones are not."""

    name: str
    type: str
    base: str
    """The type's own name, such as `int8`."""
    builtin: bool
    collation: str = ""


@dataclass(frozen=True)
class Table:
    """A table with rows of its own. `key` names the columns that tell its rows apart, empty where nothing does."""

    oid: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    identity: str
    """pg_class.relreplident: d(efault), i(ndex), f(ull), n(othing)."""
    primary: bool
    unlogged: bool
    owned: bool
    readable: bool
    rows: int
    bytes: int
    generated: tuple[str, ...] = ()
    key_name: str = ""
    """The name of its primary key."""

    @property
    def key_entries(self) -> set[tuple[str, str]]:
        """Its primary key as archives name it."""
        return {(self.schema, f"{self.name} {self.key_name}")} if self.key_name else set()

    @property
    def label(self) -> str:
        """For people, and as its key in journals."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """Its quoted name."""
        return quoted(self.schema, self.name)

    @property
    def names(self) -> str:
        """Its copied columns, quoted."""
        return ", ".join(quoted(column.name) for column in self.columns)

    @property
    def type_of(self) -> dict[str, str]:
        """Types by column."""
        return {column.name: column.type for column in self.columns}

    @property
    def binary(self) -> bool:
        """Whether values can travel as the server has them: types made by users carry numbers of their server."""
        return all(column.builtin for column in self.columns)

    @property
    def replicable(self) -> bool:
        """Whether updates and deletes can be told from the log."""
        return self.identity == "f" or (self.identity == "d" and self.primary) or self.identity == "i"


_TABLES = f"""
SELECT c.oid::int8, n.nspname, c.relname, c.relreplident::text, c.relpersistence::text,
       pg_has_role(c.relowner, 'USAGE') AND has_schema_privilege(n.oid, 'USAGE'),
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
       greatest(c.reltuples, 0)::int8, pg_table_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {_OWN}
  AND {_NO_EXTENSION.format("pg_class", "c.oid")}
ORDER BY 2, 3"""
_COLUMNS = """
SELECT a.attrelid::int8, a.attname, format_type(a.atttypid, a.atttypmod), t.typname,
       t.oid < 16384 AND t.typelem < 16384, a.attgenerated <> '',
       coalesce((SELECT quote_ident(x.nspname) || '.' || quote_ident(o.collname) FROM pg_collation o
                 JOIN pg_namespace x ON x.oid = o.collnamespace
                 WHERE o.oid = a.attcollation AND o.collname <> 'default'), '')
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"""
_KEYS = """
SELECT i.indrelid::int8, i.indisprimary, i.indisreplident, array_agg(a.attname::text ORDER BY k.n), x.relname
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY
k(attnum, n)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = ANY(%s) AND i.indisvalid AND (i.indisprimary OR i.indisreplident) AND k.n <= i.indnkeyatts
GROUP BY i.indexrelid, x.relname, 1, 2, 3"""


def tables_of(link: Connection) -> list[Table]:
    """All tables that hold rows: partitions one by one, nothing that an extension made."""
    rows = link.execute(_TABLES).fetchall()
    oids = [row[0] for row in rows]
    columns: dict[int, list[Column]] = {}
    generated: dict[int, list[str]] = {}
    for oid, name, type_, base, builtin, made, collation in link.execute(_COLUMNS, (oids,)):
        if made:
            generated.setdefault(oid, []).append(name)
        else:
            columns.setdefault(oid, []).append(Column(name, type_, base, builtin, collation))
    keys: dict[int, dict[str, tuple[str, ...]]] = {}
    key_names: dict[int, str] = {}
    for oid, primary, identity, names, key_name in link.execute(_KEYS, (oids,)):
        if primary:
            key_names[oid] = key_name
            keys.setdefault(oid, {})["primary"] = tuple(names)
        if identity:
            keys.setdefault(oid, {})["identity"] = tuple(names)
    found = []
    for oid, schema, name, identity, persistence, owned, readable, count, size in rows:
        known = keys.get(oid, {})
        key = known.get("identity", ()) if identity == "i" else known.get("primary", ())
        found.append(
            Table(
                oid, schema, name, tuple(columns.get(oid, ())), key, identity, "primary" in known,
                persistence == "u", owned, readable, count, size, tuple(generated.get(oid, ())),
                key_names.get(oid, ""),
            )
        )  # fmt: skip
    return found


_PARTS = {
    "column": f"""SELECT n.nspname || '.' || c.relname || '.' || a.attname,
        concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated, a.attidentity,
          pg_get_expr(e.adbin, e.adrelid))
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef e ON e.adrelid = c.oid AND e.adnum = a.attnum
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped AND
        {_OWN}""",
    "index": f"""SELECT n.nspname || '.' || c.relname, pg_get_indexdef(c.oid) || CASE WHEN i.indisvalid THEN ''
        ELSE ' INVALID' END
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OWN}""",
    "constraint": f"""SELECT n.nspname || '.' || c.relname || '.' || o.conname, pg_get_constraintdef(o.oid)
        FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE o.contype <> 'n' AND o.conparentid = 0 AND {_OWN}""",
    "trigger": f"""SELECT n.nspname || '.' || c.relname || '.' || g.tgname, pg_get_triggerdef(g.oid) ||
    g.tgenabled::text
        FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT g.tgisinternal AND {_OWN}""",
    "view": f"""SELECT n.nspname || '.' || c.relname, pg_get_viewdef(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND {_OWN}
        AND {_NO_EXTENSION.format("pg_class", "c.oid")}""",
    "function": f"""SELECT n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) ||
    ')',
        concat_ws(' ', p.prosrc, p.probin, p.provolatile, p.prosecdef)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {_OWN} AND {_NO_EXTENSION.format("pg_proc", "p.oid")}""",
    "type": f"""SELECT n.nspname || '.' || t.typname, concat_ws(' ', t.typtype,
        (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE t.typtype IN ('e', 'd', 'r') AND {_OWN} AND {_NO_EXTENSION.format("pg_type", "t.oid")}""",
    "sequence": f"""SELECT s.schemaname || '.' || s.sequencename,
        concat_ws(' ', s.data_type, s.increment_by, s.min_value, s.max_value, s.cycle)
        FROM pg_sequences s JOIN pg_namespace n ON n.nspname = s.schemaname WHERE {_OWN}""",
    "policy": f"""SELECT n.nspname || '.' || c.relname || '.' || y.polname,
        concat_ws(' ', y.polcmd, pg_get_expr(y.polqual, c.oid), pg_get_expr(y.polwithcheck, c.oid))
        FROM pg_policy y JOIN pg_class c ON c.oid = y.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OWN}""",
    "extension": "SELECT e.extname, '' FROM pg_extension e",
}


def objects_of(link: Connection) -> dict[str, str]:
    """Every object of the schema as `kind name`, with a digest of how it is defined."""
    found: dict[str, str] = {}
    for kind, query in _PARTS.items():
        for name, text in link.execute(query.replace("%%", "%")):
            found[f"{kind} {name}"] = hashlib.sha256((text or "").encode()).hexdigest()[:16]
    return found


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What was added, removed or changed, by name."""
    told = [f"{name} added" for name in sorted(after.keys() - before.keys())]
    told += [f"{name} removed" for name in sorted(before.keys() - after.keys())]
    return told + [
        f"{name} changed" for name in sorted(before.keys() & after.keys()) if before[name] != after[name]
    ]


def one(link: Connection, query: str, *parameters: Any) -> Any:
    """The first value of the first row; None where there is none."""
    row = link.execute(query, parameters or None).fetchone()
    return row[0] if row else None
