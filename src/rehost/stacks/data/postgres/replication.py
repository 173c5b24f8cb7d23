"""Brings a database over and follows it: the part of the mover that works while the source is written to."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from rehost.stacks.data.evidence import Evidence
from rehost.stacks.data.postgres import sequences
from rehost.stacks.data.postgres.applier import Applier
from rehost.stacks.data.postgres.catalog import Column, Table, differences, objects_of, one, tables_of
from rehost.stacks.data.postgres.copying import Copier, Limit
from rehost.stacks.data.postgres.ledger import Ledger
from rehost.stacks.data.postgres.lsn import parse_lsn
from rehost.stacks.data.postgres.options import Options
from rehost.stacks.data.postgres.preflight import Finding, can_replicate_into, preflight, refuse
from rehost.stacks.data.postgres.report import DatabaseReport
from rehost.stacks.data.postgres.roles import carry
from rehost.stacks.data.postgres.schema import Schema
from rehost.stacks.data.postgres.session import Connection, Server, driver, quoted
from rehost.stacks.data.postgres.slots import PREFIX, Guard, drop_slot, lost_slot, make_slot, publish, slot_of
from rehost.stacks.data.postgres.units import READY, WAITING, Unit, cut
from rehost.stacks.data.work import Crew, Patience
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import InvalidInput, Refused
from rehost.stacks.sql.lock import SCHEMA

_LOCK_TRIES = 20
"""Half seconds that a killed run is given until its server notices."""
SCHEMA_S = 5.0
"""Seconds between two looks at the source's schema."""
_EARLY_KINDS = ("index", "constraint", "trigger", "policy")
"""Kinds that are carried by a new look at the source, as long as the second part of the schema is not there."""


PROBE = Table(
    0, SCHEMA, "probe", (Column("move", "text", "text", True), Column("number", "bigint", "int8", True)),
    ("move",), "d", True, False, True, True, 0, 0,
)  # fmt: skip
"""Carries the proof that changes get through."""


