"""What stands in place of a database or a cache that the target has none of: a server with a unit. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from rehost.stacks.fit import Finding, Fit
from rehost.stacks.model import Cache, Database, Firewall, Network, Rule, Server, Service, Size, Stack, Volume

_MIB = 1024**2
CACHE_SHARE = 0.75
"""The part of a cache server's memory that holds content; the rest is the system's."""
_SYSTEM_DISK = 20 * 1024**3
SUBSTITUTED = frozenset({"databases.postgres", "caches.valkey", "caches.redis"})
"""What this version has a substitute for."""
_GROUPS = {"databases": "db", "caches": "cache", "buckets": "bucket"}


@dataclass(frozen=True)
class Substitute:
    """Components by name, each family its own, and what references to the substituted one stand for."""

    server: Server
    firewall: Firewall
    services: dict[str, Service]
    host: str
    volume: Volume | None = None
    guarded: dict[int, str] = field(default_factory=dict)
    """Ports that only some may reach: comma-separated addresses, ranges and references."""


def group_for(address: str) -> str:
    """The name of the servers in place of a component, or before it: `db-main`, `cache-hot`, `bucket-media`."""
    family, _, name = address.partition(".")
    return f"{_GROUPS[family]}-{name}"


def database(stack: Stack, name: str, wanted: Database, password: str) -> Substitute:
    """A server with a volume, PostgreSQL configured for its memory, and a daily dump if backups are asked for."""
    group = group_for(f"databases.{name}")
    image = f"postgres:{wanted.version}"
    peers = ",".join([*_peers(stack, wanted), f"${{servers.{group}.private_ips}}"])
    server = Service(
        image=image,
        on=group,
        command=("sh", "-c", _started(wanted)),
        environment={
            "PEERS": peers,
            "PGDATA": "/data/content",
            "POSTGRES_DB": wanted.database,
            "POSTGRES_USER": wanted.owner,
            "POSTGRES_PASSWORD": password,
        },
        ports=(str(wanted.port),),
        volumes=(f"/mnt/{group}:/data",),
        healthcheck={"test": f"pg_isready --quiet --username {wanted.owner} --dbname {wanted.database}"},
        stop_grace_period=60.0,
        singleton=True,
    )
    services = {group: server}
    if wanted.backups.keep_days:
        hour, minute = wanted.backups.at.split(":")
        services[f"{group}-backup"] = Service(
            image=image,
            on=group,
            command=("sh", "-c", _dumped(wanted.backups.keep_days)),
            environment={
                "PGDATABASE": wanted.database,
                "PGHOST": f"${{servers.{group}.private_ip}}",
                "PGPASSWORD": password,
                "PGUSER": wanted.owner,
            },
            volumes=(f"/mnt/{group}/backups:/backups",),
            schedule=f"{int(minute)} {int(hour)} * * *",
        )
    size = wanted.size.model_copy(update={"disk": _SYSTEM_DISK})
    return Substitute(
        _server(stack, group, size),
        _closed(),
        services,
        group,
        Volume.model_construct(size=wanted.storage, on=group),
        {wanted.port: peers},
    )


def cache(stack: Stack, name: str, wanted: Cache, password: str) -> Substitute:
    """A server of its own that keeps nothing on disk."""
    group = group_for(f"caches.{name}")
    program = "valkey-server" if wanted.engine == "valkey" else "redis-server"
    image = f"valkey/valkey:{wanted.version}" if wanted.engine == "valkey" else f"redis:{wanted.version}"
    settings = f"--maxmemory {wanted.memory} --maxmemory-policy allkeys-lru --save '' --appendonly no"
    service = Service(
        image=image,
        on=group,
        command=("sh", "-c", f'exec {program} --requirepass "$PASSWORD" {settings}'),
        environment={"PASSWORD": password},
        ports=(str(wanted.port),),
        singleton=True,
    )
    memory = -(-int(wanted.memory / CACHE_SHARE) // _MIB) * _MIB
    size = Size.model_construct(cpu=1, memory=memory, disk=_SYSTEM_DISK)
    peers = ",".join(_peers(stack, wanted))
    guarded = {wanted.port: peers} if peers else {}
    return Substitute(_server(stack, group, size), _closed(), {group: service}, group, guarded=guarded)


def _server(stack: Stack, group: str, size: Size) -> Server:
    # With a public address it has a way out, for its image; its firewall lets nobody in but who has its SSH key.
    return Server(size=size, public=True, firewalls=(group,), ssh_keys=tuple(stack.ssh_keys))


def _closed() -> Firewall:
    return Firewall(ingress=(Rule(ports=(22,), peers="anywhere", description="SSH"),))


def _peers(stack: Stack, wanted: Database | Cache) -> list[str]:
    groups = [address.removeprefix("servers.") for address in wanted.reachable_from]
    named = [
        f"${{servers.{group}.private_ips}}"
        for group in groups
        if group in stack.servers and stack.servers[group].count
    ]
    return named if wanted.reachable_from else [str((stack.network or Network()).cidr)]


def settings(wanted: Database) -> dict[str, str]:
    """PostgreSQL's settings for a server of this memory (a quarter for its buffers, as its manual advises), with
    the stack's own over them. Those of a provider are left out."""
    memory = wanted.size.memory // _MIB
    made = {
        "effective_cache_size": f"{memory * 3 // 4}MB",
        "maintenance_work_mem": f"{max(16, min(2048, memory // 20))}MB",
        "shared_buffers": f"{max(16, memory // 4)}MB",
        # A database whose changes can't be followed can't be moved without an outage.
        "wal_level": "logical",
    }
    for key, value in wanted.parameters.items():
        if not key.startswith("rds."):
            made[key] = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return made


