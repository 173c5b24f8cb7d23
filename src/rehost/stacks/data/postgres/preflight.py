"""Everything that keeps a move from working, found before it begins, by name and with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rehost.stacks.data.postgres.catalog import one, tables_of
from rehost.stacks.data.postgres.options import Allowed
from rehost.stacks.data.postgres.schema import version
from rehost.stacks.data.postgres.session import Connection, Server, driver
from rehost.stacks.data.postgres.slots import PREFIX, blockers, slots_of
from rehost.stacks.data.postgres.tools import folder_for
from rehost.stacks.errors import OperatorNeeded, ProviderError, Refused
from rehost.stacks.sql.lock import SCHEMA

REFUSED, OUTAGE, WARNING = "refused", "outage", "warning"
OLDEST = 14


@dataclass(frozen=True)
class Finding:
    """`kind`: `refused` (live can't do it), `outage` (the source has to be restarted first), `warning`."""

    kind: str
    what: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """For machines."""
        return dict(vars(self))


def preflight(here: Connection, there: Connection, mine: str, allowed: Allowed) -> list[Finding]:
    """All findings of both sides. `mine` is the slot of this move. Raises RehostError where a side can't be
    read."""
    return [
        *_versions(here, there), *_log(here, mine), *_rights(here), *_tables(here, allowed),
        *_content(here, allowed), *_extensions(here, there), *_collations(here, there),
        *_way_back(here, there), *_waiting(here, mine),
    ]  # fmt: skip


def refuse(findings: list[Finding]) -> None:
    """Raise what keeps a move from beginning, all at once."""
    wrong = [finding for finding in findings if finding.kind == REFUSED]
    outages = [finding for finding in findings if finding.kind == OUTAGE]
    if wrong:
        raise Refused(
            f"the database can't be moved while it is used: {'; '.join(finding.what for finding in wrong)}",
            fix="; ".join(dict.fromkeys(finding.fix for finding in wrong if finding.fix))
            + "; or move it with --mode dump, while nobody writes",
        )
    if outages:
        raise OperatorNeeded(
            f"the source needs a restart first: {'; '.join(finding.what for finding in outages)}",
            why="it is an outage of the source, so nobody does it unasked",
            fix="; ".join(finding.fix for finding in outages)
            + "; or move it with --mode dump, while nobody writes",
        )


def _versions(here: Connection, there: Connection) -> Iterator[Finding]:
    old, new = version(here), version(there)
    if old < OLDEST:
        yield Finding(REFUSED, f"the source is PostgreSQL {old}", f"upgrade it to {OLDEST} or later")
    if new < old:
        yield Finding(
            REFUSED, f"the destination is PostgreSQL {new}, older than the source's {old}",
            f"make the destination PostgreSQL {old} or later",
        )  # fmt: skip
    try:
        folder_for(old, new)
    except OperatorNeeded as error:
        yield Finding(REFUSED, error.summary, error.fix)
    codes = [
        one(link, "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()")
        for link in (here, there)
    ]
    if codes[0] != codes[1]:
        yield Finding(
            REFUSED,
            f"the source is in {codes[0]}, the destination in {codes[1]}",
            f"create the destination with ENCODING '{codes[0]}'",
        )


def _log(here: Connection, mine: str) -> Iterator[Finding]:
    level = one(here, "SHOW wal_level")
    if level != "logical":
        yield Finding(
            OUTAGE, f"wal_level is {level}",
            "set wal_level = logical (a managed service has a parameter for it, such as"
            " rds.logical_replication = 1)"
            " and restart the server",
        )  # fmt: skip
    slots = slots_of(here)
    limit = int(one(here, "SHOW max_replication_slots"))
    if len(slots) >= limit and not any(slot.name == mine for slot in slots):
        yield Finding(
            OUTAGE,
            f"all {limit} replication slots are in use",
            "drop one, or raise max_replication_slots and restart",
        )
    senders = int(one(here, "SHOW max_wal_senders"))
    if int(one(here, "SELECT count(*) FROM pg_stat_replication")) >= senders:
        yield Finding(OUTAGE, f"all {senders} WAL senders are in use", "raise max_wal_senders and restart")
    for slot in slots:
        if slot.name != mine and not slot.active:
            whose = "left by another move" if slot.name.startswith(PREFIX) else "of somebody else"
            yield Finding(WARNING, f"slot {slot.name} ({whose}) is unused and holds {slot.held} bytes of the log",
                          "drop it if nobody needs it: rehost data slots URL --drop NAME")  # fmt: skip


def _rights(here: Connection) -> Iterator[Finding]:
    me = one(here, "SELECT current_user")
    if not one(here, "SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user"):
        # A managed service has roles of its own for it, so it is tried. Such a slot waits for nobody and goes with
        # the session.
        try:
            with here.transaction(force_rollback=True):
                here.execute(
                    "SELECT pg_create_physical_replication_slot(%s, false, true)",
                    (f"{PREFIX}trial_{here.info.backend_pid}",),
                )
            here.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE"
                         " slot_name = %s",
                         (f"{PREFIX}trial_{here.info.backend_pid}",))  # fmt: skip
        except driver().errors.InsufficientPrivilege:
            yield Finding(
                REFUSED,
                f"role {me} may not replicate",
                f"ALTER ROLE {me} REPLICATION (on RDS: GRANT rds_replication TO {me})",
            )
        except driver().Error:
            # What else is wrong with slots is found where they are counted.
            return
    if not one(here, "SELECT has_database_privilege(current_database(), 'CREATE')"):
        database = one(here, "SELECT current_database()")
        yield Finding(
            REFUSED, f"role {me} may not create a publication", f"GRANT CREATE ON DATABASE {database} TO {me}"
        )


