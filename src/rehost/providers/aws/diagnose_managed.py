"""What RDS and ElastiCache do not accept. Limits: their user guides and API references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rehost.providers.aws.catalog import CATALOG
from rehost.stacks.diagnostics import Diagnostic, PathKey
from rehost.stacks.model import Cache, Database, Network, Stack
from rehost.stacks.ports import Need

_GIB = 1024**3
_MOST_GIB = 65536
_IDENTIFIER = {"databases": 63, "caches": 40}
_OWNERS = {"postgres": {"admin", "rdsadmin", "postgres"}, "mysql": {"rdsadmin", "root", "mysql"}}
"""Names that can't be a master user's: words of the engine, and users that RDS has for itself."""
_OWNER = {"postgres": 63, "mysql": 32}


def diagnose_managed(stack: Stack, unmet: Sequence[Need]) -> Iterator[Diagnostic]:
    """Findings about databases and caches; `unmet` are their needs that the catalog has nothing for."""
    zones = {subnet.zone for subnet in (stack.network or Network()).layout().values()}
    parts: list[tuple[str, str, Database | Cache]] = [("databases", n, d) for n, d in stack.databases.items()]
    parts += [("caches", n, c) for n, c in stack.caches.items()]
    spread = [(f, n) for f, n, part in parts if f == "databases" or part.high_availability]
    if len(zones) < 2 and spread:
        why = f"databases and standbys have subnets in two zones at least: {', '.join(map('.'.join, spread))}"
        fix = "write network: {zones: 2}, or subnets in two zones"
        yield Diagnostic("zones", f"the network has {len(zones)} zone", why, fix, spread[0])
    for family, name, part in parts:
        path: PathKey = (family, name)
        yield from _identifier(stack, path)
        yield from _version(part, path)
        if isinstance(part, Database):
            yield from _database(part, path)
    for need in unmet:
        family, name, _ = need.key.split(".")
        largest, (cpu, mib) = list(CATALOG.managed(family).items())[-1]
        why = f"the largest in the catalog is {largest}: {cpu} vCPU, {mib / 1024:g} GiB"
        fix = "ask for less" if family == "databases" else "ask for less, or make several"
        yield Diagnostic("size", f"there is nothing as large as {name} needs", why, fix, (family, name))


def _identifier(stack: Stack, path: PathKey) -> Iterator[Diagnostic]:
    full, most = f"{stack.stack}-{path[1]}", _IDENTIFIER[str(path[0])]
    if len(full) > most:
        why = f"{full} has {len(full)} characters, and at most {most} are taken"
        yield Diagnostic("name-length", f"the name {path[1]} is too long", why, "shorten it", path)
    elif "--" in full:
        why = f"it would be called {full}, and two dashes in a row are not taken"
        yield Diagnostic("reserved-name", f"{path[1]} can't be called so", why, "rename it, or the stack", path)


def _version(part: Database | Cache, path: PathKey) -> Iterator[Diagnostic]:
    known = CATALOG.versions(str(path[0]), part.engine)
    asked, at = f"{part.version}.", (*path, "version")
    fix = f'write "{known[-1]}", for example'
    if not any(asked.startswith(f"{one}.") or f"{one}.".startswith(asked) for one in known):
        why = f"Amazon has {', '.join(known)}"
        yield Diagnostic("version", f"there is no {part.engine} {part.version}", why, fix, at)
    elif part.engine == "mysql" and "." not in part.version:
        why = f"Amazon has {', '.join(known)}, which are different major versions"
        yield Diagnostic("version", "versions of mysql have two numbers at least", why, fix, at)


def _database(database: Database, path: PathKey) -> Iterator[Diagnostic]:
    if database.storage > _MOST_GIB * _GIB:
        why = f"a database has at most {_MOST_GIB // 1024} TiB"
        yield Diagnostic("volume-size", "the storage is too large", why, "ask for less", (*path, "storage"))
    owner, at = database.owner, (*path, "owner")
    if owner in _OWNERS[database.engine] or owner.startswith(("_", "pg_")):
        why = "RDS keeps this name for itself, or does not take its form"
        yield Diagnostic("reserved-name", f"the owner can't be called {owner}", why, "rename it", at)
    elif len(owner) > _OWNER[database.engine]:
        why = f"a user of {database.engine} has at most {_OWNER[database.engine]} characters"
        yield Diagnostic("name-length", "the name of the owner is too long", why, "shorten it", at)
    if database.database.startswith("_"):
        summary = f"a database can't be called {database.database}"
        yield Diagnostic("reserved-name", summary, "RDS wants a letter first", "rename it", (*path, "database"))
