"""The mover of one database, by the phases of a migration. All of them can be run again, in any process.

    with Mover(source, destination, folder, ...) as mover:
        mover.preflight(); mover.replicate(); mover.verify()      # the source is written to all the time
        mover.freeze(); mover.delta(); mover.cutover()            # nobody writes; then the destination may be
        opened
        mover.rollback()                                          # or: back to the source, with all that came
        since
        mover.finish()                                            # nothing of the move is left at either side

What is there, and how far changes were applied, is in tables at the destination (`ledger.py`), the fence at the
server that it closes (`fence.py`), what was compared in the evidence in `folder`.
"""

from __future__ import annotations

import time
from dataclasses import replace

from rehost.stacks.data.postgres import sequences, verify
from rehost.stacks.data.postgres.catalog import objects_of, one, tables_of
from rehost.stacks.data.postgres.fence import Fence, Proof
from rehost.stacks.data.postgres.ledger import Ledger
from rehost.stacks.data.postgres.lsn import NOTHING_SEEN, parse_lsn
from rehost.stacks.data.postgres.preflight import can_replicate_into
from rehost.stacks.data.postgres.replication import PROBE, Replication, system_of
from rehost.stacks.data.postgres.schema import version
from rehost.stacks.data.postgres.slots import PREFIX, drop_slot, make_slot, publish, slot_of
from rehost.stacks.data.postgres.units import Unit, cut
from rehost.stacks.data.postgres.verify import Comparison, same_moment
from rehost.stacks.errors import Unproven
from rehost.stacks.sql.lock import SCHEMA


