"""Roles, checks and their like through the command line, on served stand-ins and with a real PostgreSQL."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rehost.providers.sandbox.postgres import PostgresServer

STACK = """\
stack: shop
targets:
  aws: {provider: aws, region: eu-central-1}
  hetzner: {provider: hetzner, region: fsn1}
network: {zones: 2}
servers: {app: {public: true}}
secrets: {owner: {from_env: OWNER_PASSWORD}, report: {from_env: REPORT_PASSWORD}}
databases:
  main:
    version: "16"
    database: shop
    owner: shop
    password: "${secrets.owner}"
    backups: {keep_days: 0}
    roles:
      report: {password: "${secrets.report}", privileges: read, connection_limit: 2}
      worker: {privileges: write}
checks:
  - {sql: main, query: "select count(*) from posts", expect: 1}
"""


@dataclass
class Platform:
    """A folder with a stack, a sandbox, and a database server that is reached as the operator says."""

    folder: Path
    server: PostgresServer
    report: str = "horse-battery"
    at: str = ""

    def rehost(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "NO_COLOR": "1",
            "OWNER_PASSWORD": "owner's-pass",
            "PULUMI_CONFIG_PASSPHRASE": "correct horse",
            "REHOST_SANDBOX_DIR": str(self.folder / "sandbox"),
            "REHOST_SQL_MAIN": self.at or f"{self.server.address}:{self.server.port}",
            "REPORT_PASSWORD": self.report,
        }
        command = [sys.executable, "-m", "rehost", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def plan(self) -> dict[str, Any]:
        run = self.rehost("plan", "--on", "aws", "--sandbox", "--format", "json")
        assert run.returncode == 0, run.stderr
        made: dict[str, Any] = json.loads(run.stdout)
        return made

    def ask(self, query: str, user: str = "shop", password: str = "owner's-pass") -> list[Any]:
        url = self.server.url(user, password, "shop")
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            answer = connection.execute(query.encode())
            return answer.fetchall() if answer.description else []


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = PostgresServer(folder / "postgres", 16, port=port)
    server.create("admin", superuser="admin")
    server.start()
    made = Platform(folder, server)
    try:
        with psycopg.connect(server.url("admin", "admin"), autocommit=True) as connection:
            connection.execute("create role shop login createrole password 'owner''s-pass'")
            connection.execute("create database shop owner shop")
        (folder / "stack.yaml").write_text(STACK)
        assert made.rehost("sandbox", "up").returncode == 0
        yield made
    finally:
        made.rehost("sandbox", "down")
        server.drop()


def test_roles_and_checks_from_the_first_deploy_to_the_last(platform: Platform) -> None:
    deploy = ("deploy", "--on", "aws", "--sandbox", "--yes")

    platform.at = "127.0.0.1:1"
    run = platform.rehost(*deploy)
    assert run.returncode == 6, run.stderr
    assert "waiting for you: create databases.main role" in run.stderr
    assert "can't be reached" in run.stderr

    platform.at = ""
    run = platform.rehost(*deploy, "--check")
    assert run.returncode == 5, run.stderr
    assert "check failed" in run.stderr and "posts" in run.stderr

    platform.ask("create table posts (id int); insert into posts values (1)")
    run = platform.rehost(*deploy, "--check")
    assert run.returncode == 0, run.stderr
    assert "check ok" in run.stderr
    assert platform.ask("select count(*) from posts", "report", "horse-battery") == [(1,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        platform.ask("delete from posts", "report", "horse-battery")

    platform.ask("grant delete on posts to report")
    plan = platform.plan()
    (step,) = [step for step in plan["steps"] if step["action"] != "same"]
    assert step["reason"] == "changed outside rehost" and "DELETE on public.posts" in json.dumps(step)

    platform.report = "staple"
    run = platform.rehost(*deploy)
    assert run.returncode == 0, run.stderr
    assert "1 updated" in run.stdout
    assert platform.plan()["counts"]["update"] == 0
    assert platform.ask("select count(*) from posts", "report", "staple") == [(1,)]
    with pytest.raises(psycopg.OperationalError):
        platform.ask("select 1", "report", "horse-battery")
    told = run.stdout + run.stderr + platform.server.log.read_text()
    assert "staple" not in told and "horse-battery" not in told

    (platform.folder / "stack.yaml").write_text(STACK.replace("      worker: {privileges: write}\n", ""))
    assert platform.rehost(*deploy).returncode == 0
    assert platform.ask("select rolname from pg_roles where rolname in ('report', 'worker')") == [("report",)]

    platform.at = "127.0.0.1:1"
    run = platform.rehost("destroy", "--on", "aws", "--sandbox", "--yes", "--delete-data", "databases.main")
    assert run.returncode == 0, run.stderr
