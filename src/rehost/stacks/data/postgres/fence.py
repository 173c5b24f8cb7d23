"""The fence around one database: nobody but the mover can write to it, and that is proven.

Roles lose the right to connect, or to log in where that is not enough; what was there before is noted at the
server
itself, in the same transaction, so that any process can thaw it. Open sessions are ended: a setting such as
`default_transaction_read_only` would leave them writing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rehost.stacks.data.postgres.catalog import one
from rehost.stacks.data.postgres.lsn import parse_lsn
from rehost.stacks.data.postgres.session import Connection, Lock, Server, driver, literal, quoted
from rehost.stacks.errors import Refused, Unproven
from rehost.stacks.sql.lock import SCHEMA, STANDS, locked

_MAKE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.fence (what text, role text, value int, PRIMARY KEY (what, role));
"""
_PATIENCE_S = 30.0
_LOGINS = """
SELECT rolname, rolconnlimit, rolsuper FROM pg_roles
WHERE rolcanlogin AND rolname <> current_user AND rolname NOT LIKE 'pg\\_%'
  AND has_database_privilege(oid, current_database(), 'CONNECT') ORDER BY 1"""
_SESSIONS = """
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(r.rolsuper, false),
       a.backend_xid IS NOT NULL, a.backend_type
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.datname = current_database() AND a.backend_type NOT IN ('walsender', 'autovacuum worker', 'parallel
worker')
  AND NOT (a.usename = current_user AND a.application_name = 'rehost') ORDER BY a.pid"""


