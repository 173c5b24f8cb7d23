"""Roles with their settings and memberships, as far as the destination lacks them.

Passwords are readable to superusers only: elsewhere roles arrive without one, and are named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rehost.stacks.data.postgres.catalog import one
from rehost.stacks.data.postgres.session import Connection, literal, quoted

_MANAGED = re.compile(r"^(pg_|rds|cloudsql|azure_|postgres$)")
"""Roles that a server or a managed service brings along."""
_LISTS = {"search_path", "session_preload_libraries", "local_preload_libraries", "temp_tablespaces"}
"""Settings whose values are lists of names already quoted."""


@dataclass
class Carried:
    """What was made, and who has no password yet."""

    made: list[str] = field(default_factory=list)
    without_password: list[str] = field(default_factory=list)


def carry(here: Connection, there: Connection) -> Carried:
    """Make the source's roles at the destination; those that exist are left as they are."""
    carried = Carried()
    existing = {row[0] for row in there.execute("SELECT rolname FROM pg_roles")}
    mine = one(here, "SELECT current_user")
    passwords: dict[str, str | None] = {}
    if one(here, "SELECT has_table_privilege('pg_authid', 'SELECT')"):
        passwords = dict(here.execute("SELECT rolname, rolpassword FROM pg_authid").fetchall())
    owners = {
        row[0]
        for row in here.execute("SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE oid >= 16384")
    }
    powerful = one(there, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    for name, login, inherit, create_role, create_db, bypass, limit, until, superuser in here.execute(
        "SELECT rolname, rolcanlogin, rolinherit, rolcreaterole, rolcreatedb, rolbypassrls, rolconnlimit,"
        " rolvaliduntil::text, rolsuper FROM pg_roles ORDER BY rolname"
    ).fetchall():
        wanted = not _MANAGED.match(name) and (not superuser or name in owners)
        if name in existing or not wanted:
            continue
        words = [
            "LOGIN" if login else "NOLOGIN", "INHERIT" if inherit else "NOINHERIT",
            *(["CREATEROLE"] if create_role else []), *(["CREATEDB"] if create_db else []),
            *(["BYPASSRLS"] if bypass and powerful else []), f"CONNECTION LIMIT {limit}",
            *([f"VALID UNTIL {literal(until)}"] if until else []),
        ]  # fmt: skip
        password = passwords.get(name)
        if password and powerful:
            words.append(f"PASSWORD {literal(password)}")
        elif login:
            carried.without_password.append(name)
        there.execute(f"CREATE ROLE {quoted(name)} {' '.join(words)}")
        if not powerful:
            there.execute(f"GRANT {quoted(name)} TO CURRENT_USER")
        carried.made.append(name)
    if mine not in existing and mine not in carried.made and mine in owners:
        there.execute(f"CREATE ROLE {quoted(mine)} NOLOGIN")
        carried.made.append(mine)
    _memberships(here, there, set(carried.made))
    _settings(here, there, set(carried.made))
    return carried


def _memberships(here: Connection, there: Connection, made: set[str]) -> None:
    known = {row[0] for row in there.execute("SELECT rolname FROM pg_roles")}
    for group, member, admin in here.execute(
        "SELECT pg_get_userbyid(roleid), pg_get_userbyid(member), bool_or(admin_option) FROM"
        " pg_auth_members GROUP BY 1, 2"
    ).fetchall():
        if member in made and group in known and (not _MANAGED.match(group) or group.startswith("pg_")):
            there.execute(f"GRANT {quoted(group)} TO {quoted(member)}{' WITH ADMIN OPTION' if admin else ''}")


def _settings(here: Connection, there: Connection, made: set[str]) -> None:
    database = quoted(str(one(there, "SELECT current_database()")))
    for role, here_only, settings in here.execute(
        "SELECT CASE setrole WHEN 0 THEN '' ELSE pg_get_userbyid(setrole) END, setdatabase <> 0, setconfig"
        " FROM pg_db_role_setting WHERE setdatabase = 0"
        " OR setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchall():
        if (role and role not in made) or (not role and not here_only):
            continue
        for setting in settings:
            name, _, value = setting.partition("=")
            told = value if name in _LISTS else literal(value)
            whom = (
                f"ROLE {quoted(role)}{f' IN DATABASE {database}' if here_only else ''}"
                if role
                else f"DATABASE {database}"
            )
            there.execute(f"ALTER {whom} SET {quoted(name) if '.' not in name else name} TO {told or literal('')}")
