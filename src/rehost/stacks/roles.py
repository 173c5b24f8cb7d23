"""Roles of databases to resources, the same for all providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rehost.stacks.entry import Hosts, Where
from rehost.stacks.graph import Ref, Resource, Value
from rehost.stacks.hosts import resource as unit
from rehost.stacks.legalize import SqlRole
from rehost.stacks.lower import REFERENCE, Lowering
from rehost.stacks.sql.role import TOKEN
from rehost.stacks.substitutes import group_for


def roles(
    lowering: Lowering, where: Where, export: Callable[[str], Value], holder: Callable[[str, str], Value]
) -> Iterator[Resource]:
    """The roles of all databases. `holder` answers the id of what a database ends with: the database itself, or
    the volume of the group of servers that stands in its place (the second argument, otherwise empty)."""
    for wanted in lowering.roles:
        yield _role(lowering, wanted, where, export, holder)


def place(
    lowering: Lowering,
    database: str,
    where: Where,
    export: Callable[[str], Value],
    holder: Callable[[str, str], Value],
) -> dict[str, Value]:
    """Where a database is and who makes its roles: those inputs of a role that say so."""
    component = f"databases.{database}"
    group = "" if database in lowering.stack.databases else group_for(component)

    def part(name: str) -> Value:
        return lowering.text(f"${{{component}.{name}}}", export)

    return {
        "component": component,
        "databaseId": holder(database, group),
        "serverId": Ref(lowering.urn(unit.TOKEN, f"{group}/{group}-1")) if group else None,
        "address": part("host"),
        "port": part("port"),
        "database": part("name"),
        "user": part("user"),
        "adminPassword": part("password"),
        "via": _door(lowering, database, group, Hosts(lowering, where, export)),
    }


def _role(
    lowering: Lowering,
    wanted: SqlRole,
    where: Where,
    export: Callable[[str], Value],
    holder: Callable[[str, str], Value],
) -> Resource:
    component, logical = f"databases.{wanted.database}", f"{wanted.database}/{wanted.name}"
    # Whose future tables it may use has to be there, and owners take tables over before others are let in.
    after = [lowering.urn(TOKEN, f"{wanted.database}/{other}") for other in wanted.creators]
    about = wanted.role
    inputs: dict[str, Value] = {
        "name": wanted.name,
        **place(lowering, wanted.database, where, export, holder),
        "login": about.login,
        "password": lowering.text(wanted.password, export) if wanted.password else None,
        "privileges": about.privileges,
        "schemas": list(about.schemas) if about.privileges else None,
        "creators": list(wanted.creators) or None,
        "connectionLimit": about.connection_limit,
        "settings": {key: _written(value) for key, value in about.settings.items()} or None,
        "tags": lowering.marks(TOKEN, logical),
    }
    return lowering.resource(TOKEN, logical, inputs, component=component, after=after)


def _door(lowering: Lowering, database: str, group: str, hosts: Hosts) -> Value:
    """A server through which the database is reached: itself, or one that may connect, a public one rather."""
    groups = [group]
    if not group:
        doors = lowering.stack.databases[database].reachable_from
        groups = [door.removeprefix("servers.") for door in doors] or list(lowering.stack.servers)
    able = [name for name in groups if name in lowering.stack.servers and lowering.stack.servers[name].count]
    able.sort(key=lambda name: not lowering.stack.servers[name].public)
    found = (hosts.door(lowering.stack.servers[name].members(name)[0]) for name in able)
    return next((door for door in found if door is not None), None)


def _written(value: bool | int | float | str) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def roles_in(lowering: Lowering, text: str) -> list[str]:
    """URNs of the roles that a text refers to: who uses one can't start before it is there."""
    known = {f"databases.{r.database}.roles.{r.name}": f"{r.database}/{r.name}" for r in lowering.roles}
    named = (match[1].strip().rpartition(".")[0] for match in REFERENCE.finditer(text) if match[1])
    return [lowering.urn(TOKEN, known[address]) for address in named if address in known]