class Mover(Replication):
    """One direction, with all its phases. Raises RehostError."""

    def verify(self) -> Comparison:
        """Compare everything at one commit boundary. What differs is copied anew by the next `replicate`."""
        self._phase("verify")
        applier = self.applier
        link = self.destination.connect()

        def at() -> None:
            with self.destination.speaking("compare"):
                self.ledger.touched_are_same(link, all_=True)
                self.ledger.note(link, compared=True)
            applier.track = True

        try:
            with same_moment(self.source, self.destination, applier, at) as (here, there):
                units = [unit for unit in self.units if unit.table is not PROBE]
                found = verify.compare(here, there, units, self.options.parallel, self.report, self.check)
            with self.destination.speaking("note what differs"):
                self.ledger.spoil(link, found.spoiled)
        finally:
            link.close()
        self._record(found)
        return found

    def compare(self) -> Comparison:
        """Compare everything: at one commit boundary where this move is followed, otherwise as both sides are
        now, which agrees only if nobody writes."""
        here, there = self.links
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.source.speaking("look around"):
            slot = slot_of(here, self.slot)
            begun = self.ledger.exists(there) and bool(self.ledger.facts(there).get("slot"))
        if begun and slot is not None and not slot.lost:
            return self.verify()
        self._phase("verify")
        with self.source.speaking("look around"):
            known = {table.label for table in tables_of(there)}
            tables = [table for label, table in self._tables(here).items() if label in known]
            units = [unit for table in tables for unit in cut(here, table, self.options.unit_bytes)]
        with same_moment(self.source, self.destination, None, lambda: None) as pair:
            found = verify.compare(*pair, units, self.options.parallel, self.report, self.check)
        self._record(found)
        return found

    def _record(self, found: Comparison) -> None:
        different = {unit.name for unit in found.spoiled}
        for name, (mine, theirs) in found.sums.items():
            self.evidence.add({
                "key": name, "state": "spoiled" if name in different else "copied",
                "at": round(self.clock.time(), 3), "move": self.id,
                "source": list(mine), "destination": list(theirs),
            })  # fmt: skip
        for difference in found.differences:
            self.report.find("differences", str(difference))
        self.report.rows = found.rows

    def complete(self) -> list[str]:
        """What the destination lacks beside rows: sequences, indexes, constraints, extensions, other objects."""
        here, there = self.links
        with self.source.speaking("compare the schemas"):
            mine, theirs = objects_of(here), objects_of(there)
            same = version(here) == version(there)
            told = [f"{name}: missing at the destination" for name in sorted(mine.keys() - theirs.keys())]
            # Versions write the same view in other words.
            told += [
                f"{name}: differs" for name in sorted(mine.keys() & theirs.keys())
                if mine[name] != theirs[name] and (same or name.split(" ", 1)[0] not in ("view", "trigger"))
            ]  # fmt: skip
            told += [f"sequence {text}" for text in sequences.behind(here, there)]
            told += [f"index {row[0]}: not valid" for row in there.execute(
                "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")]  # fmt: skip
        return told

    def approach(self) -> Comparison:
        """Catch up, and compare what changed since `verify`, so that a freeze is as short for a large database."""
        _, there = self.links
        if not self.ledger.exists(there) or not self.ledger.facts(there).get("compared"):
            return Comparison()
        self._phase("approach")
        self.catch_up()
        return self._compare_changes()

    def freeze(self) -> Proof:
        """Let nobody write to the source any more, and prove it. Raises Unproven, with nothing frozen."""
        found = self.approach()
        if found.differences:
            raise Unproven(
                f"the sides differ: {'; '.join(map(str, found.differences[:10]))}",
                fix="run again: what differs is copied anew",
            )
        self._phase("freeze")
        return Fence(self.source).freeze()

    def thaw(self) -> bool:
        """Let the source be written to again."""
        return Fence(self.source).thaw()

    def delta(self, proof: Proof) -> Comparison:
        """Within the freeze: apply what is left, advance sequences, compare what changed since `verify`.

        Raises Unproven where something differs, is missing, or was written after the fence was proven.
        """
        self._phase("delta")
        applier = self.applier
        here, there = self.links
        applier.wait_for(max(proof.position, self._end()), self.check)
        if applier.last_commit > proof.position:
            raise Unproven(
                f"somebody wrote to {self.source.name} after the fence was proven",
                fix="thaw, find out who, and freeze again",
            )
        with self.destination.speaking("advance sequences"):
            sequences.advance(here, there)
        found = self._compare_changes() if self.ledger.facts(there).get("compared") else self.verify()
        told = [str(difference) for difference in found.differences] + self.complete()
        if told:
            raise Unproven(
                f"{self.destination.name} is not what {self.source.name} is: {'; '.join(told[:10])}",
                fix="thaw, and run again: what differs is copied anew",
            )
        return found

    def _compare_changes(self) -> Comparison:
        """Compare, at one commit boundary, the rows that changed since the last comparison."""
        link = self.destination.connect()
        touched: dict[str, list[tuple[str, ...]]] = {}
        try:
            with same_moment(
                self.source, self.destination, self.applier, lambda: touched.update(self.ledger.take_touched(link))
            ) as pair:
                tables = {unit.table.label: unit.table for unit in self.units}
                found = verify.compare_keys(*pair, tables, touched)
            for difference in found.differences:
                self.report.find("differences", str(difference))
                self.ledger.spoil(link, [unit for unit in self.units if unit.table.label == difference.table])
            if not found.differences:
                self.ledger.touched_are_same(link)
        finally:
            link.close()
        return found

    def back(self) -> Mover:
        """The mover of the other direction, with the same settings."""
        mover = Mover(
            replace(self.destination, side="source"), replace(self.source, side="destination"),
            self.folder.parent, self.options, self.stop,
            clock=self.clock, watch=self.report.watch, note=self.note,
        )  # fmt: skip
        mover.slot = mover.publication = f"{PREFIX}back_{self.id}"
        mover.id = f"back-{self.id}"
        mover.ledger = Ledger(mover.id)
        return mover

    def cutover(self) -> Mover:
        """Prepare the way back and prove it, then end the way there. Answers the mover that follows the
        destination
        back to the source; only then may the destination be written to."""
        self._phase("cutover")
        back = self.back()
        back.turn()
        back.prove()
        self.end_stream()
        return back

    def has_begun(self) -> bool:
        """Whether changes are kept for the destination: the slot is there, and holds all of them."""
        slot = slot_of(self.links[0], self.slot)
        return slot is not None and not slot.lost

    def turn(self) -> None:
        """Follow from here on, both sides being the same and nobody writing."""
        here, there = self.links
        can_replicate_into(self.destination)
        tables = self._tables(here)
        for side, link in ((self.source, here), (self.destination, there)):
            with side.speaking("prepare the way back"):
                link.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
                link.execute(
                    f"CREATE TABLE IF NOT EXISTS {PROBE.sql} (move text PRIMARY KEY, number int8 NOT NULL)"
                )
        with self.destination.speaking("prepare the way back"):
            self.ledger.make(there)
        slot = slot_of(here, self.slot)
        if slot is not None and not slot.lost and self.ledger.facts(there).get("slot"):
            self._resume()
            return
        if slot is not None:
            drop_slot(here, self.slot)
        for table in tables.values():
            if not table.replicable:
                here.execute(
                    f"ALTER TABLE ONLY {table.sql} REPLICA IDENTITY {'DEFAULT' if table.primary else 'FULL'}"
                )
        with self.source.speaking("publish"):
            publish(here, self.publication, [PROBE.sql, *(table.sql for table in tables.values())])
        told = make_slot(self.source, self.slot, self.options.slot_patience_s, self.note, self.stop)
        units = [Unit(table) for table in (PROBE, *tables.values())]
        with self.destination.speaking("prepare the way back"), there.transaction():
            self.ledger.apply(there, parse_lsn(told))
            self.ledger.plan(there, units)
            for unit in units:
                self.ledger.ready(there, unit, NOTHING_SEEN, 0, 0)
            self.ledger.note(there, slot=told, complete=True, system=system_of(here), objects=objects_of(here))
        self._resume()

    def prove(self) -> None:
        """Send something the whole way. Raises Unproven."""
        here, there = self.links
        number = time.time_ns()
        with self.source.speaking("prove the way back"):
            here.execute(
                f"INSERT INTO {PROBE.sql} VALUES (%s, %s) ON CONFLICT (move) DO UPDATE SET number ="
                f" EXCLUDED.number",
                (self.id, number),
            )
        self.applier.wait_for(self._end(), self.check)
        got = one(there, f"SELECT number FROM {PROBE.sql} WHERE move = %s", self.id)
        if got != number:
            raise Unproven(
                f"a change at {self.source.name} does not reach {self.destination.name}",
                fix="see what `replicate` says",
            )

    def rollback(self, back: Mover) -> None:
        """After a cutover: fence the destination, bring back what it got, prove that, and open the source
        again."""
        fence = Fence(back.source)
        back.delta(fence.freeze())
        back.end_stream()
        Fence(self.source).thaw()

    def finish(self, *, forget: bool = True) -> None:
        """Drop slot and publication, put replica identities back, and with `forget` the notes too."""
        here, there = self.links
        self.end_stream()
        with self.source.speaking("clean up"):
            for name in self.ledger.facts(there).get("identity", []) if self.ledger.exists(there) else ():
                here.execute(f"ALTER TABLE ONLY {name} REPLICA IDENTITY DEFAULT")
        with self.destination.speaking("clean up"):
            if forget and self.ledger.exists(there):
                self.ledger.remove(there)