def _tables(here: Connection, allowed: Allowed) -> Iterator[Finding]:
    me = one(here, "SELECT current_user")
    for table in tables_of(here):
        if not table.readable:
            yield Finding(REFUSED, f"table {table.label} can't be read", f"GRANT SELECT ON {table.sql} TO {me}")
        if table.unlogged:
            if "unlogged" not in allowed.leave:
                yield Finding(REFUSED, f"table {table.label} is unlogged: its changes are in no log",
                              f"ALTER TABLE {table.sql} SET LOGGED, or leave its rows with --leave"
                              f" unlogged")  # fmt: skip
            continue
        if not table.owned:
            yield Finding(REFUSED, f"table {table.label} belongs to a role that {me} is no member of",
                          f"GRANT its owner TO {me}: only owners publish a table")  # fmt: skip
        if not table.replicable and not allowed.identity:
            yield Finding(REFUSED, f"table {table.label} has nothing that tells its rows apart: with it"
                                   f" in a publication, "
                          "updates and deletes of the application would fail",
                          f"add a primary key, or ALTER TABLE {table.sql} REPLICA IDENTITY FULL"
                          f" (--replica-identity-full"
                          " does it for the time of the move)")  # fmt: skip
        elif not table.key:
            yield Finding(
                WARNING,
                f"table {table.label} has no key: every update or delete reads it as a whole at the destination",
            )


def _content(here: Connection, allowed: Allowed) -> Iterator[Finding]:
    objects = one(here, "SELECT count(*) FROM pg_largeobject_metadata")
    if objects and "large-objects" not in allowed.leave:
        yield Finding(REFUSED, f"{objects} large object(s) are in no table: their changes can't be followed",
                      "move it with --mode dump, or leave them with --leave large-objects")  # fmt: skip
    for row in here.execute(
        "SELECT n.nspname || '.' || c.relname || '.' || t.tgname FROM pg_trigger t JOIN pg_class c ON"
        " c.oid = t.tgrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.tgenabled IN ('A', 'R') AND NOT t.tgisinternal"
    ):
        if "triggers" not in allowed.leave:
            yield Finding(REFUSED, f"trigger {row[0]} fires for replicated rows too, and would fire twice",
                          "ENABLE TRIGGER it plainly, or accept it with --leave triggers")  # fmt: skip
    for row in here.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relrowsecurity AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname ="
        " current_user)"
        " AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))"
    ):
        yield Finding(
            REFUSED,
            f"row security hides rows of {row[0]}",
            "ALTER ROLE .. BYPASSRLS, or ALTER TABLE .. NO FORCE ROW LEVEL SECURITY",
        )
    for row in here.execute("SELECT evtname FROM pg_event_trigger"):
        yield Finding(
            WARNING, f"event trigger {row[0]} is not carried", "create it at the destination after the move"
        )
    for row in here.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid ="
        " c.relnamespace WHERE c.relkind = 'f'"
    ):
        yield Finding(WARNING, f"foreign table {row[0]} is carried without its rows, which are elsewhere")
    for row in here.execute("SELECT pubname FROM pg_publication WHERE pubname NOT LIKE %s", (f"{PREFIX}%",)):
        yield Finding(
            WARNING, f"publication {row[0]} is not carried", "create it at the destination for its subscribers"
        )
    for row in here.execute(
        "SELECT DISTINCT application_name, usename FROM pg_stat_activity WHERE usename = current_user AND"
        " datname = current_database() AND application_name <> 'rehost' AND backend_type = 'client backend'"
    ):
        yield Finding(WARNING, f"{row[0] or 'somebody'} uses the mover's own role {row[1]}, which a fence"
                               f" has to let in",
                      "give the move a role of its own")  # fmt: skip


