"""PostgreSQL through psycopg (extra `postgres`). No superuser is needed: the database's owner has CREATEROLE.

Passwords leave this process as SCRAM verifiers only, so that no log of the server can hold one. Facts: the
chapters on CREATE ROLE, GRANT, ALTER DEFAULT PRIVILEGES and REASSIGN OWNED, and on system catalogs, of its manual.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rehost.stacks.errors import InvalidInput, ProviderError, Reason
from rehost.stacks.sql.grants import Grant, Thing, wanted
from rehost.stacks.sql.lock import STANDS, TAKEN, locked
from rehost.stacks.sql.port import Place, RoleSeen, RoleSpec, SqlAway

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

CONNECT_SECONDS = 6
_LOCK = 0x7265686F
"""Advisory lock that those hold who change rights: two of them at once would fail."""
_MARK = "rehost-id="
_TABLE_KINDS = {"r": "table", "p": "table", "v": "table", "m": "table", "f": "table", "S": "sequence"}
_NAMED = ("SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS")


@contextlib.contextmanager
def open_postgres(place: Place, host: str, port: int) -> Iterator[PostgresSession]:
    """A session at an address of this machine's view. Raises SqlAway where nobody answers, ProviderError where the
    owner is not let in."""
    if importlib.util.find_spec("psycopg") is None:
        raise InvalidInput(
            "PostgreSQL can't be talked to", why="psycopg is not installed", fix="pip install 'rehost[postgres]'"
        )
    with contextlib.closing(_owner(place, host, port)) as connection:
        connection.execute("set lock_timeout = '30s'")
        yield PostgresSession(connection, place, host, port)


def _owner(place: Place, host: str, port: int) -> psycopg.Connection[Any]:
    """A connection of the owner, whose password a fence may have changed."""
    try:
        return _connect(place, host, port, place.user, place.password)
    except ProviderError:
        with contextlib.suppress(ProviderError, SqlAway):
            return _connect(place, host, port, place.user, locked(place.password))
        raise


def _connect(place: Place, host: str, port: int, user: str, password: str) -> psycopg.Connection[Any]:
    import psycopg

    try:
        return psycopg.connect(
            host=host,
            port=port,
            dbname=place.database,
            user=user,
            password=password,
            connect_timeout=CONNECT_SECONDS,
            application_name="rehost",
            autocommit=True,
        )
    except psycopg.OperationalError as error:
        said = " ".join(str(error).split())
        if "FATAL" in said and "the database system is" not in said:
            raise ProviderError(
                f"{place.component} does not let {user} in", reason=Reason.DENIED, why=said, operation="connect"
            ) from error
        raise SqlAway(f"{place.component} can't be reached at {host}:{port}", why=said) from error


class PostgresSession:
    """A session of the database's owner."""

    def __init__(self, connection: psycopg.Connection[Any], place: Place, host: str, port: int) -> None:
        self._connection, self._place, self._at = connection, place, (host, port)

    def see(self, spec: RoleSpec) -> RoleSeen | None:
        """A role as it is."""
        with self._errors("see"):
            row = self._row(
                "select oid, rolcanlogin, rolconnlimit, shobj_description(oid, 'pg_authid'),"
                " rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
                " from pg_roles where rolname = %s",
                spec.name,
            )
            if row is None:
                return None
            oid, login, limit, comment = row[:4]
            should = wanted(spec, self._place.database, self._place.user, self._things())
            has = self._rights(oid)
            has |= {Grant("attribute", name) for name, given in zip(_NAMED, row[4:], strict=True) if given}
            settings = self._settings(oid)
            kept_out = self._kept_out(spec.name)
            if "connect" in kept_out:
                has.add(Grant("database", "CONNECT", "", self._place.database))
        return RoleSeen(
            (comment or "").removeprefix(_MARK) if (comment or "").startswith(_MARK) else "",
            login or "login" in kept_out,
            limit,
            settings,
            tuple(map(str, sorted(should - has))),
            tuple(map(str, sorted(has - should))),
            self._fits(spec) if spec.password and login and not kept_out else None,
        )

    def _kept_out(self, role: str) -> set[str]:
        """What a fence has taken from a role for as long as it stands: it is the role's, and comes back."""
        taken = self._taken()
        return {what for what, whose in taken if whose.removeprefix('"').removesuffix('"') in (role, "PUBLIC")}

    def _taken(self) -> list[tuple[str, str]]:
        """What a fence has taken, and from whom; empty where none stands."""
        row = self._row(STANDS)
        return self._connection.execute(TAKEN).fetchall() if row is not None and row[0] else []

    def put(self, spec: RoleSpec) -> None:
        """Make the role as it should be, in one transaction."""
        from psycopg import sql

        name = sql.Identifier(spec.name)
        with self._errors("put"), self._connection.transaction():
            self._connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
            if self._taken():
                raise ProviderError(
                    f"{self._place.component} is frozen by a move: its roles stay as they are",
                    reason=Reason.INVALID,
                    operation="put",
                    fix="end the move first: `rehost migrate`, or `rehost migrate rollback`",
                )
            row = self._row("select oid from pg_roles where rolname = %s", spec.name)
            if row is None:
                self._connection.execute(sql.SQL("create role {}").format(name))
                row = self._row("select oid from pg_roles where rolname = %s", spec.name)
                assert row is not None
            self._attributes(spec, name)
            comment = sql.SQL("comment on role {} is {}").format(name, sql.Literal(_MARK + spec.mark))
            self._connection.execute(comment)
            self._set(spec, name, self._settings(row[0]))
            self._schemas(spec)
            if spec.privileges is not None:
                # To give it tables, to read them afterwards, and to speak for what it will make.
                self._connection.execute(sql.SQL("grant {} to current_user").format(name))
            self._converge(spec, row[0])

    def _attributes(self, spec: RoleSpec, name: sql.Identifier) -> None:
        from psycopg import sql

        words = [sql.SQL("login" if spec.login else "nologin")]
        row = self._row(
            "select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolvaliduntil"
            " from pg_roles where rolname = %s",
            spec.name,
        )
        assert row is not None
        words += [sql.SQL(f"no{word.lower()}") for word, given in zip(_NAMED, row, strict=False) if given]
        parts: list[sql.Composable] = [*words]
        parts.append(sql.SQL("connection limit {}").format(sql.Literal(spec.connection_limit)))
        if spec.login and row[5] is not None:
            parts.append(sql.SQL("valid until 'infinity'"))
        if spec.password:
            veiled = self._connection.pgconn.encrypt_password(
                spec.password.encode(), spec.name.encode(), b"scram-sha-256"
            )
            parts.append(sql.SQL("password {}").format(sql.Literal(veiled.decode())))
        self._connection.execute(sql.SQL("alter role {} ").format(name) + sql.SQL(" ").join(parts))

    def _set(self, spec: RoleSpec, name: sql.Identifier, now: dict[str, str]) -> None:
        from psycopg import sql

        base = sql.SQL("alter role {} in database {} ").format(name, sql.Identifier(self._place.database))
        for key in sorted(now.keys() - spec.settings.keys()):
            self._connection.execute(base + sql.SQL("reset {}").format(_setting(key)))
        for key, value in sorted(spec.settings.items()):
            if now.get(key) != value:
                self._connection.execute(base + sql.SQL("set {} = {}").format(_setting(key), sql.Literal(value)))

    def _schemas(self, spec: RoleSpec) -> None:
        from psycopg import sql

        for schema in spec.schemas if spec.privileges is not None else ():
            if self._row("select 1 from pg_namespace where nspname = %s", schema) is None:
                self._connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))

    def _converge(self, spec: RoleSpec, oid: int) -> None:
        """Give what is missing, take what is too much. Who owns a table has to be let into its schema first, and
        what belongs to the table goes over with it."""
        for turn in ("schema", "own", ""):
            should = wanted(spec, self._place.database, self._place.user, self._things())
            for grant in sorted(should - self._rights(oid)):
                if not turn or grant.kind == turn:
                    self._connection.execute(self._give(grant, spec.name))
        for grant in sorted(self._rights(oid) - should):
            self._connection.execute(self._take(grant, spec.name))

    def _give(self, grant: Grant, role: str) -> sql.Composed:
        from psycopg import sql

        if grant.kind == "own":
            kind = sql.SQL(grant.right)
            table = sql.Identifier(grant.schema, grant.name)
            return sql.SQL("alter {} {} owner to {}").format(kind, table, sql.Identifier(role))
        return _right(grant, sql.SQL("grant"), sql.SQL("to"), role)

    def _take(self, grant: Grant, role: str) -> sql.Composed:
        from psycopg import sql

        return _right(grant, sql.SQL("revoke"), sql.SQL("from"), role)

    def _things(self) -> list[Thing]:
        """Tables and sequences, without those of extensions and of the system."""
        rows = self._connection.execute(
            "select c.relkind, n.nspname, c.relname, pg_get_userbyid(c.relowner), exists ("
            "  select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid"
            "  and d.deptype in ('a', 'i') and c.relkind = 'S' and d.refobjsubid > 0)"
            " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^pg_'"
            " and n.nspname <> 'information_schema' and not exists ("
            "  select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid"
            "  and d.deptype = 'e')"
        ).fetchall()
        return [Thing(_TABLE_KINDS[kind], *rest) for kind, *rest in rows]

    def _rights(self, oid: int) -> set[Grant]:
        """What a role was given in this database, and which roles it is a member of."""
        rows = self._connection.execute(
            "select case when c.relkind = 'S' then 'sequence' else 'table' end, a.privilege_type, n.nspname,"
            " c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a"
            " where a.grantee = %(oid)s and c.relowner <> %(oid)s and n.nspname !~ '^pg_'"
            " union all select 'schema', a.privilege_type, n.nspname, '' from pg_namespace n,"
            "  aclexplode(n.nspacl) a where a.grantee = %(oid)s and n.nspowner <> %(oid)s"
            " union all select 'database', a.privilege_type, '', d.datname from pg_database d,"
            "  aclexplode(d.datacl) a where a.grantee = %(oid)s and d.datname = current_database()"
            " union all select case d.defaclobjtype when 'S' then 'default sequence' else 'default table' end,"
            "  a.privilege_type, n.nspname, pg_get_userbyid(d.defaclrole) from pg_default_acl d"
            "  join pg_namespace n on n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a"
            "  where a.grantee = %(oid)s and d.defaclobjtype in ('r', 'S')"
            " union all select 'member', '', '', pg_get_userbyid(roleid) from pg_auth_members"
            "  where member = %(oid)s",
            {"oid": oid},
        ).fetchall()
        return {Grant(*row) for row in rows}

    def _settings(self, oid: int) -> dict[str, str]:
        row = self._row(
            "select setconfig from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase"
            " where s.setrole = %s and d.datname = current_database()",
            oid,
        )
        pairs = (text.partition("=") for text in (row[0] if row else ()) or ())
        return {key: value for key, _, value in pairs}

    def _fits(self, spec: RoleSpec) -> bool | None:
        """Whether the password lets the role in; nothing but a try can tell."""
        try:
            _connect(self._place, *self._at, spec.name, spec.password).close()
        except ProviderError as error:
            return False if "password authentication failed" in error.why else None
        except SqlAway:
            return None
        return True

    def drop(self, name: str) -> None:
        """Remove the role; what it owns in this database becomes the owner's."""
        from psycopg import sql

        role = sql.Identifier(name)
        with self._errors("drop"):
            if self._row("select 1 from pg_roles where rolname = %s", name) is None:
                return
            with self._connection.transaction():
                self._connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
                self._connection.execute(sql.SQL("alter role {} nologin").format(role))
                self._connection.execute(sql.SQL("grant {} to current_user").format(role))
            # Once nobody can come any more; a session would keep tables locked.
            self._connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [name]
            )
        with self._errors("drop"), self._connection.transaction():
            self._connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
            self._connection.execute(sql.SQL("reassign owned by {} to current_user").format(role))
            self._connection.execute(sql.SQL("drop owned by {}").format(role))
            self._connection.execute(sql.SQL("drop role {}").format(role))

    def ask(self, query: str, seconds: float) -> Sequence[tuple[Any, ...]]:
        """The rows of a query, in a transaction that may not write."""
        with self._errors("ask"), self._connection.transaction(force_rollback=True):
            self._connection.execute("set transaction read only")
            self._connection.execute(f"set local statement_timeout = {int(seconds * 1000)}")
            # A prepared statement is one statement: nothing after a semicolon.
            answer = self._connection.execute(query.encode(), prepare=True)
            return answer.fetchall() if answer.description else []

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row

    @contextlib.contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        """What PostgreSQL says, as the engine knows it."""
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise SqlAway(f"{self._place.component} went away", why=" ".join(str(error).split())) from error
            raise _translated(error, operation, self._place.component) from error