@dataclass
class Proof:
    """What was done and seen. `position` is where the log ended once nobody could write."""

    position: int
    roles: list[str]
    ended: int
    beyond: list[str] = field(default_factory=list)
    """Roles that can't be kept out: superusers of whoever runs the server, and the mover's own where the server
    asks it for no password. The log shows whether they wrote."""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For records."""
        return dict(vars(self))


class Fence:
    """The fence of one server's database."""

    def __init__(self, server: Server, wait: Callable[[float], Any] = time.sleep) -> None:
        self._server = server
        self._wait = wait

    def up(self) -> bool:
        """Whether it stands."""
        link = self._server.connect()
        try:
            with self._server.speaking("look at the fence"):
                return _noted(link)
        finally:
            link.close()

    def freeze(self) -> Proof:
        """Put it up and prove it. Raises Refused (before anything is done) or Unproven: then it is thawed again,
        if it
        did not stand before."""
        began = time.monotonic()
        link = self._server.connect()
        try:
            with self._server.speaking("freeze"):
                self._refuse(link)
                stood = _noted(link)
                try:
                    self._shut(link)
                except driver().errors.InsufficientPrivilege as error:
                    raise Refused(
                        f"the mover's role may not close {self._server.name}",
                        why=str(error).splitlines()[0],
                        fix="it needs to own the database, or CREATEROLE with admin rights over the roles"
                        " that log in",
                    ) from error
                try:
                    ended = self._end_sessions(link)
                    proof = Proof(
                        0,
                        [row[0] for row in link.execute(f"SELECT role FROM {SCHEMA}.fence WHERE role <> ''")],
                        ended,
                    )
                    proof.beyond = self._prove(link)
                    proof.position = parse_lsn(one(link, "SELECT pg_current_wal_insert_lsn()::text"))
                except BaseException:
                    # One that stood may be what keeps two sides from being written to.
                    if not stood:
                        self._thaw(link)
                    raise
        finally:
            link.close()
        proof.seconds = time.monotonic() - began
        return proof

    def thaw(self) -> bool:
        """Take it down, whoever put it up; answers whether it stood."""
        link = self._server.connect()
        try:
            with self._server.speaking("thaw"):
                return self._thaw(link)
        finally:
            link.close()

    def _refuse(self, link: Connection) -> None:
        prepared = [
            row[0] for row in link.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
        ]
        if prepared:
            raise Refused(
                f"prepared transactions are open at {self._server.name}: {', '.join(prepared)}",
                why="they could be committed at any time, by anybody",
                fix="COMMIT PREPARED or ROLLBACK PREPARED them",
            )

    def _shut(self, link: Connection) -> None:
        with link.transaction():
            link.execute(_MAKE)
            if not one(link, f"SELECT count(*) FROM {SCHEMA}.fence"):
                link.execute(f"INSERT INTO {SCHEMA}.fence VALUES ('up', '', 0)")
            self._revoke(link)
            powerful = bool(one(link, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))
            for role, limit, superuser in link.execute(_LOGINS).fetchall():
                if superuser and not powerful:
                    continue
                link.execute(
                    f"INSERT INTO {SCHEMA}.fence VALUES ('login', %s, %s) ON CONFLICT DO NOTHING", (role, limit)
                )
                link.execute(f"ALTER ROLE {quoted(role)} NOLOGIN")
            if self._server.shared:
                link.execute(f"INSERT INTO {SCHEMA}.fence VALUES ('password', '', 0) ON CONFLICT DO NOTHING")
                self._own_password(link, locked(self._password))
        self._server.lock.on = self._server.shared

    @property
    def _password(self) -> str:
        return str(replace(self._server, lock=Lock()).options()["password"])

    def _own_password(self, link: Connection, password: str) -> None:
        """Set the own role's password, as a verifier: no log of the server can hold more."""
        user = link.info.user
        veiled = link.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
        link.execute(f"ALTER ROLE {quoted(user)} PASSWORD {literal(veiled)}")

    def _revoke(self, link: Connection) -> None:
        """Take the right to connect from all who have it; only the owner of the database, or a superuser, can."""
        owner = one(
            link,
            "SELECT pg_has_role(datdba, 'USAGE') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
            " FROM pg_database WHERE datname = current_database()",
        )
        if not owner:
            return
        database, me = (str(one(link, f"SELECT {what}")) for what in ("current_database()", "current_user"))
        granted = link.execute(
            "SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,"
            " x.grantee <> 0 AND pg_get_userbyid(x.grantee) = current_user"
            " FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) x"
            " WHERE datname = current_database() AND x.privilege_type = 'CONNECT'"
        ).fetchall()
        link.execute(f"GRANT CONNECT ON DATABASE {quoted(database)} TO {quoted(me)}")
        if not any(own for _, own in granted):
            link.execute(f"INSERT INTO {SCHEMA}.fence VALUES ('own', %s, 0) ON CONFLICT DO NOTHING", (quoted(me),))
        for role, own in granted:
            if not own:
                link.execute(
                    f"INSERT INTO {SCHEMA}.fence VALUES ('connect', %s, 0) ON CONFLICT DO NOTHING", (role,)
                )
                link.execute(f"REVOKE CONNECT ON DATABASE {quoted(database)} FROM {role}")

    def _end_sessions(self, link: Connection) -> int:
        ended: set[int] = set()
        deadline = time.monotonic() + _PATIENCE_S
        quiet = 0
        while quiet < 2:
            powerful = bool(one(link, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))
            found = link.execute(_SESSIONS).fetchall()
            in_the_way = [row for row in found if powerful or not row[3] or row[4]]
            for row in in_the_way:
                if not row[3] or powerful:
                    link.execute("SELECT pg_terminate_backend(%s)", (row[0],))
                    ended.add(row[0])
            quiet = 0 if in_the_way else quiet + 1
            if time.monotonic() > deadline:
                told = ", ".join(f"pid {row[0]} of {row[1] or row[5]} {row[2]}".strip() for row in in_the_way)
                raise Unproven(
                    f"sessions at {self._server.name} do not end: {told}",
                    why="they could write; those of the mover's own role can come back, as it has to be"
                    " able to connect",
                    fix="stop them, or give the move a role of its own",
                )
            self._wait(0.05)
        return len(ended)

    def _prove(self, link: Connection) -> list[str]:
        left = [(row[0], row[2]) for row in link.execute(_LOGINS)]
        writers = [name for name, superuser in left if not superuser]
        if writers:
            raise Unproven(
                f"roles can still connect to {self._server.name}: {', '.join(writers)}",
                fix="the mover's role needs to own the database, or CREATEROLE with admin rights over these roles",
            )
        self._refuse(link)
        beyond = [name for name, _ in left]
        if self._server.shared and self._gets_in():
            beyond.append(link.info.user)
        return beyond

    def _gets_in(self) -> bool:
        """Whether the own role's former password still opens the database."""
        pg = driver()
        try:
            pg.connect(replace(self._server, lock=Lock()).conninfo()).close()
        except pg.OperationalError:
            return False
        return True

    def _thaw(self, link: Connection) -> bool:
        if not _noted(link):
            return False
        database = quoted(str(one(link, "SELECT current_database()")))
        with link.transaction():
            for what, role, _ in link.execute(
                f"SELECT what, role, value FROM {SCHEMA}.fence ORDER BY what DESC"
            ).fetchall():
                if what == "connect":
                    link.execute(f"GRANT CONNECT ON DATABASE {database} TO {role}")
                elif what == "own":
                    link.execute(f"REVOKE CONNECT ON DATABASE {database} FROM {role}")
                elif what == "login" and one(link, "SELECT count(*) FROM pg_roles WHERE rolname = %s", role):
                    link.execute(f"ALTER ROLE {quoted(role)} LOGIN")
                elif what == "password":
                    self._own_password(link, self._password)
            link.execute(f"DELETE FROM {SCHEMA}.fence")
        self._server.lock.on = False
        return True


def _noted(link: Connection) -> bool:
    return bool(one(link, STANDS)) and bool(one(link, f"SELECT count(*) FROM {SCHEMA}.fence"))
