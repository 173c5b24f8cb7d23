"""Databases and caches: what their form can't tell."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.stacks.diagnostics import Diagnostic, PathKey, Severity, did_you_mean
from rehost.stacks.hosts.resource import TOKEN
from rehost.stacks.load import Loaded
from rehost.stacks.model import Cache, Database, Stack
from rehost.stacks.ports import Adapter
from rehost.stacks.rolechecks import check_roles
from rehost.stacks.substitutes import SUBSTITUTED, group_for


def check_data(stack: Stack, loaded: Loaded) -> Iterator[Diagnostic]:
    """Every finding, with paths into the partial stack."""
    yield from check_roles(stack)
    for number, check in enumerate(stack.checks):
        where: PathKey = ("checks", number, "sql")
        known = loaded.declared("databases")
        if check.sql is not None and check.sql not in known:
            why = f"the stack has {', '.join(known) or 'none'}"
            fix = did_you_mean(check.sql, known) or "add it under `databases:`"
            yield Diagnostic("reference", f"there is no database {check.sql!r}", why, fix, where)
        elif check.sql in stack.databases and stack.databases[check.sql].engine != "postgres":
            why = f"this version asks PostgreSQL only, not {stack.databases[check.sql].engine}"
            yield Diagnostic("checks", "this database can't be asked", why, "check it over http instead", where)
    parts: list[tuple[str, str, Database | Cache]] = [("databases", n, d) for n, d in stack.databases.items()]
    parts += [("caches", n, c) for n, c in stack.caches.items()]
    for family, name, part in parts:
        groups = [f"servers.{group}" for group in loaded.declared("servers")]
        for number, item in enumerate(part.reachable_from):
            at: PathKey = (family, name, "reachable_from", number)
            if item not in groups:
                why = f"the stack has {', '.join(groups) or 'no servers at all'}"
                fix = did_you_mean(item, groups) or "add it under `servers:`"
                yield Diagnostic("reference", f"there is no server group {item!r}", why, fix, at)
            elif item in part.reachable_from[:number]:
                why = "naming it again changes nothing"
                yield Diagnostic("repeated", f"{item} is named twice", why, "remove one of the two", at)
        if f"{family}_{name}_password" in stack.secrets:
            yield Diagnostic(
                "reserved-name",
                f"the secret {family}_{name}_password is rehost's own",
                f"it holds the password that is drawn for {family}.{name}",
                "rename it" + ("; `password:` takes one of yours" if family == "databases" else ""),
                ("secrets", f"{family}_{name}_password"),
            )
        if not groups and stack.network is None:
            fix = "add `network:`, or servers"
            why = "it is reached from the private network only, and the stack has none"
            yield Diagnostic("reference", f"nobody could reach {family}.{name}", why, fix, (family, name))


def check_native(stack: Stack, adapter: Adapter) -> Iterator[Diagnostic]:
    """Findings about databases and caches that a target has not, or has not at once."""
    kinds: list[tuple[str, str, str]] = [("databases", n, d.engine) for n, d in stack.databases.items()]
    kinds += [("caches", n, c.engine) for n, c in stack.caches.items()]
    for family, name, engine in kinds:
        kind, path = f"{family}.{engine}", (family, name, "engine")
        if kind in adapter.native:
            continue
        word = f"{engine} {family}"
        if kind not in SUBSTITUTED:
            why = "this version puts PostgreSQL, Valkey and Redis on servers of their own, and nothing else"
            fix = "run it as a service on servers with a volume, or choose another target"
            yield Diagnostic(family, f"{adapter.title} has no {word} of its own", why, fix, path)
            continue
        group = group_for(f"{family}.{name}")
        if len(group) > 32 - len("-backup") or any(
            known in part
            for known in (group, f"{group}-backup")
            for part in (stack.servers, stack.firewalls, stack.volumes, stack.services)
        ):
            why = f"{adapter.title} has no {word} of its own: a server {group} stands in its place"
            fix = f"rename {name}" if len(group) > 25 else f"rename {name}, or what is called {group} already"
            yield Diagnostic("reserved-name", f"{group} can't be the name of a server", why, fix, path[:2])
        elif TOKEN not in adapter.kinds():
            yield Diagnostic(
                "services",
                f"{family}.{name} is planned and not started at {adapter.title}",
                f"a server {group} stands in its place, and this version runs services in memory only",
                f"start {engine} on {group}-1 yourself; deploy says when, and leaves with 6",
                path[:2],
                severity=Severity.WARNING,
            )