def _started(wanted: Database) -> str:
    """The program of the container: rules for who may connect, then the server."""
    given = " ".join(f"-c {shlex.quote(f'{key}={value}')}" for key, value in sorted(settings(wanted).items()))
    rule = 'case $peer in */*) ;; *) peer=$peer/32 ;; esac; echo "host all all $peer scram-sha-256"'
    rules = f"for peer in $(echo $PEERS | tr , ' '); do {rule}; done"
    return (
        f"{{ echo 'local all all scram-sha-256'; {rules}; }} > /tmp/pg_hba.conf; "
        f"exec docker-entrypoint.sh postgres -c hba_file=/tmp/pg_hba.conf {given}"
    )


def _dumped(keep_days: int) -> str:
    """A dump that counts only once it is whole, then the old ones away."""
    return (
        'file=/backups/$(date -u +%Y-%m-%d).dump; pg_dump --format custom --file "$file.part" '
        f'&& mv "$file.part" "$file" && find /backups -name "*.dump" -mtime +{keep_days} -delete'
    )


def findings(stack: Stack, native: frozenset[str]) -> Iterator[Finding]:
    """What a substitute does otherwise than the service of a provider that it stands for."""
    for name, wanted in stack.databases.items():
        address = f"databases.{name}"
        if f"databases.{wanted.engine}" in native:
            continue
        if f"databases.{wanted.engine}" not in SUBSTITUTED:
            yield Finding(address, Fit.LOST, f"there is no {wanted.engine} here, and no substitute for it")
            continue
        group = group_for(address)
        reason = f"a server ({group}) with a volume and PostgreSQL {wanted.version} stands in its place"
        yield Finding(address, Fit.SUBSTITUTED, reason)
        reason = "its own rules (pg_hba) and the packet filter of its server let in only who may reach it"
        yield Finding(address, Fit.SUBSTITUTED, reason)
        yield Finding(address, Fit.LOST, "nobody upgrades it by itself", "raise `version`, and deploy, in time")
        yield Finding(
            address, Fit.LOST, "its storage is not encrypted by the provider", "encrypt the volume (LUKS)"
        )
        if wanted.high_availability:
            reason = "there is no standby: when its server fails, it is away until that is repaired"
            yield Finding(address, Fit.LOST, reason, "plan for a restore, or run a replica by hand")
        if wanted.backups.keep_days:
            reason = "a dump a day, on the same volume; a restore to any other moment can't be had"
            yield Finding(address, Fit.LOST, reason, f"copy /mnt/{group}/backups somewhere else")
        lost = sorted(key for key in wanted.parameters if key.startswith("rds."))
        if lost:
            reason = f"{', '.join(lost)}: parameters of another provider's service"
            yield Finding(address, Fit.LOST, reason, "say what is meant with PostgreSQL's own")
    for name, kept in stack.caches.items():
        address = f"caches.{name}"
        if f"caches.{kept.engine}" in native:
            continue
        group = group_for(address)
        reason = f"a server ({group}) with {kept.engine} {kept.version} stands in its place"
        yield Finding(address, Fit.SUBSTITUTED, reason)
        yield Finding(address, Fit.LOST, "what is said to it is not encrypted on its way in the private network")
        if kept.high_availability:
            yield Finding(address, Fit.LOST, "there is no standby: when its server fails, it is empty afterwards")