class Replication:
    """One direction. `note` is told what a person may want to know. Raises RehostError."""

    def __init__(
        self, source: Server, destination: Server, folder: Path, options: Options, stop: threading.Event,
        *, clock: Clock | None = None, watch: Callable[[DatabaseReport], None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        if source.name == destination.name:
            raise InvalidInput("source and destination are the same database", fix="name two")
        for server in (source, destination):
            server.options()
        self.source, self.destination, self.options = source, destination, options
        self.id = hashlib.sha256(f"{source.name}\n{destination.name}".encode()).hexdigest()[:16]
        self.slot = self.publication = f"{PREFIX}{self.id}"
        self.folder = folder / f"{self.id}.postgres"
        self.clock = clock or Clock()
        self.stop, self.note = stop, note
        self.patience = Patience(self.clock, stop)
        self.report = DatabaseReport(watch=watch)  # type: ignore[arg-type]
        self.ledger = Ledger(self.id)
        self.units: list[Unit] = []
        self.schema = Schema(source, destination, self.folder, stop)
        self._applier: Applier | None = None
        self._guard: Guard | None = None
        self._looked = 0.0
        self._links: tuple[Connection, Connection] | None = None
        self._evidence: Evidence | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End threads and connections. Slot and notes stay: the next process goes on."""
        self._rest()
        if self._links is not None:
            for link in self._links:
                link.close()
            self._links = None
        if self._evidence is not None:
            self._evidence.close()
            self._evidence = None

    @property
    def links(self) -> tuple[Connection, Connection]:
        """A connection to each side, for this thread's own questions."""
        if self._links is not None and any(link.closed for link in self._links):
            self._links = None
        if self._links is None:
            there = self.destination.connect()
            with self.destination.speaking("see whether another run works"):
                self._alone(there)
            self._links = (self.source.connect(), there)
        return self._links

    def _alone(self, there: Connection) -> None:
        """Two runs of a move would copy over each other. The lock ends with its session."""
        for _ in range(_LOCK_TRIES):
            if one(there, "SELECT pg_try_advisory_lock(hashtext(%s))", f"rehost {self.id}"):
                return
            self.patience.check()
            self.clock.wait(self.stop, 0.5)
        there.close()
        raise Refused(
            f"{self.source.name} is being moved to {self.destination.name} by another run",
            why="two at once would undo each other's work", fix="wait for it, or end it",
        )  # fmt: skip

    @property
    def evidence(self) -> Evidence:
        """What was compared."""
        if self._evidence is None:
            of = {"source": self.source.name, "destination": self.destination.name}
            self._evidence = Evidence(self.folder / "evidence.jsonl", of, "hashtextextended")
        return self._evidence

    def preflight(self) -> list[Finding]:
        """Everything that is in the way, and nothing is changed. Raises RehostError where a side can't be read."""
        here, there = self.links
        with self.source.speaking("look around"):
            return preflight(here, there, self.slot, self.options.allowed)

    def check(self) -> None:
        """Raise what keeps the move from going on: a stop, a lost slot, a schema that changed."""
        self.patience.check()
        if self._applier is not None:
            self._applier.check()
            self.report.changes, self.report.transactions = self._applier.changes, self._applier.transactions
            self.report.held = self._guard.held if self._guard else 0
        self.report.watch(self.report)

    def replicate(self) -> None:
        """Bring everything over and follow: when it returns, the destination had caught up with the source."""
        self._begin()
        self._copy()
        here, there = self.links
        facts = self.ledger.facts(there)
        applier = self.applier
        if not facts.get("complete"):
            self._phase("indexes")
            # Foreign keys and unique indexes hold at states of the source only: past all snapshots.
            applier.wait_for(max((unit.at for unit in self.units), default=0), self._look)
            applier.pause()
            try:
                again = objects_of(here) != facts.get("objects")
                self.schema.after(here, there, self.options.parallel, again=again)
            finally:
                applier.resume()
            self.ledger.note(there, complete=True, objects=objects_of(here))
            self._refresh_views(here, there)
        self.catch_up()
        with self.destination.speaking("advance sequences"):
            sequences.advance(here, there)

    def catch_up(self) -> None:
        """Apply all that the source has committed by now."""
        self._phase("catch up")
        self.applier.wait_for(self._end(), self._look)

    def follow(self, until: Callable[[], bool]) -> None:
        """Keep the destination up to date until `until` says so. Raises RehostError."""
        self._phase("follow")
        while not until():
            self._look()
            self._measure()
            self.clock.wait(self.stop, 0.2)

    @property
    def applier(self) -> Applier:
        """What applies changes; started where it is not running. Raises Refused before there is a slot."""
        if self._applier is None:
            self._resume()
        assert self._applier is not None
        return self._applier

    def _begin(self) -> None:
        here, there = self.links
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.source.speaking("look around"):
            findings = self.preflight()
            for finding in findings:
                if finding.kind == "warning":
                    self.note(finding.what + (f" ({finding.fix})" if finding.fix else ""))
            begun = self.ledger.exists(there)
            refuse(findings)
        can_replicate_into(self.destination)
        tables = self._tables(here)
        if not begun or "objects" not in self.ledger.facts(there):
            self._lay_out(here, there, tables, begun)
        slot = slot_of(here, self.slot)
        facts = self.ledger.facts(there)
        if facts.get("system") and facts["system"] != system_of(here):
            raise Refused(
                f"{self.source.name} is another server than the one that this move began with",
                fix=f"DROP SCHEMA {SCHEMA} CASCADE at the destination to begin anew",
            )
        if slot is None or slot.lost or not facts.get("slot"):
            if slot is not None:
                drop_slot(here, self.slot)
            if facts.get("slot"):
                self.note(
                    "the slot of an earlier run is gone: every range is compared, what differs is copied anew"
                )
            self._new_slot(here, there, tables)
        self._schema_unchanged()
        self._resume()

    def _tables(self, here: Connection) -> dict[str, Table]:
        return {table.label: table for table in tables_of(here) if not table.unlogged}

    def _lay_out(self, here: Connection, there: Connection, tables: dict[str, Table], begun: bool) -> None:
        """The schema at a destination where this move has not been, or was stopped before it had made it."""
        there_already = tables_of(there)
        ours = bool(there_already) and begun and not self.ledger.facts(there).get("foreign")
        if there_already and not ours and not self.options.allowed.foreign:
            raise Refused(
                f"the destination holds {len(there_already)} table(s) that this move did not make, such as"
                f" {there_already[0].label}",
                fix="name an empty database, or have it compared and written over with --allow-foreign",
            )
        self._phase("schema")
        with self.destination.speaking("begin"), there.transaction():
            self.ledger.make(there)
            self.ledger.note(there, foreign=bool(there_already) and not ours)
        if ours:
            self.note("going on with the schema that an earlier run made")
        elif there_already:
            missing = tables.keys() - {table.label for table in there_already}
            if missing:
                raise Refused(
                    f"the destination lacks tables: {', '.join(sorted(missing))}",
                    fix="make them, or name an empty database",
                )
        else:
            with self.destination.speaking("make roles"):
                made = carry(here, there)
            for name in made.without_password:
                self.note(f"role {name}: its password can't be read at the source: set one at the destination")
            self.schema.before(here, there, self._late(tables.values()))
        with self.destination.speaking("begin"), there.transaction():
            units = [unit for table in tables.values() for unit in cut(here, table, self.options.unit_bytes)]
            for unit in units:
                unit.compare = bool(there_already) and not ours
            self.ledger.plan(there, units)
            complete = {"complete": True} if there_already and not ours else {}
            self.ledger.note(there, system=system_of(here), objects=objects_of(here), **complete)

    def _new_slot(self, here: Connection, there: Connection, tables: dict[str, Table]) -> None:
        for table in tables.values():
            if not table.replicable and self.options.allowed.identity:
                how = "DEFAULT" if table.primary else "FULL"
                here.execute(f"ALTER TABLE ONLY {table.sql} REPLICA IDENTITY {how}")
                self.ledger.note(
                    there, identity=sorted({*self.ledger.facts(there).get("identity", []), table.sql})
                )
        names = [table.sql for table in tables.values()]
        with self.source.speaking("publish"):
            publish(here, self.publication, names)
        told = make_slot(self.source, self.slot, self.options.slot_patience_s, self.note, self.stop)
        with there.transaction():
            self.ledger.apply(there, parse_lsn(told))
            if self.ledger.facts(there).get("slot"):
                self.ledger.forget_copies(there)
            self.ledger.note(there, slot=told)

    def _resume(self) -> None:
        """Follow with the slot that is there."""
        if self._applier is not None:
            return
        here, there = self.links
        if not self.ledger.exists(there) or not self.ledger.facts(there).get("slot"):
            raise Refused("this move has not begun", fix="replicate first")
        slot = slot_of(here, self.slot)
        if slot is None or slot.lost:
            raise lost_slot(self.slot, "the server has given it up" if slot else "it is not there")
        facts = self.ledger.facts(there)
        tables = {table.label: table for table in tables_of(here)}
        tables[PROBE.label] = PROBE
        self.units = self.ledger.units(there, tables)
        self._guard = Guard(
            self.source, self.slot, self.options.wal_budget, self.options.disk_floor, self.options.free
        )
        self._applier = Applier(
            self.source, self.destination, self.slot, self.publication, self.ledger, self.units, self._guard.check
        )
        self._applier.track = bool(facts.get("compared"))
        self._guard.start()
        self._applier.start()

    def _late(self, tables: Iterable[Table]) -> list[Table]:
        """Tables whose keys are worth being made late."""
        low, high = self.options.late_keys
        return [
            table for table in tables
            if table.primary and table.key_name and table.identity != "i" and low <= table.bytes <= high
        ]  # fmt: skip

    def _without_keys(self) -> set[str]:
        """Tables of the destination that wait for their keys. What a killed run has left in them goes."""
        _, there = self.links
        if self.ledger.facts(there).get("complete"):
            return set()
        with self.destination.speaking("look for keys"):
            lacking = {table.label for table in tables_of(there) if not table.primary}
            found = {unit.table.label: unit.table for unit in self.units if unit.table.primary}
            for label in lacking & found.keys():
                there.execute(f"TRUNCATE ONLY {found[label].sql}")
        for unit in self.units:
            if unit.table.label in lacking & found.keys():
                unit.state, unit.compare, unit.landed = WAITING, False, False
        return lacking & found.keys()

    def _copy(self) -> None:
        late = self._without_keys()
        waiting = sorted((unit for unit in self.units if unit.state != READY), key=lambda unit: -unit.table.bytes)
        self.report.objects = len(waiting)
        shares = {label: len(units) for label, units in self.applier.by_table.items()}
        self.report.bytes = sum(unit.table.bytes // shares[unit.table.label] for unit in waiting)
        self._phase("copy")
        limit = Limit(self.options.bandwidth)
        copier = Copier(
            self.source, self.destination, self.applier, self.ledger, self.report, limit, self.check,
            lambda seconds: self.clock.wait(self.stop, seconds), late, self.schema.make_key,
        )  # fmt: skip
        repaired = any(unit.compare for unit in waiting)
        with Crew(self.options.parallel) as crew:
            for unit in waiting:
                crew.submit(lambda unit=unit: self.patience(lambda: copier(unit)))  # type: ignore[misc]
            crew.drain()
        if repaired and self.report.copied:
            self.note(f"{self.report.copied} range(s) differed and were copied anew")

    def _refresh_views(self, here: Connection, there: Connection) -> None:
        for (name,) in here.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(matviewname) FROM pg_matviews WHERE ispopulated"
        ).fetchall():
            if not one(there, "SELECT relispopulated FROM pg_class WHERE oid = to_regclass(%s)", name):
                there.execute(f"REFRESH MATERIALIZED VIEW {name}")

    def _look(self) -> None:
        """`check`, and now and then at the source's schema."""
        self.check()
        now = time.monotonic()
        if now - self._looked > SCHEMA_S:
            self._looked = now
            self._schema_unchanged()

    def _schema_unchanged(self) -> None:
        """Raise Refused where the source's schema changed and the destination's did not."""
        here, there = self.links
        facts = self.ledger.facts(there)
        with self.source.speaking("look at the schema"):
            now = objects_of(here)
            news = differences(facts.get("objects", {}), now)
            if not news:
                return
            other = objects_of(there)
        open_ = []
        for text in news:
            name = text.rsplit(" ", 1)[0]
            late = name.split(" ", 1)[0] in _EARLY_KINDS and not facts.get("complete")
            if not late and now.get(name) != other.get(name):
                open_.append(text)
        if open_:
            raise Refused(
                f"the schema changed during the move: {'; '.join(open_[:10])}",
                why="changes of the schema are not in the log",
                fix="make the same change at the destination, then run the same command again: it goes on"
                " from there",
            )
        self._take_up(here, there, now, [text.rsplit(" ", 1)[0] for text in news])

    def _take_up(self, here: Connection, there: Connection, objects: dict[str, str], names: list[str]) -> None:
        """A change that both sides have made: new tables join the move, tables of another form are compared."""
        tables = self._tables(here)
        known = {unit.table.label for unit in self.ledger.units(there, tables)}
        fresh = [table for label, table in tables.items() if label not in known]
        other = [
            unit for unit in self.ledger.units(there, tables)
            if any(name.startswith(f"column {unit.table.label}.") for name in names)
        ]  # fmt: skip
        if fresh:
            with self.source.speaking("publish"):
                publish(here, self.publication, [table.sql for table in tables.values()])
        with self.destination.speaking("note the schema"), there.transaction():
            self.ledger.add(there, [Unit(table) for table in fresh])
            # What was written in the old form is in the log; what became of it is read at the source.
            self.ledger.spoil(there, other)
            self.ledger.note(there, objects=objects)
        if self._applier is not None:
            self._rest()
            self._resume()
            self._copy()

    def _measure(self) -> None:
        with self.source.speaking("measure the lag"):
            end = parse_lsn(one(self.links[0], "SELECT pg_current_wal_flush_lsn()::text"))
        applier = self.applier
        self.report.lag = max(0, end - applier.durable)
        behind = applier.durable < end and applier.committed_at
        self.report.lag_s = round(max(0.0, self.clock.time() - applier.committed_at), 3) if behind else 0.0
        applier.asked = True

    def _end(self) -> int:
        with self.source.speaking("look at the log"):
            return parse_lsn(one(self.links[0], "SELECT pg_current_wal_insert_lsn()::text"))

    def _phase(self, name: str) -> None:
        self.report.phase = name
        self.report.watch(self.report)

    def end_stream(self) -> None:
        """Follow no longer, and drop slot and publication."""
        self._rest()
        here, _ = self.links
        with self.source.speaking("drop the slot"):
            drop_slot(here, self.slot)
            here.execute(f"DROP PUBLICATION IF EXISTS {quoted(self.publication)}")

    def _rest(self) -> None:
        """Follow no longer; the slot stays."""
        if self._applier is not None:
            self._applier.stop()
            self._applier = None
        if self._guard is not None:
            self._guard.stop()
            self._guard = None


def system_of(link: Connection) -> str:
    """What tells this server from others; empty where it may not be read."""
    try:
        return str(one(link, "SELECT system_identifier::text FROM pg_control_system()"))
    except driver().errors.InsufficientPrivilege:
        return ""