def _extensions(here: Connection, there: Connection) -> Iterator[Finding]:
    available = {row[0] for row in there.execute("SELECT name FROM pg_available_extensions")}
    for name, wanted in here.execute("SELECT extname, extversion FROM pg_extension"):
        if name not in available:
            yield Finding(
                REFUSED,
                f"extension {name} {wanted} is not available at the destination",
                f"install {name} there, or DROP EXTENSION {name}",
            )


def _collations(here: Connection, there: Connection) -> Iterator[Finding]:
    known = {row[0] for row in there.execute("SELECT collname FROM pg_collation")}
    used = here.execute(
        "SELECT DISTINCT o.collname FROM pg_attribute a JOIN pg_collation o ON o.oid = a.attcollation"
        " JOIN pg_namespace n ON n.oid = o.collnamespace JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE n.nspname = 'pg_catalog' AND c.relkind IN ('r', 'p') AND o.collname <> 'default'"
    )
    for row in used:
        if row[0] not in known:
            yield Finding(
                REFUSED, f"collation {row[0]} does not exist at the destination", "install its locale there"
            )
    query = "SELECT datcollate FROM pg_database WHERE datname = current_database()"
    old, new = one(here, query), one(there, query)
    if old != new:
        yield Finding(WARNING, f"texts sort by {new} at the destination and by {old} at the source",
                      f"create the destination with LC_COLLATE '{old}' if the order matters")  # fmt: skip


def _way_back(here: Connection, there: Connection) -> Iterator[Finding]:
    """What only matters once the destination is written to."""
    level = one(there, "SHOW wal_level")
    if level != "logical":
        yield Finding(WARNING, f"wal_level of the destination is {level}: there is no way back after a cutover",
                      "set wal_level = logical there and restart it")  # fmt: skip
    if not one(there, "SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user"):
        yield Finding(WARNING, "the role at the destination may not replicate: there is no way back after"
                               " a cutover",
                      "ALTER ROLE .. REPLICATION there")  # fmt: skip
    if version(here) >= 15 and not one(here, "SELECT has_parameter_privilege('session_replication_role', 'SET')"):
        yield Finding(WARNING, "the role at the source may not switch triggers off: there is no way back"
                               " after a cutover",
                      "GRANT SET ON PARAMETER session_replication_role TO it at the source")  # fmt: skip


def _waiting(here: Connection, mine: str) -> Iterator[Finding]:
    if not any(slot.name == mine for slot in slots_of(here)):
        for text in blockers(here, 0):
            yield Finding(WARNING, f"a new slot waits for {text}")


def can_replicate_into(server: Server) -> None:
    """Raise Refused where a role may not write without triggers firing."""
    try:
        server.connect(replica=True).close()
    except ProviderError as error:
        if error.code != "42501":
            raise
        raise Refused(
            f"the role at the {server.side} may not switch triggers and foreign keys off",
            why=error.summary, fix="GRANT SET ON PARAMETER session_replication_role TO it, as a superuser",
        ) from error  # fmt: skip


def check_schema_right(link: Connection, server: Server) -> None:
    """Raise Refused where a role may not keep its notes."""
    if not one(link, "SELECT has_database_privilege(current_database(), 'CREATE')") and not one(
        link, "SELECT to_regnamespace(%s) IS NOT NULL", SCHEMA
    ):
        raise Refused(
            f"the role may not create a schema at the {server.side}", fix="GRANT CREATE ON DATABASE .. TO it"
        )
