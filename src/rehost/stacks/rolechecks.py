"""Roles of databases: what their form can't tell."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.stacks.diagnostics import Diagnostic, PathKey, did_you_mean
from rehost.stacks.model import Database, Stack

_RESERVED = ("current_role", "current_user", "none", "postgres", "public", "session_user", "user")
"""Names that PostgreSQL, or those who run it, keep for themselves; `pg_` and `rds` begin others."""
ATTRIBUTES = ("url", "user", "password")
"""What may be asked of a role: `${databases.main.roles.report.url}`."""


def check_roles(stack: Stack) -> Iterator[Diagnostic]:
    """Every finding, with paths into the partial stack."""
    for name, database in stack.databases.items():
        at: PathKey = ("databases", name, "roles")
        if database.roles and database.engine != "postgres":
            why = f"this version makes roles in PostgreSQL only, and databases.{name} is {database.engine}"
            yield Diagnostic("roles", "roles can't be made here", why, "make them by hand, or use postgres", at)
            continue
        yield from _names(stack, name, database)
        owners: dict[str, str] = {}
        for role, about in database.roles.items():
            for number, schema in enumerate(about.schemas):
                place = (*at, role, "schemas", number)
                if schema in about.schemas[:number]:
                    why = "naming it again changes nothing"
                    yield Diagnostic("repeated", f"{schema} is named twice", why, "remove one of the two", place)
                elif schema.startswith("pg_") or schema == "information_schema":
                    why = "what is in it is the system's"
                    yield Diagnostic("roles", f"{schema} is no schema for roles", why, "name another", place)
                elif about.privileges == "owner" and owners.setdefault(schema, role) != role:
                    why = f"{owners[schema]} owns the tables in {schema}, and a table has one owner"
                    fix = "give one of the two `write`, or a schema of its own"
                    summary = f"{schema} would have two owners"
                    yield Diagnostic("roles", summary, why, fix, (*at, role, "privileges"))


def _names(stack: Stack, name: str, database: Database) -> Iterator[Diagnostic]:
    for role in database.roles:
        at: PathKey = ("databases", name, "roles", role)
        if role == database.owner:
            why = "it owns the database, and makes the other roles"
            yield Diagnostic("reserved-name", f"{role} is there already", why, "choose another name", at)
        elif role in _RESERVED or role.startswith(("pg_", "rds")):
            why = "PostgreSQL or those who run it keep it for themselves"
            yield Diagnostic("reserved-name", f"{role} can't be the name of a role", why, "rename it", at)
        secret = f"databases_{name}_roles_{role}_password"
        if secret in stack.secrets:
            yield Diagnostic(
                "reserved-name",
                f"the secret {secret} is rehost's own",
                "it holds the password that is drawn for the role",
                "rename it; `password:` takes one of yours",
                ("secrets", secret),
            )


def check_role(stack: Stack, name: str, rest: str, path: PathKey) -> Iterator[Diagnostic]:
    """Findings about a reference to a role: `rest` is what follows the database's name and `roles`."""
    role, _, attribute = rest.partition(".")
    known = stack.databases[name].roles if name in stack.databases else {}
    if role not in known:
        why = f"databases.{name} has {', '.join(known) or 'no roles'}"
        fix = did_you_mean(role, known) or f"add it under databases.{name}.roles"
        yield Diagnostic("reference", f"there is no role {role!r}", why, fix, path)
    elif attribute not in ATTRIBUTES:
        why = f"what can be referred to is {', '.join(ATTRIBUTES)}"
        summary = f"roles have no {attribute!r}" if attribute else "it doesn't say what of the role is meant"
        yield Diagnostic("reference", summary, why, did_you_mean(attribute, ATTRIBUTES), path)
    elif attribute != "user" and not known[role].login:
        why = f"{role} can't log in"
        yield Diagnostic("reference", f"{role} has no {attribute}", why, "set login: true, or refer to user", path)
