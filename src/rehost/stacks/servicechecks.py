"""Services: what their form can't tell."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.stacks.diagnostics import Diagnostic, PathKey, Severity, did_you_mean
from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.resource import TOKEN
from rehost.stacks.load import Loaded
from rehost.stacks.model import LoadBalancer, Service, Stack
from rehost.stacks.ports import Adapter
from rehost.stacks.services import spec


def check_services(stack: Stack, loaded: Loaded) -> Iterator[Diagnostic]:
    """Every finding, with paths into the partial stack."""
    taken: dict[tuple[str, int], str] = {}
    for name, service in stack.services.items():
        path: PathKey = ("services", name)
        yield from _group(stack, loaded, name, service)
        yield from _needed(loaded, name, service)
        yield from _mounts(stack, service, path)
        yield from _schedule(service, path)
        yield from _buckets(loaded, service, path)
        unread = list(_unread(service, path))
        yield from unread
        try:
            if not unread:
                spec(name, service)
        except InvalidInput as error:
            fix = error.fix or "correct it; no host could run it so"
            yield Diagnostic("service", error.summary, error.why or "hosts run what they can be told", fix, path)
        group = stack.group_of(name) or ""
        for number, (port, _) in enumerate(service.published):
            other = taken.setdefault((group, port), name)
            if other != name:
                summary = f"port {port} of the servers is that of {other} already"
                why = f"both run on {group}" if group else "both run on the same servers"
                yield Diagnostic("repeated", summary, why, "publish it at another one", (*path, "ports", number))


def _group(stack: Stack, loaded: Loaded, name: str, service: Service) -> Iterator[Diagnostic]:
    groups = loaded.declared("servers")
    path: PathKey = ("services", name, "on")
    if service.on is None and len(groups) != 1:
        if not groups:
            fix = "add a server group under `servers:`"
            yield Diagnostic("reference", f"{name} has no servers", "a service runs on servers", fix, path[:-1])
        else:
            why = f"the stack has {', '.join(groups)}"
            fix = f"add `on: {groups[0]}`, for example"
            yield Diagnostic("reference", f"nobody can tell which servers {name} is on", why, fix, path[:-1])
    elif service.on is not None and service.on not in groups:
        why = f"the stack has {', '.join(groups) or 'no servers at all'}"
        fix = did_you_mean(service.on, groups) or "add it under `servers:`"
        yield Diagnostic("reference", f"there is no server group {service.on!r}", why, fix, path)
    else:
        group = stack.group_of(name)
        if group in stack.servers and stack.servers[group].count == 0:
            fix = f"raise servers.{group}.count"
            why = f"servers.{group} has no servers"
            yield Diagnostic("reference", f"{name} runs nowhere", why, fix, path, severity=Severity.WARNING)


def _needed(loaded: Loaded, name: str, service: Service) -> Iterator[Diagnostic]:
    known = [other for other in loaded.declared("services") if other != name]
    for number, other in enumerate(service.depends_on):
        at: PathKey = ("services", name, "depends_on", number)
        if other == name:
            yield Diagnostic("cycle", f"{name} waits for itself", "it would never start", "take it out", at)
        elif other not in known:
            why = f"the stack has {', '.join(known) or 'no other service'}"
            fix = did_you_mean(other, known) or "add it, or take its name out here"
            yield Diagnostic("reference", f"there is no service {other!r}", why, fix, at)


def _mounts(stack: Stack, service: Service, path: PathKey) -> Iterator[Diagnostic]:
    for number, mount in enumerate(service.volumes):
        source = mount.split(":")[0]
        if source in stack.volumes:
            yield Diagnostic(
                "mount",
                f"{source} is a block device of the stack",
                "a service's volume is a folder: one that is kept on the server, or one that is there",
                f"write the folder that {source} is mounted at, such as /mnt/{source}, or rename the folder",
                (*path, "volumes", number),
            )


def _buckets(loaded: Loaded, service: Service, path: PathKey) -> Iterator[Diagnostic]:
    known = loaded.declared("buckets")
    for name in service.buckets:
        if name not in known:
            why = f"the stack has {', '.join(known) or 'no buckets at all'}"
            fix = did_you_mean(name, known) or "add it under `buckets:`, or take it out here"
            yield Diagnostic("reference", f"there is no bucket {name!r}", why, fix, (*path, "buckets", name))


def _unread(service: Service, path: PathKey) -> Iterator[Diagnostic]:
    for number, file in enumerate(service.setup.reads if service.setup and service.source else ()):
        if file not in service.files:
            why = f"{service.source} has {', '.join(sorted(service.files)[:8])}"
            fix = did_you_mean(file, list(service.files)) or "name a file by its path in the source"
            summary = f"the source has no file {file!r}"
            yield Diagnostic("reference", summary, why, fix, (*path, "setup", "reads", number))


def _schedule(service: Service, path: PathKey) -> Iterator[Diagnostic]:
    if service.schedule is None:
        return
    from rehost.stacks.hosts.cron import on_calendar
    from rehost.stacks.hosts.units import Schedule

    try:
        on_calendar(Schedule(service.schedule, "UTC"))
    except InvalidInput as error:
        why = error.why or "a schedule has five fields: minute, hour, day, month, weekday"
        fix = error.fix or 'write for example "30 3 * * *", every day at half past three'
        yield Diagnostic("schedule", error.summary, why, fix, (*path, "schedule"))
        return
    try:
        on_calendar(Schedule(service.schedule, service.timezone))
    except InvalidInput as error:
        why = error.why or "a time zone has a name in the time zone database"
        yield Diagnostic("schedule", error.summary, why, error.fix, (*path, "timezone"))


def check_target(stack: Stack, loaded: Loaded, balancer: LoadBalancer, path: PathKey) -> Iterator[Diagnostic]:
    """Findings about what a load balancer spreads over."""
    groups, services = loaded.declared("servers"), loaded.declared("services")
    family, dot, name = balancer.to.partition(".")
    if balancer.to in services or (family == "services" and name in services):
        service = stack.service_at(balancer.to)
        if service is not None and stack.services[service].alone:
            why = f"{service} runs on one server of its group, and the others would not answer"
            yield Diagnostic("one-server", f"there is one {service}", why, "let it run on all servers", path)
        elif service is not None and not stack.services[service].ports:
            why = "a load balancer sends visitors to a port of the servers"
            fix = f"add `ports:` to services.{service}"
            yield Diagnostic("reference", f"{service} has no port", why, fix, path)
        return
    if family != "servers" or name not in groups:
        choices = [f"servers.{known}" for known in groups] + [f"services.{known}" for known in services]
        why = f"a load balancer spreads over servers or a service: {', '.join(choices) or 'the stack has none'}"
        fix = did_you_mean(balancer.to, choices) or "add `servers:` with a group"
        what = "service" if family == "services" or not dot else "server group"
        yield Diagnostic("reference", f"there is no {what} {balancer.to!r}", why, fix, path)


def check_hosts(stack: Stack, adapter: Adapter) -> Iterator[Diagnostic]:
    """A remark where a target's servers are made and its services are not started."""
    if stack.services and TOKEN not in adapter.kinds():
        yield Diagnostic(
            "services",
            f"services are planned and not started at {adapter.title}",
            "this version makes the servers and what they need; it runs services in memory only",
            "start them on the servers yourself; deploy says which, and leaves with 6",
            ("services",),
            severity=Severity.WARNING,
        )
