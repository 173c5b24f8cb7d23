"""PostgreSQL databases: followed while they are written to, fenced, and followed the other way afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

from rehost.stacks.data.postgres.catalog import one
from rehost.stacks.data.postgres.fence import Fence, Proof
from rehost.stacks.data.postgres.mover import Mover
from rehost.stacks.data.postgres.report import DatabaseReport
from rehost.stacks.data.postgres.schema import version
from rehost.stacks.data.postgres.session import Server
from rehost.stacks.data.postgres.verify import Comparison
from rehost.stacks.data.report import Report
from rehost.stacks.deployment import Deployment
from rehost.stacks.errors import OperatorNeeded, Refused, RehostError, Unproven
from rehost.stacks.migrate.events import Found, Progress
from rehost.stacks.migrate.move import PROGRESS_S, Facts, Move
from rehost.stacks.model import Stack
from rehost.stacks.sql.port import Place, SqlAway

TURNED, RETURNED = "turned ", "returned "
"""Marks by database: changes flow from the new side to the old one; the old side holds all of them."""
ENGINE = "postgres"
SHOWN = 5
STARTING_S = 30.0
"""Seconds that a database of the new side has to be there."""


def carried(stack: Stack) -> list[str]:
    """The databases that are carried."""
    return sorted(name for name, database in stack.databases.items() if database.engine == ENGINE)


class Databases:
    """The databases of a stack. What is opened here stays open until `close`, and changes flow as long."""

    kind = "databases"

    def __init__(self, move: Move) -> None:
        self._move = move
        self._opened = ExitStack()
        self._ways = ExitStack()
        self._movers: dict[str, Mover] = {}
        self._backs: dict[str, Mover] = {}
        self._proofs: dict[str, Proof] = {}

    # -- before the freeze -------------------------------------------------------------------------------------

    def look(self, problems: list[str]) -> Facts:
        """Size and version at the source, and what would keep the mover from working there."""
        move, found = self._move, {}
        for name in carried(move.source.stack):
            server = self._server(move.source, name, "source")
            link = server.connect()
            try:
                with server.speaking("look around"):
                    tables = one(link, "SELECT count(*) FROM pg_stat_user_tables")
                    size = one(link, "SELECT pg_database_size(current_database())")
                    found[name] = {"version": version(link), "tables": int(tables), "bytes": int(size)}
                    if one(link, "SHOW wal_level") != "logical" and not move.marked(TURNED + name):
                        raise OperatorNeeded(
                            f"databases.{name} at {move.source.target.name} has to be restarted once before it can"
                            " be followed",
                            why="its log does not hold what changes (wal_level is not logical), and only a restart"
                            " changes that: an outage, so nobody does it unasked",
                            fix=f"rehost deploy --on {move.source.target.name}, and restart it (RDS: reboot the"
                            " instance; a server: rehost's own was made with it)",
                            address=f"databases.{name}",
                        )
            finally:
                link.close()
        move.record["databases"] = {**found}
        return found

    def replicate(self) -> Facts:
        """Bring everything over, and follow. Raises Refused for what keeps it from working, all at once."""
        for name, mover in self._each():
            mover.report.phase = ""
            mover.replicate()
            self._note(name, mover)
        return self._told()

    def follow(self, until: Callable[[], bool]) -> None:
        """Keep up until `until` says so."""
        movers = [mover for _, mover in self._each()]
        for mover in movers[1:]:
            mover.catch_up()
        if movers:
            movers[0].follow(until)

    def verify(self) -> Facts:
        """Compare all rows at one commit boundary, while the source is written to. Raises Unproven."""
        told: list[str] = []
        for name, mover in self._each():
            comparison = mover.verify()
            told += self._compared(name, mover, comparison)
        self._judge(told)
        return self._told()

    def approach(self) -> None:
        """Catch up and compare what changed since, so that the freeze is as short for a large database."""
        told: list[str] = []
        for name, mover in self._each():
            comparison = mover.approach()
            told += [f"{name}: {difference}" for difference in comparison.differences]
        self._judge(told)

    # -- while nobody writes -----------------------------------------------------------------------------------

    def freeze(self) -> Facts:
        """Put up the fences at the source, and prove them. Raises Unproven."""
        facts: Facts = {}
        for name in carried(self._move.source.stack):
            self._proofs[name] = proof = self._fence(self._mover(name).source)
            facts[name] = proof.as_dict()
            for role in proof.beyond:
                self._move.note(f"databases.{name}: nobody can keep {role} out; the log shows whether it writes")
        return facts

    def delta(self) -> Facts:
        """Apply what is left and prove that both sides hold the same. Raises Unproven."""
        for name, mover in self._each():
            comparison = mover.delta(self._proofs[name])
            self._compared(name, mover, comparison)
        return self._told()

    def turn(self) -> Facts:
        """Let changes flow from the new side to the old one, and prove that they do, before there are any; where
        that can't be, say so. The way there ends."""
        move = self._move
        facts: Facts = {}
        for name in carried(move.source.stack):
            mover = self._mover(name)
            back = self._back(name)
            try:
                # An earlier way back may have left a fence there.
                Fence(mover.destination).thaw()
                back.turn()
                back.prove()
                facts[name] = {"way_back": True}
            except Refused as error:
                move.remains(
                    f"know that there is no way back for databases.{name} without loss",
                    f"{error.summary}; {error.fix or error.why}",
                )
                facts[name] = {"way_back": False, "why": error.summary}
            move.mark(TURNED + name)
            if mover.has_begun():
                mover.end_stream()
        return facts

    # -- the ends ----------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Before the cutover: follow no more, and open the source again."""
        for name in carried(self._move.source.stack):
            mover = self._mover(name)
            if self._move.marked(TURNED + name):
                self._back(name).end_stream()
            Fence(mover.source).thaw()
            mover.finish(forget=False)

    def back(self) -> Facts:
        """After the cutover: fence the new side, bring back what it got, prove that, open the source again. Raises
        Unproven where something is missing, with both sides fenced."""
        facts: Facts = {}
        for name in carried(self._move.source.stack):
            mover, back = self._mover(name), self._back(name)
            if not self._move.marked(RETURNED + name):
                proof = self._fence(back.source)
                comparison = back.delta(proof)
                facts[name] = {"rows": comparison.rows, "changes": back.report.changes}
                self._move.mark(RETURNED + name)
            back.end_stream()
            Fence(mover.source).thaw()
            mover.finish(forget=False)
        return facts

    def behind(self) -> str:
        """What a rollback after the cutover would leave at the new side: all changes where they do not flow
        back."""
        for name in carried(self._move.source.stack):
            if self._move.marked(RETURNED + name):
                continue
            try:
                if not self._back(name).has_begun():
                    return f"databases.{name}: changes do not flow back"
            except RehostError as error:
                return f"databases.{name}: {error.summary}"
        return ""

    def end(self) -> None:
        """Leave nothing of the move at either side; the source stays fenced."""
        for name in carried(self._move.source.stack):
            back = self._back(name)
            back.finish(forget=False)
            self._mover(name).finish(forget=False)

    def close(self) -> None:
        """Follow no longer. Slots stay: the next process goes on from them."""
        self._opened.close()
        self._ways.close()
        self._movers.clear()
        self._backs.clear()

    # -- parts -------------------------------------------------------------------------------------------------

    def _each(self) -> Iterator[tuple[str, Mover]]:
        """Databases whose changes flow from the source."""
        for name in carried(self._move.source.stack):
            if not self._move.marked(TURNED + name):
                yield name, self._mover(name)

    def _mover(self, name: str) -> Mover:
        if name not in self._movers:
            move = self._move
            mover = Mover(
                self._server(move.source, name, "source"),
                self._server(move.target, name, "destination"),
                move.folder,
                move.postgres,
                move.target.stop,
                clock=move.target.clock,
                note=lambda text: move.note(f"databases.{name}: {text}"),
                watch=_Watcher(move, f"databases.{name}"),
            )
            self._movers[name] = self._opened.enter_context(mover)
        return self._movers[name]

    def _back(self, name: str) -> Mover:
        if name not in self._backs:
            self._backs[name] = self._opened.enter_context(self._mover(name).back())
        return self._backs[name]

    def _server(self, side: Deployment, name: str, which: str) -> Server:
        place = side.as_deployed.place(name)
        host, port = self._way(side, place)
        at = f"[{host}]" if ":" in host else host
        url = f"postgresql://{quote(place.user, safe='')}:{quote(place.password, safe='')}@{at}:{port}"
        called = f"{place.component} at {side.target.name} ({place.address}:{place.port}/{place.database})"
        return Server(f"{url}/{quote(place.database, safe='')}", which, called, shared=True)

    def _way(self, side: Deployment, place: Place) -> tuple[str, int]:
        """Where it is reached from here. What was made a moment ago may still be starting."""
        clock, stop = self._move.target.clock, self._move.target.stop
        until = clock.now() + (STARTING_S if side is self._move.target else 0.0)
        while True:
            try:
                return self._ways.enter_context(side.connection.way(place))
            except SqlAway:
                if clock.now() >= until or clock.wait(stop, 1.0):
                    raise

    def _fence(self, server: Server) -> Proof:
        return Fence(
            server, lambda seconds: self._move.target.clock.wait(self._move.target.stop, seconds)
        ).freeze()

    def _compared(self, name: str, mover: Mover, comparison: Comparison) -> list[str]:
        self._note(name, mover)
        told = [f"{name}: {difference}" for difference in comparison.differences]
        for text in told[:SHOWN]:
            self._move.emit(Found(self._move.now, "difference", f"databases.{name}", text))
        return told

    def _judge(self, told: list[str]) -> None:
        if told:
            self._move.record["differences"] += told
            raise Unproven(
                f"{self._move.target.target.name} does not hold what {self._move.source.target.name} holds",
                why="; ".join(told[:SHOWN]) + (f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""),
                fix="run the same command again: what differs is copied anew",
            )

    def _note(self, name: str, mover: Mover) -> None:
        known = self._move.record["databases"].get(name, {})
        self._move.record["databases"][name] = {**known, **_numbers(mover)}

    def _told(self) -> Facts:
        return {name: _numbers(mover) for name, mover in self._movers.items()}


