"""Databases and caches where the target has none of its own: servers with units in their place."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_hetzner import PLAZA as SERVERS
from test_hetzner import Clouds, deployment
from test_hetzner import clouds as clouds

from rehost.providers.registry import adapter
from rehost.stacks.legalize import Legal, legalize
from rehost.stacks.model import Stack
from rehost.stacks.plan import Wishes
from rehost.stacks.portability import Fit, compare

DATABASES: dict[str, Any] = {
    "main": {
        "version": "16",
        "size": {"cpu": 2, "memory": "8GiB"},
        "storage": "100GiB",
        "reachable_from": ["servers.app"],
        "high_availability": True,
        "backups": {"keep_days": 14, "at": "03:05"},
        "parameters": {"work_mem": "8MB", "jit": False, "rds.force_ssl": 1},
    }
}
CACHES: dict[str, Any] = {"hot": {"version": "8.0", "memory": "3GiB"}}
PLAZA: dict[str, Any] = {
    "stack": "plaza",
    "targets": {
        "aws": {"provider": "aws", "region": "eu-central-1"},
        "hetzner": {"provider": "hetzner", "region": "fsn1"},
    },
    "network": {"cidr": "10.20.0.0/16", "zones": 2},
    "servers": {"app": {"count": 2, "user_data": "db=${databases.main.host}"}},
    "services": {
        "web": {"image": "plaza", "environment": {"URL": "${databases.main.url}", "CACHE": "${caches.hot.url}"}}
    },
    "databases": DATABASES,
    "caches": CACHES,
}


def legal(**changes: Any) -> Legal:
    return legalize(Stack.model_validate({**PLAZA, **changes}), adapter("hetzner").native)


def test_a_database_becomes_a_server_with_a_volume_and_postgresql() -> None:
    made = legal()
    assert not made.stack.databases and not made.stack.caches
    server, volume, unit = (getattr(made.stack, kind)["db-main"] for kind in ("servers", "volumes", "services"))
    assert (server.size.cpu, server.size.memory) == (2, 8 * 1024**3)
    assert (volume.size, volume.on) == (100 * 1024**3, "db-main")
    assert (unit.image, unit.on, unit.singleton) == ("postgres:16", "db-main", True)
    assert unit.environment["POSTGRES_PASSWORD"] == "${secrets.databases_main_password}"
    assert made.texts["databases.main.host"] == "${servers.db-main.private_ip}"
    # The services that were there stay where they were.
    assert made.stack.services["web"].on == "app"
    (rule,) = made.stack.firewalls["db-main"].ingress
    assert rule.ranges() == [(22, 22)] and rule.peers == ("anywhere",)


def test_postgresql_is_configured_for_its_memory_with_the_stacks_own_settings() -> None:
    words = shlex.split(legal().stack.services["db-main"].command[-1])
    given = {words[n + 1] for n, word in enumerate(words) if word == "-c"}
    assert {"shared_buffers=2048MB", "effective_cache_size=6144MB", "work_mem=8MB", "jit=off"} <= given
    assert not any("rds" in setting for setting in given)


@pytest.mark.parametrize(
    ("peers", "rules"),
    [
        ("10.20.0.3,10.20.0.4,10.20.0.9", ["10.20.0.3/32", "10.20.0.4/32", "10.20.0.9/32"]),
        ("10.20.0.0/16,10.20.0.9", ["10.20.0.0/16", "10.20.0.9/32"]),
    ],
)
def test_only_its_users_are_let_in(tmp_path: Path, peers: str, rules: list[str]) -> None:
    script = legal().stack.services["db-main"].command[-1].replace("/tmp/pg_hba.conf", f"{tmp_path}/hba")
    (tmp_path / "docker-entrypoint.sh").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "docker-entrypoint.sh").chmod(0o755)
    environment = {"PEERS": peers, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    run = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[:3] == ["postgres", "-c", f"hba_file={tmp_path}/hba"]
    lines = (tmp_path / "hba").read_text().splitlines()
    assert lines == ["local all all scram-sha-256", *(f"host all all {rule} scram-sha-256" for rule in rules)]


def test_peers_are_those_who_are_named_or_the_network() -> None:
    own = "${servers.db-main.private_ips}"
    assert legal().stack.services["db-main"].environment["PEERS"] == f"${{servers.app.private_ips}},{own}"
    open_ = {"main": {**DATABASES["main"], "reachable_from": []}}
    assert legal(databases=open_).stack.services["db-main"].environment["PEERS"] == f"10.20.0.0/16,{own}"


def test_backups_are_a_scheduled_dump_or_nothing() -> None:
    backup = legal().stack.services["db-main-backup"]
    assert (backup.schedule, backup.timezone) == ("5 3 * * *", "UTC")
    assert "-mtime +14" in backup.command[-1] and "pg_dump" in backup.command[-1]
    none = {"main": {**DATABASES["main"], "backups": {"keep_days": 0}}}
    assert "db-main-backup" not in legal(databases=none).stack.services


def test_a_cache_becomes_a_server_with_room_for_the_system() -> None:
    made = legal()
    server, unit = made.stack.servers["cache-hot"], made.stack.services["cache-hot"]
    assert server.size.memory == 4 * 1024**3 and unit.image == "valkey/valkey:8.0"
    assert f"--maxmemory {3 * 1024**3} " in unit.command[-1]
    assert made.texts["caches.hot.url"].startswith("redis://:")
    assert "cache-hot" not in made.stack.volumes


def test_the_portability_diff_names_every_loss() -> None:
    stack = Stack.model_validate(PLAZA)
    sides = [(adapter(name), stack.targets[name]) for name in ("aws", "hetzner")]
    rows = {row.component: row for row in compare(stack, *sides).rows}
    assert (rows["databases.main"].here, rows["databases.main"].there) == (Fit.NATIVE, Fit.LOST)
    told = " ".join(finding.reason for finding in rows["databases.main"].findings)
    for word in ("stands in its place", "no standby", "upgrades", "same volume", "rds.force_ssl", "pg_hba"):
        assert word in told
    assert rows["caches.hot"].there is Fit.LOST


def test_its_server_and_volume_are_made_and_the_unit_is_left_to_a_person(tmp_path: Path, clouds: Clouds) -> None:
    parts = {
        "network": SERVERS["network"],
        "servers": {"app": {"count": 1}},
        "databases": DATABASES,
        "caches": CACHES,
    }
    rest: dict[str, Any] = {key: {} for key in ("firewalls", "ssh_keys", "volumes", "buckets", "dns")}
    changes = {**rest, **parts, "services": PLAZA["services"], "stack": "shop"}
    _, outcome = deployment(tmp_path, clouds, **changes).deploy()
    assert outcome.failed == [] and outcome.word == "waiting"
    assert {step.component for step, _ in outcome.waiting} == {
        f"servers.{name}-1" for name in ("db-main", "cache-hot")
    }
    left = deployment(tmp_path, clouds, **changes).plan()
    assert {step.type for step in left.changing} == {"rehost:host/host:Host", "rehost:host/unit:Unit"}
    _, outcome = deployment(tmp_path, clouds, **changes).destroy(Wishes(delete_data=("*",)))
    assert outcome.word == "done", [(s.urn, e.summary) for s, e in outcome.failed]
    assert clouds.inventory() == {}
