"""Services to units: one resource for each server that a service runs on, the same for all providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict

from rehost.stacks.bucketuse import Given, Giving, nothing
from rehost.stacks.entry import Hosts, Where, text_of
from rehost.stacks.graph import Resource, Value
from rehost.stacks.hosts.resource import TOKEN, spec_of
from rehost.stacks.hosts.units import Limits, Order, Restart, UnitSpec
from rehost.stacks.lower import REFERENCE, Lowering
from rehost.stacks.model import Service
from rehost.stacks.reading import read_by
from rehost.stacks.roles import roles_in
from rehost.stacks.substitutes import group_for


def units(
    lowering: Lowering, where: Where, export: Callable[[str], Value], giving: Giving = nothing
) -> Iterator[Resource]:
    """The hosts and units of all services. `export` answers what a reference stands for at the provider, `giving`
    what services that use buckets are given for it."""
    stack = lowering.stack
    hosts = Hosts(lowering, where, export)
    yield from hosts.all()
    for name, service in stack.services.items():
        after = [
            lowering.urn(TOKEN, _unit(other, member))
            for other in service.depends_on
            for member in stack.runs_on(other)
        ]
        used = (urn for text in service.environment.values() for urn in roles_in(lowering, text))
        after += dict.fromkeys(used)
        after += dict.fromkeys(_stores(lowering, service))
        given = giving(name) if service.buckets else Given()
        after += given.after
        variables = {key: text_of(value) for key, value in given.variables.items()}
        variables |= {key: text_of(lowering.text(text, export)) for key, text in service.environment.items()}
        for position, member in enumerate(stack.runs_on(name), 1):
            full = _unit(name, member)
            inputs = {
                "serverId": where(member).id,
                "connection": hosts.connection(member),
                **unit_inputs(name, service, lambda text: str(lowering.text(text, export))),
                "environment": variables or None,
                "tags": lowering.marks(TOKEN, full),
            }
            needed = [*after, *hosts.urns(member)]
            yield lowering.resource(TOKEN, full, inputs, component=f"services.{name}-{position}", after=needed)


def _stores(lowering: Lowering, service: Service) -> Iterator[str]:
    """URNs of the units that stand in place of databases and caches that a service refers to."""
    stack = lowering.stack
    for text in service.environment.values():
        for match in REFERENCE.finditer(text):
            family, _, rest = (match[1] or "").strip().partition(".")
            name = rest.partition(".")[0]
            if family not in ("databases", "caches") or name in getattr(stack, family):
                continue
            group = group_for(f"{family}.{name}")
            if group in stack.services:
                yield from (lowering.urn(TOKEN, _unit(group, member)) for member in stack.runs_on(group))


def _unit(service: str, member: str) -> str:
    # No name has a slash, so that web on app-x-1 is not taken for web-app on x-1.
    return f"{service}/{member}"


def unit_inputs(name: str, service: Service, plain: Callable[[str], str] = str) -> dict[str, Value]:
    """The inputs of a service's units without where they run and without variables. `plain` replaces what texts
    refer to."""
    check = service.healthcheck
    health: dict[str, Value] | None = None
    if check is not None:
        health = {
            "path": check.path,
            "command": [plain(word) for word in check.test] or None,
            "port": check.port,
            "interval": check.interval,
            "timeout": check.timeout,
            "retries": check.retries,
            "startPeriod": check.start_period,
        }
        health = {key: value for key, value in health.items() if value is not None}
    newer = service.deploy.resources.limits
    limits = asdict(
        Limits(service.mem_limit or newer.memory, service.cpus or newer.cpus, service.pids_limit or newer.pids)
    )
    asked = service.restart or ("no" if service.schedule else "always")
    inputs: dict[str, Value] = {
        "name": name,
        "image": service.image,
        "command": [plain(word) for word in service.command] or None,
        "files": dict(service.files) or None,
        "setup": _setup(service, plain),
        "ports": [_port(*pair) for pair in service.published] or None,
        "volumes": [_volume(mount) for mount in service.volumes] or None,
        "health": health,
        "schedule": {"cron": service.schedule, "timezone": service.timezone} if service.schedule else None,
        "buckets": dict(service.buckets) or None,
        "user": service.user or None,
        "restart": Restart.ALWAYS.value if asked == "unless-stopped" else asked,
        "limits": {key: value for key, value in limits.items() if value is not None} or None,
        "singleton": service.singleton,
        "order": _order(service).value,
        "stopGrace": service.stop_grace_period,
    }
    return {key: value for key, value in inputs.items() if value is not None}


def spec(name: str, service: Service) -> UnitSpec:
    """What a host would be asked to run, without variables. Raises InvalidInput for what no host could run."""
    return spec_of(unit_inputs(name, service))


def _setup(service: Service, plain: Callable[[str], str]) -> dict[str, Value] | None:
    setup = service.setup
    if setup is None:
        return None
    script = plain(setup.run)
    reads = sorted(setup.reads) or read_by(script, service.files)
    told = {"run": script, "reads": list(reads) or None, "timeout": setup.timeout}
    return {key: value for key, value in told.items() if value is not None}


def _order(service: Service) -> Order:
    """As asked for; otherwise the new version is started first where that can do no harm."""
    if "update_config" in service.deploy.model_fields_set:
        return Order(service.deploy.update_config.order)
    watched = bool(service.image and service.ports) and service.healthcheck is not None
    return Order.START_FIRST if watched and not service.volumes and not service.singleton else Order.STOP_FIRST


def _port(outer: int, inner: int) -> dict[str, Value]:
    return {"port": outer} if outer == inner else {"port": outer, "target": inner}


def _volume(mount: str) -> dict[str, Value]:
    source, target, *mode = mount.split(":")
    return {"source": source, "target": target, **({"readOnly": True} if mode == ["ro"] else {})}