def _numbers(mover: Mover) -> dict[str, Any]:
    report = mover.report
    return {
        "ranges": report.objects,
        "copied": report.copied,
        "adopted": report.adopted,
        "copied_bytes": report.copied_bytes,
        "changes": report.changes,
        "transactions": report.transactions,
        "rows": report.rows,
        "differences": list(report.differences.first),
    }


class _Watcher:
    """Turns a mover's report into events of progress, not too many."""

    def __init__(self, move: Move, component: str) -> None:
        self._move, self._component = move, component
        self._told = self._began = move.target.clock.now()
        self._phase = ""

    def __call__(self, report: Report) -> None:
        assert isinstance(report, DatabaseReport)
        now = self._move.target.clock.now()
        if report.phase != self._phase:
            self._began, self._phase = now, report.phase
        elif now - self._told < PROGRESS_S:
            return
        self._told = now
        rate = report.passed_bytes / max(1e-3, now - self._began)
        left = (report.bytes - report.passed_bytes) / rate if rate and report.phase == "copy" else None
        self._move.emit(
            Progress(
                self._move.now, report.phase, self._component, report.copied + report.adopted, report.objects,
                min(report.bytes, report.passed_bytes), report.bytes, round(rate),
                None if left is None else round(max(0.0, left), 1), report.lag, report.changes,
            )
        )  # fmt: skip