def _translated(error: psycopg.Error, operation: str, component: str) -> ProviderError:
    said = error.diag.message_primary or type(error).__name__
    detail = error.diag.message_detail or ""
    fix, reason = "", Reason.FAILED
    code = error.sqlstate or ""
    if code == "2BP01":
        fix = "see to what it owns in the server's other databases first (REASSIGN OWNED, DROP OWNED), then go on"
    elif code == "42501":
        reason = Reason.DENIED
        fix = "the owner of the database needs CREATEROLE, and has to be a member of who owns it"
    elif code[:2] in ("40", "55", "57"):
        reason = Reason.BUSY
    elif code[:2] == "42" or code[:2] == "22":
        reason = Reason.INVALID
    return ProviderError(
        f"{component}: {said}", reason=reason, why=detail, fix=fix, operation=operation, code=code
    )


def _setting(key: str) -> sql.Composable:
    """A setting's name; one of an extension has two parts."""
    from psycopg import sql

    return sql.SQL(".").join(sql.Identifier(part) for part in key.split("."))


def _right(grant: Grant, verb: sql.SQL, way: sql.SQL, role: str) -> sql.Composed:
    from psycopg import sql

    who = sql.Identifier(role)
    tail: Iterable[sql.Composable] = (way, who)
    if grant.kind == "member":
        return sql.SQL(" ").join([verb, sql.Identifier(grant.name), *tail])
    if grant.kind == "attribute":
        return sql.SQL("alter role {} {}").format(who, sql.SQL(f"no{grant.right.lower()}"))
    right = sql.SQL(grant.right)
    if grant.kind.startswith("default"):
        things = sql.SQL(grant.kind.removeprefix("default ") + "s")
        base = sql.SQL("alter default privileges for role {} in schema {} ").format(
            sql.Identifier(grant.name), sql.Identifier(grant.schema)
        )
        return base + sql.SQL(" ").join([verb, right, sql.SQL("on"), things, *tail])
    kind = sql.SQL(grant.kind)
    parts = [part for part in (grant.schema, grant.name) if part]
    return sql.SQL(" ").join([verb, right, sql.SQL("on"), kind, sql.Identifier(*parts), *tail])
