"""The schema, carried by PostgreSQL's own pg_dump and pg_restore, in two parts.

First, in one transaction, all that tables need to take rows, and the keys by which changes find them. Once
everything
is there and at one state of the source: the other indexes, foreign keys and triggers, side by side.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from rehost.stacks.data.postgres.catalog import Table, one
from rehost.stacks.data.postgres.session import Connection, Server, quoted
from rehost.stacks.data.postgres.tools import folder_for, run
from rehost.stacks.sql.lock import SCHEMA

_EARLY = """
SELECT n.nspname, c.relname || ' ' || o.conname FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = o.conindid
WHERE o.contype = 'p' OR (o.contype = 'u' AND i.indisreplident)
UNION ALL
SELECT n.nspname, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.indisreplident"""
"""What tells rows apart, as archives name it."""

_POST = (
    "FK CONSTRAINT", "CHECK CONSTRAINT", "CONSTRAINT", "INDEX ATTACH", "INDEX", "TRIGGER", "RULE", "POLICY",
    "ROW SECURITY", "STATISTICS", "MATERIALIZED VIEW",
)  # fmt: skip
_LINE = re.compile(rf"^\d+; \d+ \d+ ({'|'.join(_POST)}) (\S+) (.*) (\S+|)$")
_LEFT = re.compile(r"^\d+; \d+ \d+ (PUBLICATION|SUBSCRIPTION|EVENT TRIGGER|MATERIALIZED VIEW DATA) ")


@dataclass(frozen=True)
class Entry:
    """One line of an archive's second part. `kind` is empty where it is not one that can be looked for."""

    line: str
    kind: str = ""
    schema: str = ""
    name: str = ""

    def exists(self, link: Connection) -> bool:
        """Whether the destination has it already, from a run that was stopped."""
        match self.kind:
            case "INDEX" | "MATERIALIZED VIEW":
                return bool(one(link, "SELECT to_regclass(%s) IS NOT NULL", quoted(self.schema, self.name)))
            case "CONSTRAINT" | "FK CONSTRAINT" | "CHECK CONSTRAINT":
                return self._has(link, "pg_constraint", "conname", "conrelid")
            case "TRIGGER":
                return self._has(link, "pg_trigger", "tgname", "tgrelid")
            case "POLICY":
                return self._has(link, "pg_policy", "polname", "polrelid")
            case "RULE":
                return self._has(link, "pg_rewrite", "rulename", "ev_class")
            case "STATISTICS":
                return bool(one(link, "SELECT count(*) FROM pg_statistic_ext WHERE stxname = %s", self.name))
        return False

    def _has(self, link: Connection, catalog: str, column: str, of: str) -> bool:
        # Archives put table and name side by side with a space, which either may have too.
        query = (
            f"SELECT count(*) FROM {catalog} x JOIN pg_class c ON c.oid = x.{of} JOIN pg_namespace n"
            f" ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname || ' ' || x.{column} = %s"
        )
        return bool(one(link, query, self.schema, self.name))


def entry_of(line: str) -> Entry:
    """A line of `pg_restore --list`."""
    match = _LINE.match(line)
    return Entry(line, match[1], match[2], match[3]) if match else Entry(line)


class Schema:
    """The schema of one source for one destination; `folder` keeps the archive for runs that resume."""

    def __init__(self, source: Server, destination: Server, folder: Path, stop: threading.Event) -> None:
        self._source, self._destination = source, destination
        self._folder, self._stop = folder, stop
        self._archive = folder / "schema.dump"

    def read(self, here: Connection, there: Connection) -> None:
        """Read it anew. Raises RehostError."""
        new = self._archive.with_suffix(".new")
        arguments = [
            "--schema-only",
            "-Fc",
            "--no-subscriptions",
            "--no-publications",
            f"--exclude-schema={SCHEMA}",
        ]
        run(self._program("pg_dump", here, there), [*arguments, "-f", str(new)], self._source, self._stop)
        new.replace(self._archive)

    def before(self, here: Connection, there: Connection, late: Collection[Table]) -> None:
        """Make all that tables need to take rows, and their keys but those of `late`: as a whole or not at all."""
        self.read(here, there)
        early = set(here.execute(_EARLY).fetchall())
        for table in late:
            early -= {(schema, name) for schema, name in early if (schema, name) in table.key_entries}
        program = self._program("pg_restore", here, there)
        lines = self._listed(program, "pre-data")
        lines += [e.line for e in self._entries(program) if (e.schema, e.name) in early]
        self._restore(program, lines, ["--single-transaction"])

    def make_key(self, table: Table) -> None:
        """The key of a table that was left out before."""
        here, there = self._source.connect(), self._destination.connect()
        try:
            program = self._program("pg_restore", here, there)
            entries = [e for e in self._entries(program) if (e.schema, e.name) in table.key_entries]
            self._restore(
                program, [entry.line for entry in entries if not entry.exists(there)], [], f"{table.oid}.list"
            )
        finally:
            here.close()
            there.close()

    def after(self, here: Connection, there: Connection, parallel: int, *, again: bool) -> int:
        """The rest; answers how many entries. What a stopped run made is left. `again`: the source is looked at
        anew, for what was added meanwhile."""
        if again or not self._archive.exists():
            self.read(here, there)
        program = self._program("pg_restore", here, there)
        rest = [entry for entry in self._entries(program) if not entry.exists(there)]
        indexes = [entry.line for entry in rest if entry.kind in ("INDEX", "CONSTRAINT", "MATERIALIZED VIEW")]
        others = [entry.line for entry in rest if entry.line not in set(indexes)]
        self._restore(program, indexes, ["-j", str(parallel)])
        self._restore(program, others, [])
        return len(rest)

    def _program(self, name: str, here: Connection, there: Connection) -> Path:
        return folder_for(version(here), version(there)) / name

    def _entries(self, program: Path) -> list[Entry]:
        return [entry_of(line) for line in self._listed(program, "post-data")]

    def _listed(self, program: Path, section: str) -> list[str]:
        text = run(program, ["-l", f"--section={section}", str(self._archive)])
        lines = [line for line in text.splitlines() if line and not line.startswith(";")]
        return [line for line in lines if not _LEFT.match(line)]

    def _restore(self, program: Path, lines: list[str], how: list[str], name: str = "schema.list") -> None:
        if lines:
            chosen = self._folder / name
            chosen.write_text("".join(f"{line}\n" for line in lines))
            arguments = ["-L", str(chosen), "--exit-on-error", *how, str(self._archive)]
            run(program, arguments, self._destination, self._stop)


def version(link: Connection) -> int:
    """The server's major version."""
    return link.info.server_version // 10000
